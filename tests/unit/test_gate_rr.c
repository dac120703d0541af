/* test_gate_rr.c — the verdict on a datagram: a table per rule, and random ones that must never
 * draw more than they bring.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <stdio.h>
#include <stdlib.h>

#include "gate/rr.h"
#include "proto/compose.h"
#include "support/kit.h"
#include "support/rr_check.h"

enum { NOW = 1700000000, ROOM = 66000 };

static const struct gate_cookie_keys keys = {.current = {{1, 2}}, .previous = {{3, 4}}};

/* A datagram in the making: a proven `get k` by default. */
struct sent {
    struct gate_rr_datagram in;
    struct gate_rr_policy policy;
    struct proto_udp frame;
    int32_t age_s; /* of the cookie */
    const char *payload;
    size_t payload_bytes;
};

struct result {
    struct gate_rr_verdict arrived, verdict; /* the same unless it was read */
    struct proto_udp frame;
    struct proto_request req;
};

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_true(ip_parse(bytes_str(text), &ip));
    return ip;
}

static struct sent proven(const char *payload)
{
    return (struct sent){
        .in = {.ends = {.client = {.ip = ip_of("192.0.2.7"), .port = 40000},
                        .server = {.ip = ip_of("192.0.2.1"), .port = 11222}},
               .destination_ours = true},
        .policy = {.serves = GATE_RR_PROVEN, .answer_bytes_max = GATE_RR_ANSWER_BYTES_DEFAULT},
        .frame = {.request = 1,
                  .total = 1,
                  .kind = PROTO_UDP_PROVEN,
                  .cookie = {.nonce = {1, 2, 3}}},
        .payload = payload,
        .payload_bytes = strlen(payload),
    };
}

static struct sent legacy(const char *payload, uint8_t serves)
{
    struct sent sent = proven(payload);
    sent.frame.kind = PROTO_UDP_LEGACY;
    sent.policy.serves = serves;
    return sent;
}

/* The request points into the datagram, which is freed: only its cmd and error are looked at. */
static struct result judge_bytes(struct sent *sent, struct bytes bytes)
{
    struct result result;
    sent->in.bytes = bytes;
    result.arrived = gate_rr_arrive(&sent->policy, &keys, (uint32_t)NOW, &sent->in, &result.frame);
    result.verdict = result.arrived;
    if (result.arrived.action == GATE_RR_READ)
        result.verdict =
            gate_rr_read(&sent->policy, &result.arrived, result.frame.payload, &result.req);
    return result;
}

/* Judge a copy of exactly its size. */
static struct result judge(struct sent sent)
{
    uint8_t *bytes = malloc(PROTO_UDP_FRAME_BYTES + sent.payload_bytes);
    assert_non_null(bytes);
    gate_cookie_make(&keys, &sent.in.ends, (uint32_t)(NOW - sent.age_s), &sent.frame.cookie);
    uint8_t *end = proto_udp_write(bytes, &sent.frame);
    memcpy(end, sent.payload, sent.payload_bytes);
    end += sent.payload_bytes;
    uint8_t *exact = malloc((size_t)(end - bytes));
    assert_non_null(exact);
    memcpy(exact, bytes, (size_t)(end - bytes));
    const struct result result = judge_bytes(&sent, bytes_of(exact, (size_t)(end - bytes)));
    free(exact);
    free(bytes);
    return result;
}

static void expect(struct sent sent, enum gate_rr_action action, enum gate_rr_reason reason)
{
    const struct result result = judge(sent);
    assert_string_equal(gate_rr_reason_name(result.verdict.reason), gate_rr_reason_name(reason));
    assert_int_equal(result.verdict.action, action);
    if (action == GATE_RR_DROP)
        assert_int_equal(result.verdict.ip_bytes_max, 0);
    else
        assert_true(result.verdict.ip_bytes_max > 0);
}

static void drops(struct sent sent, enum gate_rr_reason reason)
{
    expect(sent, GATE_RR_DROP, reason);
}

static void serves(struct sent sent)
{
    expect(sent, GATE_RR_SERVE, GATE_RR_REASON_NONE);
}

/* ── R1: cookies and challenges ───────────────────────────────────────────────────────────── */

static void cookies(void **state)
{
    (void)state;
    static const struct {
        int32_t age_s;
        enum gate_rr_action action;
        enum gate_rr_reason reason;
    } rows[] = {
        {0, GATE_RR_SERVE, GATE_RR_REASON_NONE},
        {1800, GATE_RR_SERVE, GATE_RR_REASON_NONE},
        {1801, GATE_RR_SERVE_AND_RENEW, GATE_RR_REASON_NONE},
        {3600, GATE_RR_SERVE_AND_RENEW, GATE_RR_REASON_NONE},
        {3601, GATE_RR_CHALLENGE, GATE_RR_REASON_COOKIE_EXPIRED},
        {-300, GATE_RR_SERVE, GATE_RR_REASON_NONE},
        {-301, GATE_RR_CHALLENGE, GATE_RR_REASON_COOKIE_FUTURE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sent sent = proven("get k\r\n");
        sent.age_s = rows[i].age_s;
        expect(sent, rows[i].action, rows[i].reason);
    }
}

/* A challenge is as long as the shortest datagram that draws one. */
static void challenges(void **state)
{
    (void)state;
    static const struct {
        const char *client, *server;
        unsigned in;
    } rows[] = {{"192.0.2.7", "192.0.2.1", 60}, {"2001:db8::7", "2001:db8::1", 80}};
    static const char *const payloads[] = {"", "get k\r\n", "not a command"};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (size_t p = 0; p < COUNT_OF(payloads); p++) {
            struct sent sent = proven(payloads[p]);
            sent.in.ends.client.ip = ip_of(rows[i].client);
            sent.in.ends.server.ip = ip_of(rows[i].server);
            sent.age_s = 4000;
            struct result result = judge(sent);
            assert_int_equal(result.verdict.action, GATE_RR_CHALLENGE);
            assert_int_equal(result.verdict.ip_bytes_in, rows[i].in + strlen(payloads[p]));
            assert_int_equal(result.verdict.ip_bytes_max, rows[i].in);
            sent.frame.kind = PROTO_UDP_HELLO;
            result = judge(sent);
            assert_int_equal(result.verdict.action, GATE_RR_CHALLENGE);
            assert_int_equal(result.verdict.reason, GATE_RR_REASON_HELLO);
            assert_int_equal(result.verdict.ip_bytes_max, rows[i].in);
        }
}

/* A cookie does nothing anywhere else. */
static void forged(void **state)
{
    (void)state;
    struct sent sent = proven("get k\r\n");
    uint8_t bytes[64];
    gate_cookie_make(&keys, &sent.in.ends, NOW, &sent.frame.cookie);
    uint8_t *end = proto_udp_write(bytes, &sent.frame);
    memcpy(end, "get k\r\n", 7);
    const struct bytes datagram = bytes_of(bytes, (size_t)(end + 7 - bytes));
    assert_int_equal(judge_bytes(&sent, datagram).verdict.action, GATE_RR_SERVE);
    sent.in.ends.client.ip = ip_of("192.0.2.8");
    struct result result = judge_bytes(&sent, datagram);
    assert_int_equal(result.verdict.action, GATE_RR_CHALLENGE);
    assert_int_equal(result.verdict.reason, GATE_RR_REASON_COOKIE_FORGED);
    sent = proven("get k\r\n");
    sent.in.ends.client.port++;
    assert_int_equal(judge_bytes(&sent, datagram).verdict.action, GATE_RR_CHALLENGE);
    sent = proven("get k\r\n");
    bytes[31] ^= 1;
    assert_int_equal(judge_bytes(&sent, datagram).verdict.action, GATE_RR_CHALLENGE);
}

/* ── R3: what is never answered ───────────────────────────────────────────────────────────── */

static void source_ports(void **state)
{
    (void)state;
    static const uint16_t bad[] = {0,   7,   9,   17,  19,   53,   69,    111,
                                   123, 137, 161, 389, 1900, 5353, 11211, 11222};
    static const uint16_t good[] = {1, 8, 54, 1024, 11210, 40000, 65535};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct sent sent = proven("get k\r\n"); /* a good cookie does not help */
        sent.in.ends.client.port = bad[i];
        drops(sent, GATE_RR_REASON_SOURCE_PORT);
        sent.frame.kind = PROTO_UDP_HELLO;
        drops(sent, GATE_RR_REASON_SOURCE_PORT);
        sent = legacy("get k\r\n", GATE_RR_OPEN);
        sent.in.ends.client.port = bad[i];
        drops(sent, GATE_RR_REASON_SOURCE_PORT);
    }
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct sent sent = proven("get k\r\n");
        sent.in.ends.client.port = good[i];
        serves(sent);
    }
}

static void source_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *client, *server;
        bool ours, link_local;
        enum gate_rr_reason reason;
    } rows[] = {
        {"0.0.0.0", "192.0.2.1", false, false, GATE_RR_REASON_SOURCE},
        {"::", "2001:db8::1", false, false, GATE_RR_REASON_SOURCE},
        {"255.255.255.255", "192.0.2.1", false, false, GATE_RR_REASON_SOURCE},
        {"224.0.0.1", "192.0.2.1", false, false, GATE_RR_REASON_SOURCE},
        {"239.255.255.255", "192.0.2.1", false, false, GATE_RR_REASON_SOURCE},
        {"ff02::1", "2001:db8::1", false, false, GATE_RR_REASON_SOURCE},
        {"192.0.2.1", "192.0.2.1", true, false, GATE_RR_REASON_SOURCE},
        {"127.0.0.1", "192.0.2.1", false, false, GATE_RR_REASON_SOURCE},
        {"127.0.0.1", "192.0.2.1", true, false, GATE_RR_REASON_SOURCE},
        {"::1", "2001:db8::1", false, false, GATE_RR_REASON_SOURCE},
        {"192.0.2.1", "127.0.0.1", true, false, GATE_RR_REASON_SOURCE},
        {"127.0.0.1", "127.0.0.1", true, false, GATE_RR_REASON_NONE},
        {"127.9.9.9", "127.0.0.1", false, false, GATE_RR_REASON_NONE},
        {"::1", "::1", true, false, GATE_RR_REASON_NONE},
        {"169.254.3.4", "192.0.2.1", false, false, GATE_RR_REASON_LINK_LOCAL},
        {"fe80::3", "2001:db8::1", false, false, GATE_RR_REASON_LINK_LOCAL},
        {"fe80::3", "fe80::1", false, true, GATE_RR_REASON_NONE},
        {"10.0.0.1", "192.0.2.1", false, false, GATE_RR_REASON_NONE},
        {"2001:db8::7", "2001:db8::1", false, false, GATE_RR_REASON_NONE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sent sent = proven("get k\r\n");
        sent.in.ends.client.ip = ip_of(rows[i].client);
        sent.in.ends.server.ip = ip_of(rows[i].server);
        sent.in.source_ours = rows[i].ours;
        sent.policy.link_local = rows[i].link_local;
        if (rows[i].reason == GATE_RR_REASON_NONE)
            serves(sent);
        else
            drops(sent, rows[i].reason);
        sent.in.destination_ours = false;
        drops(sent, GATE_RR_REASON_DESTINATION);
    }
}

static void answers_as_requests(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        "VALUE k 0 1\r\nx\r\nEND\r\n",
        "END\r\n",
        "STORED\r\n",
        "STAT pid 1\r\n",
        "ERROR\r\n",
        "CLIENT_ERROR bad\r\n",
        "SERVER_ERROR x\r\n",
        "HD\r\n",
        "VA 1\r\nx\r\n",
        "EN\r\n",
        "\x81\x00\x00\x00",
        "NOT_FOUND\r\n",
        "NOT_STORED\r\n",
        "EXISTS\r\n",
        "DELETED\r\n",
        "TOUCHED\r\n",
        "OK\r\n",
        "RESET\r\n",
        "VERSION 1.6.45\r\n",
        "NS\r\n",
        "EX\r\n",
        "NF\r\n",
        "MN\r\n",
        "ME k exp=-1\r\n",
        "12\r\n",
        "BUSY x\r\n",
        "BADCLASS x\r\n",
        "VALUE",
        "\x81",
    };
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct sent sent = proven(shapes[i]);
        drops(sent, GATE_RR_REASON_ANSWER_SHAPED);
        sent.frame.kind = PROTO_UDP_HELLO;
        drops(sent, GATE_RR_REASON_ANSWER_SHAPED);
        drops(legacy(shapes[i], GATE_RR_OPEN | GATE_RR_MISS), GATE_RR_REASON_ANSWER_SHAPED);
    }
    /* Every fixed answer of ours, too. */
    for (size_t i = 0; i < PROTO_REPLY_COUNT; i++)
        if (strcmp(proto_reply_texts[i], "MISS") != 0) /* of the test build */
            drops(legacy(proto_reply_texts[i], GATE_RR_OPEN), GATE_RR_REASON_ANSWER_SHAPED);
    struct sent sent = proven("get k\r\n"); /* the nonce is the client's, whatever it looks like */
    memcpy(sent.frame.cookie.nonce, "VALUE k ", 8);
    serves(sent);
}

/* ── R4 and the frame ─────────────────────────────────────────────────────────────────────── */

static void frames(void **state)
{
    (void)state;
    struct sent sent = proven("get k\r\n");
    sent.frame.sequence = 1;
    drops(sent, GATE_RR_REASON_SEQUENCE);
    sent.frame.sequence = 0;
    sent.frame.total = 0;
    drops(sent, GATE_RR_REASON_SEQUENCE);
    sent.frame.total = 2;
    drops(sent, GATE_RR_REASON_SEQUENCE);
    sent.frame.total = 1;
    sent.frame.kind = PROTO_UDP_CHALLENGE;
    drops(sent, GATE_RR_REASON_LOOP);
    sent.frame.kind = PROTO_UDP_FRESH;
    drops(sent, GATE_RR_REASON_LOOP);
    sent.frame.kind = 1;
    drops(sent, GATE_RR_REASON_KIND);
    static const uint8_t bytes[PROTO_UDP_FRAME_BYTES] = {0, 1, 0, 0, 0, 1, 0xce, 1};
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        const struct result result = judge_bytes(&sent, bytes_of(bytes, len));
        assert_int_equal(result.verdict.action, GATE_RR_DROP);
        assert_int_equal(result.verdict.reason, len < PROTO_UDP_HEADER_BYTES
                                                    ? GATE_RR_REASON_SHORT
                                                    : GATE_RR_REASON_EXTENSION);
    }
}

/* One whole command and nothing else; cut at every byte it is none. */
static void commands_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } rows[] = {
#define ROW(text) {text, sizeof(text) - 1}
        ROW("get k\r\n"),
        ROW("get k\n"),
        ROW("gets a b c\r\n"),
        ROW("mg k v s\r\n"),
        ROW("mn\r\n"),
        ROW("version\r\n"),
        ROW("set k 0 0 3\r\nabc\r\n"),
        ROW("set k 0 0 3 noreply\r\nabc\r\n"),
        ROW("set k 0 0 0\r\n\r\n"),
        ROW("ms k 3\r\nabc\r\n"),
        ROW("delete k\r\n"),
        ROW("\x80\x00\x00\x01\0\0\0\0\0\0\0\x01"
            "abcd\0\0\0\0\0\0\0\0k"),
        ROW("\x80\x01\x00\x01\x08\0\0\0\0\0\0\x0c"
            "abcd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0kxyz"),
#undef ROW
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sent sent = proven(rows[i].text);
        sent.policy.writes = true;
        for (size_t len = 0; len < rows[i].len; len++) {
            sent.payload_bytes = len;
            drops(sent, GATE_RR_REASON_MALFORMED);
        }
        sent.payload_bytes = rows[i].len;
        serves(sent);
        char twice[256];
        memcpy(twice, rows[i].text, rows[i].len);
        memcpy(twice + rows[i].len, rows[i].text, rows[i].len);
        sent.payload = twice;
        sent.payload_bytes = rows[i].len * 2;
        drops(sent, GATE_RR_REASON_MALFORMED);
        sent.payload_bytes = rows[i].len + 1;
        drops(sent, GATE_RR_REASON_MALFORMED);
    }
    static const char *const bad[] = {
        "set k 0 0 3\r\nabcde",
        "set k 0 0 2147483647\r\nabc\r\n",
        "set k 0 0 4294967295\r\nabc\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct sent sent = proven(bad[i]);
        sent.policy.writes = true;
        drops(sent, GATE_RR_REASON_MALFORMED);
    }
}

/* ── R5: keys ─────────────────────────────────────────────────────────────────────────────── */

static void keys_of(char *text, const char *verb, unsigned count, unsigned same)
{
    text += sprintf(text, "%s", verb);
    for (unsigned i = 0; i < count; i++)
        text += sprintf(text, " key%u", same != 0 && i == count - 1 ? same - 1 : i);
    (void)sprintf(text, "\r\n");
}

static void key_counts(void **state)
{
    (void)state;
    static const char *const verbs[] = {"get", "gets", "gat 60", "gats 60"};
    char text[4096];
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        struct sent sent;
        for (unsigned count = 1; count <= GATE_RR_KEYS_MAX; count++) {
            keys_of(text, verbs[i], count, 0);
            sent = proven(text);
            sent.policy.writes = true;
            serves(sent);
            if (count == 1)
                continue;
            for (unsigned same = 1; same < count; same++) {
                keys_of(text, verbs[i], count, same);
                sent = proven(text);
                sent.policy.writes = true;
                expect(sent, GATE_RR_REFUSE, GATE_RR_REASON_REPEAT);
            }
        }
        keys_of(text, verbs[i], GATE_RR_KEYS_MAX + 1, 0);
        sent = proven(text);
        sent.policy.writes = true;
        expect(sent, GATE_RR_REFUSE, GATE_RR_REASON_KEYS);
        sent = legacy(text, GATE_RR_OPEN);
        sent.policy.writes = true;
        drops(sent, GATE_RR_REASON_KEYS);
    }
}

/* ── R6: verbs ────────────────────────────────────────────────────────────────────────────── */

/* Every word of the table, with arguments that make it whole. */
static void verbs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum gate_rr_reason reason, writes; /* without and with the option */
    } rows[] = {
        {"get k\r\n", 0, 0},
        {"gets k\r\n", 0, 0},
        {"mg k v\r\n", 0, 0},
        {"mg k E9\r\n", 0, 0},
        {"mg k R30 v\r\n", 0, 0},
        {"mn\r\n", 0, 0},
        {"version\r\n", 0, 0},
        {"gat 0 k\r\n", GATE_RR_REASON_WRITE, 0},
        {"gats 0 k\r\n", GATE_RR_REASON_WRITE, 0},
        {"mg k T30\r\n", GATE_RR_REASON_WRITE, 0},
        {"mg k N30\r\n", GATE_RR_REASON_WRITE, 0},
        {"mg k N30 E9\r\n", GATE_RR_REASON_WRITE, 0},
        {"set k 0 0 1\r\nx\r\n", GATE_RR_REASON_WRITE, 0},
        {"ms k 1\r\nx\r\n", GATE_RR_REASON_WRITE, 0},
        {"touch k 0\r\n", GATE_RR_REASON_WRITE, 0},
        {"delete k\r\n", GATE_RR_REASON_WRITE, 0},
        {"md k\r\n", GATE_RR_REASON_WRITE, 0},
        {"delete_prefix k\r\n", GATE_RR_REASON_WRITE, 0},
        {"mdp k\r\n", GATE_RR_REASON_WRITE, 0},
        {"ma k\r\n", GATE_RR_REASON_WRITE, 0},
        {"incr k 1\r\n", GATE_RR_REASON_WRITE, 0},
        {"decr k 1\r\n", GATE_RR_REASON_WRITE, 0},
#define NEVER(text) {text, GATE_RR_REASON_VERB, GATE_RR_REASON_VERB}
        NEVER("add k 0 0 1\r\nx\r\n"),
        NEVER("replace k 0 0 1\r\nx\r\n"),
        NEVER("append k 0 0 1\r\nx\r\n"),
        NEVER("prepend k 0 0 1\r\nx\r\n"),
        NEVER("cas k 0 0 1 9\r\nx\r\n"),
        NEVER("me k\r\n"),
        NEVER("quit\r\n"),
        NEVER("stats\r\n"),
        NEVER("stats items\r\n"),
        NEVER("flush_all\r\n"),
        NEVER("verbosity 1\r\n"),
        NEVER("cache_memlimit 64\r\n"),
        NEVER("shutdown\r\n"),
        NEVER("refresh_certs\r\n"),
        NEVER("config get *\r\n"),
        NEVER("config set verbose 1\r\n"),
        NEVER("slabs reassign 1 2\r\n"),
        NEVER("lru mode flat\r\n"),
        NEVER("lru_crawler metadump all\r\n"),
        NEVER("watch\r\n"),
#undef NEVER
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (int writes = 0; writes < 2; writes++) {
            const enum gate_rr_reason want = writes ? rows[i].writes : rows[i].reason;
            struct sent sent = proven(rows[i].text);
            sent.policy.writes = writes;
            if (want == GATE_RR_REASON_NONE)
                serves(sent);
            else
                expect(sent, GATE_RR_REFUSE, want);
            sent = legacy(rows[i].text, GATE_RR_OPEN);
            sent.policy.writes = writes;
            if (want == GATE_RR_REASON_NONE)
                expect(sent, GATE_RR_SERVE, GATE_RR_REASON_LEGACY_SERVED);
            else
                drops(sent, want);
        }
}

/* Every opcode; those that are not named here are unknown, and answered so. */
static void opcodes(void **state)
{
    (void)state;
    enum { NEVER = 1, READ, WRITE };
    static const uint8_t kinds[256] = {
        [0x00] = READ,  [0x09] = READ,  [0x0c] = READ,  [0x0d] = READ,  [0x0a] = READ,
        [0x0b] = READ,  [0x01] = WRITE, [0x11] = WRITE, [0x04] = WRITE, [0x14] = WRITE,
        [0x05] = WRITE, [0x15] = WRITE, [0x06] = WRITE, [0x16] = WRITE, [0x1c] = WRITE,
        [0x1d] = WRITE, [0x1e] = WRITE, [0x23] = WRITE, [0x24] = WRITE, [0x02] = NEVER,
        [0x12] = NEVER, [0x03] = NEVER, [0x13] = NEVER, [0x0e] = NEVER, [0x19] = NEVER,
        [0x0f] = NEVER, [0x1a] = NEVER, [0x07] = NEVER, [0x17] = NEVER, [0x08] = NEVER,
        [0x18] = NEVER, [0x10] = NEVER, [0x20] = NEVER, [0x21] = NEVER, [0x22] = NEVER,
    };
    /* Extras of 0, 4, 8 and 20 bytes, with a key and without: one of them is right. */
    static const uint8_t extras[] = {0, 4, 8, 20};
    unsigned whole = 0;
    for (unsigned op = 0; op < 256; op++)
        for (unsigned shape = 0; shape < 16; shape++) {
            uint8_t packet[64] = {0x80, (uint8_t)op};
            packet[3] = shape & 1;
            packet[4] = extras[shape >> 1 & 3];
            packet[11] = (uint8_t)(packet[3] + packet[4] + (shape >> 3));
            memset(packet + 24 + packet[4], 'k', 2);
            struct sent sent = proven("");
            sent.payload = (const char *)packet;
            sent.payload_bytes = 24u + packet[11];
            const struct result result = judge(sent);
            if (result.verdict.reason == GATE_RR_REASON_MALFORMED ||
                result.req.cmd == PROTO_CMD_BIN_NONE)
                continue;
            whole++;
            switch (kinds[op]) {
            case READ:
                serves(sent);
                break;
            case WRITE:
                expect(sent, GATE_RR_REFUSE, GATE_RR_REASON_WRITE);
                sent.policy.writes = true;
                serves(sent);
                break;
            default:
                assert_int_equal(kinds[op], NEVER);
                expect(sent, GATE_RR_REFUSE, GATE_RR_REASON_VERB);
            }
        }
    assert_true(whole >= 35); /* each of them at least once */
}

/* Refusals are a line or a status for who has proved itself, and fit what they promise. */
static void refusals(void **state)
{
    (void)state;
    for (enum gate_rr_reason reason = 1; reason < GATE_RR_REASON_COUNT; reason++) {
        const char *text = gate_rr_reason_text(reason);
        assert_true(strlen(gate_rr_reason_name(reason)) > 0);
        assert_true(strcmp(event_name(gate_rr_reason_event(reason)), "") != 0);
        assert_true((text[0] != '\0') == (gate_rr_reason_status(reason) != PROTO_STATUS_OK));
        if (text[0] != '\0')
            assert_int_equal(strncmp(text, "SERVER_ERROR ", 13), 0);
    }
    assert_non_null(strstr(gate_rr_reason_text(GATE_RR_REASON_ANSWER_LONG), "TCP"));
    struct result result = judge(proven("stats\r\n"));
    assert_int_equal(result.verdict.ip_bytes_max,
                     28 + 8 + strlen(gate_rr_reason_text(GATE_RR_REASON_VERB)) + 2);
    struct sent sent = proven("set k 0 0 1 noreply\r\nx\r\n");
    drops(sent, GATE_RR_REASON_WRITE);
    result = judge(proven("get k\r\n"));
    struct gate_rr_verdict refused =
        gate_rr_refuse(&result.verdict, &result.req, GATE_RR_REASON_BUDGET);
    assert_int_equal(refused.action, GATE_RR_REFUSE);
    result = judge(legacy("get k\r\n", GATE_RR_OPEN));
    refused = gate_rr_refuse(&result.verdict, &result.req, GATE_RR_REASON_BUDGET);
    assert_int_equal(refused.action, GATE_RR_DROP);
}

/* ── R2, R7: answers ──────────────────────────────────────────────────────────────────────── */

static enum gate_rr_reason answer(const struct gate_rr_verdict *verdict, const char *text)
{
    return gate_rr_answer(verdict, bytes_str(text), strlen(text));
}

static void answers(void **state)
{
    (void)state;
    struct sent sent = proven("get k\r\n");
    sent.policy.answer_bytes_max = 100;
    struct gate_rr_verdict verdict = judge(sent).verdict;
    assert_int_equal(gate_rr_answer(&verdict, bytes_str("END\r\n"), 100), GATE_RR_REASON_NONE);
    assert_int_equal(gate_rr_answer(&verdict, bytes_str("END\r\n"), 101),
                     GATE_RR_REASON_ANSWER_LONG);
    assert_int_equal(answer(&verdict, "SERVER_ERROR something or other\r\n"), GATE_RR_REASON_NONE);
    /* Who is served unproven gets errors that are shorter than the request. */
    verdict = judge(legacy("get k\r\n", GATE_RR_OPEN)).verdict;
    assert_int_equal(answer(&verdict, "ERROR\r\n"), GATE_RR_REASON_ERROR_LONG);
    assert_int_equal(answer(&verdict, "SERVER_ERROR out of memory\r\n"), GATE_RR_REASON_ERROR_LONG);
    assert_int_equal(answer(&verdict, "VALUE k 0 1\r\nx\r\nEND\r\n"), GATE_RR_REASON_NONE);
    verdict = judge(legacy("get kk\r\n", GATE_RR_OPEN)).verdict;
    assert_int_equal(answer(&verdict, "ERROR\r\n"), GATE_RR_REASON_NONE);
    assert_int_equal(answer(&verdict, "CLIENT_ERROR\r\n"), GATE_RR_REASON_ERROR_LONG);
    drops(legacy("foo\r\n", GATE_RR_OPEN), GATE_RR_REASON_ERROR_LONG);
    drops(legacy("foooo\r\n", GATE_RR_OPEN), GATE_RR_REASON_ERROR_LONG); /* as long as ERROR */
    expect(legacy("fooooo\r\n", GATE_RR_OPEN), GATE_RR_SERVE, GATE_RR_REASON_LEGACY_SERVED);
    expect(legacy("foo bar\r\n", GATE_RR_OPEN), GATE_RR_SERVE, GATE_RR_REASON_LEGACY_SERVED);
    drops(legacy("get\r\n", GATE_RR_OPEN), GATE_RR_REASON_ERROR_LONG);
    /* Binary: a miss is none. */
    uint8_t head[24] = {0x81, 0, 0, 0, 0, 0, 0, 1};
    verdict = judge(legacy("get k\r\n", GATE_RR_OPEN)).verdict;
    assert_int_equal(gate_rr_answer(&verdict, bytes_of(head, 24), 33), GATE_RR_REASON_NONE);
    head[7] = 0x82;
    assert_int_equal(gate_rr_answer(&verdict, bytes_of(head, 24), 33), GATE_RR_REASON_ERROR_LONG);
    serves(proven("foo\r\n")); /* is answered ERROR */
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        size_t answer_bytes;
        bool fresh;
        size_t datagrams;
    } rows[] = {
        {0, false, 1},    {0, true, 1},    {5, false, 1},   {1392, false, 1},
        {1393, false, 2}, {1368, true, 1}, {1369, true, 2}, {2784, false, 2},
        {2785, false, 3}, {2760, true, 2}, {2761, true, 3},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const size_t count = rows[i].datagrams;
        const size_t bytes = rows[i].answer_bytes + (rows[i].fresh ? 24 : 0) + count * 8;
        assert_int_equal(gate_rr_datagrams(rows[i].answer_bytes, rows[i].fresh), count);
        assert_int_equal(gate_rr_ip_bytes(false, rows[i].answer_bytes, rows[i].fresh),
                         bytes + count * 28);
        assert_int_equal(gate_rr_ip_bytes(true, rows[i].answer_bytes, rows[i].fresh),
                         bytes + count * 48);
    }
}

/* ── R8: policies ─────────────────────────────────────────────────────────────────────────── */

static void policies(void **state)
{
    (void)state;
    struct sent sent = proven("get k\r\n");
    for (unsigned set = 0; set < 32; set += 2) { /* without GATE_RR_PROVEN */
        sent.policy.serves = (uint8_t)set;
        sent.frame.kind = PROTO_UDP_PROVEN;
        drops(sent, GATE_RR_REASON_RR_OFF);
        sent.frame.kind = PROTO_UDP_HELLO;
        drops(sent, GATE_RR_REASON_RR_OFF);
    }
    for (unsigned set = 0; set < 32; set++)
        for (unsigned facts = 0; facts < 4; facts++) {
            sent = legacy("get k\r\n", (uint8_t)set);
            sent.in.vouched = facts & 1;
            sent.in.in_prefixes = facts & 2;
            const bool served = (set & GATE_RR_OPEN) != 0 ||
                                ((set & GATE_RR_VOUCHED) != 0 && (facts & 1) != 0) ||
                                ((set & GATE_RR_PREFIXES) != 0 && (facts & 2) != 0);
            if (served)
                expect(sent, GATE_RR_SERVE, GATE_RR_REASON_LEGACY_SERVED);
            else if ((set & GATE_RR_MISS) != 0)
                expect(sent, GATE_RR_ANSWER_MISS, GATE_RR_REASON_LEGACY_MISS);
            else
                drops(sent, GATE_RR_REASON_LEGACY);
        }
}

static void misses(void **state)
{
    (void)state;
    static const char *const missed[] = {"get k\n", "get k\r\n", "gets k\r\n", "get a b a a\r\n"};
    for (size_t i = 0; i < COUNT_OF(missed); i++) {
        const struct gate_rr_verdict verdict = judge(legacy(missed[i], GATE_RR_MISS)).verdict;
        assert_int_equal(verdict.action, GATE_RR_ANSWER_MISS);
        assert_int_equal(verdict.ip_bytes_max, 28 + 8 + 5);
        assert_true(verdict.ip_bytes_max < verdict.ip_bytes_in);
    }
    static const char *const not [] = {
        "mg k v\r\n",           "mn\r\n",  "version\r\n", "stats\r\n",
        "set k 0 0 1\r\nx\r\n", "foo\r\n", "get\r\n",     "gat 0 k\r\n"};
    for (size_t i = 0; i < COUNT_OF(not ); i++)
        drops(legacy(not [i], GATE_RR_MISS), GATE_RR_REASON_LEGACY);
    drops(legacy("get k", GATE_RR_MISS), GATE_RR_REASON_MALFORMED);
}

/* ── any datagram ─────────────────────────────────────────────────────────────────────────── */

/* Something between noise and a good datagram. Returns its bytes. */
static size_t random_input(uint64_t *state, uint8_t *dst)
{
    static const char *const payloads[] = {
        "get k\r\n",
        "get k\n",
        "gets a b a\r\n",
        "mg k v T30\r\n",
        "set k 0 0 3\r\nabc\r\n",
        "stats\r\n",
        "END\r\n",
        "VALUE k 0 1\r\n",
        "foo\r\n",
        "",
        "version\r\n",
        "get\r\n",
        "get a a\r\nget b\r\n",
        "delete k noreply\r\n",
        "gat 9 k\r\n",
        "set k 0 0 9 \r\n",
    };
    static const uint16_t kinds[] = {0, 0xce01, 0xce03, 0xce03, 0xce02, 0xce04, 0xce05, 0, 0xce03};
    const uint64_t dice = kit_random(state);
    for (unsigned i = 0; i < RR_CHECK_HEAD_BYTES; i++)
        dst[i] = (uint8_t)kit_random(state);
    if (dice % 4 != 0) { /* mostly two ordinary ends */
        dst[1] &= (uint8_t) ~(4u + 8u);
        dst[2] = dst[4] = (uint8_t)(dst[2] % 2);
        dst[3] = 0;
    }
    const uint16_t kind = kinds[kit_random_below(state, COUNT_OF(kinds))];
    const char *payload = payloads[kit_random_below(state, COUNT_OF(payloads))];
    struct proto_udp frame = {.request = (uint16_t)dice, .total = 1, .kind = kind};
    uint8_t *const datagram = dst + RR_CHECK_HEAD_BYTES;
    uint8_t *end = proto_udp_write(datagram, &frame);
    memcpy(end, payload, strlen(payload));
    size_t len = (size_t)(end - datagram) + strlen(payload);
    if ((dice >> 8) % 8 == 0)
        len = kit_random_below(state, len + 1);
    if ((dice >> 16) % 8 == 0 && len > 0)
        datagram[kit_random_below(state, len)] = (uint8_t)kit_random(state);
    return RR_CHECK_HEAD_BYTES + len;
}

static void anything(void **state)
{
    (void)state;
    enum { COUNT = 3000000 };
    uint64_t random = kit_seed_init(0, NULL);
    unsigned counts[GATE_RR_REFUSE + 1] = {0};
    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t input[256];
        const size_t len = random_input(&random, input);
        const int action = rr_check(bytes_of(input, len));
        assert_in_range(action, 0, GATE_RR_REFUSE);
        counts[action]++;
    }
    /* Each outcome has been reached, or the random ones are not worth much. */
    for (unsigned i = 0; i < COUNT_OF(counts); i++)
        if (i != GATE_RR_READ)
            assert_true(counts[i] > COUNT / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cookies),          cmocka_unit_test(challenges),
        cmocka_unit_test(forged),           cmocka_unit_test(source_ports),
        cmocka_unit_test(source_addresses), cmocka_unit_test(answers_as_requests),
        cmocka_unit_test(frames),           cmocka_unit_test(commands_whole),
        cmocka_unit_test(key_counts),       cmocka_unit_test(verbs),
        cmocka_unit_test(opcodes),          cmocka_unit_test(refusals),
        cmocka_unit_test(answers),          cmocka_unit_test(sizes),
        cmocka_unit_test(policies),         cmocka_unit_test(misses),
        cmocka_unit_test(anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
