/* test_matte_rr.c — the client's header against the server's verdict, without a socket.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <matte/rr.h>
#include <stdlib.h>

#include "gate/rr.h"

enum { NOW = 1700000000, REQUEST = 77, ROOM = 4096 };

static const struct gate_cookie_keys keys = {.current = {{1, 2}}, .previous = {{3, 4}}};
static const struct gate_rr_policy policy = {
    .serves = GATE_RR_PROVEN,
    .answer_bytes_max = GATE_RR_ANSWER_BYTES_DEFAULT,
};
static const uint8_t nonce[] = {9, 8, 7, 6, 5, 4, 3, 2};

/* ── the server ───────────────────────────────────────────────────────────────────────────── */

static struct gate_cookie_ends ends(void)
{
    struct gate_cookie_ends ends = {.client.port = 40000, .server.port = 11211};
    assert_true(ip_parse(bytes_str("192.0.2.7"), &ends.client.ip));
    assert_true(ip_parse(bytes_str("192.0.2.1"), &ends.server.ip));
    return ends;
}

/* What the server thinks of a datagram; a CHALLENGE is written to `ret_challenge`. */
static struct gate_rr_verdict judge(struct bytes datagram, uint32_t now_s, uint8_t *ret_challenge)
{
    const struct gate_rr_datagram in = {
        .ends = ends(), .bytes = datagram, .destination_ours = true};
    struct proto_udp frame;
    struct gate_rr_verdict verdict = gate_rr_arrive(&policy, &keys, now_s, &in, &frame);
    if (verdict.action == GATE_RR_CHALLENGE) {
        gate_cookie_make(&keys, &in.ends, now_s, &frame.cookie);
        frame.kind = PROTO_UDP_CHALLENGE;
        assert_ptr_equal(proto_udp_write(ret_challenge, &frame),
                         ret_challenge + MATTE_RR_FRAME_BYTES);
    } else if (verdict.action == GATE_RR_READ) {
        struct proto_request req;
        verdict = gate_rr_read(&policy, &verdict, frame.payload, &req);
    }
    return verdict;
}

/* One datagram of an answer; its cookie is of `now_s`. Returns its bytes. */
static size_t part(uint8_t *dst, const struct proto_udp *frame, uint32_t now_s, const char *text)
{
    struct proto_udp out = *frame;
    const struct gate_cookie_ends both = ends();
    gate_cookie_make(&keys, &both, now_s, &out.cookie);
    uint8_t *end = proto_udp_write(dst, &out);
    memcpy(end, text, strlen(text));
    return (size_t)(end - dst) + strlen(text);
}

/* A copy of exactly this size: a read of one byte too many is seen by ASan. */
static enum matte_rr_rc take(struct matte_rr *rr, struct matte_rr_answer *answer,
                             const uint8_t *datagram, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, datagram, len);
    const enum matte_rr_rc rc = matte_rr_take(rr, answer, copy, len, 1000);
    free(copy);
    return rc;
}

/* ── tests ────────────────────────────────────────────────────────────────────────────────── */

/* HELLO, CHALLENGE, PROVEN, and what a server with other keys says to that. */
static void proves(void **state)
{
    (void)state;
    struct matte_rr rr;
    struct matte_rr_answer answer;
    uint8_t room[ROOM], out[ROOM], challenge[ROOM];
    matte_rr_init(&rr, nonce);
    assert_false(matte_rr_ready(&rr, 0));
    assert_int_equal(matte_rr_wrap(&rr, REQUEST, "mn\r\n", 4, out), 0);
    size_t len = matte_rr_hello(&rr, REQUEST, out);
    struct gate_rr_verdict verdict = judge(bytes_of(out, len), NOW, challenge);
    assert_int_equal(verdict.action, GATE_RR_CHALLENGE);
    assert_int_equal(verdict.ip_bytes_max, verdict.ip_bytes_in);
    matte_rr_answer_init(&answer, REQUEST, room, sizeof(room));
    for (size_t cut = 0; cut < MATTE_RR_FRAME_BYTES; cut++)
        assert_int_equal(take(&rr, &answer, challenge, cut), MATTE_RR_IGNORED);
    assert_int_equal(take(&rr, &answer, challenge, MATTE_RR_FRAME_BYTES + 1), MATTE_RR_IGNORED);
    assert_false(rr.has_cookie);
    assert_int_equal(take(&rr, &answer, challenge, MATTE_RR_FRAME_BYTES), MATTE_RR_AGAIN);
    assert_true(matte_rr_ready(&rr, 1000) && matte_rr_ready(&rr, 1000 + MATTE_RR_COOKIE_S));
    assert_false(matte_rr_ready(&rr, 1001 + MATTE_RR_COOKIE_S) || matte_rr_ready(&rr, 999));
    len = matte_rr_wrap(&rr, REQUEST + 1, "get k\r\n", 7, out);
    assert_int_equal(judge(bytes_of(out, len), NOW + 1800, challenge).action, GATE_RR_SERVE);
    assert_int_equal(judge(bytes_of(out, len), NOW + 1801, challenge).action,
                     GATE_RR_SERVE_AND_RENEW);
    assert_int_equal(judge(bytes_of(out, len), NOW + 3601, challenge).action, GATE_RR_CHALLENGE);
    /* The challenge instead of an answer is as good as the first one. */
    matte_rr_answer_init(&answer, REQUEST + 1, room, sizeof(room));
    assert_int_equal(take(&rr, &answer, challenge, MATTE_RR_FRAME_BYTES), MATTE_RR_AGAIN);
    len = matte_rr_wrap(&rr, REQUEST + 1, "get k\r\n", 7, out);
    assert_int_equal(judge(bytes_of(out, len), NOW + 3601, challenge).action, GATE_RR_SERVE);
}

/* Nobody without the nonce plants a cookie. */
static void foreign(void **state)
{
    (void)state;
    struct matte_rr rr;
    struct matte_rr_answer answer;
    uint8_t room[ROOM], datagram[ROOM];
    struct proto_udp frame = {.request = REQUEST, .total = 1, .kind = PROTO_UDP_CHALLENGE};
    matte_rr_init(&rr, nonce);
    matte_rr_answer_init(&answer, REQUEST, room, sizeof(room));
    size_t len = part(datagram, &frame, NOW, "");
    assert_int_equal(take(&rr, &answer, datagram, len), MATTE_RR_IGNORED);
    frame.kind = PROTO_UDP_FRESH;
    len = part(datagram, &frame, NOW, "END\r\n");
    assert_int_equal(take(&rr, &answer, datagram, len), MATTE_RR_IGNORED);
    memcpy(frame.cookie.nonce, nonce, sizeof(nonce));
    len = part(datagram, &frame, NOW, "END\r\n");
    datagram[16] = 2; /* another version */
    assert_int_equal(take(&rr, &answer, datagram, len), MATTE_RR_IGNORED);
    datagram[16] = 1;
    datagram[1]++; /* another request */
    assert_int_equal(take(&rr, &answer, datagram, len), MATTE_RR_IGNORED);
    datagram[1]--;
    assert_false(rr.has_cookie);
    assert_int_equal(take(&rr, &answer, datagram, len), MATTE_RR_DONE);
    assert_true(rr.has_cookie);
    /* What only clients send, an unknown kind, numbers that cannot be. */
    static const uint8_t heads[][8] = {
        {0, REQUEST, 0, 0, 0, 1, 0xce, 1}, {0, REQUEST, 0, 0, 0, 1, 0xce, 3},
        {0, REQUEST, 0, 0, 0, 1, 0, 1},    {0, REQUEST, 0, 0, 0, 0, 0, 0},
        {0, REQUEST, 0, 1, 0, 1, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        matte_rr_answer_init(&answer, REQUEST, room, sizeof(room));
        memcpy(datagram, heads[i], sizeof(heads[i]));
        assert_int_equal(take(&rr, &answer, datagram, len), MATTE_RR_IGNORED);
    }
}

/* Three datagrams in every order, each of them twice. */
static void collects(void **state)
{
    (void)state;
    static const unsigned orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const char *const texts[] = {"VALUE k 0 3\r\n", "abc\r\n", "END\r\n"};
    for (size_t i = 0; i < COUNT_OF(orders); i++) {
        struct matte_rr rr;
        struct matte_rr_answer answer;
        uint8_t room[3 * MATTE_RR_PART_BYTES], datagram[ROOM];
        matte_rr_init(&rr, nonce);
        matte_rr_answer_init(&answer, REQUEST, room, sizeof(room));
        for (unsigned at = 0; at < 3; at++) {
            const unsigned sequence = orders[i][at];
            struct proto_udp frame = {.request = REQUEST,
                                      .sequence = (uint16_t)sequence,
                                      .total = 3,
                                      .kind = sequence == 0 ? PROTO_UDP_FRESH : PROTO_UDP_LEGACY};
            memcpy(frame.cookie.nonce, nonce, sizeof(nonce));
            const size_t len = part(datagram, &frame, NOW, texts[sequence]);
            assert_int_equal(take(&rr, &answer, datagram, len),
                             at == 2 ? MATTE_RR_DONE : MATTE_RR_MORE);
            assert_int_equal(take(&rr, &answer, datagram, len), MATTE_RR_IGNORED);
        }
        assert_true(bytes_is(bytes_of(room, answer.bytes), "VALUE k 0 3\r\nabc\r\nEND\r\n"));
        assert_true(rr.has_cookie);
    }
}

static void limits(void **state)
{
    (void)state;
    struct matte_rr rr;
    struct matte_rr_answer answer;
    static uint8_t room[MATTE_RR_ROOM_BYTES], datagram[MATTE_RR_DATAGRAM_BYTES + 1];
    matte_rr_init(&rr, nonce);
    matte_rr_answer_init(&answer, 0, room, MATTE_RR_ROOM_BYTES - 1);
    datagram[5] = MATTE_RR_PARTS_MAX;
    assert_int_equal(take(&rr, &answer, datagram, 8), MATTE_RR_LARGE);
    matte_rr_answer_init(&answer, 0, room, MATTE_RR_ROOM_BYTES);
    assert_int_equal(take(&rr, &answer, datagram, sizeof(datagram)), MATTE_RR_IGNORED);
    assert_int_equal(take(&rr, &answer, datagram, sizeof(datagram) - 1), MATTE_RR_MORE);
    datagram[5]++; /* another total */
    assert_int_equal(take(&rr, &answer, datagram, 8), MATTE_RR_LARGE);
    datagram[5] = MATTE_RR_PARTS_MAX - 1;
    datagram[3] = 1;
    assert_int_equal(take(&rr, &answer, datagram, 8), MATTE_RR_IGNORED);
    datagram[5] = MATTE_RR_PARTS_MAX;
    for (unsigned i = 1; i < MATTE_RR_PARTS_MAX; i++) {
        datagram[3] = (uint8_t)i;
        assert_int_equal(take(&rr, &answer, datagram, sizeof(datagram) - 1),
                         i == MATTE_RR_PARTS_MAX - 1 ? MATTE_RR_DONE : MATTE_RR_MORE);
    }
    assert_int_equal(answer.bytes, MATTE_RR_ROOM_BYTES);
    /* A whole one of the server's default cap fits. */
    assert_true(gate_rr_datagrams(GATE_RR_ANSWER_BYTES_DEFAULT, true) <= MATTE_RR_PARTS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proves),
        cmocka_unit_test(foreign),
        cmocka_unit_test(collects),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
