/* fuzz_cli_reply.c — what a server sends to the operator's program, by both protocols; the first
 * byte says by which.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "cli/binary.h"
#include "cli/facts.h"
#include "cli/json.h"
#include "cli/rows.h"
#include "cli/top.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct bytes part, struct bytes whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

/* The same bytes without what follows: the result is the same, and without the last one it is
 * MORE. */
static void check_alone(struct bytes in)
{
    uint8_t *copy = malloc(in.len);
    if (copy == NULL)
        abort();
    memcpy(copy, in.ptr, in.len);
    struct cli_reply reply;
    size_t used = 0;
    assert(cli_reply_parse(bytes_of(copy, in.len), &reply, &used) == CLI_REPLY_WHOLE);
    assert(used == in.len);
    assert(cli_reply_parse(bytes_of(copy, in.len - 1), &reply, &used) == CLI_REPLY_MORE);
    free(copy);
}

static void check_text(const struct cli_reply *reply)
{
    char text[40];
    cli_text_format(text, sizeof(text), reply->line);
    for (const char *at = text; *at != '\0'; at++)
        assert(*at >= 0x20 && *at < 0x7f);
    (void)cli_utf8_valid(reply->value);
}

/* What `stats` and `top` make of such rows. */
static void rows_show(struct cli_top_look *look)
{
    static struct cli_top_server server;
    static FILE *nowhere;
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    cli_rows_done(&look->stats);
    look->latency = look->hot = look->stats;
    look->at_ns = 1000000000;
    memset(&server, 0, sizeof(server));
    for (int i = 0; i < 3; i++) {
        cli_top_take(&server, look);
        look->at_ns += 1000000000;
    }
    const struct cli_top_screen screen = {.columns = 70, .utf8 = true, .colors = true};
    cli_top_draw(nowhere, &server, 1, &screen);
    cli_top_json(nowhere, &server);
    static const char *const prefixes[] = {"", "hot_key:"};
    for (size_t i = 0; i < 2; i++) {
        struct cli_grid grid;
        if (!cli_grid_of(&look->stats, prefixes[i], &grid))
            abort();
        cli_grid_print(nowhere, &grid, "id", false);
        cli_grid_json(nowhere, &grid, "id");
        cli_grid_fini(&grid);
    }
    cli_rows_fini(&look->stats);
}

static void texts(struct bytes in)
{
    struct cli_top_look look = {0};
    struct cli_facts facts = {.tcp_open = true};
    struct cli_findings findings;
    for (;;) {
        struct cli_reply reply;
        size_t used = 0;
        const enum cli_reply_rc rc = cli_reply_parse(in, &reply, &used);
        if (rc != CLI_REPLY_WHOLE) {
            assert(rc == CLI_REPLY_BAD ||
                   in.len < CLI_LINE_BYTES_MAX + (size_t)CLI_VALUE_BYTES_MAX);
            break;
        }
        assert(used > 0 && used <= in.len);
        assert(inside(reply.line, in) && inside(reply.text, in) && inside(reply.key, in) &&
               inside(reply.value, in));
        check_alone(bytes_of(in.ptr, used));
        check_text(&reply);
        if (reply.kind == CLI_REPLY_VERSION)
            cli_text_format(facts.version, sizeof(facts.version), reply.text);
        if (reply.kind == CLI_REPLY_STAT || reply.kind == CLI_REPLY_CONFIG)
            assert(cli_rows_add(&look.stats, reply.key, reply.text));
        if (reply.kind == CLI_REPLY_STAT)
            cli_facts_stat(&facts, reply.key, reply.text);
        in = bytes_skip(in, used);
    }
    rows_show(&look);
    cli_judge(&facts, &findings);
    assert(findings.count > 0 && findings.count < CLI_FINDINGS_MAX);
}

static void binaries(struct bytes in)
{
    for (;;) {
        struct cli_binary answer;
        size_t used = 0;
        if (cli_binary_parse(in, &answer, &used) != CLI_REPLY_WHOLE)
            return;
        assert(used >= CLI_BINARY_HEADER_BYTES && used <= in.len);
        assert(inside(answer.value, bytes_of(in.ptr, used)));
        assert(cli_binary_parse(bytes_of(in.ptr, used - 1), &answer, &used) == CLI_REPLY_MORE);
        in = bytes_skip(in, used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct bytes in = bytes_of(data + 1, size - 1);
    if (data[0] % 2 == 0)
        texts(in);
    else
        binaries(in);
    return 0;
}
