/* Commands of the binary protocol on a store, without sockets: a row sends packets and expects
 * packets, both as lines (support/packet.h). Every row runs with values taken from the input and
 * with values uploaded in pieces.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

#include "support/packet.h"
#include "support/wire_test.h"

/* Rows are the outcomes seen on memcached 1.6.18, but for what 1.6.45's contract changes. */
static const struct wire_row rows[] = {
    {"set, get", "01 f:5 t:0 k:a v:abc o:9\n00 k:a o:1", "01 0 c o:9\n00 0 c o:1 f:5 v:abc\n"},
    {"getk", "01 f:5 t:0 k:a v:abc\n0c k:a\n0c k:b", "01 0 c\n0c 0 c f:5 k:a v:abc\n0c 1 k:b\n"},
    {"empty value", "01 f:0 t:0 k:a\n00 k:a", "01 0 c\n00 0 c f:0\n"},
    {"miss", "00 k:a\n09 k:a\n0d k:a\n0a", "00 1\n0a 0\n"},
    {"quiet hits", "11 f:1 t:0 k:a v:x\n09 k:a\n0d k:a", "09 0 c f:1 v:x\n0d 0 c f:1 k:a v:x\n"},
    {"add", "02 f:0 t:0 k:a v:1\n02 f:0 t:0 k:a v:2\n12 f:0 t:0 k:a v:2\n00 k:a",
     "02 0 c\n02 2\n12 2\n00 0 c f:0 v:1\n"},
    {"replace",
     "03 f:0 t:0 k:a v:1\n13 f:0 t:0 k:a v:1\n01 f:0 t:0 k:a v:1\n03 f:0 t:0 k:a v:2\n"
     "13 f:0 t:0 k:a v:3\n00 k:a",
     "03 1\n13 1\n01 0 c\n03 0 c\n00 0 c f:0 v:3\n"},
    {"append, prepend",
     "0e k:a v:x\n19 k:a v:x\n0f k:a v:x\n1a k:a v:x\n01 f:7 t:0 k:a v:b\n0e k:a v:c\n0f k:a v:a\n"
     "19 k:a v:d\n1a k:a v:_\n00 k:a",
     "0e 5\n19 5\n0f 5\n1a 5\n01 0 c\n0e 0 c\n0f 0 c\n00 0 c f:7 v:_abcd\n"},
    {"set with a CAS unique",
     "01 f:0 t:0 k:a v:1 c:5\n02 f:0 t:0 k:a v:1 c:5\n"
     "03 f:0 t:0 k:a v:1 c:5\n01 f:0 t:0 k:a v:1\n01 f:0 t:0 k:a v:2 c:5\n00 k:a",
     "01 1\n02 1\n03 1\n01 0 c\n01 2\n00 0 c f:0 v:1\n"},
    {"append with a CAS unique", "0e k:a v:1 c:5\n01 f:0 t:0 k:a v:1\n0e k:a v:2 c:5\n00 k:a",
     "0e 5\n01 0 c\n0e 2\n00 0 c f:0 v:1\n"},
    {"delete",
     "04 k:a\n14 k:a\n01 f:0 t:0 k:a v:1\n04 k:a c:5\n04 k:a\n11 f:0 t:0 k:a v:1\n"
     "14 k:a\n00 k:a",
     "04 1\n14 1\n01 0 c\n04 2\n04 0\n00 1\n"},
    {"touch", "1c t:5 k:a\n01 f:3 t:0 k:a v:1\n1c t:5 k:a\n00 k:a",
     "1c 1\n01 0 c\n1c 0 c f:3\n00 0 c f:3 v:1\n"},
    {"gat",
     "1d t:5 k:a\n1e t:5 k:a\n23 t:5 k:a\n24 t:5 k:a\n01 f:3 t:0 k:a v:1\n1d t:5 k:a\n"
     "1e t:5 k:a\n23 t:5 k:a\n24 t:5 k:a",
     "1d 1\n23 1 k:a\n01 0 c\n1d 0 c f:3 v:1\n1e 0 c f:3 v:1\n23 0 c f:3 k:a v:1\n"
     "24 0 c f:3 k:a v:1\n"},
    {"a value behind is the next packet", "1c t:0 k:a B:29\n0a", "1c 1\n0a 0\n"},
    {"no time is negative", "01 f:0 t:4294967295 k:a v:1\n00 k:a", "01 0 c\n00 0 c f:0 v:1\n"},
    {"exptime long past", "01 f:0 t:2592001 k:a v:1\n00 k:a", "01 0 c\n00 1\n"},
    {"numbers are text",
     "15 d:1 i:99 t:0 k:n\n00 k:n\n15 d:2 i:0 t:0 k:n\n00 k:n\n"
     "16 d:1000 i:0 t:0 k:n\n0c k:n",
     "00 0 c f:0 v:99\n00 0 c f:0 v:101\n0c 0 c f:0 k:n v:0  \n"},
    {"never create", "05 d:1 i:9 t:4294967295 k:n\n15 d:1 i:9 t:4294967295 k:n\n00 k:n",
     "05 1\n15 1\n00 1\n"},
    {"a wrong CAS unique", "15 d:1 i:9 t:0 k:n c:77\n05 d:1 i:9 t:0 k:n c:77\n00 k:n",
     "05 2\n00 0 c f:0 v:9\n"},
    {"increment of text", "01 f:0 t:0 k:a v:x\n05 d:1 i:0 t:0 k:a\n15 d:1 i:0 t:0 k:a",
     "01 0 c\n05 6\n15 6\n"},
    {"flush", "11 f:0 t:0 k:a v:1\n08\n00 k:a\n11 f:0 t:0 k:a v:1\n18 t:0\n09 k:a\n0a",
     "08 0\n00 1\n0a 0\n"},
    {"a flush to come", "11 f:0 t:0 k:a v:1\n08 t:100\n00 k:a", "08 0\n00 0 c f:0 v:1\n"},
    {"version", "0b o:3", "0b 0 o:3 v:1.6.45\n"},
    {"quit", "07\n0a", "07 0\n"},
    {"quitq", "17\n0a", ""},
    {"unknown", "1b\n30 f:1 k:a v:xyz\n0a", "1b 81\n30 81\n0a 0\n"},
    {"logins", "20\n21 k:PLAIN v:x\n22 k:PLAIN v:x\n0a", "20 81\n21 81\n22 81\n0a 0\n"},
    {"malformed", "0a\n00\n0a", "0a 0\n00 4\n"},
    {"malformed body", "0a\n00 k:a B:0\n0a", "0a 0\n00 81\n"},
    {"wrong magic", "0a\n0a m:81\n0a", "0a 0\n"},
    {"stat reset", "10 k:reset\n10 k:resetter\n10 k:rese", "10 0\n10 0\n10 1\n"},
    {"stat sizes", "10 k:sizes o:4\n10 k:sizesx",
     "10 0 o:4 k:sizes_status v:disabled\n10 0 o:4\n"
     "10 1\n"},
    {"stat for text alone", "10 k:conns\n10 k:cachedump\n10 k:x\n10 k:detail",
     "10 1\n10 1\n10 1\n"
     "10 1\n"},
    {"stat detail",
     "10 k:detail~on\n11 f:0 t:0 k:a:1 v:x\n19 k:a:1 v:x\n09 k:a:1\n09 k:a:2\n1e t:0 k:a:3\n"
     "15 d:1 i:1 t:0 k:a:4\n14 k:a:4\n10 k:detail~offx\n10 k:detail~dump o:5\n10 k:reset\n"
     "10 k:detail~dumpx",
     "10 0\n09 0 c f:0 v:xx\n10 0\n"
     "10 0 o:5 k:detailed v:PREFIX a get 3 hit 1 set 2 del 1\r\nEND\r\n\n10 0 o:5\n10 0\n"
     "10 0 k:detailed v:END\r\n\n10 0\n"},
};

/* What a row sends and gets are lines of packets. */
struct bytes wire_talk(struct wire *wire, const char *send, struct out *shown)
{
    struct out packets;
    out_init(&packets);
    packet_put_lines(&packets, send, 0);
    wire->binary = true;
    wire_clear(wire);
    wire_send(wire, bytes_of(packets.buf, packets.len));
    assert_true(packet_show(shown, wire_answer(wire)) != UINT64_MAX);
    out_fini(&packets);
    return bytes_of(shown->buf, shown->len);
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

/* ── CAS uniques ──────────────────────────────────────────────────────────────────────────── */

/* Every answer tells the CAS unique that the next request compares. */
static void test_compare(void **state)
{
    (void)state;
    static const struct {
        const char *send, *want;
    } steps[] = {
        {"01 f:1 t:0 k:a v:1", "01 0 c\n"},
        {"01 f:1 t:0 k:a v:2 c:*", "01 0 c\n"},
        {"02 f:1 t:0 k:a v:3 c:*", "02 0 c\n"},
        {"03 f:1 t:0 k:a v:4 c:*", "03 0 c\n"},
        {"0e k:a v:5 c:*", "0e 0 c\n"},
        {"0f k:a v:6 c:*", "0f 0 c\n"},
        {"0c k:a", "0c 0 c f:1 k:a v:645\n"},
        {"05 d:1 i:0 t:0 k:a c:*", "05 0 c v:\x00\x00\x00\x00\x00\x00\x02\x86\n"},
        {"1c t:0 k:a", "1c 0 c f:1\n"},
        {"06 d:1 i:0 t:0 k:a c:*", "06 0 c v:\x00\x00\x00\x00\x00\x00\x02\x85\n"},
        {"04 k:a c:*", "04 0\n"},
    };
    for (int uploaded = 0; uploaded < 2; uploaded++) {
        struct wire wire;
        uint64_t cas = 0;
        assert_true(wire_open(&wire, &wire_config));
        wire.binary = true;
        wire.upload_from = uploaded ? 0 : SIZE_MAX;
        for (size_t i = 0; i < COUNT_OF(steps); i++) {
            struct out packets, shown;
            out_init(&packets);
            out_init(&shown);
            packet_put_lines(&packets, steps[i].send, cas);
            wire_clear(&wire);
            wire_send(&wire, bytes_of(packets.buf, packets.len));
            cas = packet_show(&shown, wire_answer(&wire));
            const size_t want = i == 7 || i == 9 ? 18 : strlen(steps[i].want); /* has NULs */
            if (!bytes_equal(bytes_of(shown.buf, shown.len), bytes_of(steps[i].want, want)))
                fail_msg("%s: %.*s", steps[i].send, (int)shown.len, (const char *)shown.buf);
            out_fini(&packets);
            out_fini(&shown);
        }
        wire_close(&wire);
    }
}

/* ── counters ─────────────────────────────────────────────────────────────────────────────── */

static void test_counters(void **state)
{
    (void)state;
    static const struct wire_counts table[] = {
        /* observed 1.6.18; k exists */
        {"00 k:k\n0d k:k\n09 k:z", {{STAT_CMD_GET, 3}, {STAT_GET_HITS, 2}, {STAT_GET_MISSES, 1}}},
        {"1c t:0 k:k\n1e t:0 k:k\n23 t:0 k:z",
         {{STAT_CMD_TOUCH, 3}, {STAT_TOUCH_HITS, 2}, {STAT_TOUCH_MISSES, 1}}},
        {"11 f:0 t:0 k:z v:1\n02 f:0 t:0 k:z v:1\n19 k:k v:1", {{STAT_CMD_SET, 3}}},
        {"01 f:0 t:0 k:k v:1 c:99\n01 f:0 t:0 k:z v:1 c:99",
         {{STAT_CMD_SET, 2}, {STAT_CAS_BADVAL, 1}, {STAT_CAS_MISSES, 1}}},
        {"04 k:k c:99\n04 k:z\n14 k:k", {{STAT_DELETE_HITS, 1}, {STAT_DELETE_MISSES, 1}}},
        {"15 d:1 i:0 t:0 k:k\n15 d:1 i:0 t:0 k:z\n05 d:1 i:0 t:4294967295 k:y",
         {{STAT_INCR_HITS, 1}, {STAT_INCR_MISSES, 1}}},
        {"16 d:1 i:0 t:0 k:k\n16 d:1 i:0 t:0 k:z\n06 d:1 i:0 t:4294967295 k:y",
         {{STAT_DECR_HITS, 1}, {STAT_DECR_MISSES, 1}}},
        {"08\n18\n09 k:k",
         {{STAT_CMD_FLUSH, 2}, {STAT_CMD_GET, 1}, {STAT_GET_MISSES, 1}, {STAT_GET_FLUSHED, 1}}},
        {"0a\n0b\n1b\n10\n20", {{0}}},
    };
    wire_counts_check(table, COUNT_OF(table), "01 f:0 t:0 k:k v:1");
}

/* ── sizes ────────────────────────────────────────────────────────────────────────────────── */

/* Send `head` with a value of `value_bytes` and the packets of `behind`. */
static void send_value(struct wire *wire, const char *head, size_t value_bytes, const char *behind)
{
    struct out out;
    out_init(&out);
    char line[96];
    const unsigned extras = strstr(head, "f:") != NULL ? 8 : 0;
    (void)snprintf(line, sizeof(line), "%s B:%zu", head, extras + 1 + value_bytes);
    packet_put(&out, bytes_str(line), 0);
    wire_value_put(&out, value_bytes);
    packet_put_lines(&out, behind, 0);
    assert_int_equal(wire_send(wire, bytes_of(out.buf, out.len)), out.len);
    out_fini(&out);
}

/* Values of all kinds of sizes come back as they went in, in the midst of others. */
static void test_value_sizes(void **state)
{
    (void)state;
    struct wire wire;
    assert_true(wire_open(&wire, &wire_config));
    wire.binary = true;
    wire.upload_from = WIRE_UPLOAD_FROM;
    for (size_t i = 0; i < COUNT_OF(wire_sizes); i++) {
        wire_clear(&wire);
        send_value(&wire, "01 f:3 t:0 k:a", wire_sizes[i], "00 k:b\n0c k:a\n0a o:1");
        const struct bytes got = wire_answer(&wire);
        const size_t before = 24 + 24 + 9; /* the set, and the miss with its text */
        assert_int_equal(got.len, before + 24 + 4 + 1 + wire_sizes[i] + 24);
        const uint8_t *hit = got.ptr + before;
        assert_int_equal(be_read_u32(hit + 8), 4 + 1 + wire_sizes[i]);
        assert_memory_equal(hit + 24, "\0\0\0\3a", 5);
        wire_value_check(hit + 29, wire_sizes[i]);
        assert_int_equal(hit[29 + wire_sizes[i] + 1], 0x0a);
    }
    wire_close(&wire);
}

static void test_too_large(void **state)
{
    (void)state;
    static const struct {
        const char *head, *want;
    } table[] = {
        /* after a set, the old value is gone; other commands leave it (observed) */
        {"01 f:0 t:0 k:a", "01 3\n00 1\n"},           {"11 f:0 t:0 k:a", "11 3\n00 1\n"},
        {"01 f:0 t:0 k:a c:9", "01 3\n00 1\n"},       {"02 f:0 t:0 k:a", "02 3\n00 0 c f:0 v:1\n"},
        {"03 f:0 t:0 k:a", "03 3\n00 0 c f:0 v:1\n"}, {"0e k:a", "0e 3\n00 0 c f:0 v:1\n"},
        {"5f k:a", "5f 81\n00 0 c f:0 v:1\n"},
    };
    for (size_t i = 0; i < COUNT_OF(table) * 2; i++) {
        struct wire wire;
        struct out shown;
        out_init(&shown);
        assert_true(wire_open(&wire, &wire_config));
        wire.binary = true;
        (void)wire_talk(&wire, "01 f:0 t:0 k:a v:1", &shown);
        out_reset(&shown);
        wire_clear(&wire);
        wire.upload_from = i % 2 ? SIZE_MAX : WIRE_UPLOAD_FROM;
        send_value(&wire, table[i / 2].head, 2000000, "00 k:a");
        assert_true(packet_show(&shown, wire_answer(&wire)) != UINT64_MAX);
        if (!bytes_is(bytes_of(shown.buf, shown.len), table[i / 2].want))
            fail_msg("%s: %.*s", table[i / 2].head, (int)shown.len, (const char *)shown.buf);
        out_fini(&shown);
        wire_close(&wire);
    }
}

/* An item that fits, and would not with what is appended: memcached calls that not stored. */
static void test_outgrown(void **state)
{
    (void)state;
    struct wire wire;
    struct out shown;
    out_init(&shown);
    assert_true(wire_open(&wire, &wire_config));
    wire.binary = true;
    send_value(&wire, "01 f:0 t:0 k:a", 600000, "");
    wire_clear(&wire);
    send_value(&wire, "0e k:a", 600000, "");
    (void)packet_show(&shown, wire_answer(&wire));
    assert_true(bytes_is(bytes_of(shown.buf, shown.len), "0e 5\n"));
    out_fini(&shown);
    wire_close(&wire);
}

/* ── keys and switches ────────────────────────────────────────────────────────────────────── */

/* A key of any bytes is one key in all protocols; text can name it in base64. */
static void test_any_key(void **state)
{
    (void)state;
    struct wire wire;
    assert_true(wire_open(&wire, &wire_config));
    wire.binary = true;
    uint8_t packet[24 + 8 + 6 + 1] = {0x80, 0x11, 0, 6, 8, 0, 0, 0, 0, 0, 0, 15};
    memcpy(packet + 32, "a \0\n\r\xff!", 7);
    wire_send(&wire, bytes_of(packet, sizeof(packet)));
    wire.binary = false;
    wire_send(&wire, bytes_str("mg YSAACg3/ b v\r\nget a\r\nmg YSAACg3/ b k\r\n"));
    assert_true(bytes_is(wire_answer(&wire), "VA 1\r\n!\r\nEND\r\nHD kYSAACg3/ b\r\n"));
    wire_close(&wire);
}

static void test_switches(void **state)
{
    (void)state;
    struct wire wire;
    struct out shown;
    out_init(&shown);
    assert_true(wire_open(&wire, &wire_config));
    wire.binary = true;
    wire.opts.disable_flush_all = true;
    wire.ctx.prefixes = NULL;
    const struct bytes got =
        wire_talk(&wire, "08\n18 t:0\n10 k:detail~on\n10 k:detail~dump", &shown);
    assert_true(bytes_is(got, "08 20\n18 20\n10 1\n10 1\n"));
    uint64_t sum[STAT_ID_COUNT];
    stat_registry_sum(wire.registry, sum);
    assert_int_equal(sum[STAT_CMD_FLUSH], 2);
    out_fini(&shown);
    wire_close(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),        cmocka_unit_test(test_rows_uploaded),
        cmocka_unit_test(test_compare),     cmocka_unit_test(test_counters),
        cmocka_unit_test(test_value_sizes), cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_outgrown),    cmocka_unit_test(test_any_key),
        cmocka_unit_test(test_switches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
