/* Commands on a store, without sockets: a row sends bytes and expects bytes. Every row runs
 * with values taken from the input and with values uploaded in pieces.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

#include "support/wire_test.h"

#define FORMAT "CLIENT_ERROR bad command line format\r\n"

static const struct wire_row rows[] = {
    {"set, get", "set a 5 0 3\r\nabc\r\nget a\r\n", "STORED\r\nVALUE a 5 3\r\nabc\r\nEND\r\n"},
    {"empty value", "set a 0 0 0\r\n\r\nget a\r\n", "STORED\r\nVALUE a 0 0\r\n\r\nEND\r\n"},
    {"get twice", "set a 0 0 1\r\n1\r\nget a b a\r\n",
     "STORED\r\nVALUE a 0 1\r\n1\r\nVALUE a 0 1\r\n1\r\nEND\r\n"},
    {"miss", "get a\r\n", "END\r\n"},
    {"noreply", "set a 0 0 1 noreply\r\n1\r\nget a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"},
    {"add", "add a 0 0 1\r\n1\r\nadd a 0 0 1\r\n2\r\n", "STORED\r\nNOT_STORED\r\n"},
    {"replace", "replace a 0 0 1\r\n1\r\nset a 0 0 1\r\n1\r\nreplace a 0 0 1\r\n2\r\nget a\r\n",
     "NOT_STORED\r\nSTORED\r\nSTORED\r\nVALUE a 0 1\r\n2\r\nEND\r\n"},
    {"append, prepend",
     "append a 0 0 1\r\n1\r\nset a 7 0 1\r\n5\r\nappend a 9 9 1\r\n6\r\nprepend a 9 9 1\r\n4\r\n"
     "get a\r\n",
     "NOT_STORED\r\nSTORED\r\nSTORED\r\nSTORED\r\nVALUE a 7 3\r\n456\r\nEND\r\n"},
    {"cas", "cas a 0 0 1 1\r\n1\r\nset a 0 0 1\r\n1\r\ncas a 0 0 1 999999999999\r\n2\r\nget a\r\n",
     "NOT_FOUND\r\nSTORED\r\nEXISTS\r\nVALUE a 0 1\r\n1\r\nEND\r\n"},
    {"delete", "set a 0 0 1\r\n1\r\ndelete a\r\ndelete a\r\nget a\r\n",
     "STORED\r\nDELETED\r\nNOT_FOUND\r\nEND\r\n"},
    {"quiet delete", "delete a noreply\r\nget a\r\n", "END\r\n"},
    {"touch", "touch a 5\r\nset a 0 0 1\r\n1\r\ntouch a 5\r\nget a\r\ntouch a -1\r\nget a\r\n",
     "NOT_FOUND\r\nSTORED\r\nTOUCHED\r\nVALUE a 0 1\r\n1\r\nEND\r\nTOUCHED\r\nEND\r\n"},
    {"gat", "gat 5 a\r\nset a 0 0 1\r\n1\r\ngat 5 a b\r\nmg a t\r\n",
     "END\r\nSTORED\r\nVALUE a 0 1\r\n1\r\nEND\r\nHD t5\r\n"},
    {"incr, decr",
     "incr a 1\r\nset a 0 0 2\r\n10\r\nincr a 5\r\ndecr a 6\r\nget a\r\ndecr a 99\r\n",
     "NOT_FOUND\r\nSTORED\r\n15\r\n9\r\nVALUE a 0 2\r\n9 \r\nEND\r\n0\r\n"},
    {"incr wraps", "set a 0 0 20\r\n18446744073709551615\r\nincr a 1\r\n", "STORED\r\n0\r\n"},
    {"incr of text", "set a 0 0 1\r\nx\r\nincr a 1\r\nincr a 1 noreply\r\n",
     "STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
    {"negative exptime", "set a 0 -1 1\r\n1\r\nget a\r\n", "STORED\r\nEND\r\n"},
    {"exptime long past", "set a 0 2592001 1\r\n1\r\nget a\r\n", "STORED\r\nEND\r\n"},
    {"relative exptime", "set a 0 2592000 1\r\n1\r\nmg a t\r\n", "STORED\r\nHD t2592000\r\n"},

    {"bad chunk", "set a 0 0 1\r\nxxxversion\r\nget a\r\n",
     "CLIENT_ERROR bad data chunk\r\nVERSION 1.6.45\r\nEND\r\n"},
    {"quiet bad chunk", "set a 0 0 1 noreply\r\nxxxversion\r\n", "VERSION 1.6.45\r\n"},
    {"bad flags swallow", "set a x 0 7\r\nversion\r\nversion\r\n", FORMAT "VERSION 1.6.45\r\n"},
    {"bad length does not", "set a 0 0 -1\r\nversion\r\n", FORMAT "VERSION 1.6.45\r\n"},
    {"quiet error", "set a x 0 7 noreply\r\nversion\r\nfoo noreply\r\n", ""},
    {"bad key among several",
     "set a 0 0 1\r\n1\r\nget a "
     "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
     "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
     "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\r\nmn\r\n",
     "STORED\r\n" FORMAT "\r\nMN\r\n"},

    {"flush_all", "set a 0 0 1\r\n1\r\nflush_all\r\nget a\r\nset a 0 0 1\r\n2\r\nget a\r\n",
     "STORED\r\nOK\r\nEND\r\nSTORED\r\nVALUE a 0 1\r\n2\r\nEND\r\n"},
    {"delete_prefix",
     "set a:1 0 0 1\r\n1\r\nset b:1 0 0 1\r\n1\r\ndelete_prefix a:\r\nget a:1 b:1\r\n"
     "set a:1 0 0 1\r\n2\r\nget a:1\r\ndelete_prefix a: noreply\r\nget a:1\r\n",
     "STORED\r\nSTORED\r\nDELETED\r\nVALUE b:1 0 1\r\n1\r\nEND\r\nSTORED\r\nVALUE a:1 0 1\r\n2\r\n"
     "END\r\nEND\r\n"},
    {"mdp",
     "set a:1 0 0 1\r\n1\r\nmdp a: Oxy k\r\nmg a:1\r\nmdp YTo= b k q\r\nmdp YTo= b k\r\n"
     "mdp a: T1\r\n",
     "STORED\r\nHD Oxy ka:\r\nEN\r\nHD kYTo= b\r\nCLIENT_ERROR invalid flag\r\n"},
    {"flush_all oddities", "flush_all -1\r\nflush_all 0 x\r\nflush_all x\r\nflush_all noreply\r\n",
     "OK\r\nOK\r\nCLIENT_ERROR invalid exptime argument\r\n"},
    {"version", "version\r\nversion x\r\nversion noreply\r\n",
     "VERSION 1.6.45\r\nVERSION 1.6.45\r\nVERSION 1.6.45\r\n"},
    {"quit", "quit\r\nversion\r\n", ""},
    {"verbosity", "verbosity\r\nverbosity 1\r\nverbosity x\r\nverbosity 1 noreply\r\n",
     "ERROR\r\nOK\r\n" FORMAT},
    {"cache_memlimit", "cache_memlimit\r\ncache_memlimit x\r\ncache_memlimit 1\r\n",
     "ERROR\r\nERROR\r\nMEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"},
    {"shutdown", "shutdown\r\n", "SERVER_ERROR: shutdown not enabled\r\n"},
    {"stats reset", "stats reset\r\nstats re\r\n", "RESET\r\nRESET\r\n"},
    {"stats unknown", "stats foo\r\n", "ERROR\r\n"},
    {"stats sizes", "stats sizes\r\n", "STAT sizes_status disabled\r\nEND\r\n"},
    {"stats cachedump",
     "stats cachedump 1\r\nstats cachedump x 1\r\nstats cachedump 64 1\r\nstats cachedump 1 0\r\n",
     "CLIENT_ERROR bad command line\r\n" FORMAT "CLIENT_ERROR Illegal slab id\r\nEND\r\n"},
    {"stats detail",
     "stats detail\r\nstats detail x\r\nget a:1\r\nstats detail on\r\nset a:1 0 0 1\r\n1\r\n"
     "get a:1 a:2 b\r\ndelete a:1\r\nstats detail dump\r\nstats detail off\r\n",
     "CLIENT_ERROR usage: stats detail on|off|dump\r\n"
     "CLIENT_ERROR usage: stats detail on|off|dump\r\nEND\r\nOK\r\nSTORED\r\n"
     "VALUE a:1 0 1\r\n1\r\nEND\r\nDELETED\r\nPREFIX a get 2 hit 1 set 1 del 1\r\nEND\r\nOK\r\n"},

    {"mn", "mn\r\n", "MN\r\n"},
    {"mg miss", "mg a v k Oo\r\nmg a v q k\r\n", "EN ka Oo\r\n"},
    {"mg hit", "set a 3 0 2\r\nhi\r\nmg a v s f t k Ox h\r\nmg a h\r\nmg a\r\n",
     "STORED\r\nVA 2 s2 f3 t-1 ka Ox h0\r\nhi\r\nHD h1\r\nHD\r\n"},
    {"mg quiet hit", "set a 3 0 2\r\nhi\r\nmg a v q\r\n", "STORED\r\nVA 2\r\nhi\r\n"},
    {"mg without use", "set a 0 0 1\r\n1\r\nmg a u h\r\nmg a h\r\n",
     "STORED\r\nHD h0\r\nHD h0\r\n"},
    {"mg C withholds", "ms a 1 E77\r\n1\r\nmg a v C77 c\r\nmg a v C78 c\r\n",
     "HD\r\nHD c77\r\nVA 1 c77\r\n1\r\n"},
    {"mg T", "ms a 1 T30\r\n1\r\nmg a t T60\r\nmg a T90 t\r\nmg a T0 t\r\n",
     "HD\r\nHD t30\r\nHD t90\r\nHD t-1\r\n"},
    {"mg N", "mg a N30 s v t\r\nmg a N30 t\r\nms a 1\r\n1\r\nmg a v\r\n",
     "VA 0 s0 t30 W\r\n\r\nHD t30 Z\r\nHD\r\nVA 1\r\n1\r\n"},
    {"mg N is a fetch", "mg a N30\r\nmg a h\r\nmg b N30 u\r\nmg b h\r\n",
     "HD W\r\nHD h1 Z\r\nHD W\r\nHD h0 Z\r\n"},
    {"mg N T", "mg b N9 T0\r\nmg b t\r\n", "HD W\r\nHD t-1 Z\r\n"},
    {"mg t before N", "mg a t N30\r\n", "HD t-1 W\r\n"},
    {"mg N E", "mg a N30 E99 c\r\n", "HD c99 W\r\n"},
    {"mg R", "ms a 1 T20\r\n1\r\nmg a R10 t\r\nmg a R30 t\r\nmg a R30 t\r\n",
     "HD\r\nHD t20\r\nHD t20 W\r\nHD t20 Z\r\n"},
    {"base64 keys",
     "ms YWJj 2 b k c E5 O1\r\n12\r\nmg abc k v\r\nmg YWJj b k v\r\nget abc\r\nmd YWJj b k\r\n"
     "mg YW*Jj b k\r\n",
     "HD kYWJj b c5 O1\r\nVA 2 kYWJj b\r\n12\r\nVA 2 kYWJj b\r\n12\r\nVALUE abc 0 2\r\n12\r\n"
     "END\r\nHD kYWJj b\r\nEN kYWJj b\r\n"},
    {"ms modes",
     "ms a 1 MR\r\n1\r\nms a 1 MA\r\n1\r\nms a 1 ME s\r\n2\r\nms a 2 ME s\r\n33\r\nms a 1 MP "
     "s\r\n1\r\n"
     "ms a 1 MA s\r\n3\r\nmg a v\r\nms a 1 MR\r\n4\r\nms a 1 MS q\r\n5\r\nmg a v\r\n",
     "NS\r\nNS\r\nHD s1\r\nNS s2\r\nHD s2\r\nHD s3\r\nVA 3\r\n123\r\nHD\r\nVA 1\r\n5\r\n"},
    {"ms vivify", "ms a 1 MA N90 s\r\n1\r\nmg a v t\r\nms a 1 MA N90 s\r\n1\r\n",
     "HD s1\r\nVA 1 t90\r\n1\r\nHD s2\r\n"},
    {"ms cas",
     "ms a 1 C5\r\n1\r\nms a 1 E100\r\n1\r\nms a 1 C99 c k\r\n2\r\nms a 1 C100 E200 c\r\n3\r\n",
     "NF\r\nHD\r\nEX c0 ka\r\nHD c200\r\n"},
    {"ms stale",
     "ms a 1 E100 T30\r\n1\r\nms a 1 C99 I T90\r\n2\r\nmg a v t\r\nmg a v\r\nms a 1 "
     "C1000000000000000000 I\r\n3\r\n",
     "HD\r\nHD\r\nVA 1 t30 X W\r\n2\r\nVA 1 Z X\r\n2\r\nEX\r\n"},
    {"ms client flags", "ms a 1 F12\r\n1\r\nmg a f\r\n", "HD\r\nHD f12\r\n"},
    {"ms errors swallow", "ms a 2 z\r\nmn\r\nmn\r\n", "CLIENT_ERROR invalid flag\r\nMN\r\n"},
    {"ms bad chunk", "ms a 1 q\r\n123mn\r\n", "CLIENT_ERROR bad data chunk\r\nMN\r\n"},
    {"md", "md a k Oo\r\nms a 1 E5\r\n1\r\nmd a C4\r\nmd a C5 q\r\nmg a\r\nmd a q\r\n",
     "NF ka Oo\r\nHD\r\nEX\r\nEN\r\nNF\r\n"},
    {"md I", "ms a 1 F5\r\n1\r\nmd a I T30\r\nmg a v t f\r\nmg a t\r\nms a 1\r\n2\r\nmg a v\r\n",
     "HD\r\nHD\r\nVA 1 t30 f5 X W\r\n1\r\nHD t30 Z X\r\nHD\r\nVA 1\r\n2\r\n"},
    {"md x", "ms a 1 F5\r\n1\r\nmd a x\r\nmg a v f s\r\n", "HD\r\nHD\r\nVA 0 f0 s0\r\n\r\n"},
    {"ma",
     "ma a\r\nset a 0 0 1\r\n5\r\nma a v\r\nma a v D10\r\nma a v MD D6\r\nma a v M- D99 q\r\nma a "
     "v\r\n",
     "NF\r\nSTORED\r\nVA 1\r\n6\r\nVA 2\r\n16\r\nVA 2\r\n10\r\nVA 1\r\n1\r\n"},
    {"ma vivify", "ma a N0 J13 v t k\r\nma a v\r\nma a T30 t v\r\n",
     "VA 2 t-1 ka\r\n13\r\nVA 2\r\n14\r\nVA 2 t30\r\n15\r\n"},
    {"ma t before T", "ma a N30\r\nma a t T60\r\nma a T90 t\r\n", "HD\r\nHD t30\r\nHD t90\r\n"},
    {"ma creation is told", "ma a N0 q k\r\nma a q\r\nma b N0 t N5\r\n",
     "HD ka\r\nCLIENT_ERROR invalid or duplicate flag\r\n"},
    {"ma N T", "ma a N100 T0 t\r\nma b T5 N9 t\r\nmg b t\r\nmg c N9 T5\r\nmg c t\r\n",
     "HD t-1\r\nHD t9\r\nHD t9\r\nHD W\r\nHD t5 Z\r\n"},
    {"ma of text", "set a 0 0 1\r\nx\r\nma a\r\n",
     "STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
    {"ma cas", "ms a 1 E7\r\n1\r\nma a C6\r\nma a C7 E9 c v\r\n", "HD\r\nEX\r\nVA 1 c9\r\n2\r\n"},
    {"me miss", "me a\r\n", "EN\r\n"},
};

struct bytes wire_talk(struct wire *wire, const char *send, struct out *shown)
{
    (void)shown;
    wire_clear(wire);
    wire_send(wire, bytes_str(send));
    return wire_answer(wire);
}

static void test_rows(void **state)
{
    (void)state;
    wire_rows_check(rows, COUNT_OF(rows), SIZE_MAX);
}

static void test_rows_uploaded(void **state)
{
    (void)state;
    wire_rows_check(rows, COUNT_OF(rows), 0);
}

/* ── counters ─────────────────────────────────────────────────────────────────────────────── */

static void test_counters(void **state)
{
    (void)state;
    static const struct wire_counts table[] = {
        /* observed 1.6.18; k exists */
        {"get k k z\r\n", {{STAT_CMD_GET, 3}, {STAT_GET_HITS, 2}, {STAT_GET_MISSES, 1}}},
        {"gat 0 k z\r\n", {{STAT_CMD_TOUCH, 2}, {STAT_TOUCH_HITS, 1}, {STAT_TOUCH_MISSES, 1}}},
        {"mg k v\r\n", {{STAT_CMD_GET, 1}, {STAT_GET_HITS, 1}}},
        {"mg z v\r\n", {{STAT_CMD_GET, 1}, {STAT_GET_MISSES, 1}}},
        {"mg k T0\r\n", {{STAT_CMD_TOUCH, 1}, {STAT_TOUCH_HITS, 1}}},
        {"mg z T0\r\n", {{STAT_CMD_GET, 1}, {STAT_GET_MISSES, 1}}},
        {"mg z N9\r\n", {{STAT_CMD_GET, 1}, {STAT_GET_HITS, 1}}},
        {"touch k 0\r\ntouch z 0\r\n",
         {{STAT_CMD_TOUCH, 2}, {STAT_TOUCH_HITS, 1}, {STAT_TOUCH_MISSES, 1}}},
        {"md z\r\n", {{STAT_DELETE_MISSES, 1}}},
        {"md k C99\r\n", {{STAT_DELETE_MISSES, 1}}},
        {"md k I\r\n", {{0}}},
        {"md k\r\n", {{STAT_DELETE_HITS, 1}}},
        {"delete k\r\ndelete z\r\n", {{STAT_DELETE_HITS, 1}, {STAT_DELETE_MISSES, 1}}},
        {"set k 0 0 1\r\n123add k 0 0 1\r\n1\r\n", {{STAT_CMD_SET, 2}}},
        {"cas k 0 0 1 99\r\n1\r\ncas z 0 0 1 99\r\n1\r\n",
         {{STAT_CMD_SET, 2}, {STAT_CAS_BADVAL, 1}, {STAT_CAS_MISSES, 1}}},
        {"ms k 1 C7\r\n1\r\n", {{STAT_CMD_SET, 1}, {STAT_CAS_HITS, 1}}},
        {"incr k 1\r\nincr z 1\r\ndecr k 1\r\ndecr z 1\r\n",
         {{STAT_INCR_HITS, 1}, {STAT_INCR_MISSES, 1}, {STAT_DECR_HITS, 1}, {STAT_DECR_MISSES, 1}}},
        {"ma k\r\nma z\r\nma k C99\r\n", {{STAT_INCR_HITS, 1}, {STAT_INCR_MISSES, 1}}},
        {"ma z N5\r\n", {{0}}},
        {"me k\r\nme z\r\n", {{STAT_CMD_META, 2}}},
        {"set k 0 -1 1\r\n1\r\nget k\r\n",
         {{STAT_CMD_SET, 1}, {STAT_CMD_GET, 1}, {STAT_GET_MISSES, 1}, {STAT_GET_EXPIRED, 1}}},
        {"flush_all\r\nget k\r\n",
         {{STAT_CMD_FLUSH, 1}, {STAT_CMD_GET, 1}, {STAT_GET_MISSES, 1}, {STAT_GET_FLUSHED, 1}}},
    };
    wire_counts_check(table, COUNT_OF(table), "ms k 1 E7\r\n1\r\n");
}

/* ── sizes ────────────────────────────────────────────────────────────────────────────────── */

/* Send `before`, a value of `value_bytes`, CR LF and `behind`. */
static void send_value(struct wire *wire, const char *before, size_t value_bytes,
                       const char *behind)
{
    struct out out;
    out_init(&out);
    out_put_str(&out, before);
    wire_value_put(&out, value_bytes);
    out_put_str(&out, "\r\n");
    out_put_str(&out, behind);
    assert_int_equal(wire_send(wire, bytes_of(out.buf, out.len)), out.len);
    out_fini(&out);
}

/* Values of all kinds of sizes come back as they went in, in the midst of others. */
static void test_value_sizes(void **state)
{
    (void)state;
    struct wire wire;
    assert_true(wire_open(&wire, &wire_config));
    wire.upload_from = WIRE_UPLOAD_FROM;
    wire_send(&wire, bytes_str("set s 0 0 1\r\n1\r\n"));
    for (size_t i = 0; i < COUNT_OF(wire_sizes); i++) {
        char line[64], head[64];
        wire_clear(&wire);
        snprintf(line, sizeof(line), "set a 0 0 %zu\r\n", wire_sizes[i]);
        send_value(&wire, line, wire_sizes[i], "get s a s\r\nmg a v k\r\n");
        snprintf(head, sizeof(head), "STORED\r\nVALUE s 0 1\r\n1\r\nVALUE a 0 %zu\r\n",
                 wire_sizes[i]);
        struct bytes got = wire_answer(&wire);
        assert_true(bytes_starts(got, bytes_str(head)));
        got = bytes_skip(got, strlen(head));
        wire_value_check(got.ptr, wire_sizes[i]);
        got = bytes_skip(got, wire_sizes[i]);
        snprintf(head, sizeof(head), "\r\nVALUE s 0 1\r\n1\r\nEND\r\nVA %zu ka\r\n", wire_sizes[i]);
        assert_true(bytes_starts(got, bytes_str(head)));
        assert_int_equal(got.len, strlen(head) + wire_sizes[i] + 2);
    }
    wire_close(&wire);
}

static void test_too_large(void **state)
{
    (void)state;
    static const struct {
        const char *line, *want;
    } table[] = {
        /* after a set, the old value is gone; other commands leave it (observed) */
        {"set a 0 0 2000000\r\n", "SERVER_ERROR object too large for cache\r\nEND\r\n"},
        {"set a 0 0 2000000 noreply\r\n", "END\r\n"},
        {"add a 0 0 2000000\r\n",
         "SERVER_ERROR object too large for cache\r\nVALUE a 0 1\r\n1\r\nEND\r\n"},
        {"ms a 2000000 q MA\r\n", "SERVER_ERROR object too large for cache\r\nEND\r\n"},
        {"set a x 0 2000000\r\n", FORMAT "VALUE a 0 1\r\n1\r\nEND\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(table) * 2; i++) {
        struct wire wire;
        assert_true(wire_open(&wire, &wire_config));
        wire.upload_from = i % 2 ? SIZE_MAX : WIRE_UPLOAD_FROM;
        wire_send(&wire, bytes_str("set a 0 0 1\r\n1\r\n"));
        wire_clear(&wire);
        send_value(&wire, table[i / 2].line, 2000000, "get a\r\n");
        const struct bytes got = wire_answer(&wire);
        if (!bytes_is(got, table[i / 2].want))
            fail_msg("%sgot\n%.*s", table[i / 2].line, (int)got.len, (const char *)got.ptr);
        wire_close(&wire);
    }
}

/* More answers than may wait: the request stops, is flushed and goes on where it was. */
static void test_many_keys(void **state)
{
    (void)state;
    enum { KEYS = 3000, VALUE_BYTES = 1000 };
    struct wire wire;
    assert_true(wire_open(&wire, &wire_config));
    struct out line;
    out_init(&line);
    out_put_str(&line, "get");
    for (int i = 0; i < KEYS; i++) {
        char text[64];
        snprintf(text, sizeof(text), "set key%d 0 0 %d noreply\r\n", i, VALUE_BYTES);
        if (i % 3 > 0)
            send_value(&wire, text, VALUE_BYTES, "");
        out_printf(&line, " key%d", i);
    }
    out_put_str(&line, "\r\n");
    wire_clear(&wire);
    assert_int_equal(wire_send(&wire, bytes_of(line.buf, line.len)), line.len);
    struct bytes got = wire_answer(&wire);
    for (int i = 0; i < KEYS; i++) {
        if (i % 3 == 0)
            continue;
        char head[64];
        snprintf(head, sizeof(head), "VALUE key%d 0 %d\r\n", i, VALUE_BYTES);
        assert_true(bytes_starts(got, bytes_str(head)));
        got = bytes_skip(got, strlen(head) + VALUE_BYTES + 2);
    }
    assert_true(bytes_is(got, "END\r\n"));
    assert_true(wire.flushes >= 7);
    uint64_t sum[STAT_ID_COUNT];
    stat_registry_sum(wire.registry, sum);
    assert_int_equal(sum[STAT_CMD_GET], KEYS);
    assert_int_equal(sum[STAT_GET_HITS], KEYS / 3 * 2);
    out_fini(&line);
    wire_close(&wire);
}

/* ── time ─────────────────────────────────────────────────────────────────────────────────── */

static void test_exptime(void **state)
{
    (void)state;
    struct wire wire;
    assert_true(wire_open(&wire, &wire_config));
    const int64_t wall = clock_wall_offset_s() + wire.ctx.now_s;
    char text[128];
    snprintf(text, sizeof(text),
             "set a 0 %lld 1\r\n1\r\nset b 0 %lld 1\r\n1\r\nmg a t\r\nmg b t\r\n",
             (long long)wall + 100, (long long)wall - 1);
    wire_send(&wire, bytes_str(text));
    wire_send(&wire, bytes_str("set c 0 2147483647 1\r\n1\r\nset d 0 10 1\r\n1\r\n"));
    assert_true(
        bytes_is(wire_answer(&wire), "STORED\r\nSTORED\r\nHD t100\r\nEN\r\nSTORED\r\nSTORED\r\n"));
    wire_clear(&wire);
    wire_pass(&wire, 9);
    wire_send(&wire, bytes_str("mg d t\r\n"));
    wire_pass(&wire, 1);
    wire_send(&wire, bytes_str("mg d t\r\nget c\r\n"));
    assert_true(bytes_is(wire_answer(&wire), "HD t1\r\nEN\r\nVALUE c 0 1\r\n1\r\nEND\r\n"));
    wire_close(&wire);
}

static void test_switches(void **state)
{
    (void)state;
    struct wire wire;
    assert_true(wire_open(&wire, &wire_config));
    wire.opts.disable_flush_all = true;
    wire.opts.enable_shutdown = true;
    wire_send(
        &wire,
        bytes_str(
            "flush_all\r\ndelete_prefix a\r\nmdp a q\r\nshutdown x\r\nshutdown g\r\nversion\r\n"));
    assert_true(wire.closed);
    assert_true(bytes_is(wire_answer(&wire), "CLIENT_ERROR flush_all not allowed\r\n"
                                             "CLIENT_ERROR delete_prefix not allowed\r\n"
                                             "CLIENT_ERROR delete_prefix not allowed\r\n"
                                             "CLIENT_ERROR invalid shutdown mode\r\n"));
    uint64_t sum[STAT_ID_COUNT];
    stat_registry_sum(wire.registry, sum);
    assert_int_equal(sum[STAT_CMD_FLUSH], 1);
    wire_close(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),      cmocka_unit_test(test_rows_uploaded),
        cmocka_unit_test(test_counters),  cmocka_unit_test(test_value_sizes),
        cmocka_unit_test(test_too_large), cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_exptime),   cmocka_unit_test(test_switches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
