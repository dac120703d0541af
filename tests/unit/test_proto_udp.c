/* test_proto_udp.c — the frame of UDP datagrams, read and written, cut at every byte.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <stdlib.h>

#include "proto/udp.h"

enum { ROOM = 128 };

/* Parse a copy of exactly this size: a read of one byte too many is seen by ASan. The payload is
 * given as its offset. */
static enum proto_udp_rc parse(const uint8_t *bytes, size_t len, struct proto_udp *ret_frame,
                               size_t *ret_at)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    struct proto_udp frame = {.request = 0xdead};
    const enum proto_udp_rc rc = proto_udp_parse(bytes_of(copy, len), &frame);
    if (rc == PROTO_UDP_OK) {
        *ret_at = (size_t)(frame.payload.ptr - copy);
        assert_int_equal(*ret_at + frame.payload.len, len);
        *ret_frame = frame;
    } else {
        assert_int_equal(frame.request, 0xdead); /* written on success only */
    }
    free(copy);
    return rc;
}

static void legacy(void **state)
{
    (void)state;
    static const uint8_t in[] = "\x12\x34\x00\x01\x00\x02\x00\x00get k\r\n";
    struct proto_udp frame;
    size_t at;
    assert_int_equal(parse(in, sizeof(in) - 1, &frame, &at), PROTO_UDP_OK);
    assert_int_equal(frame.request, 0x1234);
    assert_int_equal(frame.sequence, 1);
    assert_int_equal(frame.total, 2);
    assert_int_equal(frame.kind, PROTO_UDP_LEGACY);
    assert_int_equal(at, PROTO_UDP_HEADER_BYTES);
    for (size_t len = 0; len < sizeof(in) - 1; len++)
        assert_int_equal(parse(in, len, &frame, &at),
                         len < PROTO_UDP_HEADER_BYTES ? PROTO_UDP_SHORT : PROTO_UDP_OK);
}

static const uint8_t proven[] = "\xab\xcd\x00\x00\x00\x01\xce\x03"
                                "NONCE678\x01\0\0\0\x65\x43\x21\x09maccmacc"
                                "mn\r\n";

static void extended(void **state)
{
    (void)state;
    struct proto_udp frame;
    size_t at;
    assert_int_equal(parse(proven, sizeof(proven) - 1, &frame, &at), PROTO_UDP_OK);
    assert_int_equal(frame.request, 0xabcd);
    assert_int_equal(frame.sequence, 0);
    assert_int_equal(frame.total, 1);
    assert_int_equal(frame.kind, PROTO_UDP_PROVEN);
    assert_memory_equal(frame.cookie.nonce, "NONCE678", 8);
    assert_int_equal(frame.cookie.stamp, 0x65432109);
    assert_memory_equal(frame.cookie.mac, "maccmacc", 8);
    assert_int_equal(at, PROTO_UDP_FRAME_BYTES);
    for (size_t len = 0; len < sizeof(proven) - 1; len++) {
        enum proto_udp_rc want = PROTO_UDP_OK;
        if (len < PROTO_UDP_FRAME_BYTES)
            want = len < PROTO_UDP_HEADER_BYTES ? PROTO_UDP_SHORT : PROTO_UDP_EXTENSION;
        assert_int_equal(parse(proven, len, &frame, &at), want);
    }
    /* Version and the zero bytes, one bit at a time. */
    uint8_t copy[sizeof(proven)];
    for (unsigned bit = 0; bit < 32; bit++) {
        memcpy(copy, proven, sizeof(proven));
        copy[16 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(parse(copy, sizeof(proven) - 1, &frame, &at), PROTO_UDP_EXTENSION);
    }
}

static void kinds(void **state)
{
    (void)state;
    uint8_t copy[sizeof(proven)];
    memcpy(copy, proven, sizeof(proven));
    struct proto_udp frame;
    size_t at;
    for (unsigned kind = 0; kind <= 0xffff; kind++) {
        copy[6] = (uint8_t)(kind >> 8);
        copy[7] = (uint8_t)kind;
        const bool known = kind == 0 || (kind >= 0xce01 && kind <= 0xce04);
        assert_int_equal(parse(copy, sizeof(proven) - 1, &frame, &at),
                         known ? PROTO_UDP_OK : PROTO_UDP_KIND);
        if (known)
            assert_int_equal(at, kind == 0 ? PROTO_UDP_HEADER_BYTES : PROTO_UDP_FRAME_BYTES);
    }
    /* The later datagrams of an answer have no extension. */
    static const uint8_t later[] = "\0\1\0\1\0\2\xce\x04xyz";
    assert_int_equal(parse(later, sizeof(later) - 1, &frame, &at), PROTO_UDP_OK);
    assert_int_equal(at, PROTO_UDP_HEADER_BYTES);
    static const uint8_t hello[] = "\0\1\0\1\0\2\xce\x01xyz";
    assert_int_equal(parse(hello, sizeof(hello) - 1, &frame, &at), PROTO_UDP_EXTENSION);
}

/* What is written is what was read. */
static void written(void **state)
{
    (void)state;
    struct proto_udp frame;
    uint8_t room[ROOM];
    assert_int_equal(proto_udp_parse(bytes_of(proven, sizeof(proven) - 1), &frame), PROTO_UDP_OK);
    memset(room, 0xee, sizeof(room));
    assert_ptr_equal(proto_udp_write(room, &frame), room + PROTO_UDP_FRAME_BYTES);
    assert_memory_equal(room, proven, PROTO_UDP_FRAME_BYTES);
    assert_int_equal(room[PROTO_UDP_FRAME_BYTES], 0xee);
    frame.kind = PROTO_UDP_LEGACY;
    memset(room, 0xee, sizeof(room));
    assert_ptr_equal(proto_udp_write(room, &frame), room + PROTO_UDP_HEADER_BYTES);
    assert_memory_equal(room, "\xab\xcd\x00\x00\x00\x01\x00\x00\xee", 9);
    frame.kind = PROTO_UDP_FRESH;
    frame.sequence = 1;
    assert_ptr_equal(proto_udp_write(room, &frame), room + PROTO_UDP_HEADER_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(legacy),
        cmocka_unit_test(extended),
        cmocka_unit_test(kinds),
        cmocka_unit_test(written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
