/* fuzz_proto_udp.c — the frame of a datagram, read by the server's parser and by the clients'
 * header, and written again.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <matte/rr.h>

#include "proto/udp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read is written as it was, and what is cut never reads as more. */
static void check_frame(struct bytes in, const struct proto_udp *frame)
{
    uint8_t room[PROTO_UDP_FRAME_BYTES];
    const size_t head = (size_t)(proto_udp_write(room, frame) - room);
    assert(head + frame->payload.len == in.len && memcmp(room, in.ptr, head) == 0);
    assert(frame->payload.ptr == in.ptr + head);
    for (size_t len = 0; len < head; len++) {
        struct proto_udp cut;
        assert(proto_udp_parse(bytes_of(in.ptr, len), &cut) != PROTO_UDP_OK);
    }
}

/* A client takes the same input for datagrams, each with its length before it. */
static void check_client(struct bytes in)
{
    static uint8_t room[4 * MATTE_RR_PART_BYTES];
    struct matte_rr rr;
    struct matte_rr_answer answer;
    if (in.len < MATTE_RR_NONCE_BYTES)
        return;
    matte_rr_init(&rr, in.ptr);
    in = bytes_skip(in, MATTE_RR_NONCE_BYTES);
    matte_rr_answer_init(&answer, 0, room, sizeof(room));
    while (in.len > 2) {
        const size_t wanted = (size_t)in.ptr[0] << 8 | in.ptr[1];
        in = bytes_skip(in, 2);
        const size_t len = wanted < in.len ? wanted : in.len;
        const enum matte_rr_rc rc = matte_rr_take(&rr, &answer, in.ptr, len, 0);
        assert(rc != MATTE_RR_AGAIN || rr.has_cookie);
        assert(rc != MATTE_RR_DONE || answer.bytes <= sizeof(room));
        in = bytes_skip(in, len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proto_udp frame;
    if (proto_udp_parse(bytes_of(data, size), &frame) == PROTO_UDP_OK)
        check_frame(bytes_of(data, size), &frame);
    check_client(bytes_of(data, size));
    return 0;
}
