/* test_udp_doc.c — the hex dumps of docs/udp-rr.md, byte by byte against server and client.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <matte/rr.h>
#include <stdio.h>
#include <stdlib.h>

#include "gate/rr.h"
#include "gate/siphash.h"

enum { NOW = 1700000000, RENEWED = NOW + 1801, DUMP_BYTES = 2048, DUMPS_MAX = 32 };

/* ── the document ─────────────────────────────────────────────────────────────────────────── */

static struct dump {
    char name[32];
    uint8_t bytes[DUMP_BYTES];
    size_t len;
    bool used;
} dumps[DUMPS_MAX];
static size_t dump_count;

/* A line of a dump: hex digits in groups, or `HH * COUNT`; then perhaps a comment. */
static void line_read(struct dump *dump, char *line)
{
    unsigned value, count;
    line[strcspn(line, "#\n")] = '\0';
    if (sscanf(line, "%2x * %u", &value, &count) == 2) {
        assert_true(dump->len + count <= DUMP_BYTES);
        memset(dump->bytes + dump->len, (int)value, count);
        dump->len += count;
        return;
    }
    for (const char *at = line; *at != '\0'; at += *at == ' ' ? 1 : 2) {
        if (*at == ' ')
            continue;
        assert_int_equal(sscanf(at, "%2x", &value), 1);
        assert_true(dump->len < DUMP_BYTES);
        dump->bytes[dump->len++] = (uint8_t)value;
    }
}

static int document_read(void **state)
{
    (void)state;
    char line[512];
    struct dump *dump = NULL;
    FILE *file = fopen(MATTE_SOURCE "/docs/udp-rr.md", "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        char name[sizeof(dump->name)];
        if (sscanf(line, "```hex %31s", name) == 1) {
            assert_true(dump == NULL && dump_count < DUMPS_MAX);
            dump = &dumps[dump_count++];
            memcpy(dump->name, name, sizeof(name));
        } else if (strncmp(line, "```", 3) == 0) {
            dump = NULL;
        } else if (dump != NULL) {
            line_read(dump, line);
        }
    }
    return fclose(file);
}

static struct bytes dump_of(const char *name)
{
    for (size_t i = 0; i < dump_count; i++)
        if (strcmp(dumps[i].name, name) == 0) {
            dumps[i].used = true;
            return bytes_of(dumps[i].bytes, dumps[i].len);
        }
    fail_msg("docs/udp-rr.md has no dump '%s'", name);
    return bytes_of(NULL, 0);
}

static void assert_dump(struct bytes got, const char *name)
{
    const struct bytes want = dump_of(name);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.ptr, want.ptr, want.len);
}

/* ── both ends ────────────────────────────────────────────────────────────────────────────── */

static const struct gate_rr_policy policy = {
    .serves = GATE_RR_PROVEN | GATE_RR_MISS,
    .answer_bytes_max = GATE_RR_ANSWER_BYTES_DEFAULT,
};

static struct gate_cookie_keys keys(void)
{
    struct gate_cookie_keys keys;
    assert_int_equal(dump_of("key").len, GATE_COOKIE_KEY_BYTES);
    gate_cookie_key_read(dump_of("key").ptr, &keys.current);
    keys.previous = keys.current;
    return keys;
}

static struct gate_cookie_ends ends(bool v6)
{
    struct gate_cookie_ends ends = {.client.port = 40000, .server.port = 11211};
    assert_true(ip_parse(bytes_str(v6 ? "2001:db8::7" : "192.0.2.7"), &ends.client.ip));
    assert_true(ip_parse(bytes_str(v6 ? "2001:db8:1::2" : "198.51.100.1"), &ends.server.ip));
    return ends;
}

/* What the server makes of a datagram. */
struct judged {
    struct gate_rr_verdict verdict;
    struct proto_udp frame;
    struct proto_request req;
};

static struct judged judge(struct bytes datagram, bool v6, uint32_t now_s)
{
    struct judged j;
    const struct gate_cookie_keys both = keys();
    const struct gate_rr_datagram in = {
        .ends = ends(v6), .bytes = datagram, .destination_ours = true};
    j.verdict = gate_rr_arrive(&policy, &both, now_s, &in, &j.frame);
    if (j.verdict.action == GATE_RR_READ)
        j.verdict = gate_rr_read(&policy, &j.verdict, j.frame.payload, &j.req);
    return j;
}

/* The server's frame of `kind` with a cookie of `now_s`, and `payload`, is the dump. */
static void assert_answer(struct proto_udp frame, bool v6, uint32_t now_s, const char *payload,
                          const char *name)
{
    uint8_t room[DUMP_BYTES];
    const struct gate_cookie_keys both = keys();
    const struct gate_cookie_ends at = ends(v6);
    gate_cookie_make(&both, &at, now_s, &frame.cookie);
    uint8_t *end = proto_udp_write(room, &frame);
    memcpy(end, payload, strlen(payload));
    assert_dump(bytes_of(room, (size_t)(end - room) + strlen(payload)), name);
}

static struct matte_rr client(void)
{
    struct matte_rr rr;
    matte_rr_init(&rr, (const uint8_t *)"matte-rr");
    return rr;
}

static enum matte_rr_rc take(struct matte_rr *rr, struct matte_rr_answer *answer, const char *name)
{
    const struct bytes datagram = dump_of(name);
    return matte_rr_take(rr, answer, datagram.ptr, datagram.len, 0);
}

/* ── tests ────────────────────────────────────────────────────────────────────────────────── */

static const char greeting[] = "VALUE greeting 0 5\r\nhello\r\nEND\r\n";

static void macs(void **state)
{
    (void)state;
    const struct gate_cookie_key key = keys().current;
    const struct bytes input = dump_of("mac-input"), v6 = dump_of("mac-input-v6");
    uint64_t mac = siphash_64(key.word[0], key.word[1], input.ptr, input.len);
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(mac >> (8 * i));
    assert_dump(bytes_of(bytes, 8), "mac");
    assert_memory_equal(dump_of("challenge").ptr + 24, bytes, 8);
    mac = siphash_64(key.word[0], key.word[1], v6.ptr, v6.len);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(dump_of("challenge-v6").ptr[24 + i], (uint8_t)(mac >> (8 * i)));
}

static void exchange(void **state)
{
    (void)state;
    struct matte_rr rr = client();
    struct matte_rr_answer answer;
    uint8_t out[DUMP_BYTES], room[2 * MATTE_RR_PART_BYTES];
    assert_dump(bytes_of(out, matte_rr_hello(&rr, 1, out)), "hello");

    struct judged j = judge(dump_of("hello"), false, NOW);
    assert_int_equal(j.verdict.action, GATE_RR_CHALLENGE);
    assert_int_equal(j.verdict.ip_bytes_in, 60);
    assert_int_equal(j.verdict.ip_bytes_max, 60);
    j.frame.kind = PROTO_UDP_CHALLENGE;
    assert_answer(j.frame, false, NOW, "", "challenge");
    matte_rr_answer_init(&answer, 1, room, sizeof(room));
    assert_int_equal(take(&rr, &answer, "challenge"), MATTE_RR_AGAIN);

    static const char command[] = "get greeting\r\n";
    assert_dump(bytes_of(out, matte_rr_wrap(&rr, 2, command, strlen(command), out)), "proven");
    j = judge(dump_of("proven"), false, NOW);
    assert_int_equal(j.verdict.action, GATE_RR_SERVE);
    assert_true(bytes_is(j.req.key, "greeting"));
    j.frame.kind = PROTO_UDP_LEGACY;
    assert_answer(j.frame, false, NOW, greeting, "answer");
    matte_rr_answer_init(&answer, 2, room, sizeof(room));
    assert_int_equal(take(&rr, &answer, "answer"), MATTE_RR_DONE);
    assert_true(bytes_is(bytes_of(room, answer.bytes), greeting));

    const size_t len = matte_rr_wrap(&rr, 3, command, strlen(command), out);
    j = judge(bytes_of(out, len), false, RENEWED);
    assert_int_equal(j.verdict.action, GATE_RR_SERVE_AND_RENEW);
    j.frame.kind = PROTO_UDP_FRESH;
    assert_answer(j.frame, false, RENEWED, greeting, "renewal");
    matte_rr_answer_init(&answer, 3, room, sizeof(room));
    assert_int_equal(take(&rr, &answer, "renewal"), MATTE_RR_DONE);
    assert_memory_equal(rr.mac, dump_of("renewal").ptr + 24, sizeof(rr.mac));
    assert_true(bytes_is(bytes_of(room, answer.bytes), greeting));
}

static void long_answer(void **state)
{
    (void)state;
    enum { HEAD_BYTES = 18, VALUE_BYTES = 1400, ALL_BYTES = HEAD_BYTES + VALUE_BYTES + 7 };
    struct matte_rr rr = client();
    struct matte_rr_answer answer;
    uint8_t room[2 * MATTE_RR_PART_BYTES];
    assert_int_equal(gate_rr_datagrams(ALL_BYTES, false), 2);
    assert_int_equal(dump_of("long-0").len, PROTO_UDP_ANSWER_BYTES_MAX);
    for (unsigned order = 0; order < 2; order++) {
        matte_rr_answer_init(&answer, 4, room, sizeof(room));
        assert_int_equal(take(&rr, &answer, order == 0 ? "long-0" : "long-1"), MATTE_RR_MORE);
        assert_int_equal(take(&rr, &answer, order == 0 ? "long-1" : "long-0"), MATTE_RR_DONE);
        assert_int_equal(answer.bytes, ALL_BYTES);
        assert_memory_equal(room, "VALUE big 0 1400\r\n", HEAD_BYTES);
        for (unsigned i = 0; i < VALUE_BYTES; i++)
            assert_int_equal(room[HEAD_BYTES + i], 'x');
        assert_memory_equal(room + HEAD_BYTES + VALUE_BYTES, "\r\nEND\r\n", 7);
    }
}

static void ipv6(void **state)
{
    (void)state;
    struct matte_rr rr = client();
    struct matte_rr_answer answer;
    uint8_t out[DUMP_BYTES], room[MATTE_RR_PART_BYTES];
    struct judged j = judge(bytes_of(out, matte_rr_hello(&rr, 7, out)), true, NOW);
    assert_int_equal(j.verdict.ip_bytes_in, 80);
    assert_int_equal(j.verdict.ip_bytes_max, 80);
    j.frame.kind = PROTO_UDP_CHALLENGE;
    assert_answer(j.frame, true, NOW, "", "challenge-v6");
    matte_rr_answer_init(&answer, 7, room, sizeof(room));
    assert_int_equal(take(&rr, &answer, "challenge-v6"), MATTE_RR_AGAIN);
    assert_dump(bytes_of(out, matte_rr_wrap(&rr, 8, "mn\r\n", 4, out)), "proven-v6");
    j = judge(dump_of("proven-v6"), true, NOW);
    assert_int_equal(j.verdict.action, GATE_RR_SERVE);
    j.frame.kind = PROTO_UDP_LEGACY;
    assert_answer(j.frame, true, NOW, "MN\r\n", "answer-v6");
}

static void refusals(void **state)
{
    (void)state;
    char line[128];
    const struct proto_udp frame = {.request = 5, .total = 1};
    (void)snprintf(line, sizeof(line), "%s\r\n", gate_rr_reason_text(GATE_RR_REASON_VERB));
    assert_answer(frame, false, NOW, line, "refusal");
    struct judged j = judge(dump_of("miss-request"), false, NOW);
    assert_int_equal(j.verdict.action, GATE_RR_ANSWER_MISS);
    assert_int_equal(j.verdict.ip_bytes_in, 43);
    assert_int_equal(j.verdict.ip_bytes_max, 41);
    assert_answer(j.frame, false, NOW, "END\r\n", "miss-answer");
}

/* The last one: whatever the document shows has been looked at. */
static void all_used(void **state)
{
    (void)state;
    for (size_t i = 0; i < dump_count; i++)
        if (!dumps[i].used)
            fail_msg("no test looks at '%s'", dumps[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(macs), cmocka_unit_test(exchange), cmocka_unit_test(long_answer),
        cmocka_unit_test(ipv6), cmocka_unit_test(refusals), cmocka_unit_test(all_used),
    };
    return cmocka_run_group_tests(tests, document_read, NULL);
}
