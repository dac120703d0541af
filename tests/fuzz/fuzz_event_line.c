/* An event of any texts as a line: one line, its strings closed, nothing in it that a terminal or a
 * parser of JSON would take for more than text.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "event/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Take the next `max` bytes at most; their number is the first. */
static struct bytes take(struct bytes *rest, size_t max)
{
    size_t len = rest->len > 0 ? rest->ptr[0] % (max + 1) : 0;
    if (rest->len > 0)
        *rest = bytes_skip(*rest, 1);
    len = len < rest->len ? len : rest->len;
    const struct bytes taken = bytes_of(rest->ptr, len);
    *rest = bytes_skip(*rest, len);
    return taken;
}

static void line_check(const char *line, size_t len)
{
    unsigned depth = 0;
    bool quoted = false;
    assert(len > 1 && line[len - 1] == '\n');
    for (size_t i = 0; i + 1 < len; i++) {
        assert((uint8_t)line[i] >= 0x20 && line[i] != 0x7f);
        if (quoted && line[i] == '\\')
            i += line[i + 1] == 'u' ? 5 : 1;
        else if (line[i] == '"')
            quoted = !quoted;
        else if (!quoted && line[i] == '{')
            depth++;
        else if (!quoted && line[i] == '}')
            depth--;
        if ((uint8_t)line[i] >= 0x80)
            assert(quoted);
    }
    assert(!quoted && depth == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char line[EVENT_LINE_BYTES_MAX];
    if (size < 2)
        return 0;
    struct bytes rest = bytes_of(data + 2, size - 2);
    char verb[2 * EVENT_VERB_BYTES_MAX + 1] = "";
    struct event event = {.type = (enum event_type)(data[0] % EVENT_TYPE_COUNT),
                          .dry_run = data[1] % 2 != 0,
                          .to_port = data[1],
                          .verb = verb};
    event.rule = take(&rest, 2 * EVENT_RULE_BYTES_MAX);
    event.user = take(&rest, 2 * EVENT_USER_BYTES_MAX);
    const struct bytes word = take(&rest, 2 * EVENT_VERB_BYTES_MAX);
    if (word.len > 0)
        memcpy(verb, word.ptr, word.len);
    struct event_table *table = event_table_new(1);
    struct event_place place;
    event_place_of(1, &event, &place);
    event_table_add(table, &place, &event, data[1] * 1000000007ull);
    line_check(line, event_line_format(event_table_at(table, 0), line));
    event_table_free(table);
    return 0;
}
