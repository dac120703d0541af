/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/clock.h"

#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

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

/* ── ticks ────────────────────────────────────────────────────────────────────────────────── */

struct clock_ticks clock_ticks_rate = {.ns_per_32 = 1ull << 32};

/* When the rate was last measured; its thread's alone. */
static uint64_t measured_ns, measured_ticks;

enum { MEASURE_NS = 1000 * 1000, MEASURE_AGAIN_NS = 500 * 1000 * 1000 };

/* Does the counter run at one rate, whatever the processor does? */
static bool counter_is_invariant(void)
{
#if defined(__x86_64__)
    const unsigned leaf = 0x80000007, invariant = 1u << 8; /* as the processors' manuals say */
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(leaf, &eax, &ebx, &ecx, &edx) != 0 && (edx & invariant) != 0;
#else
    return false;
#endif
}

/* A reading of both clocks that belong together: of a few tries the one that was interrupted
 * least. */
static void both_read(uint64_t *ret_ns, uint64_t *ret_ticks)
{
    uint64_t shortest = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        const uint64_t before = clock_ticks();
        const uint64_t ns = clock_mono_ns();
        const uint64_t took = clock_ticks() - before;
        if (took >= shortest)
            continue;
        shortest = took;
        *ret_ns = ns;
        *ret_ticks = before + took / 2;
    }
}

/* Take the rate since the last measuring, if it is one that a processor can have: 0.1 to 100 GHz.
 * Over a millisecond two readings that are 50 ns off make 0.01 %. */
static bool rate_take(uint64_t ns, uint64_t ticks)
{
    if (ticks <= measured_ticks)
        return false;
    const double rate = (double)(ns - measured_ns) * 0x1p32 / (double)(ticks - measured_ticks);
    if (rate < 0x1p32 / 100 || rate > 0x1p32 * 10)
        return false;
    atomic_store_explicit(&clock_ticks_rate.ns_per_32, (uint64_t)rate, memory_order_relaxed);
    return true;
}

void clock_ticks_init(void)
{
    clock_ticks_rate.counter = counter_is_invariant();
    if (!clock_ticks_rate.counter)
        return;
    both_read(&measured_ns, &measured_ticks);
    uint64_t ns = 0, ticks = 0;
    do
        both_read(&ns, &ticks);
    while (ns - measured_ns < MEASURE_NS);
    clock_ticks_rate.counter = rate_take(ns, ticks);
}

void clock_ticks_adjust(void)
{
    if (!clock_ticks_rate.counter || clock_mono_ns() - measured_ns < MEASURE_AGAIN_NS)
        return;
    uint64_t ns = 0, ticks = 0;
    both_read(&ns, &ticks);
    (void)rate_take(ns, ticks);
    measured_ns = ns;
    measured_ticks = ticks;
}
