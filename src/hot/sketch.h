/* hot/sketch.h — which of a stream of keys come most often: a guess in constant memory.
 *
 * It is HeavyKeeper (Gong and others, USENIX ATC 2018). Each key has a cell in each of two rows,
 * chosen by its hash. A cell belongs to one key at a time and counts for it; another key that comes
 * to it takes one off its count, with a probability that falls as 1.08^-count, and takes it over at
 * 0. So what comes often gets its cell and keeps it, and any number of rare keys cannot wear it
 * down. The best 64 are kept by name, with counts of their own.
 *
 *     row 0   [tag count][tag count] ... 1024        hash   count  key
 *     row 1   [tag count][tag count] ... 1024        ...    ...    ...     64
 *
 * What it tells: a key in the list has come at least as often as it says, but for what an earlier
 * owner of the same tag left (2^-32 per pair of keys). A key that makes up 0.3 % or more of the
 * additions within the window is practically always in it, among any others.
 *
 * Includes: base.  Included by: hot, tests.
 * Threads:  one at a time.
 * Memory:   33 KiB, whatever is added.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum { HOT_ROWS = 2, HOT_COLUMNS = 1024, HOT_TOP = 64, HOT_KEY_BYTES_MAX = 250 };

struct hot_cell {
    uint32_t tag;
    float count; /* below 0.5 of an addition it is free */
};

/* Those that come most, in no order. */
struct hot_top {
    uint64_t hash[HOT_TOP];
    float count[HOT_TOP];
    uint32_t used;
    uint8_t len[HOT_TOP];
    uint8_t text[HOT_TOP][HOT_KEY_BYTES_MAX];
};

struct hot_sketch {
    struct hot_cell cell[HOT_ROWS][HOT_COLUMNS];
    struct hot_top top;
};

/* `key` (up to HOT_KEY_BYTES_MAX, copied when needed) with its `hash`, keyed by a secret, has come
 * `weight` times (> 0). `random` is 32 bits nobody can foresee. A sketch that is all zero is
 * empty. */
void hot_sketch_add(struct hot_sketch *sketch, struct bytes key, uint64_t hash, float weight,
                    uint32_t random);
/* How often that key has come, as far as is known; 0: it is not known. */
float hot_sketch_count(const struct hot_sketch *sketch, uint64_t hash);
/* Multiply all counts by `factor`, 0..1. */
void hot_sketch_age(struct hot_sketch *sketch, float factor);

/* base^n, without the mathematical library. */
static inline float hot_power(float base, uint32_t n)
{
    float power = 1;
    for (; n > 0; n >>= 1, base *= base)
        if ((n & 1) != 0)
            power *= base;
    return power;
}
