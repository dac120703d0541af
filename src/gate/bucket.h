/* gate/bucket.h — the arithmetic of a leaky bucket that is one number: when it will be empty.
 *
 * Everything is charged as the time that it takes to drain at the allowed rate, in ticks. The
 * bucket's level is how far that moment lies ahead of now, so a level decays by itself, to the
 * millisecond, and a source that was quiet needs no upkeep. Ticks are 48 bits, 198 days, and
 * compared modulo that; what lies further ahead than a level can, lies behind.
 *
 * Includes: base.  Included by: gate.  Pure: no memory, no clock; the kernel side may share
 * it.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    GATE_BUCKET_TICK_BITS = 48,
    GATE_BUCKET_MS_SHIFT = 14, /* 16384 ticks in a millisecond: at 64 MB/s, 4 bytes are one */
    /* A burst may be as much as this time allows, and what is charged for afterwards may exceed the
     * burst by as much again. */
    GATE_BUCKET_BURST_S_MAX = 3600,
};

#define GATE_BUCKET_TICK_MASK ((UINT64_C(1) << GATE_BUCKET_TICK_BITS) - 1)
#define GATE_BUCKET_DEBT_MAX  ((uint64_t)GATE_BUCKET_BURST_S_MAX * 1000 << GATE_BUCKET_MS_SHIFT)
#define GATE_BUCKET_LEVEL_MAX (2 * GATE_BUCKET_DEBT_MAX)

/* In the unit that is charged: requests, bytes, connections, failures, challenges. */
struct gate_rate {
    uint32_t per_s; /* 0: no limit */
    uint32_t burst; /* what may come at once; 1..GATE_BUCKET_BURST_S_MAX * per_s */
};

static inline uint64_t gate_bucket_now(uint64_t now_ms)
{
    return now_ms << GATE_BUCKET_MS_SHIFT & GATE_BUCKET_TICK_MASK;
}

/* The time that `units` take to drain, rounded up, so that nothing is free. At most 2^56. */
static inline uint64_t gate_bucket_ticks(uint32_t per_s, uint32_t units)
{
    return (units * (UINT64_C(1000) << GATE_BUCKET_MS_SHIFT) + per_s - 1) / per_s;
}

/* What is left at `now` of a bucket that is empty at `empty_at`. */
static inline uint64_t gate_bucket_level(uint64_t empty_at, uint64_t now)
{
    const uint64_t ahead = (empty_at - now) & GATE_BUCKET_TICK_MASK;
    return ahead <= GATE_BUCKET_LEVEL_MAX ? ahead : 0;
}

/* Is there room for `ticks`? */
static inline bool gate_bucket_admits(uint64_t level, uint64_t ticks, uint64_t burst_ticks)
{
    return level + ticks <= burst_ticks;
}

/* When a bucket of `level` will be empty after `ticks` more. */
static inline uint64_t gate_bucket_charge(uint64_t level, uint64_t ticks, uint64_t now)
{
    const uint64_t sum = level + ticks;
    return (now + (sum < GATE_BUCKET_LEVEL_MAX ? sum : GATE_BUCKET_LEVEL_MAX)) &
           GATE_BUCKET_TICK_MASK;
}

/* Milliseconds until a bucket of `level` holds no more than the burst, rounded up. */
static inline uint32_t gate_bucket_wait_ms(uint64_t level, uint64_t burst_ticks)
{
    const uint64_t ms_ticks = UINT64_C(1) << GATE_BUCKET_MS_SHIFT;
    return level > burst_ticks ? (uint32_t)((level - burst_ticks + ms_ticks - 1) / ms_ticks) : 0;
}
