/* bench/dist.h — random numbers, zipf ranks and value sizes, all repeatable from a seed.
 *
 * Includes: nothing of ours.  Included by: the bench programs.
 * Threads:  one owner per object.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

/* The finalizer of SplitMix64: a good 64-bit hash of a number. */
static inline uint64_t dist_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

struct dist_rng {
    uint64_t state;
};

static inline uint64_t dist_rng_next(struct dist_rng *rng)
{
    rng->state += UINT64_C(0x9e3779b97f4a7c15);
    return dist_mix(rng->state);
}

/* A number in 0..count-1; count < 2^32, and the multiplication's bias is count / 2^32 at most. */
static inline uint64_t dist_rng_below(struct dist_rng *rng, uint64_t count)
{
    return ((dist_rng_next(rng) >> 32) * count) >> 32;
}

/* A number in [0, 1). */
static inline double dist_rng_unit(struct dist_rng *rng)
{
    return (double)(dist_rng_next(rng) >> 11) * 0x1.0p-53;
}

/* Ranks 0..count-1 with probability ~ 1 / (rank + 1)^exponent, by rejection-inversion
 * (Hörmann and Derflinger 1996): no table, any exponent >= 0. */
struct dist_zipf {
    uint64_t count;
    double exponent;
    double low, high; /* the integral's values at both ends */
    double shortcut;  /* below this distance a candidate is accepted without a look */
};

void dist_zipf_init(struct dist_zipf *zipf, uint64_t count, double exponent);
uint64_t dist_zipf_next(const struct dist_zipf *zipf, struct dist_rng *rng);

/* Sizes as a table of quantiles: drawing one is one load, whatever the distribution. */
enum { DIST_SIZE_QUANTILES = 4096 };

struct dist_sizes {
    uint32_t quantile[DIST_SIZE_QUANTILES];
    uint32_t max;
};

/* Read "BYTES", "uniform:MIN:MAX" or "lognormal:MEDIAN:SIGMA:MIN:MAX".
 * Returns false on anything else, on 0 bytes and above 1 GiB. */
MUST_USE bool dist_sizes_parse(struct dist_sizes *sizes, const char *text);

/* The size that belongs to `draw`, a hash or a random number. */
static inline uint32_t dist_sizes_pick(const struct dist_sizes *sizes, uint64_t draw)
{
    return sizes->quantile[draw % DIST_SIZE_QUANTILES];
}
