/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

static uint64_t start_ns; /* written before there are threads, like the next two */
static uint32_t start_s = CLOCK_START_S;
static int64_t wall_offset_s;

/* Written by `debugtime` of the test build only, read by every worker; no order with other data is
 * needed because a clock that is late by one read is still a clock: relaxed. */
static _Atomic int64_t shift_ns;
static _Atomic uint64_t frozen_ns; /* 0: running */

uint64_t clock_mono_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void clock_init(void)
{
    clock_start_at(CLOCK_START_S);
}

void clock_start_at(uint32_t now_s)
{
    start_ns = clock_mono_ns();
    start_s = now_s;
    wall_offset_s = (int64_t)time(NULL) - now_s;
}

uint32_t clock_uptime_s(void)
{
    return clock_now_s() - start_s;
}

static uint64_t cache_ns(void)
{
    const uint64_t frozen = atomic_load_explicit(&frozen_ns, memory_order_relaxed);
    const uint64_t real = frozen != 0 ? frozen : clock_mono_ns();
    return real - start_ns + (uint64_t)atomic_load_explicit(&shift_ns, memory_order_relaxed);
}

uint64_t clock_mono_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

uint32_t clock_now_s(void)
{
    return (uint32_t)(cache_ns() / 1000000000u) + start_s;
}

int64_t clock_wall_offset_s(void)
{
    return wall_offset_s;
}

void clock_shift_s(int64_t shift_s)
{
    atomic_fetch_add_explicit(&shift_ns, shift_s * 1000000000, memory_order_relaxed);
}

void clock_freeze(void)
{
    atomic_store_explicit(&frozen_ns, clock_mono_ns(), memory_order_relaxed);
}

void clock_resume(void)
{
    atomic_store_explicit(&frozen_ns, 0, memory_order_relaxed);
}
