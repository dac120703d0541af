/* stat/hist.h — histograms: how often, how large; a block of them per thread, summed when asked.
 *
 * Buckets are log-linear: below 16 each number has its own, above that every doubling is cut into
 * eight of the same width. So a bucket is at most an eighth as wide as what it holds is large, and
 * its index is a shift away from the number.
 *
 *     0 1 2 ... 15 | 16-17 18-19 ... 30-31 | 32-35 36-39 ... | 64-71 ... | ... 2^40 and more
 *
 * What is counted is in tbl/histograms.def. Times are those of struct stat_timing: one reading of
 * the clock when a batch of requests has been read, one when its answers have been sent; what lies
 * between is the time of every request of the batch, for each was there at the first and answered
 * at the second. So a batch costs two readings of the clock however many requests it has, and one
 * addition per class of command that is in it.
 *
 * Includes: base.  Included by: stat, cmd, net, server.
 * Threads:  a block has one writer, anyone may read; a stat_timing is its thread's alone.
 * Memory:   about 20 KiB per thread, of which the buckets in use are touched.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/out.h"

enum {
    STAT_HIST_SUB_BITS = 3, /* eight buckets per doubling */
    STAT_HIST_BITS = 40,    /* 18 minutes in ns, a TiB; the last bucket holds what is more */
    STAT_HIST_BUCKETS = (STAT_HIST_BITS - STAT_HIST_SUB_BITS + 1) << STAT_HIST_SUB_BITS,
};

enum stat_hist_id {
#define HISTOGRAM(id, ...) STAT_HIST_##id,
#include "tbl/histograms.def"
    STAT_HIST_COUNT
};

/* What is counted, see tbl/histograms.def. */
enum stat_hist_unit { STAT_HIST_UNIT_TIME, STAT_HIST_UNIT_BYTES, STAT_HIST_UNIT_SECONDS };

struct stat_hist_row {
    enum stat_hist_unit unit;
    const char *name;   /* in `stats latency` */
    const char *metric; /* for monitoring; without prefix */
    const char *labels; /* "" or key="value" */
    const char *help;
};
extern const struct stat_hist_row stat_hist_rows[STAT_HIST_COUNT];

struct stat_hist {
    _Atomic uint64_t sum, max;
    _Atomic uint64_t bucket[STAT_HIST_BUCKETS];
};

/* One thread's. */
struct stat_hists {
    _Alignas(CACHE_LINE_BYTES) struct stat_hist of[STAT_HIST_COUNT];
};

/* ── buckets ──────────────────────────────────────────────────────────────────────────────── */

/* The bucket that `value` falls into. */
static ALWAYS_INLINE unsigned stat_hist_bucket(uint64_t value)
{
    const unsigned top = 63u - (unsigned)__builtin_clzll(value | 1u << STAT_HIST_SUB_BITS);
    const unsigned shift = top - STAT_HIST_SUB_BITS;
    const uint64_t index = (uint64_t)(shift << STAT_HIST_SUB_BITS) + (value >> shift);
    return index < STAT_HIST_BUCKETS ? (unsigned)index : STAT_HIST_BUCKETS - 1u;
}

/* The least and the greatest value of a bucket, both included; the last one has no end
 * (UINT64_MAX). */
uint64_t stat_hist_least(unsigned bucket);
uint64_t stat_hist_greatest(unsigned bucket);

/* ── counting ─────────────────────────────────────────────────────────────────────────────── */

/* Add `count` times `value` to a histogram of the calling thread's own block. Relaxed load and
 * store, as stat_add(): one writer, and nothing else is published with a count. */
static ALWAYS_INLINE void stat_hist_add_to(struct stat_hist *hist, unsigned bucket, uint64_t value,
                                           uint64_t count)
{
    _Atomic uint64_t *slot = &hist->bucket[bucket];
    atomic_store_explicit(slot, atomic_load_explicit(slot, memory_order_relaxed) + count,
                          memory_order_relaxed);
    atomic_store_explicit(&hist->sum,
                          atomic_load_explicit(&hist->sum, memory_order_relaxed) + value * count,
                          memory_order_relaxed);
    if (UNLIKELY(value > atomic_load_explicit(&hist->max, memory_order_relaxed)))
        atomic_store_explicit(&hist->max, value, memory_order_relaxed);
}

/* `hists` may be NULL: nothing is counted. */
static ALWAYS_INLINE void stat_hist_add(struct stat_hists *hists, enum stat_hist_id id,
                                        uint64_t value)
{
    if (LIKELY(hists != NULL))
        stat_hist_add_to(&hists->of[id], stat_hist_bucket(value), value, 1);
}

/* ── the time that requests take ──────────────────────────────────────────────────────────── */

/* The classes by which times are told. OTHER is 0, so that a table of commands need not name it. */
enum stat_class {
    STAT_CLASS_OTHER,
    STAT_CLASS_GET,
    STAT_CLASS_STORE,
    STAT_CLASS_DELETE,
    STAT_CLASS_ARITH,
    STAT_CLASS_TOUCH,
    STAT_CLASS_COUNT /* even */
};

/* A thread's: the requests that were executed since the last send. Who runs them counts them, who
 * sends times them. */
struct stat_timing {
    _Alignas(CACHE_LINE_BYTES) struct stat_hists *hists; /* NULL: nothing is timed */
    uint64_t read_ticks;                                 /* when what is being executed was read */
    uint32_t requests[STAT_CLASS_COUNT];
};

/* Requests of one connection whose answers wait while others' are executed. */
struct stat_timed {
    uint64_t read_ticks;
    uint32_t requests[STAT_CLASS_COUNT];
};

/* A read has brought something. Returns when, for stat_timing_resume(). */
static ALWAYS_INLINE uint64_t stat_timing_read(struct stat_timing *timing)
{
    if (LIKELY(timing->hists != NULL))
        timing->read_ticks = clock_ticks();
    return timing->read_ticks;
}

/* What is executed next was read back then, and had to wait. */
static ALWAYS_INLINE void stat_timing_resume(struct stat_timing *timing, uint64_t read_ticks)
{
    timing->read_ticks = read_ticks;
}

/* A request of that class has been executed. */
static ALWAYS_INLINE void stat_timing_count(struct stat_timing *timing, enum stat_class class)
{
    timing->requests[class]++;
}

/* Set aside what has been executed, until its answers are sent: _take(), then _sent(). */
static ALWAYS_INLINE void stat_timing_put(struct stat_timing *timing, struct stat_timed *ret_timed)
{
    ret_timed->read_ticks = timing->read_ticks;
    memcpy(ret_timed->requests, timing->requests, sizeof(timing->requests));
    memset(timing->requests, 0, sizeof(timing->requests));
}
static ALWAYS_INLINE void stat_timing_take(struct stat_timing *timing,
                                           const struct stat_timed *timed)
{
    timing->read_ticks = timed->read_ticks;
    memcpy(timing->requests, timed->requests, sizeof(timing->requests));
}

/* Their answers have been sent, or there are none, or the socket takes no more: what then passes is
 * the client's time. */
static ALWAYS_INLINE void stat_timing_sent(struct stat_timing *timing)
{
    static const uint8_t hist_of[STAT_CLASS_COUNT] = {
        [STAT_CLASS_OTHER] = STAT_HIST_OTHER, [STAT_CLASS_GET] = STAT_HIST_GET,
        [STAT_CLASS_STORE] = STAT_HIST_STORE, [STAT_CLASS_DELETE] = STAT_HIST_DELETE,
        [STAT_CLASS_ARITH] = STAT_HIST_ARITH, [STAT_CLASS_TOUCH] = STAT_HIST_TOUCH,
    };
    if (UNLIKELY(timing->hists == NULL))
        return;
    const uint64_t ns = clock_ticks_ns(clock_ticks() - timing->read_ticks);
    const unsigned bucket = stat_hist_bucket(ns);
    /* Two at a time: mostly there is one class. */
    for (unsigned i = 0; i < STAT_CLASS_COUNT; i += 2) {
        if (LIKELY((timing->requests[i] | timing->requests[i + 1]) == 0))
            continue;
        for (unsigned j = i; j < i + 2; j++)
            if (timing->requests[j] > 0)
                stat_hist_add_to(&timing->hists->of[hist_of[j]], bucket, ns, timing->requests[j]);
        timing->requests[i] = timing->requests[i + 1] = 0;
    }
}

/* ── all threads together ─────────────────────────────────────────────────────────────────── */

/* A histogram as it was at some moment: plain numbers, the caller's own. */
struct stat_hist_sum {
    uint64_t count; /* of all buckets */
    uint64_t sum;   /* of all values */
    uint64_t max;   /* 0 when there is none */
    uint64_t bucket[STAT_HIST_BUCKETS];
};

/* Add a thread's to a sum. */
void stat_hist_collect(struct stat_hist_sum *sum, const struct stat_hist *hist);
/* Take off what had been counted at an earlier moment, the maximum as far as that is possible. */
void stat_hist_subtract(struct stat_hist_sum *sum, const struct stat_hist_sum *earlier);

/* How many were `value` or less, which is the greatest of a bucket (else that bucket counts
 * whole). */
uint64_t stat_hist_at_most(const struct stat_hist_sum *sum, uint64_t value);

/* The value that the part `q` (0..1) of all lie below: exact below 16, then interpolated within its
 * bucket, never above the greatest. 0 when there are none. */
double stat_hist_quantile(const struct stat_hist_sum *sum, double q);
