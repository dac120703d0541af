/* base/clock.h — the server's clock, read once per loop turn.
 *
 * Cache time is a uint32_t of seconds that starts at CLOCK_START_S when the process starts, so
 * that 0 can mean "never" and "a second ago" is representable from the first moment on. It follows
 * CLOCK_MONOTONIC: a stepped wall clock expires nothing. A warm restart goes on with the cache time
 * of the stop. Wall time for absolute exptimes is (cache
 * time + clock_wall_offset_s()).
 *
 * Includes: base.  Included by: stat, hot, event, cmd, net, server, cli (store gets `now_s` as an
 *           argument).
 * Threads:  any.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum { CLOCK_START_S = 2 };

void clock_init(void);               /* once, before any thread */
void clock_start_at(uint32_t now_s); /* cache time is now_s from here on; before any thread, too */
uint32_t clock_uptime_s(void);       /* since one of the two */
uint64_t clock_mono_ns(void);        /* for measuring */
uint64_t clock_mono_ms(void);        /* for limits: cheap, and up to 10 ms late */
uint32_t clock_now_s(void);          /* cache time; 136 years */
int64_t clock_wall_offset_s(void);   /* Unix time minus cache time */
void clock_shift_s(int64_t shift_s); /* test build's `debugtime N`: move cache time */
void clock_freeze(void);             /* test build's `debugtime p` */
void clock_resume(void);             /* test build's `debugtime r`: follow real time again */

/* ── ticks: for measuring short times often ───────────────────────────────────────────────────
 * Where the processor has a counter that runs at one rate in every state of power and counts alike
 * on all cores (x86: invariant TSC), a tick is one of its steps: reading it takes some 7 ns, which
 * is a third of clock_gettime(). Its rate is measured against CLOCK_MONOTONIC at the start and,
 * since a virtual machine may be moved to a host with another one, every now and then.
 * Elsewhere, and before clock_ticks_init(), a tick is a nanosecond of CLOCK_MONOTONIC.
 *
 * The counter may be read some instructions early or late; who measures does so around system
 * calls, which take far longer than that. Two cores may differ by less than it takes to move a
 * thread; a difference that comes out negative is 0. */

struct clock_ticks {
    bool counter;               /* set before there are threads */
    _Atomic uint64_t ns_per_32; /* nanoseconds of 2^32 ticks; relaxed: any recent rate will do */
};
extern struct clock_ticks clock_ticks_rate;

void clock_ticks_init(void); /* before any other thread; takes a millisecond */
/* Measure the rate again; from one thread, about once a second (more often it does nothing). */
void clock_ticks_adjust(void);

static ALWAYS_INLINE uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
    if (LIKELY(clock_ticks_rate.counter))
        return __builtin_ia32_rdtsc();
#endif
    return clock_mono_ns();
}

/* What a difference of two readings is in nanoseconds. */
static ALWAYS_INLINE uint64_t clock_ticks_ns(uint64_t ticks)
{
    __extension__ typedef unsigned __int128 wide;
    const uint64_t rate = atomic_load_explicit(&clock_ticks_rate.ns_per_32, memory_order_relaxed);
    return LIKELY((int64_t)ticks >= 0) ? (uint64_t)((wide)ticks * rate >> 32) : 0;
}
