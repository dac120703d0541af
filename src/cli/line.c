/* cli/line.c — a line that was typed at the prompt.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/line.h"

#include "base/num.h"
#include "cli/reply.h"

/* ── words ────────────────────────────────────────────────────────────────────────────────── */

/* Copy one word from *src to *dst, which is never behind it. Returns what is wrong, or NULL. */
static const char *word_take(char **src, char **dst)
{
    char quote = '\0';
    for (;;) {
        const char c = **src;
        if (c == '\0')
            break;
        if (quote == '\0' && (c == ' ' || c == '\t'))
            break;
        (*src)++;
        if (c == quote && quote != '\0') {
            quote = '\0';
        } else if (quote == '\0' && (c == '\'' || c == '"')) {
            quote = c;
        } else if (c == '\\' && quote != '\'') {
            if (**src == '\0')
                return "a \\ stands at the end";
            *(*dst)++ = *(*src)++;
        } else {
            *(*dst)++ = c;
        }
    }
    return quote != '\0' ? "a quote has no end" : NULL;
}

int cli_line_split(char *line, char *words[CLI_LINE_WORDS_MAX], const char **ret_fault)
{
    char *src = line, *dst = line;
    int count = 0;
    for (;;) {
        while (*src == ' ' || *src == '\t')
            src++;
        if (*src == '\0')
            return count;
        if (count == CLI_LINE_WORDS_MAX) {
            *ret_fault = "too many words";
            return -1;
        }
        words[count++] = dst;
        *ret_fault = word_take(&src, &dst);
        if (*ret_fault != NULL)
            return -1;
        const bool is_last = *src == '\0';
        src += is_last ? 0 : 1; /* the blank, whose place may be that of the NUL */
        *dst++ = '\0';
        if (is_last)
            return count;
    }
}

/* ── the protocol ─────────────────────────────────────────────────────────────────────────── */

static bool is(const char *word, const char *text)
{
    return strcmp(word, text) == 0;
}

static bool is_one_of(const char *word, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is(word, list[i]))
            return true;
    return false;
}

/* KEY FLAGS EXPTIME BYTES, with UNIQUE of cas: all but the key are numbers. */
static bool store_of(char *const *words, int count, struct cli_line *line)
{
    static const char *const verbs[] = {"set", "add", "replace", "append", "prepend", "cas"};
    const int needed = is(words[0], "cas") ? 6 : 5;
    int64_t number;
    if (!is_one_of(words[0], verbs, COUNT_OF(verbs)) || count < needed || count > needed + 1 ||
        !num_parse_i64(bytes_str(words[2]), &number) ||
        !num_parse_i64(bytes_str(words[3]), &number) ||
        !num_parse_u64(bytes_str(words[4]), CLI_VALUE_BYTES_MAX, &line->value_bytes))
        return false;
    line->has_value = true;
    return true;
}

static bool is_meta(const char *word)
{
    static const char *const metas[] = {"mg", "ms", "md", "ma", "mdp"};
    return is_one_of(word, metas, COUNT_OF(metas));
}

static bool is_silent(char *const *words, int count)
{
    if (is(words[count - 1], "noreply"))
        return true;
    for (int i = 2; is_meta(words[0]) && i < count; i++)
        if (words[i][0] == 'q')
            return true;
    return false;
}

struct cli_line cli_line_of(char *const *words, int count)
{
    static const char *const lists[] = {"get", "gets", "gat", "gats", "stats"};
    struct cli_line line = {.kind = CLI_LINE_ONE};
    const char *second = count > 1 ? words[1] : "";
    if (is_one_of(words[0], lists, COUNT_OF(lists)))
        line.kind = CLI_LINE_LIST;
    if (is(words[0], "config") && is(second, "get"))
        line.kind = CLI_LINE_LIST;
    if (is(words[0], "stats") &&
        (is(second, "reset") || (is(second, "detail") && count > 2 && !is(words[2], "dump"))))
        line.kind = CLI_LINE_ONE;
    if (is(words[0], "lru_crawler") && (is(second, "metadump") || is(second, "mgdump")))
        line.kind = CLI_LINE_DUMP;
    if (is(words[0], "watch"))
        line.kind = CLI_LINE_STREAM;
    if (is(words[0], "quit") || is(words[0], "shutdown"))
        line.kind = CLI_LINE_BYE;
    if (is(words[0], "ms") && count > 2 &&
        num_parse_u64(bytes_str(words[2]), CLI_VALUE_BYTES_MAX, &line.value_bytes))
        line.has_value = true;
    else
        (void)store_of(words, count, &line);
    if (line.kind == CLI_LINE_ONE && is_silent(words, count))
        line.kind = CLI_LINE_SILENT;
    return line;
}
