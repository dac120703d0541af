/* proto/udp.h — the frame of UDP datagrams: memcached's header, and RR's extension behind it.
 *
 *     0         2         4         6         8               16  17      20     24      32
 *     +---------+---------+---------+---------+---------------+---+-------+------+-------+- - -
 *     | request | sequence| total   | kind    | nonce         | 1 | 0 0 0 | stamp| mac   | payload
 *     +---------+---------+---------+---------+---------------+---+-------+------+-------+- - -
 *     '------------- header, 8 -------------' '------------- extension, 24 -------------'
 *
 * All numbers are big-endian. `kind` is memcached's reserved field; kind 0 has no extension.
 *
 * Includes: base.  Included by: gate, server, cli.  Pure: no socket, no clock.
 * Threads:  any.
 * Memory:   a parsed datagram's payload points into the input.
 * Spec:     docs/udp-rr.md; memcached 1.6.45, section "UDP".
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum {
    PROTO_UDP_HEADER_BYTES = 8,
    PROTO_UDP_EXTENSION_BYTES = 24,
    PROTO_UDP_FRAME_BYTES = PROTO_UDP_HEADER_BYTES + PROTO_UDP_EXTENSION_BYTES,
    PROTO_UDP_NONCE_BYTES = 8,
    PROTO_UDP_MAC_BYTES = 8,
    PROTO_UDP_VERSION = 1,
    PROTO_UDP_ANSWER_BYTES_MAX = 1400, /* of one datagram of an answer, frame included */
    PROTO_UDP_TOTAL_MAX = 0xffff,      /* datagrams of one answer */
};

enum proto_udp_kind {
    PROTO_UDP_LEGACY = 0,
    PROTO_UDP_HELLO = 0xce01,     /* client: give me a cookie */
    PROTO_UDP_CHALLENGE = 0xce02, /* server: here it is */
    PROTO_UDP_PROVEN = 0xce03,    /* client: a command with a cookie */
    PROTO_UDP_FRESH = 0xce04,     /* server: an answer and a fresher cookie */
};

struct proto_cookie {
    uint8_t nonce[PROTO_UDP_NONCE_BYTES]; /* the client's choice */
    uint32_t stamp;                       /* Unix seconds, modulo 2^32 */
    uint8_t mac[PROTO_UDP_MAC_BYTES];
};

struct proto_udp {
    uint16_t request;
    uint16_t sequence;          /* from 0 */
    uint16_t total;             /* datagrams of the message */
    uint16_t kind;              /* enum proto_udp_kind */
    struct proto_cookie cookie; /* zero without an extension */
    struct bytes payload;
};

enum proto_udp_rc {
    PROTO_UDP_OK,
    PROTO_UDP_SHORT,     /* of less than the header */
    PROTO_UDP_KIND,      /* unknown */
    PROTO_UDP_EXTENSION, /* cut off, of another version, or its zero bytes are not */
};

/* Read one datagram. Sequence and total are the caller's to judge. Only kinds 0xceXX carry an
 * extension; FRESH does so with sequence 0 alone (its other datagrams should be of kind LEGACY,
 * but are read all the same). Writes *ret_frame on PROTO_UDP_OK only. */
MUST_USE enum proto_udp_rc proto_udp_parse(struct bytes datagram, struct proto_udp *ret_frame);

/* Does a datagram of that kind and sequence carry an extension? */
static inline bool proto_udp_extended(uint16_t kind, uint16_t sequence)
{
    return kind != PROTO_UDP_LEGACY && (kind != PROTO_UDP_FRESH || sequence == 0);
}

/* Write header and, where proto_udp_extended(), extension of `frame`; its payload is the caller's
 * to put behind. `dst` has room for PROTO_UDP_FRAME_BYTES. Returns where the payload goes. */
uint8_t *proto_udp_write(uint8_t *dst, const struct proto_udp *frame);
