/* test_gate_cookie.c — SipHash-2-4 of 64 bits, and the cookies of RR UDP.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include "gate/cookie.h"
#include "gate/siphash.h"

static const uint64_t KEY_0 = 0x0706050403020100, KEY_1 = 0x0f0e0d0c0b0a0908;

/* Key 00..0f, messages 00, 00 01, 00 01 02, ...; the authors publish the one of 15 bytes, the rest
 * agrees with `openssl mac -macopt size:8 SIPHASH`. */
static void siphash_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t want;
    } rows[] = {
        {0, 0x726fdb47dd0e0e31},  {1, 0x74f839c593dc67fd},  {2, 0x0d6c8009d9a94f5a},
        {3, 0x85676696d7fb7e2d},  {4, 0xcf2794e0277187b7},  {5, 0x18765564cd99a68d},
        {6, 0xcbc9466e58fee3ce},  {7, 0xab0200f58b01d137},  {8, 0x93f5f5799a932462},
        {9, 0x9e0082df0ba9e4b0},  {15, 0xa129ca6149be45e5}, {16, 0x3f2acc7f57c29bdb},
        {31, 0x32d892fad841c342}, {52, 0x0a8787bf8ecb74b2}, {63, 0x958a324ceb064572},
    };
    uint8_t text[64];
    for (uint8_t i = 0; i < sizeof(text); i++)
        text[i] = i;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_true(siphash_64(KEY_0, KEY_1, text, rows[i].len) == rows[i].want);
}

/* ── cookies ──────────────────────────────────────────────────────────────────────────────── */

enum { NOW = 1700000000 };

static const struct gate_cookie_keys keys = {
    .current = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}},
    .previous = {{1, 2}},
};

static struct ip_peer peer(const char *text, uint16_t port)
{
    struct ip_peer peer = {.port = port};
    assert_true(ip_parse(bytes_str(text), &peer.ip));
    peer.family = ip_is_v4(&peer.ip) ? IP_V4 : IP_V6;
    return peer;
}

static struct gate_cookie_ends ends_v4(void)
{
    return (struct gate_cookie_ends){peer("192.0.2.7", 40000), peer("198.51.100.1", 11211)};
}

static struct proto_cookie made(const struct gate_cookie_ends *ends, uint32_t now_s)
{
    struct proto_cookie cookie = {.nonce = {1, 2, 3, 4, 5, 6, 7, 8}};
    gate_cookie_make(&keys, ends, now_s, &cookie);
    return cookie;
}

static void key_bytes(void **state)
{
    (void)state;
    uint8_t bytes[GATE_COOKIE_KEY_BYTES];
    for (uint8_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = i;
    struct gate_cookie_key key;
    gate_cookie_key_read(bytes, &key);
    assert_true(key.word[0] == KEY_0 && key.word[1] == KEY_1);
}

/* The mac is the hash of the message as docs/udp-rr.md lays it out. */
static void mac_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *client, *server;
        const char *message; /* 52 bytes */
    } rows[] = {
        {"192.0.2.7", "198.51.100.1",
         "\1\2\3\4\5\6\7\10\1\0\0\0\x65\x53\xf1\0"
         "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\7"
         "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\1"
         "\x9c\x40\x2b\xcb"},
        {"2001:db8::7", "2001:db8:1::2",
         "\1\2\3\4\5\6\7\10\1\0\0\0\x65\x53\xf1\0"
         "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\7"
         "\x20\1\xd\xb8\0\1\0\0\0\0\0\0\0\0\0\2"
         "\x9c\x40\x2b\xcb"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct gate_cookie_ends ends = {peer(rows[i].client, 40000),
                                              peer(rows[i].server, 11211)};
        const struct proto_cookie cookie = made(&ends, NOW);
        assert_int_equal(cookie.stamp, NOW);
        const uint64_t want = siphash_64(KEY_0, KEY_1, (const uint8_t *)rows[i].message, 52);
        for (unsigned at = 0; at < 8; at++)
            assert_int_equal(cookie.mac[at], (uint8_t)(want >> (8 * at)));
    }
}

/* Each bit of what the mac covers matters. */
static void forged(void **state)
{
    (void)state;
    const struct gate_cookie_ends ends = ends_v4();
    const struct proto_cookie cookie = made(&ends, NOW);
    assert_int_equal(gate_cookie_check(&keys, &ends, NOW, &cookie), GATE_COOKIE_FRESH);
    for (unsigned bit = 0; bit < 64; bit++) {
        struct proto_cookie other = cookie;
        other.nonce[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(gate_cookie_check(&keys, &ends, NOW, &other), GATE_COOKIE_FORGED);
        other = cookie;
        other.mac[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(gate_cookie_check(&keys, &ends, NOW, &other), GATE_COOKIE_FORGED);
        other = cookie;
        other.stamp ^= 1u << bit % 32;
        assert_int_equal(gate_cookie_check(&keys, &ends, NOW, &other), GATE_COOKIE_FORGED);
        struct gate_cookie_ends there = ends;
        there.client.port ^= (uint16_t)(1u << bit % 16);
        assert_int_equal(gate_cookie_check(&keys, &there, NOW, &cookie), GATE_COOKIE_FORGED);
        there = ends;
        there.server.port ^= (uint16_t)(1u << bit % 16);
        assert_int_equal(gate_cookie_check(&keys, &there, NOW, &cookie), GATE_COOKIE_FORGED);
    }
    for (unsigned bit = 0; bit < 128; bit++) {
        struct gate_cookie_ends there = ends;
        there.client.ip.byte[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(gate_cookie_check(&keys, &there, NOW, &cookie), GATE_COOKIE_FORGED);
        there = ends;
        there.server.ip.byte[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(gate_cookie_check(&keys, &there, NOW, &cookie), GATE_COOKIE_FORGED);
    }
    const struct gate_cookie_ends turned = {ends.server, ends.client};
    assert_int_equal(gate_cookie_check(&keys, &turned, NOW, &cookie), GATE_COOKIE_FORGED);
}

static void ages(void **state)
{
    (void)state;
    static const struct {
        int32_t age_s;
        enum gate_cookie_verdict want;
    } rows[] = {
        {0, GATE_COOKIE_FRESH},    {1800, GATE_COOKIE_FRESH},   {1801, GATE_COOKIE_RENEW},
        {3600, GATE_COOKIE_RENEW}, {3601, GATE_COOKIE_EXPIRED}, {INT32_MAX, GATE_COOKIE_EXPIRED},
        {-300, GATE_COOKIE_FRESH}, {-301, GATE_COOKIE_FUTURE},  {INT32_MIN, GATE_COOKIE_FUTURE},
    };
    /* 7 and UINT32_MAX - 7: across the turn of 32 bits. */
    static const uint32_t starts[] = {NOW, 0, 7, 0xfffffff8, 0x7fffffff, 0x80000000};
    const struct gate_cookie_ends ends = ends_v4();
    for (size_t s = 0; s < COUNT_OF(starts); s++)
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            const struct proto_cookie cookie = made(&ends, starts[s]);
            const uint32_t now_s = starts[s] + (uint32_t)rows[i].age_s;
            assert_int_equal(gate_cookie_check(&keys, &ends, now_s, &cookie), rows[i].want);
        }
    assert_true(gate_cookie_good(GATE_COOKIE_FRESH) && gate_cookie_good(GATE_COOKIE_RENEW));
    assert_false(gate_cookie_good(GATE_COOKIE_EXPIRED) || gate_cookie_good(GATE_COOKIE_FUTURE) ||
                 gate_cookie_good(GATE_COOKIE_FORGED));
}

static void rotated(void **state)
{
    (void)state;
    const struct gate_cookie_ends ends = ends_v4();
    const struct proto_cookie cookie = made(&ends, NOW);
    const struct gate_cookie_keys once = {{{3, 4}}, keys.current};
    const struct gate_cookie_keys twice = {{{5, 6}}, once.current};
    assert_int_equal(gate_cookie_check(&once, &ends, NOW, &cookie), GATE_COOKIE_FRESH);
    assert_int_equal(gate_cookie_check(&once, &ends, NOW + 1801, &cookie), GATE_COOKIE_RENEW);
    assert_int_equal(gate_cookie_check(&twice, &ends, NOW, &cookie), GATE_COOKIE_FORGED);
    /* Made with the current key alone. */
    struct proto_cookie fresh = cookie;
    gate_cookie_make(&once, &ends, NOW, &fresh);
    assert_int_equal(gate_cookie_check(&keys, &ends, NOW, &fresh), GATE_COOKIE_FORGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_vectors), cmocka_unit_test(key_bytes), cmocka_unit_test(mac_bytes),
        cmocka_unit_test(forged),          cmocka_unit_test(ages),      cmocka_unit_test(rotated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
