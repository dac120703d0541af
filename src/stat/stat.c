/* stat/stat.c — blocks, their sum, and the general `stats`.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "stat/stat.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum stat_kind { STAT_KIND_COUNTER, STAT_KIND_GAUGE, STAT_KIND_COMPUTED, STAT_KIND_ABSENT };

/* The option that must be on for a row to be shown. */
enum stat_when {
    STAT_WHEN_ALWAYS,
    STAT_WHEN_MAXCONNS_FAST,
    STAT_WHEN_IDLE_TIMEOUT,
    STAT_WHEN_SLAB_REASSIGN,
    STAT_WHEN_LRU_CRAWLER,
    STAT_WHEN_LRU_MAINTAINER,
    STAT_WHEN_TLS,
    STAT_WHEN_TLS_CACHE,
    STAT_WHEN_UDP,      /* in a group of its own: stat_print_udp() */
    STAT_WHEN_PREFIXES, /* likewise: stat_print_prefixes() */
};

struct stat_row {
    enum stat_kind kind;
    enum stat_when when;
    const char *name;
    struct stat_metric metric;
};

static const struct stat_row rows[STAT_ID_COUNT] = {
#define STAT(id, kind_, when_, name_, ...)                                                         \
    [STAT_##id] = {.kind = STAT_KIND_##kind_,                                                      \
                   .when = STAT_WHEN_##when_,                                                      \
                   .name = name_,                                                                  \
                   .metric = {__VA_ARGS__}},
#include "tbl/stats.def"
};

/* ── all blocks together ──────────────────────────────────────────────────────────────────── */

struct block_node {
    struct stat_block block; /* first: aligned */
    struct block_node *next;
};

struct hists_node {
    struct stat_hists hists; /* first: aligned */
    struct hists_node *next;
};

struct stat_registry {
    pthread_mutex_t lock; /* lists and baselines; never taken to count */
    struct block_node *blocks;
    uint64_t baseline[STAT_ID_COUNT]; /* counters at the last reset */
    struct hists_node *hists;
    struct stat_hist_sum hists_baseline[STAT_HIST_COUNT];
};

int stat_registry_new(struct stat_registry **ret_registry)
{
    struct stat_registry *registry = calloc(1, sizeof(*registry));
    if (registry == NULL)
        return -ENOMEM;
    pthread_mutex_init(&registry->lock, NULL);
    *ret_registry = registry;
    return 0;
}

void stat_registry_free(struct stat_registry *registry)
{
    if (registry == NULL)
        return;
    while (registry->blocks != NULL) {
        struct block_node *node = registry->blocks;
        registry->blocks = node->next;
        free(node);
    }
    while (registry->hists != NULL) {
        struct hists_node *node = registry->hists;
        registry->hists = node->next;
        free(node);
    }
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

int stat_block_new(struct stat_registry *registry, struct stat_block **ret_block)
{
    struct block_node *node = aligned_alloc(_Alignof(struct block_node), sizeof(*node));
    if (node == NULL)
        return -ENOMEM;
    memset(node, 0, sizeof(*node));
    pthread_mutex_lock(&registry->lock);
    node->next = registry->blocks;
    registry->blocks = node;
    pthread_mutex_unlock(&registry->lock);
    *ret_block = &node->block;
    return 0;
}

int stat_hists_new(struct stat_registry *registry, struct stat_hists **ret_hists)
{
    struct hists_node *node = aligned_alloc(_Alignof(struct hists_node), sizeof(*node));
    if (node == NULL)
        return -ENOMEM;
    memset(node, 0, sizeof(*node));
    pthread_mutex_lock(&registry->lock);
    node->next = registry->hists;
    registry->hists = node;
    pthread_mutex_unlock(&registry->lock);
    *ret_hists = &node->hists;
    return 0;
}

/* Add up since the start; the lock is held. Relaxed: each number is right by itself, and nobody may
 * expect two of them to belong to the same moment. */
static void blocks_sum(const struct stat_registry *registry, uint64_t ret_sum[STAT_ID_COUNT])
{
    memset(ret_sum, 0, STAT_ID_COUNT * sizeof(ret_sum[0]));
    for (const struct block_node *node = registry->blocks; node != NULL; node = node->next)
        for (size_t id = 0; id < STAT_ID_COUNT; id++)
            ret_sum[id] += atomic_load_explicit(&node->block.value[id], memory_order_relaxed);
}

void stat_registry_sum(struct stat_registry *registry, uint64_t ret_sum[STAT_ID_COUNT])
{
    pthread_mutex_lock(&registry->lock);
    blocks_sum(registry, ret_sum);
    for (size_t id = 0; id < STAT_ID_COUNT; id++)
        ret_sum[id] -= registry->baseline[id];
    pthread_mutex_unlock(&registry->lock);
}

/* Likewise the histograms. Nor do a bucket, the sum and the maximum belong to the same moment. */
static void hists_sum(const struct stat_registry *registry,
                      struct stat_hist_sum ret_sum[STAT_HIST_COUNT])
{
    memset(ret_sum, 0, STAT_HIST_COUNT * sizeof(ret_sum[0]));
    for (const struct hists_node *node = registry->hists; node != NULL; node = node->next)
        for (size_t id = 0; id < STAT_HIST_COUNT; id++)
            stat_hist_collect(&ret_sum[id], &node->hists.of[id]);
}

void stat_registry_hists(struct stat_registry *registry,
                         struct stat_hist_sum ret_sum[STAT_HIST_COUNT])
{
    pthread_mutex_lock(&registry->lock);
    hists_sum(registry, ret_sum);
    for (size_t id = 0; id < STAT_HIST_COUNT; id++)
        stat_hist_subtract(&ret_sum[id], &registry->hists_baseline[id]);
    pthread_mutex_unlock(&registry->lock);
}

void stat_registry_reset(struct stat_registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    blocks_sum(registry, registry->baseline);
    for (size_t id = 0; id < STAT_ID_COUNT; id++)
        if (rows[id].kind != STAT_KIND_COUNTER)
            registry->baseline[id] = 0;
    hists_sum(registry, registry->hists_baseline);
    pthread_mutex_unlock(&registry->lock);
}

/* ── answers ──────────────────────────────────────────────────────────────────────────────── */

const char *stat_name(enum stat_id id)
{
    return rows[id].name;
}

const struct stat_metric *stat_metric_of(enum stat_id id)
{
    return &rows[id].metric;
}

static bool is_shown(enum stat_when when, const struct opts *opts,
                     const struct stat_provider *provider)
{
    switch (when) {
    case STAT_WHEN_ALWAYS:
        return true;
    case STAT_WHEN_MAXCONNS_FAST:
        return opts->maxconns_fast;
    case STAT_WHEN_IDLE_TIMEOUT:
        return provider->idle_timeout;
    case STAT_WHEN_SLAB_REASSIGN:
        return opts->slab_reassign;
    case STAT_WHEN_LRU_CRAWLER:
        return provider->lru_crawler;
    case STAT_WHEN_LRU_MAINTAINER:
        return opts->lru_maintainer;
    case STAT_WHEN_TLS:
        return opts->enable_ssl;
    case STAT_WHEN_TLS_CACHE:
        return opts->enable_ssl && opts->ssl_session_cache;
    case STAT_WHEN_UDP:
    case STAT_WHEN_PREFIXES:
        return false;
    }
    return false;
}

static void value_print(struct out *out, enum stat_id id, uint64_t counted,
                        const struct stat_provider *provider)
{
    switch (rows[id].kind) {
    case STAT_KIND_COUNTER:
    case STAT_KIND_GAUGE:
        out_put_u64(out, counted);
        return;
    case STAT_KIND_COMPUTED: {
        const size_t before = out->len;
        provider->value(provider->arg, id, out);
        if (out->len == before)
            out_put_str(out, "0");
        return;
    }
    case STAT_KIND_ABSENT:
        out_put_str(out, "0");
        return;
    }
}

static void row_print(struct out *out, enum stat_id id, uint64_t counted,
                      const struct stat_provider *provider)
{
    out_put_str(out, "STAT ");
    out_put_str(out, rows[id].name);
    out_put_str(out, " ");
    value_print(out, id, counted, provider);
    out_put_str(out, "\r\n");
}

void stat_print(struct out *out, const struct opts *opts, const uint64_t sum[STAT_ID_COUNT],
                const struct stat_provider *provider)
{
    for (enum stat_id id = 0; id < STAT_ID_COUNT; id++)
        if (is_shown(rows[id].when, opts, provider))
            row_print(out, id, sum[id], provider);
}

void stat_print_prefixes(struct out *out, const uint64_t sum[STAT_ID_COUNT],
                         const struct stat_provider *provider)
{
    for (enum stat_id id = 0; id < STAT_ID_COUNT; id++)
        if (rows[id].when == STAT_WHEN_PREFIXES)
            row_print(out, id, sum[id], provider);
}

void stat_print_udp(struct out *out, const uint64_t sum[STAT_ID_COUNT])
{
    for (enum stat_id id = 0; id < STAT_ID_COUNT; id++)
        if (rows[id].when == STAT_WHEN_UDP)
            out_printf(out, "STAT %s %llu\r\n", rows[id].name, (unsigned long long)sum[id]);
}
