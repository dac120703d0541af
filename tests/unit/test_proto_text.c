/* The text parser: every line runs whole, cut at every byte (must ask for more and write
 * nothing), and with a stranger's bytes behind it. The input is copied to a heap block of
 * exactly its size, so that a sanitizer sees a read of one byte too many. `src` tells a rule
 * from a mere observation.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

#include "proto/text.h"

#define B(text)    ((struct bytes){(const uint8_t *)(text), sizeof(text) - 1})
#define FORMAT     "CLIENT_ERROR bad command line format"
#define K50        "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250       K50 K50 K50 K50 K50
#define O31        "0123456789012345678901234567890"
#define CMD(ID)    .cmd = PROTO_CMD_##ID
#define ERR(text)  .error = (text)
#define KEY(text)  .key = {(const uint8_t *)(text), sizeof(text) - 1}
#define REST(text) .rest = {(const uint8_t *)(text), sizeof(text) - 1}
#define VALUE(n)   .has_value = true, .value_bytes = (n)
#define F          PROTO_FLAG

static const struct row {
    const char *name, *src, *in;
    struct proto_request want;
} rows[] = {
    /* lines */
    {"LF alone ends a line", "observed", "get foo\n", {CMD(GET), KEY("foo")}},
    {"CR LF", "protocol.txt", "get foo\r\n", {CMD(GET), KEY("foo")}},
    {"CR inside a key", "observed", "get f\ro\r\n", {CMD(GET), KEY("f\ro")}},
    {"empty line", "observed", "\r\n", {CMD(NONE), ERR(FORMAT)}},
    {"LF", "observed", "\n", {CMD(NONE), ERR(FORMAT)}},
    {"one letter", "observed", "a\r\n", {CMD(NONE), ERR(FORMAT)}},
    {"two letters", "observed", "ab\r\n", {CMD(NONE), ERR("ERROR")}},
    {"upper case", "protocol.txt", "GET foo\r\n", {CMD(NONE), ERR("ERROR")}},
    {"leading space", "observed", " get foo\r\n", {CMD(NONE), ERR("ERROR")}},
    {"word too long", "ours", "gett foo\r\n", {CMD(NONE), ERR("ERROR")}},
    {"tab is no separator", "observed", "get\tfoo\r\n", {CMD(NONE), ERR("ERROR")}},
    {"quiet stranger", "observed", "foo noreply\r\n", {CMD(NONE), ERR("ERROR"), .noreply = true}},
    {"HTTP not last", "observed", "foo HTTP/1.1 x\r\n", {CMD(NONE), ERR("ERROR")}},
    {"HTTP as a key", "observed", "get HTTP/1.1\r\n", {CMD(GET), KEY("HTTP/1.1")}},

    /* retrieval */
    {"get", "protocol.txt", "get a\r\n", {CMD(GET), KEY("a")}},
    {"get many", "protocol.txt", "get a bb c\r\n", {CMD(GET), KEY("a"), REST(" bb c")}},
    {"spaces count as one", "observed", "get   a  b \r\n", {CMD(GET), KEY("a"), REST("  b ")}},
    {"noreply is a key", "observed", "get noreply\r\n", {CMD(GET), KEY("noreply")}},
    {"get nothing", "observed", "get\r\n", {CMD(GET), ERR(FORMAT)}},
    {"get spaces", "observed", "get   \r\n", {CMD(GET), ERR(FORMAT)}},
    {"key of 250", "protocol.txt Keys", "get " K250 "\r\n", {CMD(GET), KEY(K250)}},
    {"key of 251", "observed", "get " K250 "k\r\n", {CMD(GET), KEY(K250 "k"), ERR(FORMAT "\r\n")}},
    {"later key of 251",
     "observed",
     "get a " K250 "k b\r\n",
     {CMD(GET), KEY("a"), REST(" " K250 "k b"), ERR(FORMAT "\r\n")}},
    {"last key of 251",
     "observed",
     "get a " K250 "k\r\n",
     {CMD(GET), KEY("a"), REST(" " K250 "k"), ERR(FORMAT "\r\n")}},
    {"many long keys",
     "protocol.txt Keys",
     "get " K250 " " K250 "  " K250 "\r\n",
     {CMD(GET), KEY(K250), REST(" " K250 "  " K250)}},
    {"gets", "protocol.txt", "gets a b\r\n", {CMD(GETS), KEY("a"), REST(" b")}},
    {"gat", "protocol.txt", "gat 10 a b\r\n", {CMD(GAT), KEY("a"), REST(" b"), .exptime = 10}},
    {"gats", "protocol.txt", "gats -1 a\r\n", {CMD(GATS), KEY("a"), .exptime = -1}},
    {"gat without key", "ours", "gat 10\r\n", {CMD(GAT), ERR(FORMAT)}},
    {"gat without exptime", "ours", "gat\r\n", {CMD(GAT), ERR(FORMAT)}},
    {"gat bad exptime",
     "observed",
     "gat x a\r\n",
     {CMD(GAT), KEY("a"), ERR("CLIENT_ERROR invalid exptime argument")}},

    /* storage */
    {"set",
     "protocol.txt",
     "set a 1 2 3\r\n",
     {CMD(SET), KEY("a"), .client_flags = 1, .exptime = 2, VALUE(3)}},
    {"set LF",
     "observed",
     "set a 1 2 3\n",
     {CMD(SET), KEY("a"), .client_flags = 1, .exptime = 2, VALUE(3)}},
    {"set noreply",
     "protocol.txt",
     "set a 0 0 3 noreply\r\n",
     {CMD(SET), KEY("a"), VALUE(3), .noreply = true}},
    {"set more", "observed", "set a 0 0 3 x y\r\n", {CMD(SET), KEY("a"), VALUE(3)}},
    {"noreply behind more",
     "observed",
     "set a 0 0 3 x noreply\r\n",
     {CMD(SET), KEY("a"), VALUE(3), .noreply = true}},
    {"noreply not last", "observed", "set a 0 0 3 noreply x\r\n", {CMD(SET), KEY("a"), VALUE(3)}},
    {"nine digits",
     "ours",
     "set a 999999999 999999999 999999999\r\n",
     {CMD(SET), KEY("a"), .client_flags = 999999999, .exptime = 999999999, VALUE(999999999)}},
    {"ten digits",
     "ours",
     "set a 4294967295 2147483647 2147483645\r\n",
     {CMD(SET), KEY("a"), .client_flags = UINT32_MAX, .exptime = INT32_MAX, VALUE(2147483645)}},
    {"flags of 2^32 + 1",
     "observed",
     "set a 4294967297 0 1\r\n",
     {CMD(SET), KEY("a"), .client_flags = 1, VALUE(1)}},
    {"flags with a sign",
     "observed",
     "set a +5 0 1\r\n",
     {CMD(SET), KEY("a"), .client_flags = 5, VALUE(1)}},
    {"negative flags", "observed", "set a -1 0 1\r\n", {CMD(SET), KEY("a"), VALUE(1), ERR(FORMAT)}},
    {"flags of 2^64",
     "strtoul",
     "set a 18446744073709551616 0 1\r\n",
     {CMD(SET), KEY("a"), VALUE(1), ERR(FORMAT)}},
    {"flags no number",
     "observed",
     "set a 1x 0 1\r\n",
     {CMD(SET), KEY("a"), VALUE(1), ERR(FORMAT)}},
    {"exptime of 2^32", "observed", "set a 0 4294967296 1\r\n", {CMD(SET), KEY("a"), VALUE(1)}},
    {"negative exptime",
     "protocol.txt",
     "set a 0 -1 1\r\n",
     {CMD(SET), KEY("a"), .exptime = -1, VALUE(1)}},
    {"exptime with a sign",
     "observed",
     "set a 0 +7 1\r\n",
     {CMD(SET), KEY("a"), .exptime = 7, VALUE(1)}},
    {"exptime no number",
     "observed",
     "set a 0 x 1\r\n",
     {CMD(SET), KEY("a"), VALUE(1), ERR(FORMAT)}},
    {"exptime of 2^63",
     "strtol",
     "set a 0 9223372036854775808 1\r\n",
     {CMD(SET), KEY("a"), VALUE(1), .exptime = 0, ERR(FORMAT)}},
    {"length -1", "observed", "set a 0 0 -1\r\n", {CMD(SET), KEY("a"), ERR(FORMAT)}},
    {"length with a sign", "spec", "set a 0 0 +1\r\n", {CMD(SET), KEY("a"), ERR(FORMAT)}},
    {"length of 2^31 - 2", "spec", "set a 0 0 2147483646\r\n", {CMD(SET), KEY("a"), ERR(FORMAT)}},
    {"length of 2^64 + 1",
     "spec",
     "set a 0 0 18446744073709551617\r\n",
     {CMD(SET), KEY("a"), ERR(FORMAT)}},
    {"set too short", "spec", "set a 0 0\r\n", {CMD(SET), ERR(FORMAT)}},
    {"noreply counts", "spec", "set a 0 noreply\r\n", {CMD(SET), ERR(FORMAT), .noreply = true}},
    {"noreply as length",
     "spec",
     "set a 0 0 noreply\r\n",
     {CMD(SET), KEY("a"), ERR(FORMAT), .noreply = true}},
    {"set key of 251", "observed", "set " K250 "k 0 0 1\r\n", {CMD(SET), ERR(FORMAT)}},
    {"set key of 250",
     "protocol.txt Keys",
     "set " K250 " 0 0 1\r\n",
     {CMD(SET), KEY(K250), VALUE(1)}},
    {"set no key", "ours", "set  0 0 1\r\n", {CMD(SET), ERR(FORMAT)}},
    {"cas",
     "protocol.txt",
     "cas a 1 2 3 4\r\n",
     {CMD(CAS), KEY("a"), .client_flags = 1, .exptime = 2, VALUE(3), .compare_cas = 4}},
    {"cas bad unique",
     "observed",
     "cas a 1 2 3 x\r\n",
     {CMD(CAS), KEY("a"), .client_flags = 1, .exptime = 2, VALUE(3), ERR(FORMAT)}},
    {"cas too short", "spec", "cas a 1 2 3\r\n", {CMD(CAS), ERR(FORMAT)}},
    {"append", "protocol.txt", "append a 0 0 1\r\n", {CMD(APPEND), KEY("a"), VALUE(1)}},
    {"prepend", "protocol.txt", "prepend a 0 0 1\r\n", {CMD(PREPEND), KEY("a"), VALUE(1)}},
    {"replace", "protocol.txt", "replace a 0 0 1\r\n", {CMD(REPLACE), KEY("a"), VALUE(1)}},
    {"add", "protocol.txt", "add a 0 0 0\r\n", {CMD(ADD), KEY("a"), VALUE(0)}},

    /* one key */
    {"delete", "protocol.txt", "delete a\r\n", {CMD(DELETE), KEY("a")}},
    {"delete with a time",
     "observed",
     "delete a 0 noreply\r\n",
     {CMD(DELETE), KEY("a"), .noreply = true}},
    {"delete too much", "memccapable", "delete a b c d\r\n", {CMD(DELETE), ERR(FORMAT)}},
    {"delete nothing", "spec", "delete\r\n", {CMD(DELETE), ERR(FORMAT)}},
    {"delete key of 251",
     "spec",
     "delete " K250 "k noreply\r\n",
     {CMD(DELETE), ERR(FORMAT), .noreply = true}},
    {"incr", "protocol.txt", "incr a 5\r\n", {CMD(INCR), KEY("a"), .delta = 5}},
    {"decr by all",
     "protocol.txt",
     "decr a 18446744073709551615 noreply\r\n",
     {CMD(DECR), KEY("a"), .delta = UINT64_MAX, .noreply = true}},
    {"incr by 2^64",
     "spec",
     "incr a 18446744073709551616\r\n",
     {CMD(INCR), KEY("a"), ERR("CLIENT_ERROR invalid numeric delta argument")}},
    {"incr by a sign",
     "spec",
     "incr a +1\r\n",
     {CMD(INCR), KEY("a"), ERR("CLIENT_ERROR invalid numeric delta argument")}},
    {"incr too short", "spec", "incr a\r\n", {CMD(INCR), ERR(FORMAT)}},
    {"touch", "protocol.txt", "touch a 100\r\n", {CMD(TOUCH), KEY("a"), .exptime = 100}},
    {"touch bad",
     "spec",
     "touch a 2147483648\r\n",
     {CMD(TOUCH), KEY("a"), ERR("CLIENT_ERROR invalid exptime argument")}},

    /* whole lines */
    {"flush_all", "protocol.txt", "flush_all\r\n", {CMD(FLUSH_ALL)}},
    {"flush_all quiet",
     "protocol.txt",
     "flush_all 10 noreply\r\n",
     {CMD(FLUSH_ALL), REST(" 10 "), .noreply = true}},
    {"delete_prefix", "ours", "delete_prefix a:\r\n", {CMD(DELETE_PREFIX), KEY("a:")}},
    {"delete_prefix quiet",
     "ours",
     "delete_prefix a: noreply\r\n",
     {CMD(DELETE_PREFIX), KEY("a:"), .noreply = true}},
    {"delete_prefix nothing", "ours", "delete_prefix\r\n", {CMD(DELETE_PREFIX), ERR(FORMAT)}},
    {"delete_prefix blank", "ours", "delete_prefix a b\r\n", {CMD(DELETE_PREFIX), ERR(FORMAT)}},
    {"delete_prefix blank, quiet",
     "ours",
     "delete_prefix a b noreply\r\n",
     {CMD(DELETE_PREFIX), .noreply = true, ERR(FORMAT)}},
    {"delete_prefix of 250", "ours", "delete_prefix " K250 "\r\n", {CMD(DELETE_PREFIX), KEY(K250)}},
    {"delete_prefix of 251",
     "ours",
     "delete_prefix " K250 "k\r\n",
     {CMD(DELETE_PREFIX), ERR(FORMAT)}},
    {"stats", "protocol.txt", "stats items\r\n", {CMD(STATS), REST(" items")}},
    {"stats of noreply", "observed", "stats noreply\r\n", {CMD(STATS), REST(" noreply")}},
    {"mn", "protocol.txt", "mn\r\n", {CMD(MN)}},
    {"quit", "protocol.txt", "quit\r\n", {CMD(QUIT)}},
    {"version", "protocol.txt", "version\r\n", {CMD(VERSION)}},

    /* meta */
    {"mdp",
     "ours",
     "mdp a: q k Oxy\r\n",
     {CMD(MDP), KEY("a:"), .delta = 1,
      .meta = {F('q') | F('k') | F('O'), .letters = "qkO", .opaque = {(const uint8_t *)"xy", 2}}}},
    {"mdp nothing", "ours", "mdp\r\n", {CMD(MDP), ERR(FORMAT)}},
    {"mdp base64",
     "ours",
     "mdp YTo= b\r\n",
     {CMD(MDP), KEY("YTo="), .key_base64 = true, .delta = 1, .meta = {F('b'), .letters = "b"}}},
    {"mdp base64 and more",
     "ours",
     "mdp YTo=x b\r\n",
     {CMD(MDP), KEY("YTo=x"), .key_base64 = true, .delta = 1, .meta = {F('b'), .letters = "b"},
      ERR("CLIENT_ERROR error decoding key")}},
    {"mdp compares nothing",
     "ours",
     "mdp a: C5\r\n",
     {CMD(MDP), KEY("a:"), .delta = 1, .compare_cas = 5, .meta = {F('C'), .letters = "C"},
      ERR("CLIENT_ERROR invalid flag")}},
    {"mg",
     "protocol.txt",
     "mg a v t\r\n",
     {CMD(MG), KEY("a"), .delta = 1, .meta = {F('v') | F('t'), .letters = "vt"}}},
    {"mg plain", "protocol.txt", "mg a\r\n", {CMD(MG), KEY("a"), .delta = 1}},
    {"mg nothing", "spec", "mg\r\n", {CMD(MG), ERR(FORMAT)}},
    {"mg key of 251", "spec", "mg " K250 "k v\r\n", {CMD(MG), ERR(FORMAT)}},
    {"mg all",
     "protocol.txt",
     "mg a N30 R60 T-90 E4 C5 Oxy\r\n",
     {CMD(MG), KEY("a"), .delta = 1, .exptime = -90, .compare_cas = 5,
      .meta = {F('N') | F('R') | F('T') | F('E') | F('C') | F('O'), .letters = "NRTECO",
               .explicit_cas = 4, .vivify_exptime = 30, .recache_exptime = 60,
               .opaque = {(const uint8_t *)"xy", 2}}}},
    {"mg opaque of 31",
     "spec",
     "mg a O" O31 "\r\n",
     {CMD(MG), KEY("a"), .delta = 1,
      .meta = {F('O'), .letters = "O", .opaque = {(const uint8_t *)O31, 31}}}},
    {"mg opaque of 32",
     "spec",
     "mg a O" O31 "x\r\n",
     {CMD(MG), KEY("a"), .delta = 1,
      .meta = {F('O'), .letters = "O", .opaque = {(const uint8_t *)O31 "x", 32}},
      ERR("CLIENT_ERROR opaque token too long")}},
    {"mg twice",
     "protocol.txt",
     "mg a v v\r\n",
     {CMD(MG), KEY("a"), .delta = 1, .meta = {F('v'), .letters = "v"},
      ERR("CLIENT_ERROR duplicate flag")}},
    {"mg unknown",
     "protocol.txt",
     "mg a z\r\n",
     {CMD(MG), KEY("a"), .delta = 1, ERR("CLIENT_ERROR invalid flag")}},
    {"mg digit",
     "observed",
     "mg a 5\r\n",
     {CMD(MG), KEY("a"), .delta = 1, ERR("CLIENT_ERROR invalid flag")}},
    {"mg foreign", "observed", "mg a !\r\n", {CMD(MG), ERR(FORMAT)}},
    {"mg bad number",
     "observed",
     "mg a Tx\r\n",
     {CMD(MG), KEY("a"), .delta = 1, .meta = {F('T'), .letters = "T"},
      ERR("CLIENT_ERROR bad token in command line format")}},
    {"mg no number",
     "observed",
     "mg a T\r\n",
     {CMD(MG), KEY("a"), .delta = 1, .meta = {F('T'), .letters = "T"},
      ERR("CLIENT_ERROR bad token in command line format")}},
    {"mg bad client flags",
     "observed",
     "mg a Fx\r\n",
     {CMD(MG), KEY("a"), .delta = 1, .meta = {F('F'), .letters = "F"}, ERR(FORMAT)}},
    {"the last error counts",
     "observed",
     "mg a Fx Tx\r\n",
     {CMD(MG), KEY("a"), .delta = 1, .meta = {F('F') | F('T'), .letters = "FT"},
      ERR("CLIENT_ERROR bad token in command line format")}},
    {"mg base64",
     "protocol.txt",
     "mg YWJj b k\r\n",
     {CMD(MG), KEY("YWJj"), .delta = 1, .key_base64 = true,
      .meta = {F('b') | F('k'), .letters = "bk"}}},
    {"mg not base64",
     "observed",
     "mg a*c b\r\n",
     {CMD(MG), KEY("a*c"), .delta = 1, .key_base64 = true, .meta = {F('b'), .letters = "b"},
      ERR("CLIENT_ERROR error decoding key")}},
    {"mg 20 tokens",
     "spec",
     "mg YWJj b c f h k l q s t u v x I L P Oo D1 J1\r\n",
     {CMD(MG), KEY("YWJj"), .delta = 1, .key_base64 = true,
      .meta = {F('b') | F('c') | F('f') | F('h') | F('k') | F('l') | F('q') | F('s') | F('t') |
                   F('u') | F('v') | F('x') | F('I') | F('L') | F('P') | F('O') | F('D') | F('J'),
               .letters = {'b', 'c', 'f', 'h', 'k', 'l', 'q', 's', 't', 'u', 'v', 'x', 'I', 'L',
                           'P', 'O', 'D', 'J'},
               .initial = 1, .opaque = {(const uint8_t *)"o", 1}}}},
    {"mg 21 tokens",
     "spec",
     "mg YWJj b c f h k l q s t u v x I L P Oo D1 J1 MS\r\n",
     {CMD(MG), KEY("YWJj"), ERR("CLIENT_ERROR options flags are too long")}},
    {"ms",
     "protocol.txt",
     "ms a 2 T0 F5 ME c\r\n",
     {CMD(MS), KEY("a"), VALUE(2), .delta = 1, .client_flags = 5,
      .meta = {F('T') | F('F') | F('M') | F('c'), .letters = "TFMc", .mode = 'E'}}},
    {"ms mode's first letter",
     "observed",
     "ms a 2 Append\r\n",
     {CMD(MS), KEY("a"), VALUE(2), .delta = 1, ERR("CLIENT_ERROR invalid flag")}},
    {"ms bad mode",
     "protocol.txt",
     "ms a 2 Mz\r\n",
     {CMD(MS), KEY("a"), VALUE(2), .delta = 1, .meta = {F('M'), .letters = "M", .mode = 'z'},
      ERR("CLIENT_ERROR invalid mode for ms M token")}},
    {"ms no mode",
     "observed",
     "ms a 2 M\r\n",
     {CMD(MS), KEY("a"), VALUE(2), .delta = 1, .meta = {F('M'), .letters = "M"},
      ERR("CLIENT_ERROR invalid mode for ms M token")}},
    {"ms too short", "observed", "ms a\r\n", {CMD(MS), ERR(FORMAT)}},
    {"ms bad length", "observed", "ms a x\r\n", {CMD(MS), ERR(FORMAT)}},
    {"md",
     "protocol.txt",
     "md a I T30 C9 q\r\n",
     {CMD(MD), KEY("a"), .delta = 1, .exptime = 30, .compare_cas = 9,
      .meta = {F('I') | F('T') | F('C') | F('q'), .letters = "ITCq"}}},
    {"ma",
     "protocol.txt",
     "ma a D5 J6 MD N0 v\r\n",
     {CMD(MA), KEY("a"), .delta = 5,
      .meta = {F('D') | F('J') | F('M') | F('N') | F('v'), .letters = "DJMNv", .mode = 'D',
               .initial = 6}}},
    {"ma bad flag",
     "observed",
     "ma a Dx\r\n",
     {CMD(MA), KEY("a"), .meta = {F('D'), .letters = "D"}, .delta = 1,
      ERR("CLIENT_ERROR invalid or duplicate flag")}},
    {"ma bad mode",
     "protocol.txt",
     "ma a Mz\r\n",
     {CMD(MA), KEY("a"), .delta = 1, .meta = {F('M'), .letters = "M", .mode = 'z'},
      ERR("CLIENT_ERROR invalid mode for ma M token")}},
    {"me", "protocol.txt", "me YWJj b\r\n", {CMD(ME), KEY("YWJj"), .key_base64 = true}},
    {"me does not mind", "observed", "me a v v z\r\n", {CMD(ME), KEY("a")}},
    {"me bad key", "observed", "me a b\r\n", {CMD(ME), KEY("a"), .key_base64 = true, ERR(FORMAT)}},
};

static void check_bytes(struct bytes got, struct bytes want, const char *what)
{
    if (!bytes_equal(got, want))
        fail_msg("%s: got %zu bytes '%.*s'", what, got.len, (int)got.len, (const char *)got.ptr);
}

static void check_meta(const struct proto_meta *got, const struct proto_meta *want)
{
    check_bytes(got->opaque, want->opaque, "opaque");
    assert_int_equal(got->flags, want->flags);
    assert_int_equal(got->explicit_cas, want->explicit_cas);
    assert_int_equal(got->initial, want->initial);
    assert_int_equal(got->vivify_exptime, want->vivify_exptime);
    assert_int_equal(got->recache_exptime, want->recache_exptime);
    assert_int_equal(got->mode, want->mode);
    assert_int_equal(got->letter_count, strnlen(want->letters, sizeof(want->letters)));
    assert_memory_equal(got->letters, want->letters, got->letter_count);
}

static void check(const struct proto_request *got, const struct proto_request *want)
{
    assert_int_equal(got->cmd, want->cmd);
    if (want->error == NULL && got->error != NULL)
        fail_msg("refused: %s", got->error);
    if (want->error != NULL)
        assert_string_equal(got->error ? got->error : "(none)", want->error);
    check_bytes(got->key, want->key, "key");
    check_bytes(got->rest, want->rest, "rest");
    assert_int_equal(got->noreply, want->noreply);
    assert_int_equal(got->has_value, want->has_value);
    assert_int_equal(got->value_bytes, want->value_bytes);
    assert_int_equal(got->key_base64, want->key_base64);
    if (want->error != NULL)
        return;
    assert_int_equal(got->client_flags, want->client_flags);
    assert_int_equal(got->exptime, want->exptime);
    assert_int_equal(got->compare_cas, want->compare_cas);
    assert_int_equal(got->delta, want->delta);
    if (got->cmd == PROTO_CMD_MG || want->meta.flags != 0)
        check_meta(&got->meta, &want->meta);
}

/* Parse `len` bytes of `in` and `behind` in a block of exactly that size, and check. */
static void run_row(const struct row *row, const char *behind)
{
    const size_t len = strlen(row->in), size = len + strlen(behind);
    uint8_t *block = malloc(size);
    assert_non_null(block);
    memcpy(block, row->in, len);
    memcpy(block + len, behind, size - len);
    struct proto_request req;
    size_t used = 0;
    assert_int_equal(proto_text_parse(bytes_of(block, size), &req, &used), PROTO_OK);
    assert_int_equal(used, len);
    check(&req, &row->want);
    free(block);
}

static void test_rows(void **state)
{
    (void)state;
    static const char *const behind[] = {
        "",
        "x",
        "\n",
        "\r\n",
        "get a\r\n",
        " 1 2 3\r\n",
        "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        print_message("%s (%s)\n", rows[i].name, rows[i].src);
        for (size_t j = 0; j < COUNT_OF(behind); j++)
            run_row(&rows[i], behind[j]);
    }
}

static void test_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t len = 0; len < strlen(rows[i].in); len++) {
            uint8_t *block = malloc(len > 0 ? len : 1);
            assert_non_null(block);
            memcpy(block, rows[i].in, len);
            struct proto_request req, before;
            memset(&req, 0xa5, sizeof(req));
            before = req;
            size_t used = 77;
            assert_int_equal(proto_text_parse(bytes_of(block, len), &req, &used), PROTO_MORE);
            assert_int_equal(used, 77);
            assert_memory_equal(&req, &before, sizeof(req));
            free(block);
        }
    }
}

/* A byte of 0 is a byte like others. */
static void test_nul(void **state)
{
    (void)state;
    struct proto_request req;
    size_t used;
    assert_int_equal(proto_text_parse(B("get a\0b\r\n"), &req, &used), PROTO_OK);
    check_bytes(req.key, B("a\0b"), "key");
    assert_int_equal(proto_text_parse(B("ge\0t a\r\n"), &req, &used), PROTO_OK);
    assert_string_equal(req.error, "ERROR");
    assert_int_equal(proto_text_parse(B("mg a \0v\r\n"), &req, &used), PROTO_OK);
    assert_string_equal(req.error, FORMAT);
    assert_int_equal(proto_text_parse(B("set a 0 0 1\0\r\n"), &req, &used), PROTO_OK);
    assert_string_equal(req.error, FORMAT);
}

static void test_http(void **state)
{
    (void)state;
    struct proto_request req;
    size_t used;
    static const char *const lines[] = {"GET / HTTP/1.1\r\n", "HTTP/1.1\r\n",
                                        "POST /a?b=c  HTTP/2 \n"};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        assert_int_equal(proto_text_parse(bytes_str(lines[i]), &req, &used), PROTO_CLOSE);
        assert_null(req.error);
    }
}

/* What a line of `count` times `unit` without an end leads to. */
static enum proto_rc parse_endless(const char *begin, const char *unit, size_t bytes)
{
    uint8_t *block = malloc(bytes);
    assert_non_null(block);
    size_t len = strlen(begin);
    memcpy(block, begin, len);
    for (size_t at = 0; len < bytes; len++, at++)
        block[len] = (uint8_t)unit[at % strlen(unit)];
    struct proto_request req;
    size_t used;
    const enum proto_rc rc = proto_text_parse(bytes_of(block, bytes), &req, &used);
    free(block);
    return rc;
}

static void test_endless(void **state)
{
    (void)state;
    static const char blanks[] = "                                                  "
                                 "                                                  get ";
    assert_int_equal(parse_endless("", "x", 2048), PROTO_MORE);
    assert_int_equal(parse_endless("", "x", 2049), PROTO_CLOSE);
    assert_int_equal(parse_endless("set ", "x ", 2049), PROTO_CLOSE);
    assert_int_equal(parse_endless("gat 0 ", "x ", 2049), PROTO_CLOSE);
    assert_int_equal(parse_endless("get ", "x ", 2049), PROTO_MORE);
    assert_int_equal(parse_endless("gets ", "x ", 2049), PROTO_MORE);
    assert_int_equal(parse_endless("  get ", "x ", 2049), PROTO_MORE);
    assert_int_equal(parse_endless(blanks, "x ", 2049), PROTO_MORE);
    assert_int_equal(parse_endless("", " ", 2049), PROTO_CLOSE);
    assert_int_equal(parse_endless("get ", "x ", 1024 * 1024), PROTO_MORE);
    assert_int_equal(parse_endless("get ", "x ", 1024 * 1024 + 1), PROTO_CLOSE);
}

/* A long line that has an end is read, whatever the command. */
static void test_long_line(void **state)
{
    (void)state;
    enum { BYTES = 10000 };
    uint8_t *block = malloc(BYTES);
    assert_non_null(block);
    memset(block, 'x', BYTES);
    memcpy(block, "delete a ", 9);
    block[BYTES - 1] = '\n';
    struct proto_request req;
    size_t used = 0;
    assert_int_equal(proto_text_parse(bytes_of(block, BYTES), &req, &used), PROTO_OK);
    assert_int_equal(used, BYTES);
    assert_null(req.error);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_cut),
        cmocka_unit_test(test_nul),     cmocka_unit_test(test_http),
        cmocka_unit_test(test_endless), cmocka_unit_test(test_long_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
