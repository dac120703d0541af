/* stat/stat.h — counters: one block per thread, summed when somebody asks.
 *
 * Every statistic is one row of tbl/stats.def. A thread counts into a block of its own, so counting
 * costs one plain addition and shares no cache line; whoever asks adds the blocks up.
 *
 * Includes: base, opt.  Included by: logger, cmd, net, web, server, bench.
 * Threads:  a block has one writer, anyone may read; the registry's calls may come from any thread.
 * Memory:   blocks belong to the registry and live as long as it does, so that what a finished
 *           thread has counted stays counted.
 * Spec:     memcached 1.6.45, stats and stats settings.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/out.h"
#include "opt/opt.h"
#include "stat/hist.h"

enum stat_id {
#define STAT(id, ...) STAT_##id,
#include "tbl/stats.def"
    STAT_ID_COUNT
};

struct stat_block {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t value[STAT_ID_COUNT];
};

/* Add `delta` to a counter or gauge of the calling thread's own block.
 * Relaxed, for nothing else is published with a count. Load and store rather than a locked add, for
 * there is one writer. A gauge that goes up in one thread and down in another wraps here, and its
 * sum wraps back. */
static ALWAYS_INLINE void stat_add(struct stat_block *block, enum stat_id id, uint64_t delta)
{
    const uint64_t old = atomic_load_explicit(&block->value[id], memory_order_relaxed);
    atomic_store_explicit(&block->value[id], old + delta, memory_order_relaxed);
}

static ALWAYS_INLINE void stat_inc(struct stat_block *block, enum stat_id id)
{
    stat_add(block, id, 1);
}

static ALWAYS_INLINE void stat_sub(struct stat_block *block, enum stat_id id, uint64_t delta)
{
    stat_add(block, id, 0 - delta);
}

/* ── all blocks together ──────────────────────────────────────────────────────────────────── */

struct stat_registry;

/* Returns 0 or -ENOMEM. Owns: free with stat_registry_free(), when no thread counts any more. */
MUST_USE int stat_registry_new(struct stat_registry **ret_registry);
void stat_registry_free(struct stat_registry *registry); /* NULL is fine; frees the blocks */

/* A new, zeroed block for one thread. Returns 0 or -ENOMEM. Borrowed from the registry. */
MUST_USE int stat_block_new(struct stat_registry *registry, struct stat_block **ret_block);

/* Sum up all blocks. Counters are those since the last reset; rows that live in no block are 0. */
void stat_registry_sum(struct stat_registry *registry, uint64_t ret_sum[STAT_ID_COUNT]);
/* `stats reset`: counters start from 0 again, gauges stay. No block is written. */
void stat_registry_reset(struct stat_registry *registry);

/* A new, zeroed block of histograms for one thread. As stat_block_new(). */
MUST_USE int stat_hists_new(struct stat_registry *registry, struct stat_hists **ret_hists);
/* Sum up all blocks: what was counted since the last reset. A maximum from before the reset is told
 * as far as the buckets allow it: the greatest value of the highest one that has been counted in
 * since, or less. */
void stat_registry_hists(struct stat_registry *registry,
                         struct stat_hist_sum ret_sum[STAT_HIST_COUNT]);

/* ── answers ──────────────────────────────────────────────────────────────────────────────── */

/* Who knows the computed rows: appends the bare value of `id` to `out` (one that it doesn't know:
 *                              0). */
struct stat_provider {
    void (*value)(void *arg, enum stat_id id, struct out *out);
    void *arg;
    bool lru_crawler;  /* its rows are shown */
    bool idle_timeout; /* likewise */
};

/* Append the rows of the general `stats`, "STAT name value\r\n" each, without the END. */
void stat_print(struct out *out, const struct opts *opts, const uint64_t sum[STAT_ID_COUNT],
                const struct stat_provider *provider);

/* Append the rows of `stats udp`, likewise. */
void stat_print_udp(struct out *out, const uint64_t sum[STAT_ID_COUNT]);

/* Append the rows of `stats prefixes`, likewise. */
void stat_print_prefixes(struct out *out, const uint64_t sum[STAT_ID_COUNT],
                         const struct stat_provider *provider);
/* Append the rows of `stats latency`, likewise. */
void stat_print_hists(struct out *out, const struct stat_hist_sum sum[STAT_HIST_COUNT]);

/* What `stats settings` shows and the options do not tell, or that has changed since the start. */
struct stat_settings {
    uint64_t memory_limit_bytes;                             /* cache_memlimit changes it */
    uint32_t verbose;                                        /* verbosity changes it */
    uint32_t conn_limit, max_reqs_per_event, idle_timeout_s; /* config set changes them */
    uint32_t oldest_s;                                       /* age of the oldest item */
    int32_t port, udp_port;                                  /* the ports really listened on */
    bool stats_detail;                                       /* stats detail changes it */
    /* slabs automove */
    uint32_t slab_automove, slab_automove_window_s;
    double slab_automove_ratio;
    /* lru_crawler */
    bool lru_crawler;
    uint32_t lru_crawler_sleep_us, lru_crawler_tocrawl;
    /* lru */
    bool lru_segmented, temporary;
    uint32_t hot_lru_pct, warm_lru_pct, temporary_ttl_s;
    double hot_max_factor, warm_max_factor;
};

/* Append the rows of `stats settings`, without the END. */
void stat_print_settings(struct out *out, const struct opts *opts,
                         const struct stat_settings *live);

/* The row's name in `stats`. */
const char *stat_name(enum stat_id id);
/* How a row is told to Prometheus. */
struct stat_metric {
    const char *family; /* without prefix; "": not at all */
    const char *labels; /* key="value",...; may be "" */
    const char *help;   /* the same for all rows of a family */
};
const struct stat_metric *stat_metric_of(enum stat_id id);

/* The rows of the general `stats` for a manual page, in the language of scdoc(5). */
void stat_print_manual(FILE *file);
