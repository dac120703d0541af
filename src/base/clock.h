/* base/clock.h — the server's clock, read once per loop turn.
 *
 * Cache time is a uint32_t of seconds that starts at CLOCK_START_S when the process starts, so
 * that 0 can mean "never" and "a second ago" is representable from the first moment on. It follows
 * CLOCK_MONOTONIC: a stepped wall clock expires nothing. A warm restart goes on with the cache time
 * of the stop. Wall time for absolute exptimes is (cache
 * time + clock_wall_offset_s()).
 *
 * Includes: base.  Included by: event, cmd, net, server, cli (store gets `now_s` as an argument).
 * Threads:  any.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

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
