/* gate/digest.h — SipHash-2-4 of 128 bits: a digest that nobody can foretell without its key.
 *
 * Includes: base.  Included by: gate.  Pure.
 * Threads:  any.
 * Spec:     Aumasson and Bernstein, "SipHash: a fast short-input PRF", and the authors' 128-bit
 *           variant.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/bytes.h"

/* A digest; also what keys one. */
struct gate_digest {
    uint64_t lo, hi;
};

/* The digest of `bytes` under `key`. Its time depends on bytes.len alone. */
struct gate_digest gate_digest(struct gate_digest key, struct bytes bytes);

/* The following two have no branch that depends on the digests. */
static inline bool gate_digest_less(struct gate_digest a, struct gate_digest b)
{
    return (a.hi < b.hi) | ((a.hi == b.hi) & (a.lo < b.lo));
}

static inline bool gate_digest_equal(struct gate_digest a, struct gate_digest b)
{
    return ((a.lo ^ b.lo) | (a.hi ^ b.hi)) == 0;
}
