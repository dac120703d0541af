/* base/ip.h — addresses and prefixes (CIDR) of both families as one type.
 *
 * An IPv4 address is held as the IPv6 address that maps it (::ffff:a.b.c.d, RFC 4291), so that a
 * table of prefixes needs no second half; as text it is always a.b.c.d. A prefix of IPv4 has 96
 * bits more than it is written with: 10.0.0.0/8 has 104.
 *
 * Includes: base.  Included by: all.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum {
    IP_TEXT_BYTES = 46,            /* of an address, with its NUL */
    IP_PREFIX_TEXT_BYTES = 46 + 4, /* of a prefix, likewise */
    IP_BITS = 128,
    IP_V4_BITS = 96, /* what every IPv4 address begins with */
};

struct ip {
    uint8_t byte[16]; /* network order */
};

/* All addresses that begin like `ip`; its other bits are 0. */
struct ip_prefix {
    struct ip ip;
    uint8_t bits; /* 0..IP_BITS */
};

enum ip_family { IP_LOCAL, IP_V4 = 4, IP_V6 = 6 }; /* LOCAL: a unix socket, no address */

/* One end of a connection, or of a datagram. */
struct ip_peer {
    struct ip ip;
    uint16_t port;  /* host order */
    uint8_t family; /* enum ip_family */
};

/* ── addresses ────────────────────────────────────────────────────────────────────────────── */

struct ip ip_of_v4(const uint8_t v4[4]);
/* a.b.c.d, or IPv6 as RFC 4291 writes it; no brackets, no scope. */
MUST_USE bool ip_parse(struct bytes text, struct ip *ret_ip);
void ip_format(const struct ip *ip, char ret_text[IP_TEXT_BYTES]);

static inline bool ip_equal(const struct ip *a, const struct ip *b)
{
    return memcmp(a->byte, b->byte, sizeof(a->byte)) == 0;
}

bool ip_is_v4(const struct ip *ip);
bool ip_is_loopback(const struct ip *ip);    /* 127.0.0.0/8, ::1 */
bool ip_is_unspecified(const struct ip *ip); /* 0.0.0.0, :: */
bool ip_is_multicast(const struct ip *ip);   /* 224.0.0.0/4, ff00::/8 */
bool ip_is_broadcast(const struct ip *ip);   /* 255.255.255.255 */
bool ip_is_link_local(const struct ip *ip);  /* 169.254.0.0/16, fe80::/10 */

/* ── prefixes ─────────────────────────────────────────────────────────────────────────────── */

/* An address, or ADDRESS/BITS with BITS up to 32 or 128. Returns false also when a bit behind the
 * prefix is set, for that is seldom meant. */
MUST_USE bool ip_prefix_parse(struct bytes text, struct ip_prefix *ret_prefix);
/* A single address is written without its /32 or /128. */
void ip_prefix_format(const struct ip_prefix *prefix, char ret_text[IP_PREFIX_TEXT_BYTES]);
/* The prefix of `bits` that `ip` is in. */
struct ip_prefix ip_prefix_of(const struct ip *ip, unsigned bits);
bool ip_prefix_has(const struct ip_prefix *prefix, const struct ip *ip);
