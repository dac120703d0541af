/* gate/cookie.h — the cookie by which a UDP source proves that answers reach it.
 *
 * A cookie is a time and the mac of that time, of the client's nonce and of both ends' addresses
 * and ports, under a key that only servers know. So the server keeps nothing per client, and a
 * cookie is worth nothing from another address.
 *
 * Includes: base, proto/udp.h, gate/siphash.h.  Included by: gate, server.  Pure: the clock is an
 *           argument; rotation of keys is the caller's.
 * Threads:  any.
 * Memory:   keys are the caller's, and its to wipe.
 * Spec:     docs/udp-rr.md.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/ip.h"
#include "proto/udp.h"

enum {
    GATE_COOKIE_KEY_BYTES = 16,
    GATE_COOKIE_AGE_MAX_S = 3600,
    GATE_COOKIE_AGE_RENEW_S = 1800, /* older ones are replaced with the next answer */
    GATE_COOKIE_AHEAD_MAX_S = 300,  /* what clocks of servers with a common key may differ by */
    GATE_COOKIE_ROTATE_S = 24 * 3600,
};

struct gate_cookie_key {
    uint64_t word[2]; /* the 16 bytes as siphash_begin() wants them */
};

/* Cookies are made with the current key and accepted with both. Without a previous one both are
 * the same. */
struct gate_cookie_keys {
    struct gate_cookie_key current, previous;
};

/* Both ends of a datagram, whichever direction it has. Families are not looked at: IPv4 is mapped
 * (base/ip.h). */
struct gate_cookie_ends {
    struct ip_peer client, server;
};

enum gate_cookie_verdict {
    GATE_COOKIE_FRESH,
    GATE_COOKIE_RENEW,   /* good; older than GATE_COOKIE_AGE_RENEW_S */
    GATE_COOKIE_EXPIRED, /* ours, but older than GATE_COOKIE_AGE_MAX_S */
    GATE_COOKIE_FUTURE,  /* ours, but from more than GATE_COOKIE_AHEAD_MAX_S ahead */
    GATE_COOKIE_FORGED,  /* not ours, not with this nonce, or not for these ends */
};

static inline bool gate_cookie_good(enum gate_cookie_verdict verdict)
{
    return verdict == GATE_COOKIE_FRESH || verdict == GATE_COOKIE_RENEW;
}

void gate_cookie_key_read(const uint8_t bytes[GATE_COOKIE_KEY_BYTES],
                          struct gate_cookie_key *ret_key);

/* Fill in stamp and mac of the cookie, whose nonce is the client's. `now_s` is Unix time, of which
 * the lower 32 bits count. */
void gate_cookie_make(const struct gate_cookie_keys *keys, const struct gate_cookie_ends *ends,
                      uint32_t now_s, struct proto_cookie *cookie);

/* Judge a cookie. Ages are differences modulo 2^32, so 2106 is a year like any other. Its time
 * tells nothing about keys or macs. */
MUST_USE enum gate_cookie_verdict gate_cookie_check(const struct gate_cookie_keys *keys,
                                                    const struct gate_cookie_ends *ends,
                                                    uint32_t now_s,
                                                    const struct proto_cookie *cookie);
