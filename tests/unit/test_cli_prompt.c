/* test_cli_prompt.c — the operator's program: the editor of its prompt, lines, completion, `top`,
 * histograms.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"
#include "support/exact.h"

#include <stdlib.h>

#include "cli/complete.h"
#include "cli/editor.h"
#include "cli/histogram.h"
#include "cli/line.h"
#include "cli/top.h"

/* ── the editor ───────────────────────────────────────────────────────────────────────────── */

static void editor_keys(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *line;
        size_t at;
    } rows[] = {
        {"abc", "abc", 3},
        {"abc\x01X", "Xabc", 1},
        {"abc\x01\x06X\x05Y", "aXbcY", 5},
        {"abc\x02\x02X", "aXbc", 2},
        {"abc\x7f\x08", "a", 1},
        {"abc\x01\x7f", "abc", 0},
        {"abc\x01\x04", "bc", 0},
        {"abc\x1b[D\x1b[DX", "aXbc", 2},
        {"abc\x1b[H\x1b[CX\x1b[FY", "aXbcY", 5},
        {"abc\x1bOH\x1bOCX", "aXbc", 2},
        {"abc\x1b[1~X\x1b[4~Y", "XabcY", 5},
        {"abc\x01\x1b[3~", "bc", 0},
        {"abc\x1b[3~", "abc", 3},
        {"one two three\x17", "one two ", 8},
        {"one two three\x17\x17\x19\x19", "one two two ", 12},
        {"one two\x1b"
         "b\x0b",
         "one ", 4},
        {"one two\x01\x1b"
         "f!",
         "one! two", 4},
        {"one two\x1b[1;5D|", "one |two", 5},
        {"one\x15two\x19", "twoone", 6},
        {"\xc3\xa4\xe2\x82\xac\x7f", "\xc3\xa4", 2},
        {"\xc3\xa4x\x02\x02y", "y\xc3\xa4x", 1},
        {"\xc3\xa4x\x01\x04", "x", 0},
        {"a\x1b[99;99;99;99;99;99Zb\x1bxc", "abc", 3},
        {"a\x1b[\x1b[Db", "ba", 1}, /* a sequence that was cut */
        {"\x01\x02\x05\x06\x0b\x15\x17\x19\x1b[A\x1b[B", "", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cli_editor *editor = calloc(1, sizeof(*editor));
        assert_non_null(editor);
        cli_editor_start(editor, NULL);
        for (const char *at = rows[i].keys; *at != '\0'; at++)
            assert_int_equal(cli_editor_take(editor, (uint8_t)*at), CLI_EDIT_MORE);
        assert_string_equal(editor->line, rows[i].line);
        assert_int_equal(editor->at, rows[i].at);
        assert_int_equal(cli_editor_take(editor, '\r'), CLI_EDIT_LINE);
        free(editor);
    }
}

static void editor_ends(void **state)
{
    (void)state;
    static struct cli_editor editor;
    cli_editor_start(&editor, NULL);
    assert_int_equal(cli_editor_take(&editor, 4), CLI_EDIT_END);
    assert_int_equal(cli_editor_take(&editor, 3), CLI_EDIT_BREAK);
    assert_int_equal(cli_editor_take(&editor, '\t'), CLI_EDIT_COMPLETE);
    assert_int_equal(cli_editor_take(&editor, 12), CLI_EDIT_CLEAR);
    assert_int_equal(cli_editor_take(&editor, 26), CLI_EDIT_SUSPEND);
    for (int i = 0; i < 2 * CLI_EDITOR_BYTES; i++) /* more than fits */
        assert_int_equal(cli_editor_take(&editor, 'x'), CLI_EDIT_MORE);
    assert_int_equal(editor.len, CLI_EDITOR_BYTES - 1);
    assert_int_equal(strlen(editor.line), CLI_EDITOR_BYTES - 1);
    assert_int_equal(cli_editor_take(&editor, 0x15), CLI_EDIT_MORE);
    assert_int_equal(cli_editor_take(&editor, 0x19), CLI_EDIT_MORE);
    assert_int_equal(editor.len, CLI_EDITOR_BYTES - 1);
}

static void keys_press(struct cli_editor *editor, const char *keys)
{
    for (; *keys != '\0'; keys++)
        assert_int_equal(cli_editor_take(editor, (uint8_t)*keys), CLI_EDIT_MORE);
}

static void editor_history(void **state)
{
    (void)state;
    static struct cli_history history;
    static struct cli_editor editor;
    cli_history_add(&history, "first");
    cli_history_add(&history, "second");
    cli_history_add(&history, "second");
    assert_int_equal(history.count, 2);
    cli_editor_start(&editor, &history);
    keys_press(&editor, "now\x1b[A");
    assert_string_equal(editor.line, "second");
    keys_press(&editor, "\x10\x10\x10");
    assert_string_equal(editor.line, "first");
    keys_press(&editor, "\x0e");
    assert_string_equal(editor.line, "second");
    keys_press(&editor, "\x1b[B\x1b[B\x1b[B!");
    assert_string_equal(editor.line, "now!");
    for (int i = 0; i < CLI_HISTORY_MAX + 10; i++)
        cli_history_add(&history, i % 2 == 0 ? "even" : "odd");
    assert_int_equal(history.count, CLI_HISTORY_MAX);
    cli_history_fini(&history);
}

static void editor_is_drawn(void **state)
{
    (void)state;
    static struct cli_editor editor;
    static const struct {
        const char *keys;
        int columns;
        const char *drawn;
    } rows[] = {
        {"abc", 80, "\rp> abc\x1b[K\r\x1b[6C"},
        {"abc\x01", 80, "\rp> abc\x1b[K\r\x1b[3C"},
        {"\xc3\xa4\xc3\xb6", 80, "\rp> \xc3\xa4\xc3\xb6\x1b[K\r\x1b[5C"},
        {"0123456789abcdef", 14, "\rp> 6789abcdef\x1b[K\r\x1b[13C"},
        {"0123456789abcdef\x01", 14, "\rp> 0123456789\x1b[K\r\x1b[3C"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *text = NULL;
        size_t len = 0;
        FILE *file = open_memstream(&text, &len);
        assert_non_null(file);
        cli_editor_start(&editor, NULL);
        keys_press(&editor, rows[i].keys);
        cli_editor_draw(file, &editor, "p> ", rows[i].columns);
        assert_int_equal(fclose(file), 0);
        assert_string_equal(text, rows[i].drawn);
        free(text);
    }
}

/* ── lines ────────────────────────────────────────────────────────────────────────────────── */

static void lines_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *line, *words; /* joined by '|'; NULL: refused */
        int count;
    } rows[] = {
        {"", "", 0},
        {"  ", "", 0},
        {"a", "a", 1},
        {" get  a\tb ", "get|a|b", 3},
        {"set k 'b c'", "set|k|b c", 3},
        {"set k \"b \\\"c\\\"\" \\'x", "set|k|b \"c\"|'x", 4},
        {"a''b \"\" ''", "ab||", 3},
        {"'a\\b' a\\ b", "a\\b|a b", 2},
        {"'open", NULL, -1},
        {"\"open\\\"", NULL, -1},
        {"end\\", NULL, -1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char joined[200] = "", *words[CLI_LINE_WORDS_MAX];
        const char *fault = NULL;
        const struct bytes line = exact(rows[i].line, strlen(rows[i].line) + 1);
        const int count = cli_line_split((char *)(uintptr_t)line.ptr, words, &fault);
        assert_int_equal(count, rows[i].count);
        assert_int_equal(fault == NULL, rows[i].words != NULL);
        for (int j = 0; j < count; j++) {
            strcat(joined, j > 0 ? "|" : "");
            strcat(joined, words[j]);
        }
        if (rows[i].words != NULL)
            assert_string_equal(joined, rows[i].words);
        exact_free(line);
    }
    char many[2 * CLI_LINE_WORDS_MAX + 3], *words[CLI_LINE_WORDS_MAX];
    const char *fault = NULL;
    for (size_t i = 0; i < sizeof(many); i++)
        many[i] = i % 2 == 0 ? 'a' : ' ';
    many[sizeof(many) - 1] = '\0';
    assert_int_equal(cli_line_split(many, words, &fault), -1);
}

static void lines_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum cli_line_kind kind;
        bool has_value;
        uint64_t value_bytes;
    } rows[] = {
        {"version", CLI_LINE_ONE, false, 0},
        {"get a b", CLI_LINE_LIST, false, 0},
        {"stats", CLI_LINE_LIST, false, 0},
        {"stats reset", CLI_LINE_ONE, false, 0},
        {"stats detail on", CLI_LINE_ONE, false, 0},
        {"stats detail dump", CLI_LINE_LIST, false, 0},
        {"config get *", CLI_LINE_LIST, false, 0},
        {"config set a b", CLI_LINE_ONE, false, 0},
        {"lru_crawler metadump all", CLI_LINE_DUMP, false, 0},
        {"lru_crawler crawl all", CLI_LINE_ONE, false, 0},
        {"watch", CLI_LINE_STREAM, false, 0},
        {"quit", CLI_LINE_BYE, false, 0},
        {"set k v", CLI_LINE_ONE, false, 0},
        {"set k 1 2 3", CLI_LINE_ONE, true, 3},
        {"set k 1 2 3 noreply", CLI_LINE_SILENT, true, 3},
        {"set k 1 2 x", CLI_LINE_ONE, false, 0},
        {"cas k 1 2 3", CLI_LINE_ONE, false, 0},
        {"cas k 1 2 3 4", CLI_LINE_ONE, true, 3},
        {"ms k 5 T0", CLI_LINE_ONE, true, 5},
        {"ms k 5 q", CLI_LINE_SILENT, true, 5},
        {"ms k S5", CLI_LINE_ONE, false, 0},
        {"mg q v", CLI_LINE_ONE, false, 0},
        {"mg k v q", CLI_LINE_SILENT, false, 0},
        {"delete k noreply", CLI_LINE_SILENT, false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char line[80], *words[CLI_LINE_WORDS_MAX];
        const char *fault;
        snprintf(line, sizeof(line), "%s", rows[i].line);
        const struct cli_line got = cli_line_of(words, cli_line_split(line, words, &fault));
        assert_int_equal(got.kind, rows[i].kind);
        assert_int_equal(got.has_value, rows[i].has_value);
        if (got.has_value)
            assert_int_equal(got.value_bytes, rows[i].value_bytes);
    }
}

static void completion(void **state)
{
    (void)state;
    struct cli_candidates got;
    cli_complete(bytes_str("delete"), &got);
    assert_int_equal(got.count, 3); /* delete, delete-prefix, delete_prefix of the protocol */
    assert_int_equal(got.common, strlen("delete"));
    cli_complete(bytes_str("lru_c"), &got);
    assert_true(got.count == 1 && strcmp(got.at[0], "lru_crawler") == 0);
    cli_complete(bytes_str("  keys --min"), &got);
    assert_true(got.count == 1 && strcmp(got.at[0], "--min-size=") == 0 && got.word_len == 5);
    cli_complete(bytes_str("keys k"), &got);
    assert_int_equal(got.count, 0);
    cli_complete(bytes_str("help dra"), &got);
    assert_true(got.count == 1 && strcmp(got.at[0], "drain") == 0);
    cli_complete(bytes_str("raw fl"), &got);
    assert_true(got.count == 1 && strcmp(got.at[0], "flush_all") == 0);
    cli_complete(bytes_str(""), &got);
    assert_true(got.count > 30 && got.common == 0);
}

/* ── top ──────────────────────────────────────────────────────────────────────────────────── */

static void look_make(struct cli_top_look *look, uint64_t n)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)n * 1000);
    static const char *const names[] = {"cmd_get", "get_hits", "evictions", "bytes_read"};
    *look = (struct cli_top_look){.at_ns = n * 1000000000, .asked_us = 100};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_true(cli_rows_add(&look->stats, bytes_str(names[i]), bytes_str(text)));
    cli_rows_done(&look->stats);
}

static void top_is_drawn(void **state)
{
    (void)state;
    struct cli_top_server *servers = calloc(2, sizeof(*servers));
    assert_non_null(servers);
    snprintf(servers[0].name, sizeof(servers[0].name), "one");
    snprintf(servers[1].name, sizeof(servers[1].name), "two");
    snprintf(servers[1].fault, sizeof(servers[1].fault), "it is away");
    for (uint64_t n = 1; n < 300; n++) {
        struct cli_top_look look;
        look_make(&look, n == 200 ? 1 : n); /* once, its counters were reset */
        cli_top_take(&servers[0], &look);
        cli_rows_fini(&look.stats);
    }
    assert_true(servers[0].now[CLI_TOP_OPS] > 999 && servers[0].now[CLI_TOP_OPS] < 1001);
    assert_true(servers[0].now[CLI_TOP_HITS] > 0.999);
    for (size_t count = 1; count <= 2; count++)
        for (int columns = 1; columns < 300; columns += 7)
            for (int lines = 0; lines < 30; lines += 3) {
                const struct cli_top_screen screen = {columns, lines, false, false, "12:00:00"};
                char *text = NULL;
                size_t len = 0;
                FILE *file = open_memstream(&text, &len);
                assert_non_null(file);
                cli_top_draw(file, servers, count, &screen);
                assert_int_equal(fclose(file), 0);
                int drawn = 0;
                for (const char *at = text; *at != '\0'; drawn++) {
                    assert_true((int)strcspn(at, "\n") <= columns);
                    at += strcspn(at, "\n");
                    at += *at == '\n';
                }
                assert_true(lines == 0 || drawn <= lines);
                free(text);
            }
    free(servers);
}

/* ── histograms ───────────────────────────────────────────────────────────────────────────── */

static void histograms(void **state)
{
    (void)state;
    static struct cli_histogram one, all;
    assert_true(cli_histogram_at(&one, 0.5) < 1 && cli_histogram_mean(&one) < 1);
    for (uint64_t i = 1; i <= 100000; i++)
        cli_histogram_add(&one, i * 1000);
    static const double shares[] = {0.01, 0.5, 0.9, 0.99, 1};
    for (size_t i = 0; i < COUNT_OF(shares); i++) {
        const double want = shares[i] * 1e8, got = cli_histogram_at(&one, shares[i]);
        assert_true(got > want * 0.97 && got < want * 1.03);
    }
    assert_true(one.min == 1000 && one.max == 100000000 && one.total == 100000);
    cli_histogram_merge(&all, &one);
    cli_histogram_add(&all, 0);
    cli_histogram_add(&all, UINT64_MAX);
    cli_histogram_merge(&all, &(struct cli_histogram){.total = 0});
    assert_true(all.total == 100002 && all.min == 0 && all.max == UINT64_MAX);
    assert_int_equal(cli_histogram_below(&all, 0), 1);
    assert_int_equal(cli_histogram_below(&all, 10), 2);
    assert_int_equal(cli_histogram_below(&all, 63), 100001);
    uint64_t last = 0;
    for (unsigned power = 0; power < 64; power++) {
        const uint64_t count = cli_histogram_below(&all, power);
        assert_true(count >= last);
        last = count;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(editor_keys),     cmocka_unit_test(editor_ends),
        cmocka_unit_test(editor_history),  cmocka_unit_test(editor_is_drawn),
        cmocka_unit_test(lines_are_split), cmocka_unit_test(lines_are_known),
        cmocka_unit_test(completion),      cmocka_unit_test(top_is_drawn),
        cmocka_unit_test(histograms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
