/* A watcher's buffer of lines: the logger thread writes, the worker of its connection reads.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "logger/logger_priv.h"

/* Who watches what has changed; the lock is held. */
static void streams_count(struct logger *logger, uint32_t streams, bool add)
{
    uint32_t mask = 0;
    for (unsigned i = 0; i < LOGGER_STREAMS; i++) {
        if (streams >> i & 1)
            logger->stream_counts[i] += add ? 1u : -1u;
        if (logger->stream_counts[i] > 0)
            mask |= 1u << i;
    }
    /* relaxed: see logger_priv.h about who misses nothing because of the lock */
    atomic_store_explicit(&logger->evictions, (mask & LOGGER_EVICTIONS) != 0, memory_order_relaxed);
    atomic_store_explicit(&logger->mask, mask, memory_order_relaxed);
}

enum logger_rc logger_watcher_new(struct logger_ring *owner, uint32_t streams,
                                  struct logger_watcher **ret_watcher)
{
    struct logger *logger = owner->logger;
    const size_t cap = logger->config.watcher_bytes;
    const size_t bytes = (sizeof(struct logger_watcher) + cap + CACHE_LINE_BYTES - 1) /
                         CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    struct logger_watcher *watcher = aligned_alloc(CACHE_LINE_BYTES, bytes);
    if (watcher == NULL)
        return LOGGER_FAILED;
    memset(watcher, 0, sizeof(*watcher));
    watcher->owner = owner;
    watcher->streams = streams;
    watcher->cap = cap;
    /* relaxed: nobody else has it yet */
    atomic_store_explicit(&watcher->waiting, true, memory_order_relaxed);
    pthread_mutex_lock(&logger->lock);
    const bool room = logger->count < LOGGER_WATCHERS_MAX;
    if (room) {
        logger->count++;
        watcher->gid_first = atomic_load_explicit(&logger->gid, memory_order_relaxed);
        watcher->next = logger->incoming;
        logger->incoming = watcher;
        streams_count(logger, streams, true);
    }
    pthread_mutex_unlock(&logger->lock);
    if (!room) {
        free(watcher);
        return LOGGER_TOO_MANY;
    }
    stat_inc(owner->stats, STAT_LOG_WATCHERS);
    *ret_watcher = watcher;
    return LOGGER_OK;
}

void logger_watcher_free(struct logger_watcher *watcher)
{
    struct logger_ring *owner = watcher->owner;
    struct logger *logger = owner->logger;
    stat_sub(owner->stats, STAT_LOG_WATCHERS, 1);
    pthread_mutex_lock(&logger->lock);
    logger->count--;
    streams_count(logger, watcher->streams, false);
    pthread_mutex_unlock(&logger->lock);
    /* release: our reads of its buffer are over; the logger thread frees it */
    atomic_store_explicit(&watcher->gone, true, memory_order_release);
    logger_poke(logger);
}

/* ── the buffer ───────────────────────────────────────────────────────────────────────────── */

/* Copy to the position `head`, around the end if need be. Returns the position behind it. */
static uint64_t buf_put(struct logger_watcher *watcher, uint64_t head, const char *text, size_t len)
{
    const size_t at = head % watcher->cap;
    const size_t first = watcher->cap - at < len ? watcher->cap - at : len;
    memcpy(watcher->buf + at, text, first);
    memcpy(watcher->buf, text + first, len - first);
    return head + len;
}

void watcher_put(struct logger_watcher *watcher, const char *line, size_t len)
{
    struct stat_block *stats = watcher->owner->logger->config.stats;
    uint64_t head = atomic_load_explicit(&watcher->head, memory_order_relaxed); /* our own */
    /* acquire: the owner is done with what we overwrite */
    const uint64_t tail = atomic_load_explicit(&watcher->tail, memory_order_acquire);
    char skipped[40];
    int skipped_len = 0;
    if (watcher->skipped > 0)
        skipped_len = snprintf(skipped, sizeof(skipped), "skipped=%llu\n",
                               (unsigned long long)watcher->skipped);
    if (watcher->cap - (head - tail) < len + (size_t)skipped_len) {
        watcher->skipped++;
        stat_inc(stats, STAT_LOG_WATCHER_SKIPPED);
        return;
    }
    if (skipped_len > 0)
        head = buf_put(watcher, head, skipped, (size_t)skipped_len);
    head = buf_put(watcher, head, line, len);
    watcher->skipped = 0;
    stat_inc(stats, STAT_LOG_WATCHER_SENT);
    /* Publishes the line; and seq_cst against the owner's "waiting = true, then look at head". */
    atomic_store_explicit(&watcher->head, head, memory_order_seq_cst);
    if (atomic_load_explicit(&watcher->waiting, memory_order_seq_cst)) {
        atomic_store_explicit(&watcher->waiting, false, memory_order_seq_cst);
        watcher->owner->wake_due = true;
    }
}

size_t logger_watcher_take(struct logger_watcher *watcher, struct out *out, size_t max)
{
    const uint64_t tail = atomic_load_explicit(&watcher->tail, memory_order_relaxed); /* our own */
    /* acquire: the lines are whole */
    uint64_t head = atomic_load_explicit(&watcher->head, memory_order_acquire);
    if (head == tail) {
        atomic_store_explicit(&watcher->waiting, true, memory_order_seq_cst); /* see above */
        head = atomic_load_explicit(&watcher->head, memory_order_seq_cst);
        if (head == tail)
            return 0;
    }
    size_t len = head - tail < max ? (size_t)(head - tail) : max;
    const size_t at = tail % watcher->cap;
    const size_t first = watcher->cap - at < len ? watcher->cap - at : len;
    out_put(out, watcher->buf + at, first);
    out_put(out, watcher->buf, len - first);
    /* release: we are done with these bytes */
    atomic_store_explicit(&watcher->tail, tail + len, memory_order_release);
    return len;
}
