/* base/hash.h — the keyed 64-bit hash of keys: XXH3 with a secret seed, inlined.
 *
 * The seed is drawn at start-up, so nobody outside can choose keys that collide.
 *
 * Includes: xxhash.h (header only).  Included by: hot, event, store, gate, cmd, cli.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/bytes.h"

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wswitch-enum"
#include <xxhash.h>
#pragma GCC diagnostic pop

static inline uint64_t hash_bytes(struct bytes bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.ptr, bytes.len, seed);
}
