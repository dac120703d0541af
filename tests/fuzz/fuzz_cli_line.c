/* fuzz_cli_line.c — lines that the operator's program reads: of a metadump, of filters, of its
 * prompt, and the keys that such a line is typed with; the first byte says which.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "cli/complete.h"
#include "cli/editor.h"
#include "cli/line.h"
#include "cli/metadump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void metadump(struct bytes in)
{
    struct cli_meta meta;
    if (!cli_meta_parse(in, &meta))
        return;
    char text[CLI_KEY_TEXT_BYTES], line[CLI_KEY_TEXT_BYTES + 4];
    const struct bytes key = bytes_of(meta.key, meta.key_bytes);
    assert(key.len >= 1 && key.len <= CLI_META_KEY_BYTES_MAX);
    snprintf(line, sizeof(line), "key=%s", cli_key_format(text, key));
    struct cli_meta again; /* as it is shown, it means the same */
    assert(cli_meta_parse(bytes_str(line), &again));
    assert(bytes_equal(bytes_of(again.key, again.key_bytes), key));
    struct cli_filter filter = {.glob = bytes_str("*a*"), .size_min = 5};
    if (cli_filter_ttl_parse(bytes_str("5..100"), &filter))
        (void)cli_filter_takes(&filter, &meta, 1700000000);
}

static void glob(struct bytes in)
{
    const struct bytes pattern = bytes_part_take(&in, '\n', NULL);
    (void)cli_glob_match(pattern, in);
    assert(cli_glob_match(bytes_str("*"), in));
}

static void words(struct bytes in)
{
    char *line = malloc(in.len + 1), *list[CLI_LINE_WORDS_MAX];
    if (line == NULL)
        abort();
    if (in.len > 0)
        memcpy(line, in.ptr, in.len);
    line[in.len] = '\0';
    const char *fault = NULL;
    const int count = cli_line_split(line, list, &fault);
    assert(count <= CLI_LINE_WORDS_MAX && (count >= 0 || fault != NULL));
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += strlen(list[i]) + 1;
    assert(count < 0 || bytes <= in.len + 1);
    if (count > 0)
        (void)cli_line_of(list, count);
    free(line);
}

static void keys(struct bytes in)
{
    static struct cli_editor editor;
    static struct cli_history history;
    static FILE *nowhere;
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    cli_editor_start(&editor, &history);
    for (size_t i = 0; i < in.len; i++) {
        const enum cli_edit edit = cli_editor_take(&editor, in.ptr[i]);
        assert(editor.at <= editor.len && editor.len < sizeof(editor.line));
        assert(editor.line[editor.len] == '\0');
        cli_editor_draw(nowhere, &editor, "> ", 5 + (int)(i % 90));
        if (edit == CLI_EDIT_LINE) {
            cli_history_add(&history, editor.line);
            cli_editor_start(&editor, &history);
        }
    }
    cli_history_fini(&history);
}

static void candidates(struct bytes in)
{
    static struct cli_candidates got;
    cli_complete(in, &got);
    assert(got.count <= CLI_CANDIDATES_MAX && got.word_len <= in.len);
    for (size_t i = 0; i < got.count; i++)
        assert(strlen(got.at[i]) >= got.common && got.common >= got.word_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct cli_filter filter = {0};
    const struct bytes in = bytes_of(data + 1, size - 1);
    switch (data[0] % 6) {
    case 0:
        metadump(in);
        break;
    case 1:
        glob(in);
        break;
    case 2:
        assert(!cli_filter_ttl_parse(in, &filter) || filter.has_ttl);
        break;
    case 3:
        words(in);
        break;
    case 4:
        keys(in);
        break;
    case 5:
        candidates(in);
        break;
    }
    return 0;
}
