/* bench/hist.h — a histogram of nanoseconds with less than 1 % error, and its quantiles.
 *
 * Values below 128 have their own bucket; above, each octave has 128 of them.
 *
 * Includes: nothing of ours.  Included by: the bench programs.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

enum {
    HIST_SUB_BITS = 7, /* 128 buckets per octave: 1/128 wide */
    HIST_OCTAVES = 64 - HIST_SUB_BITS,
    HIST_BUCKETS = (HIST_OCTAVES + 1) << HIST_SUB_BITS,
};

struct hist {
    uint64_t count, max_ns;
    uint64_t bucket[HIST_BUCKETS];
};

static inline unsigned hist_bucket_index(uint64_t ns)
{
    if (ns < 1u << HIST_SUB_BITS)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - HIST_SUB_BITS;
    return (shift << HIST_SUB_BITS) + (unsigned)(ns >> shift);
}

static inline void hist_add(struct hist *hist, uint64_t ns)
{
    hist->count++;
    if (ns > hist->max_ns)
        hist->max_ns = ns;
    hist->bucket[hist_bucket_index(ns)]++;
}

/* The value below which `share` (0..1) of all values lie: the upper edge of its bucket; 0 when
 * empty. */
uint64_t hist_quantile(const struct hist *hist, double share);
