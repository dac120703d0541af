/* A ring of entries: one thread writes, the logger thread reads. An entry lies in one piece; what
 * is too short for one at the ring's end is filled up with an entry that says nothing.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <time.h>

#include "logger/logger_priv.h"

enum { ENTRY_ALIGN = 8 };

/* What fills a ring's end may be shorter than an entry, but these are there. */
static_assert(offsetof(struct entry, bytes) == 8 && sizeof(struct entry) % ENTRY_ALIGN == 0,
              "an entry begins with gid and bytes");

uint32_t logger_watched(const struct logger_ring *ring)
{
    return atomic_load_explicit(&ring->logger->mask, memory_order_relaxed);
}

static int64_t wall_time_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Have `bytes` in one piece at *head, filling up the end when it is too short. Returns false when
 * the ring is full. */
static bool ring_room(struct logger_ring *ring, uint64_t *head, size_t bytes)
{
    const size_t to_end = ring->cap - *head % ring->cap;
    const size_t fill = to_end < bytes ? to_end : 0;
    if (*head + fill + bytes - ring->tail_seen > ring->cap) {
        /* acquire: the logger thread is done with what we overwrite */
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (*head + fill + bytes - ring->tail_seen > ring->cap)
            return false;
    }
    if (fill > 0) {
        struct entry *entry = (void *)(ring->buf + *head % ring->cap);
        if (fill > ENTRY_ALIGN) { /* of 8 bytes the reader knows without looking */
            entry->bytes = (uint32_t)fill;
            entry->type = LOGGER_TYPE_COUNT;
        }
        *head += fill;
    }
    return true;
}

void logger_write(struct logger_ring *ring, const struct logger_event *event)
{
    struct logger *logger = ring->logger;
    struct bytes text = event->text;
    if (text.len > LOGGER_TEXT_BYTES_MAX)
        text.len = LOGGER_TEXT_BYTES_MAX;
    const size_t bytes =
        (offsetof(struct entry, text) + text.len + ENTRY_ALIGN - 1) / ENTRY_ALIGN * ENTRY_ALIGN;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed); /* our own */
    if (!ring_room(ring, &head, bytes)) {
        stat_inc(ring->stats, STAT_LOG_WORKER_DROPPED);
        return;
    }
    struct entry *entry = (void *)(ring->buf + head % ring->cap);
    *entry = (struct entry){
        /* relaxed: a number, nothing more; only taken while somebody watches */
        .gid = atomic_fetch_add_explicit(&logger->gid, 1, memory_order_relaxed),
        .bytes = (uint32_t)bytes,
        .type = event->type,
        .status = event->status,
        .verb = event->verb,
        .fetched = event->fetched,
        .time_us = wall_time_us(),
        .ttl_s = event->ttl_s,
        .value_bytes = event->value_bytes,
        .fd = event->fd,
        .idle_s = event->idle_s,
        .text_bytes = (uint32_t)text.len,
    };
    if (text.len > 0)
        memcpy(entry->text, text.ptr, text.len);
    stat_inc(ring->stats, STAT_LOG_WORKER_WRITTEN);
    /* Publishes the entry; and seq_cst against the thread's "asleep = true, then look at head":
     * one of us sees the other's store. */
    atomic_store_explicit(&ring->head, head + bytes, memory_order_seq_cst);
    if (atomic_load_explicit(&logger->asleep, memory_order_seq_cst))
        logger_poke(logger);
}

const struct entry *ring_peek(struct logger_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* our own */
    while (tail < ring->limit) {
        const size_t at = tail % ring->cap;
        const struct entry *entry = (const void *)(ring->buf + at);
        const bool no_entry = ring->cap - at <= ENTRY_ALIGN;
        if (!no_entry && entry->type != LOGGER_TYPE_COUNT)
            return entry;
        tail += no_entry ? ENTRY_ALIGN : entry->bytes;
        /* release: the place may be written again */
        atomic_store_explicit(&ring->tail, tail, memory_order_release);
    }
    return NULL;
}

void ring_pop(struct logger_ring *ring, const struct entry *entry)
{
    const uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, tail + entry->bytes, memory_order_release); /* as above */
}
