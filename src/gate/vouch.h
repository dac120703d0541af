/* gate/vouch.h — addresses that connected by TCP lately, and so do exist (R8, tcp-vouched).
 *
 * A TCP connection is established only with who receives what is sent to the address, so a spoofed
 * source cannot get in here. The table is sets of eight cells, one cache line each, chosen by a
 * hash under a secret seed:
 *
 *     cell:  32 bits mark, from the same hash; 32 bits when it was vouched for last; 0: empty
 *
 * When a set is full the oldest gives way: its client is merely not vouched for any more, until it
 * connects again. Two addresses are taken for one when set and mark are the same, 1 in 2^41 for any
 * two.
 *
 * Includes: base.  Included by: server.
 * Threads:  one writes (that which accepts), any read.
 * Memory:   GATE_VOUCH_BYTES.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdatomic.h>

#include "base/attr.h"
#include "base/ip.h"

enum {
    GATE_VOUCH_S = 300,
    GATE_VOUCH_CELLS = CACHE_LINE_BYTES / 8,
    GATE_VOUCH_SETS = 4096,
    GATE_VOUCH_BYTES = GATE_VOUCH_SETS * CACHE_LINE_BYTES, /* 32768 addresses */
};

struct gate_vouch {
    struct {
        _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t cell[GATE_VOUCH_CELLS];
    } set[GATE_VOUCH_SETS];
    uint64_t seed;
};

/* Returns 0, -ENOMEM or -EIO (no random numbers). Owns: gate_vouch_free(). */
MUST_USE int gate_vouch_new(struct gate_vouch **ret_vouch);
void gate_vouch_free(struct gate_vouch *vouch); /* NULL is fine */

/* `ip` has connected at `now_s` (cache time). */
void gate_vouch_put(struct gate_vouch *vouch, const struct ip *ip, uint32_t now_s);
/* Has it, within GATE_VOUCH_S? */
MUST_USE bool gate_vouch_has(const struct gate_vouch *vouch, const struct ip *ip, uint32_t now_s);
