/* store/info.c — what the store tells about itself.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "store/store_priv.h"

static void info_segments(struct store *store, struct store_info *info)
{
    spin_lock(&store->pool_lock);
    const uint32_t fresh = segments_touched(store), index = store->index_segments;
    info->segments_free = atomic_load_explicit(&store->available, memory_order_relaxed);
    info->segments_limbo = store->limbo.count;
    const uint64_t used = store->resident - store->free.count + index;
    spin_unlock(&store->pool_lock);
    info->segments_max = atomic_load_explicit(&store->segment_limit, memory_order_relaxed);
    info->segments_index = index;
    info->segments_pinned = atomic_load_explicit(&store->pinned_segments, memory_order_relaxed);
    info->memory_bytes = (uint64_t)info->segments_max << store->segment_shift;
    info->memory_used_bytes = used << store->segment_shift;
    info->index_bytes = (uint64_t)index << store->segment_shift;
    info->segments_small =
        atomic_load_explicit(&store->queue_count[QUEUE_SMALL], memory_order_relaxed);
    info->segments_main =
        atomic_load_explicit(&store->queue_count[QUEUE_MAIN], memory_order_relaxed);
    uint32_t oldest = UINT32_MAX;
    for (uint32_t seg = 0; seg < fresh; seg++) {
        const uint8_t state =
            atomic_load_explicit(&store->segments[seg].state, memory_order_relaxed);
        info->segments_open += state == SEG_OPEN;
        const uint32_t born = atomic_load_explicit(&store->born_s[seg], memory_order_relaxed);
        if ((state == SEG_OPEN || state == SEG_SEALED) && born < oldest)
            oldest = born;
    }
    const uint32_t now_s = atomic_load_explicit(&store->now_s, memory_order_relaxed);
    info->oldest_s = oldest < now_s ? now_s - oldest : 0;
}

static void info_counters(struct store *store, struct store_info *info)
{
    uint64_t sum[COUNT_ID_COUNT];
    counters_sum(store, sum);
    info->items = sum[COUNT_LINKED] - sum[COUNT_UNLINKED];
    info->item_bytes = sum[COUNT_LINKED_BYTES] - sum[COUNT_UNLINKED_BYTES];
    spin_lock(&store->threads_lock);
    for (unsigned i = 0; i < COUNT_ID_COUNT; i++)
        sum[i] -= store->base_counters[i];
    spin_unlock(&store->threads_lock);
    info->items_total = sum[COUNT_ITEMS_TOTAL];
    info->evictions = sum[COUNT_EVICTIONS];
    info->evicted_unfetched = sum[COUNT_EVICTED_UNFETCHED];
    info->evicted_nonzero = sum[COUNT_EVICTED_NONZERO];
    info->evicted_active = sum[COUNT_EVICTED_ACTIVE];
    info->expired_unfetched = sum[COUNT_EXPIRED_UNFETCHED];
    info->reclaimed = info->expired_background = sum[COUNT_RECLAIMED];
    info->flushed = sum[COUNT_FLUSHED];
    info->prefix_deleted = sum[COUNT_PREFIX_DELETED];
    info->segments_evicted = sum[COUNT_SEGMENTS_EVICTED];
    info->segments_compacted = sum[COUNT_SEGMENTS_COMPACTED];
    info->segments_expired = sum[COUNT_SEGMENTS_EXPIRED];
    info->bytes_copied = sum[COUNT_BYTES_COPIED];
    info->ghost_hits = 0;
    for (unsigned i = 0; i < RETURNS_COUNT; i++)
        info->ghost_hits += sum[COUNT_GHOST_HITS + i];
    info->scanned = sum[COUNT_SCANNED];
    info->out_of_memory = sum[COUNT_OUT_OF_MEMORY];
}

void store_info(struct store *store, struct store_info *ret_info)
{
    *ret_info = (struct store_info){.segment_bytes = store->segment_bytes};
    info_segments(store, ret_info);
    info_counters(store, ret_info);
    barriers_info(store, ret_info);
    const uint64_t buckets = atomic_load_explicit(&store->bucket_count, memory_order_relaxed);
    ret_info->index_buckets = buckets;
    ret_info->index_level = 63u - (unsigned)__builtin_clzll(buckets);
    ret_info->index_growing = (buckets & (buckets - 1)) != 0;
    ret_info->evicted_age_s = atomic_load_explicit(&store->evicted_age_s, memory_order_relaxed);
}

void store_info_reset(struct store *store)
{
    uint64_t sum[COUNT_ID_COUNT];
    counters_sum(store, sum);
    spin_lock(&store->threads_lock);
    memcpy(store->base_counters, sum, sizeof(sum));
    spin_unlock(&store->threads_lock);
}
