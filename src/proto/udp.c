/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/udp.h"

#include "base/be.h"

/* Offsets from the start of the extension. */
enum { AT_VERSION = 8, AT_STAMP = 12, AT_MAC = 16 };

static const uint8_t version[AT_STAMP - AT_VERSION] = {PROTO_UDP_VERSION};

static bool kind_known(uint16_t kind)
{
    return kind == PROTO_UDP_LEGACY || (kind >= PROTO_UDP_HELLO && kind <= PROTO_UDP_FRESH);
}

static bool extension_read(struct bytes in, struct proto_cookie *cookie)
{
    if (in.len < PROTO_UDP_EXTENSION_BYTES ||
        memcmp(in.ptr + AT_VERSION, version, sizeof(version)) != 0)
        return false;
    memcpy(cookie->nonce, in.ptr, sizeof(cookie->nonce));
    cookie->stamp = be_read_u32(in.ptr + AT_STAMP);
    memcpy(cookie->mac, in.ptr + AT_MAC, sizeof(cookie->mac));
    return true;
}

enum proto_udp_rc proto_udp_parse(struct bytes datagram, struct proto_udp *ret_frame)
{
    if (datagram.len < PROTO_UDP_HEADER_BYTES)
        return PROTO_UDP_SHORT;
    struct proto_udp frame = {
        .request = be_read_u16(datagram.ptr),
        .sequence = be_read_u16(datagram.ptr + 2),
        .total = be_read_u16(datagram.ptr + 4),
        .kind = be_read_u16(datagram.ptr + 6),
        .payload = bytes_skip(datagram, PROTO_UDP_HEADER_BYTES),
    };
    if (!kind_known(frame.kind))
        return PROTO_UDP_KIND;
    if (proto_udp_extended(frame.kind, frame.sequence)) {
        if (!extension_read(frame.payload, &frame.cookie))
            return PROTO_UDP_EXTENSION;
        frame.payload = bytes_skip(frame.payload, PROTO_UDP_EXTENSION_BYTES);
    }
    *ret_frame = frame;
    return PROTO_UDP_OK;
}

uint8_t *proto_udp_write(uint8_t *dst, const struct proto_udp *frame)
{
    dst = be_write_u16(dst, frame->request);
    dst = be_write_u16(dst, frame->sequence);
    dst = be_write_u16(dst, frame->total);
    dst = be_write_u16(dst, frame->kind);
    if (!proto_udp_extended(frame->kind, frame->sequence))
        return dst;
    memcpy(dst, frame->cookie.nonce, sizeof(frame->cookie.nonce));
    memcpy(dst + AT_VERSION, version, sizeof(version));
    (void)be_write_u32(dst + AT_STAMP, frame->cookie.stamp);
    memcpy(dst + AT_MAC, frame->cookie.mac, sizeof(frame->cookie.mac));
    return dst + PROTO_UDP_EXTENSION_BYTES;
}
