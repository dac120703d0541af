/* test_cli_items.c — the operator's program: metadump lines, filters, the file of a dump, listings.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"
#include "support/exact.h"

#include <stdlib.h>

#include "cli/dumpfile.h"
#include "cli/human.h"
#include "cli/metadump.h"
#include "cli/rows.h"

/* ── metadump ─────────────────────────────────────────────────────────────────────────────── */

static void metadump_lines(void **state)
{
    (void)state;
    static const char line[] = "key=a%3Ab%00 exp=1700000000 la=1699999990 cas=77 fetch=yes cls=1 "
                               "size=96 flags=4294967295 ext_page=3 new=x ";
    struct cli_meta meta;
    const struct bytes in = exact(line, strlen(line));
    assert_true(cli_meta_parse(in, &meta));
    exact_free(in);
    assert_true(bytes_equal(bytes_of(meta.key, meta.key_bytes), bytes_of("a:b\0", 4)));
    assert_true(meta.expires && meta.fetched);
    assert_int_equal(meta.expires_s, 1700000000);
    assert_int_equal(meta.access_s, 1699999990);
    assert_int_equal(meta.cas_unique, 77);
    assert_int_equal(meta.size_bytes, 96);
    assert_true(cli_meta_parse(bytes_str("key=x exp=-1 fetch=no"), &meta));
    assert_true(!meta.expires && !meta.fetched && meta.key_bytes == 1);
    for (size_t len = 0; len < sizeof(line); len++) { /* cut anywhere: no read behind it */
        const struct bytes cut = exact(line, len);
        const bool fine = cli_meta_parse(cut, &meta);
        assert_true(fine ? len > 4 : true);
        exact_free(cut);
    }
    static const char *const bad[] = {"",         "key",           "key=",        "END",
                                      "key=%",    "key=%4",        "key=%4g",     "key=a exp=x",
                                      "exp=1",    "key=a size=-1", "key=a la=",   "key=a cas=1x",
                                      " key=abc", "key= a",        "KEY=a exp=1", "key=a exp="};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(cli_meta_parse(bytes_str(bad[i]), &meta));
    char longest[4 + 251 + 1] = "key=";
    memset(longest + 4, 'k', 251);
    assert_false(cli_meta_parse(bytes_of(longest, 4 + 251), &meta));
    assert_true(cli_meta_parse(bytes_of(longest, 4 + 250), &meta));
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool match;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "abc", true},
        {"a*c", "abbc", true},
        {"a*c", "abb", false},
        {"a**c", "ac", true},
        {"?", "a", true},
        {"?", "", false},
        {"a?c", "abc", true},
        {"*.jpg", "x.jpg", true},
        {"*.jpg", "x.jpgx", false},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[^a-c]", "d", true},
        {"[^a-c]", "b", false},
        {"[abc]", "c", true},
        {"[a-]", "-", true},
        {"[]a]", "]", true},
        {"[a", "[a", true},
        {"[a", "a", false},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"a\\", "a\\", true},
        {"*a*b*c*", "xaxbxcx", true},
        {"*a*b*c*", "xaxcxbx", false},
        {"user:*:[0-9]", "user:x:7", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct bytes pattern = exact(rows[i].pattern, strlen(rows[i].pattern));
        const struct bytes text = exact(rows[i].text, strlen(rows[i].text));
        assert_int_equal(cli_glob_match(pattern, text), rows[i].match);
        exact_free(pattern);
        exact_free(text);
    }
    char stars[400], as[200];
    for (size_t i = 0; i < sizeof(stars); i++)
        stars[i] = i % 2 == 0 ? '*' : 'a';
    memset(as, 'a', sizeof(as)); /* what is slow when a star is tried by recursion */
    assert_true(cli_glob_match(bytes_of(stars, sizeof(stars)), bytes_of(as, sizeof(as))));
    assert_false(cli_glob_match(bytes_of(stars, sizeof(stars)), bytes_of(as, sizeof(as) - 1)));
}

static void filters(void **state)
{
    (void)state;
    struct cli_meta meta = {.key = "user:1", .key_bytes = 6, .size_bytes = 100};
    struct cli_filter filter = {0};
    assert_true(cli_filter_takes(&filter, &meta, 1000));
    filter = (struct cli_filter){.prefix = bytes_str("user:"), .size_min = 100, .size_max = 100};
    assert_true(cli_filter_takes(&filter, &meta, 1000));
    filter.size_min = 101;
    assert_false(cli_filter_takes(&filter, &meta, 1000));
    filter = (struct cli_filter){.size_max = 99};
    assert_false(cli_filter_takes(&filter, &meta, 1000));
    static const struct {
        const char *text;
        bool forever, at_0, at_10, at_11;
    } rows[] = {
        {"never", true, false, false, false}, {"10", false, true, true, false},
        {"5..10", false, false, true, false}, {"11..", false, false, false, true},
        {"..10", false, true, true, false},   {"0..0", false, true, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        filter = (struct cli_filter){0};
        assert_true(cli_filter_ttl_parse(bytes_str(rows[i].text), &filter));
        meta.expires = false;
        assert_int_equal(cli_filter_takes(&filter, &meta, 1000), rows[i].forever);
        meta.expires = true;
        meta.expires_s = 990; /* it is about to go */
        assert_int_equal(cli_filter_takes(&filter, &meta, 1000), rows[i].at_0);
        meta.expires_s = 1010;
        assert_int_equal(cli_filter_takes(&filter, &meta, 1000), rows[i].at_10);
        meta.expires_s = 1011;
        assert_int_equal(cli_filter_takes(&filter, &meta, 1000), rows[i].at_11);
    }
    static const char *const bad[] = {"",     "..",   "x",     "-1",    "5..x",
                                      "x..5", "5..1", "1...2", "1 .. 2"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(cli_filter_ttl_parse(bytes_str(bad[i]), &filter));
    char text[CLI_KEY_TEXT_BYTES];
    assert_string_equal(cli_key_format(text, bytes_of("a b%\xff~", 6)), "a%20b%25%FF~");
    assert_true(cli_key_is_binary(bytes_of("a\x7f", 2)) &&
                !cli_key_is_binary(bytes_str("\xc3\xa4")));
}

/* ── the file of a dump ───────────────────────────────────────────────────────────────────── */

static size_t record_write(uint8_t *dst, const struct cli_dump_item *item, uint64_t number)
{
    struct cli_dump_frame frame;
    cli_dump_item_frame(item, number, &frame);
    memcpy(dst, frame.head, frame.head_bytes);
    memcpy(dst + frame.head_bytes, item->value.ptr, item->value.len);
    memcpy(dst + frame.head_bytes + item->value.len, frame.sum, sizeof(frame.sum));
    return frame.head_bytes + item->value.len + sizeof(frame.sum);
}

static void dump_heads(void **state)
{
    (void)state;
    uint8_t head[CLI_DUMP_HEAD_BYTES];
    uint64_t created_s = 0;
    cli_dump_head_write(head, 1700000000);
    for (size_t len = 0; len <= sizeof(head); len++) {
        const struct bytes in = exact(head, len);
        assert_int_equal(cli_dump_head_parse(in, &created_s),
                         len < sizeof(head) ? CLI_DUMP_MORE : CLI_DUMP_WHOLE);
        exact_free(in);
    }
    assert_int_equal(created_s, 1700000000);
    for (size_t i = 0; i < sizeof(head); i++) {
        head[i] ^= 1;
        assert_int_equal(cli_dump_head_parse(bytes_of(head, sizeof(head)), &created_s),
                         CLI_DUMP_BAD);
        head[i] ^= 1;
    }
}

static void dump_records(void **state)
{
    (void)state;
    const struct cli_dump_item item = {
        .key = bytes_of("k\0y", 3),
        .value = bytes_str("value"),
        .client_flags = UINT32_MAX,
        .expires_s = 1700000000,
    };
    uint8_t whole[64];
    struct cli_dump_record record;
    size_t used = 0;
    const size_t bytes = record_write(whole, &item, 9);
    for (size_t len = 0; len < bytes; len++) {
        const struct bytes in = exact(whole, len);
        assert_int_equal(cli_dump_record_parse(in, 9, &record, &used), CLI_DUMP_MORE);
        assert_true(used > len && used <= bytes);
        exact_free(in);
    }
    const struct bytes in = exact(whole, bytes);
    assert_int_equal(cli_dump_record_parse(in, 9, &record, &used), CLI_DUMP_WHOLE);
    assert_int_equal(used, bytes);
    assert_true(bytes_equal(record.item.key, item.key) && !record.is_end);
    assert_true(bytes_equal(record.item.value, item.value));
    assert_int_equal(record.item.client_flags, UINT32_MAX);
    assert_int_equal(record.item.expires_s, 1700000000);
    exact_free(in);
    assert_int_equal(cli_dump_record_parse(bytes_of(whole, bytes), 8, &record, &used),
                     CLI_DUMP_BAD); /* at another place */
    for (size_t i = 0; i < bytes; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            whole[i] ^= (uint8_t)(1u << bit);
            assert_int_not_equal(cli_dump_record_parse(bytes_of(whole, bytes), 9, &record, &used),
                                 CLI_DUMP_WHOLE);
            whole[i] ^= (uint8_t)(1u << bit);
        }
    struct cli_dump_frame end;
    cli_dump_end_frame(5, &end);
    memcpy(whole, end.head, end.head_bytes);
    memcpy(whole + end.head_bytes, end.sum, sizeof(end.sum));
    assert_int_equal(cli_dump_record_parse(bytes_of(whole, 28), 5, &record, &used), CLI_DUMP_WHOLE);
    assert_true(record.is_end && record.count == 5 && used == 28);
    assert_int_equal(cli_dump_record_parse(bytes_of(whole, 28), 4, &record, &used), CLI_DUMP_BAD);
}

/* ── listings ─────────────────────────────────────────────────────────────────────────────── */

static void listings(void **state)
{
    (void)state;
    struct cli_rows rows = {0};
    static const char *const names[] = {"x:1:key", "x:1:share", "x:2:key", "y",
                                        "x:",      "x:3:",      "x:2:new"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_true(cli_rows_add(&rows, bytes_str(names[i]), bytes_str(i == 1 ? "0.25" : "v")));
    assert_true(cli_rows_add(&rows, bytes_of(NULL, 0), bytes_of(NULL, 0)));
    cli_rows_done(&rows);
    assert_true(bytes_is(*cli_rows_find(&rows, "y"), "v"));
    assert_null(cli_rows_find(&rows, "z"));
    assert_true(cli_rows_real(&rows, "x:1:share") > 0.24 && cli_rows_real(&rows, "y") < 0.1);
    struct cli_grid grid;
    assert_true(cli_grid_of(&rows, "x:", &grid));
    assert_int_equal(grid.column_count, 4);
    assert_int_equal(grid.line_count, 2);
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    assert_non_null(file);
    cli_grid_print(file, &grid, "id", false);
    cli_grid_json(file, &grid, "id");
    assert_int_equal(fclose(file), 0);
    assert_string_equal(text, "id  key   share  new\n"
                              " 1  v    25.0 %  \n"
                              " 2  v            v\n"
                              "[{\"id\":1,\"key\":\"v\",\"share\":0.25},"
                              "{\"id\":2,\"key\":\"v\",\"new\":\"v\"}]");
    free(text);
    cli_grid_fini(&grid);
    cli_rows_fini(&rows);
}

static void figures(void **state)
{
    (void)state;
    char text[CLI_HUMAN_BYTES];
    assert_string_equal(cli_human_count(text, 0), "0");
    assert_string_equal(cli_human_count(text, 999), "999");
    assert_string_equal(cli_human_count(text, UINT64_MAX), "18,446,744,073,709,551,615");
    assert_string_equal(cli_human_short(text, 0), "0");
    assert_string_equal(cli_human_short(text, 1.26), "1.3");
    assert_string_equal(cli_human_short(text, 999.4), "999");
    assert_string_equal(cli_human_short(text, 999.9), "1.00k");
    assert_string_equal(cli_human_short(text, 123456), "123k");
    assert_string_equal(cli_human_bytes(text, 1023), "1023 B");
    assert_string_equal(cli_human_bytes(text, 64 << 20), "64.0 MiB");
    assert_string_equal(cli_human_seconds(text, 59), "59 s");
    assert_string_equal(cli_human_seconds(text, 3600), "1 h");
    assert_string_equal(cli_human_seconds(text, 90061), "1 d 1 h");
    assert_string_equal(cli_human_us(text, 12.3), "12.3 us");
    assert_string_equal(cli_human_us(text, 1234567), "1.23 s");
    assert_string_equal(cli_human_time(text, 0), "1970-01-01 00:00:00 UTC");
    assert_string_equal(cli_human_time(text, UINT64_MAX), "18446744073709551615");
    static const struct {
        const char *text;
        bool real, json;
    } rows[] = {
        {"0", true, true},
        {"-1", true, true},
        {"1.50", true, true},
        {"007", true, false},
        {"1.", false, false},
        {".5", false, false},
        {"", false, false},
        {"-", false, false},
        {"1e5", false, false},
        {"1.2.3", false, false},
        {"+1", false, false},
        {"0.5", true, true},
        {"1.1234567890123456789x", true, false},
        {"--1", false, false},
        {" 1", false, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        double value;
        const struct bytes in = exact(rows[i].text, strlen(rows[i].text));
        assert_int_equal(cli_real_parse(in, &value), rows[i].real);
        assert_int_equal(cli_is_json_number(in), rows[i].json);
        exact_free(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadump_lines), cmocka_unit_test(globs),
        cmocka_unit_test(filters),        cmocka_unit_test(dump_heads),
        cmocka_unit_test(dump_records),   cmocka_unit_test(listings),
        cmocka_unit_test(figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
