/* test_cli.c — the operator's program: its arguments, its parsers of what servers send, JSON.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"
#include "support/exact.h"

#include <stdlib.h>

#include "cli/args.h"
#include "cli/binary.h"
#include "cli/json.h"
#include "cli/reply.h"
#include "cli/version.h"
#include "cli/where.h"

/* ── answers by text ──────────────────────────────────────────────────────────────────────── */

#define ROW(in, ...)                                                                               \
    {                                                                                              \
        in, sizeof(in) - 1, __VA_ARGS__                                                            \
    }

static void replies(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t len;
        enum cli_reply_kind kind;
        const char *text, *key, *value;
    } rows[] = {
        ROW("VERSION 1.6.45\r\n", CLI_REPLY_VERSION, "1.6.45", "", ""),
        ROW("VERSION 1.6.45\n", CLI_REPLY_VERSION, "1.6.45", "", ""),
        ROW("VERSION\r\n", CLI_REPLY_VERSION, "", "", ""),
        ROW("END\r\n", CLI_REPLY_END, "", "", ""),
        ROW("STORED\r\n", CLI_REPLY_STORED, "", "", ""),
        ROW("STORE\r\n", CLI_REPLY_OTHER, "", "", ""),
        ROW("STOREDx\r\n", CLI_REPLY_OTHER, "", "", ""),
        ROW("stored\r\n", CLI_REPLY_OTHER, "", "", ""),
        ROW("NOT_STORED\r\n", CLI_REPLY_NOT_STORED, "", "", ""),
        ROW("DELETED\r\n", CLI_REPLY_DELETED, "", "", ""),
        ROW("NOT_FOUND\r\n", CLI_REPLY_NOT_FOUND, "", "", ""),
        ROW("ERROR\r\n", CLI_REPLY_ERROR, "", "", ""),
        ROW("CLIENT_ERROR bad x\r\n", CLI_REPLY_CLIENT_ERROR, "bad x", "", ""),
        ROW("SERVER_ERROR out\0of\r\n", CLI_REPLY_SERVER_ERROR, "out", "", ""),
        ROW("STAT a b c\r\n", CLI_REPLY_STAT, "b c", "a", ""),
        ROW("STAT a \r\n", CLI_REPLY_STAT, "", "a", ""),
        ROW("STAT\r\n", CLI_REPLY_STAT, "", "", ""),
        ROW("\r\n", CLI_REPLY_OTHER, "", "", ""),
        ROW("\n", CLI_REPLY_OTHER, "", "", ""),
        ROW("VALUE k 7 5\r\nhello\r\n", CLI_REPLY_VALUE, "k 7 5", "k", "hello"),
        ROW("VALUE k 7 0\r\n\r\n", CLI_REPLY_VALUE, "k 7 0", "k", ""),
        ROW("VALUE k 7 2 99\r\n\r\n\r\n", CLI_REPLY_VALUE, "k 7 2 99", "k", "\r\n"),
        ROW("VA 2 f7 t-1\r\nhi\r\n", CLI_REPLY_VA, "f7 t-1", "", "hi"),
        ROW("VA 0\r\n\r\n", CLI_REPLY_VA, "", "", ""),
        ROW("HD f7\r\n", CLI_REPLY_HD, "f7", "", ""),
        ROW("NS\r\n", CLI_REPLY_NS, "", "", ""),
        ROW("EX\r\n", CLI_REPLY_EX, "", "", ""),
        ROW("NF\r\n", CLI_REPLY_NF, "", "", ""),
        ROW("EN\r\n", CLI_REPLY_EN, "", "", ""),
        ROW("MN\r\n", CLI_REPLY_MN, "", "", ""),
        ROW("OK\r\n", CLI_REPLY_OK, "", "", ""),
        ROW("EXISTS\r\n", CLI_REPLY_EXISTS, "", "", ""),
        ROW("TOUCHED\r\n", CLI_REPLY_TOUCHED, "", "", ""),
        ROW("CONFIG threads 4 default\r\n", CLI_REPLY_CONFIG, "4 default", "threads", ""),
        ROW("17\r\n", CLI_REPLY_NUMBER, "", "", ""),
        ROW("17  \r\n", CLI_REPLY_NUMBER, "", "", ""),
        ROW("18446744073709551616\r\n", CLI_REPLY_OTHER, "", "", ""),
        ROW("17 x\r\n", CLI_REPLY_OTHER, "x", "", ""),
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cli_reply reply;
        size_t used = 0;
        for (size_t len = 0; len < rows[i].len; len++) { /* cut: not yet, and nothing written */
            const struct bytes in = exact(rows[i].in, len);
            assert_int_equal(cli_reply_parse(in, &reply, &used), CLI_REPLY_MORE);
            assert_int_equal(used, 0);
            exact_free(in);
        }
        const struct bytes in = exact(rows[i].in, rows[i].len);
        assert_int_equal(cli_reply_parse(in, &reply, &used), CLI_REPLY_WHOLE);
        assert_int_equal(used, rows[i].len);
        assert_int_equal(reply.kind, rows[i].kind);
        assert_true(bytes_starts(reply.text, bytes_str(rows[i].text)));
        assert_true(bytes_is(reply.key, rows[i].key));
        assert_true(bytes_is(reply.value, rows[i].value));
        if (reply.kind == CLI_REPLY_VALUE)
            assert_int_equal(reply.client_flags, 7);
        if (reply.kind == CLI_REPLY_NUMBER)
            assert_int_equal(reply.cas_unique, 17);
        assert_int_equal(reply.cas_unique == 99, reply.has_cas);
        exact_free(in);
    }
}

static void replies_bad(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "VALUE\r\n",
        "VALUE k\r\n",
        "VALUE k 1\r\n",
        "VALUE  1 1\r\na\r\n",
        "VALUE k x 1\r\na\r\n",
        "VALUE k 1 -1\r\n",
        "VALUE k 1 1\r\nab",
        "VALUE k 1 1\r\na\rb",
        "VALUE k 4294967296 1\r\n",
        "VALUE k  1 1\r\n",
        "VALUE k 1 1073741825\r\n",
        "VALUE k 1 1 x\r\na\r\n",
        "VALUE k 1 1 \r\na\r\n",
        "VALUE k 1 1 1 1\r\na\r\n",
        "VA\r\n",
        "VA x\r\n",
        "VA 1\r\nab",
        "VA 1073741825 t1\r\n",
    };
    struct cli_reply reply;
    size_t used = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct bytes in = exact(rows[i], strlen(rows[i]));
        assert_int_equal(cli_reply_parse(in, &reply, &used), CLI_REPLY_BAD);
        exact_free(in);
    }
    assert_int_equal(used, 0);
    static uint8_t line[CLI_LINE_BYTES_MAX + 1];
    memset(line, 'x', sizeof(line));
    assert_int_equal(cli_reply_parse(bytes_of(line, CLI_LINE_BYTES_MAX - 1), &reply, &used),
                     CLI_REPLY_MORE);
    assert_int_equal(cli_reply_parse(bytes_of(line, CLI_LINE_BYTES_MAX), &reply, &used),
                     CLI_REPLY_BAD);
    line[CLI_LINE_BYTES_MAX - 1] = '\n';
    assert_int_equal(cli_reply_parse(bytes_of(line, CLI_LINE_BYTES_MAX), &reply, &used),
                     CLI_REPLY_WHOLE);
    line[CLI_LINE_BYTES_MAX - 1] = 'x';
    line[CLI_LINE_BYTES_MAX] = '\n';
    assert_int_equal(cli_reply_parse(bytes_of(line, sizeof(line)), &reply, &used), CLI_REPLY_BAD);
}

static void text_is_made_printable(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(cli_text_format(text, 32, bytes_str("plain ~")), "plain ~");
    assert_string_equal(cli_text_format(text, 32, bytes_of("\x1b[2J\0\x7f\xc3", 7)),
                        "\\x1b[2J\\x00\\x7f\\xc3");
    assert_string_equal(cli_text_format(text, 12, bytes_str("12345678")), "12345678");
    assert_string_equal(cli_text_format(text, 12, bytes_str("123456789")), "12345678...");
    assert_string_equal(cli_text_format(text, 12, bytes_str("12345\x01")), "12345...");
    assert_string_equal(cli_text_format(text, 12, bytes_of(NULL, 0)), "");
    for (size_t cap = 9; cap < 32; cap++)
        for (size_t len = 0; len < 40; len++) {
            uint8_t bytes[40];
            memset(bytes, len % 2 == 0 ? 'a' : 1, sizeof(bytes));
            char *exact_text = malloc(cap);
            assert_true(strlen(cli_text_format(exact_text, cap, bytes_of(bytes, len))) < cap);
            free(exact_text);
        }
}

/* ── answers by the binary protocol ───────────────────────────────────────────────────────── */

static void binary_answers(void **state)
{
    (void)state;
    static const uint8_t whole[] = {0x81, 0x20, 0, 2, 4,   0,   0,   1,   0,   0,   0,  11,
                                    0,    0,    0, 0, 0,   0,   0,   0,   0,   0,   0,  0,
                                    9,    9,    9, 9, 'k', 'k', 'P', 'L', 'A', 'I', 'N'};
    struct cli_binary answer;
    size_t used = 0;
    for (size_t len = 0; len < sizeof(whole); len++) {
        const struct bytes in = exact(whole, len);
        assert_int_equal(cli_binary_parse(in, &answer, &used), CLI_REPLY_MORE);
        exact_free(in);
    }
    const struct bytes in = exact(whole, sizeof(whole));
    assert_int_equal(cli_binary_parse(in, &answer, &used), CLI_REPLY_WHOLE);
    assert_int_equal(used, sizeof(whole));
    assert_int_equal(answer.opcode, 0x20);
    assert_int_equal(answer.status, 1);
    assert_true(bytes_is(answer.value, "PLAIN"));
    exact_free(in);
    static const struct {
        size_t at;
        uint8_t byte;
    } faults[] = {{0, 0x80}, {8, 1}, {8, 0x80}, {10, 0x10}, {11, 5}, {2, 1}, {3, 8}, {4, 10}};
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        uint8_t bad[sizeof(whole)];
        memcpy(bad, whole, sizeof(bad));
        bad[faults[i].at] = faults[i].byte;
        assert_int_equal(cli_binary_parse(bytes_of(bad, sizeof(bad)), &answer, &used),
                         CLI_REPLY_BAD);
    }
    assert_int_equal(cli_binary_parse(bytes_str("VERSION"), &answer, &used), CLI_REPLY_BAD);
    uint8_t request[CLI_BINARY_HEADER_BYTES + 3];
    assert_int_equal(cli_binary_write(request, CLI_BINARY_GET, bytes_str("key")), sizeof(request));
    static const uint8_t want[] = {0x80, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,   3,   0,  0,
                                   0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 'k', 'e', 'y'};
    assert_memory_equal(request, want, sizeof(want));
}

/* ── addresses ────────────────────────────────────────────────────────────────────────────── */

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host; /* NULL: refused */
        uint16_t port;
    } rows[] = {
        {"cache1", "cache1", 11211},
        {"cache1:1", "cache1", 1},
        {"10.0.0.1:65535", "10.0.0.1", 65535},
        {"::1", "::1", 11211},
        {"[::1]", "::1", 11211},
        {"[::1]:12", "::1", 12},
        {"fe80::1%eth0", "fe80::1%eth0", 11211},
        {"", NULL, 0},
        {":11211", NULL, 0},
        {"[]", NULL, 0},
        {"[]:1", NULL, 0},
        {"[::1", NULL, 0},
        {"[::1]12", NULL, 0},
        {"a:", NULL, 0},
        {"a:0", NULL, 0},
        {"a:-1", NULL, 0},
        {"a:65536", NULL, 0},
        {"a:1x", NULL, 0},
        {"unix:", NULL, 0},
    };
    char fault[CLI_WHERE_FAULT_BYTES];
    struct cli_where where;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        fault[0] = '\0';
        assert_int_equal(cli_where_parse(rows[i].text, &where, fault), rows[i].host != NULL);
        assert_int_equal(fault[0] == '\0', rows[i].host != NULL);
        if (rows[i].host == NULL)
            continue;
        assert_string_equal(where.host, rows[i].host);
        assert_int_equal(where.port, rows[i].port);
        assert_false(where.is_unix);
    }
    char text[400] = "unix:/";
    assert_true(cli_where_parse(text, &where, fault) && where.is_unix);
    memset(text + 5, 'p', 108);
    assert_false(cli_where_parse(text, &where, fault));
    text[5 + 107] = '\0';
    assert_true(cli_where_parse(text, &where, fault));
    memset(text, 'h', 399);
    assert_false(cli_where_parse(text, &where, fault));
    text[255] = '\0';
    assert_true(cli_where_parse(text, &where, fault));
}

static void addresses_resolve(void **state)
{
    (void)state;
    static const char *const same[] = {"127.0.0.1:80", "[::1]:80", "unix:/tmp/x"};
    char fault[CLI_WHERE_FAULT_BYTES], text[CLI_PEER_TEXT_BYTES];
    struct cli_where where;
    struct cli_peer peers[CLI_PEERS_MAX];
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        assert_true(cli_where_parse(same[i], &where, fault));
        assert_int_equal(cli_where_resolve(&where, peers, fault), 1);
        cli_peer_format(&peers[0], text);
        assert_string_equal(text, same[i]);
    }
}

/* ── arguments ────────────────────────────────────────────────────────────────────────────── */

static bool parse(const char *name, char **argv, struct cli_args *ret_args)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    char fault[CLI_FAULT_BYTES] = "";
    cli_args_defaults(ret_args);
    const bool fine = cli_args_parse(cli_command_find(name), argc, argv, ret_args, fault);
    assert_int_equal(fine, fault[0] == '\0');
    return fine;
}

#define ARGV(...)                                                                                  \
    (char *[])                                                                                     \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void arguments(void **state)
{
    (void)state;
    struct cli_args args;
    assert_true(parse("get", ARGV("k"), &args));
    assert_int_equal(args.timeout_ms, 3000);
    assert_string_equal(args.server, "127.0.0.1:11211");
    assert_true(!args.json && !args.udp && args.user == NULL && args.given == 0);
    assert_true(parse("set", ARGV("--json", "k", "-f", "7", "v", "--exptime=-1", "-t.5"), &args) ==
                false); /* a time begins with a digit */
    assert_true(parse("set", ARGV("--json", "k", "-f", "7", "v", "--exptime=-1", "-t0.5"), &args));
    assert_true(args.json && args.client_flags == 7 && args.exptime == -1);
    assert_int_equal(args.timeout_ms, 500);
    assert_int_equal(args.given, CLI_JSON | CLI_FLAGS | CLI_EXPTIME | CLI_TIMEOUT);
    assert_int_equal(args.word_count, 2);
    assert_string_equal(args.words[0], "k");
    assert_string_equal(args.words[1], "v");
    assert_true(parse("get", ARGV("--", "--json", "-"), &args));
    assert_true(args.word_count == 2 && !args.json);
    assert_true(parse("get", ARGV("-", "--server", "::1"), &args) && args.word_count == 1);
    assert_string_equal(args.server, "::1");
    assert_false(parse("get", ARGV("k", "--serve=x"), &args));
    assert_false(parse("get", ARGV("k", "--servers=x"), &args));
    assert_false(parse("get", ARGV("k", "--server="), &args));
    assert_false(parse("get", ARGV("k", "-x"), &args));
    assert_null(cli_command_find("ge"));
}

static void times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } rows[] = {{"0", 0},     {"1", 1000},       {"0.5", 500},
                {"0.05", 50}, {"12.345", 12345}, {"60", 60000}};
    static const char *const bad[] = {"",   ".",   "1.",     ".5", "-1",   "1.2345",
                                      "1s", "1,5", "60.001", "61", "1.-5", "99999999999999999999"};
    uint64_t ms;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_true(cli_time_parse(bytes_str(rows[i].text), 60000, &ms));
        assert_int_equal(ms, rows[i].ms);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(cli_time_parse(bytes_str(bad[i]), 60000, &ms));
}

/* ── JSON, versions ───────────────────────────────────────────────────────────────────────── */

static void json(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        bool utf8;
    } rows[] = {
        {"", "\"\"", true},
        {"a\"b\\c\n\x7f", "\"a\\\"b\\\\c\\u000a\\u007f\"", true},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x98", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x98\"", true},
        {"\xc3", "\"\\u00c3\"", false},
        {"\xc0\x80", "\"\\u00c0\\u0080\"", false},
        {"\xe0\x80\x80", "\"\\u00e0\\u0080\\u0080\"", false},
        {"\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\"", false},
        {"\xf4\x90\x80\x80", "\"\\u00f4\\u0090\\u0080\\u0080\"", false},
        {"\xe2\x82", "\"\\u00e2\\u0082\"", false},
        {"\xff", "\"\\u00ff\"", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *text = NULL;
        size_t len = 0;
        FILE *file = open_memstream(&text, &len);
        assert_non_null(file);
        const struct bytes in = exact(rows[i].in, strlen(rows[i].in));
        cli_json_string(file, in);
        assert_int_equal(cli_utf8_valid(in), rows[i].utf8);
        exact_free(in);
        assert_int_equal(fclose(file), 0);
        assert_string_equal(text, rows[i].out);
        free(text);
    }
}

static void versions(void **state)
{
    (void)state;
    static const char *const rising[] = {"0.0.0",  "1.2.8",      "1.4.5",
                                         "1.4.15", "1.5.0-beta", "1.6.18"};
    static const char *const bad[] = {"",     "1",      "1.6",       "1.6.",
                                      "1..6", "x1.6.1", "1.6.65536", "-1.6.1"};
    uint64_t last = 0, version;
    for (size_t i = 0; i < COUNT_OF(rising); i++) {
        assert_true(cli_version_parse(bytes_str(rising[i]), &version));
        assert_true(i == 0 || version > last);
        last = version;
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(cli_version_parse(bytes_str(bad[i]), &version));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies),        cmocka_unit_test(replies_bad),
        cmocka_unit_test(binary_answers), cmocka_unit_test(text_is_made_printable),
        cmocka_unit_test(addresses),      cmocka_unit_test(addresses_resolve),
        cmocka_unit_test(arguments),      cmocka_unit_test(times),
        cmocka_unit_test(json),           cmocka_unit_test(versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
