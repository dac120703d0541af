/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/digest.h"

#include "gate/siphash.h"

struct gate_digest gate_digest(struct gate_digest key, struct bytes bytes)
{
    struct siphash s = siphash_begin(key.lo, key.hi);
    s.v1 ^= 0xee;
    siphash_bytes(&s, bytes.ptr, bytes.len);
    s.v2 ^= 0xee;
    struct gate_digest digest;
    digest.lo = siphash_fold(&s);
    s.v1 ^= 0xdd;
    digest.hi = siphash_fold(&s);
    return digest;
}
