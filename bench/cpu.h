/* bench/cpu.h — the CPU time of another process, all its threads, in nanoseconds.
 *
 * Clock ticks (10 ms) are too coarse for windows of a few seconds; the scheduler's own sum, which
 * /proc/PID/task/TID/schedstat shows, is exact. A thread that has ended is not in it: servers
 * keep theirs.
 *
 * Includes: nothing of ours.  Included by: the bench programs.
 * Spec:     proc(5), Documentation/scheduler/sched-stats.rst.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

struct cpu_time {
    uint64_t run_ns;                   /* user and system, exact */
    uint64_t user_ticks, system_ticks; /* how they divide, coarse */
};

/* All zero when the process cannot be read. */
struct cpu_time cpu_time_read(int pid);

uint64_t cpu_clock_ns(void); /* CLOCK_MONOTONIC */
