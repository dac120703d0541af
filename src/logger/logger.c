/* The logger's life and its thread.
 *
 *     ┌─► look how far the rings are filled ─► new and gone watchers ─► entries by gid: line,
 *     │                                                                 watchers' buffers
 *     └── something came: nap, so that the next has more to do ◄─── wake the owners ──┘
 *         nothing came: sleep until an event is written
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/thread.h"
#include "logger/logger_priv.h"

enum {
    NAP_NS = 1000000, /* lines come late by this at most, and an owner is woken no more often */
};

/* ── the thread ───────────────────────────────────────────────────────────────────────────── */

void logger_poke(struct logger *logger)
{
    /* seq_cst: see logger_write(); who clears it does the waking, so it is done once per sleep */
    if (atomic_exchange_explicit(&logger->asleep, false, memory_order_seq_cst))
        (void)sem_post(&logger->wake_up);
}

/* Take in who began to watch, let go who ended. Returns whether anybody is left. */
static void watchers_update(struct logger *logger)
{
    pthread_mutex_lock(&logger->lock);
    struct logger_watcher *incoming = logger->incoming;
    logger->incoming = NULL;
    pthread_mutex_unlock(&logger->lock);
    while (incoming != NULL) {
        struct logger_watcher *watcher = incoming;
        incoming = watcher->next;
        watcher->next = logger->watchers;
        logger->watchers = watcher;
    }
    for (struct logger_watcher **at = &logger->watchers; *at != NULL;) {
        struct logger_watcher *watcher = *at;
        /* acquire: the owner does not read it any more */
        if (!atomic_load_explicit(&watcher->gone, memory_order_acquire)) {
            at = &watcher->next;
            continue;
        }
        *at = watcher->next;
        free(watcher);
    }
}

static void entry_deliver(struct logger *logger, const struct entry *entry)
{
    char line[LOGGER_LINE_BYTES_MAX];
    size_t len = 0;
    for (struct logger_watcher *w = logger->watchers; w != NULL; w = w->next) {
        if ((w->streams & entry_streams[entry->type]) == 0 || entry->gid < w->gid_first)
            continue;
        if (len == 0)
            len = entry_format(entry, line);
        watcher_put(w, line, len);
    }
}

/* Deliver all that the rings hold, up to their limits, by gid. An event with a lower gid that is
 * published later comes with the next pass, so the order is that of time almost always. */
static void entries_deliver(struct logger *logger)
{
    for (;;) {
        struct logger_ring *first_ring = NULL;
        const struct entry *first = NULL;
        for (struct logger_ring *ring = logger->rings; ring != NULL; ring = ring->next) {
            const struct entry *entry = ring_peek(ring);
            if (entry != NULL && (first == NULL || entry->gid < first->gid)) {
                first = entry;
                first_ring = ring;
            }
        }
        if (first == NULL)
            return;
        entry_deliver(logger, first);
        ring_pop(first_ring, first);
    }
}

static void owners_wake(struct logger *logger)
{
    for (struct logger_ring *ring = logger->rings; ring != NULL; ring = ring->next) {
        if (!ring->wake_due)
            continue;
        ring->wake_due = false;
        if (ring->wake != NULL)
            ring->wake(ring->wake_arg);
    }
}

/* Set each ring's limit. Returns how full the fullest was, in percent. */
static unsigned rings_look(struct logger *logger)
{
    unsigned fullest = 0;
    for (struct logger_ring *ring = logger->rings; ring != NULL; ring = ring->next) {
        /* seq_cst: when called before sleep(), see logger_write(); else acquire would do */
        ring->limit = atomic_load_explicit(&ring->head, memory_order_seq_cst);
        const uint64_t used = ring->limit - atomic_load_explicit(&ring->tail, memory_order_relaxed);
        const unsigned percent = used == 0 ? 0 : (unsigned)(used * 100 / ring->cap) + 1;
        if (percent > fullest)
            fullest = percent;
    }
    return fullest;
}

static bool watcher_is_gone(const struct logger *logger)
{
    for (const struct logger_watcher *w = logger->watchers; w != NULL; w = w->next)
        if (atomic_load_explicit(&w->gone, memory_order_acquire))
            return true;
    return false;
}

/* Wait for an event, for a watcher to leave or for the end. A watcher that came is taken in with
 * its first event. */
static void wait_for_work(struct logger *logger)
{
    atomic_store_explicit(&logger->asleep, true, memory_order_seq_cst);
    /* What was done before somebody could see that we sleep: he did not wake us. */
    if (rings_look(logger) > 0 || watcher_is_gone(logger) ||
        atomic_load_explicit(&logger->stop, memory_order_seq_cst))
        logger_poke(logger);
    while (sem_wait(&logger->wake_up) != 0)
        ; /* a signal's handler ran */
}

static void *logger_main(void *arg)
{
    enum { HURRY_PERCENT = 25 };
    struct logger *logger = arg;
    (void)pthread_setname_np(pthread_self(), "logger");
    if (logger->config.begin != NULL)
        logger->config.begin(logger->config.begin_arg);
    while (!atomic_load_explicit(&logger->stop, memory_order_acquire)) {
        const unsigned fullest = rings_look(logger);
        watchers_update(logger);
        entries_deliver(logger);
        owners_wake(logger);
        if (fullest == 0)
            wait_for_work(logger);
        else if (fullest < HURRY_PERCENT)
            (void)nanosleep(&(const struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
    return NULL;
}

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

int logger_new(const struct logger_config *config, struct logger **ret_logger)
{
    struct logger *logger = aligned_alloc(_Alignof(struct logger), sizeof(*logger));
    if (logger == NULL)
        return -ENOMEM;
    memset(logger, 0, sizeof(*logger));
    logger->config = *config;
    atomic_init(&logger->gid, 1);
    pthread_mutex_init(&logger->lock, NULL);
    (void)sem_init(&logger->wake_up, 0, 0);
    *ret_logger = logger;
    return 0;
}

int logger_ring_new(struct logger *logger, struct stat_block *stats, void (*wake)(void *arg),
                    void *arg, struct logger_ring **ret_ring)
{
    struct logger_ring *ring = aligned_alloc(_Alignof(struct logger_ring), sizeof(*ring));
    if (ring == NULL)
        return -ENOMEM;
    memset(ring, 0, sizeof(*ring));
    ring->cap = logger->config.ring_bytes / 8 * 8;
    ring->buf = malloc(ring->cap);
    if (ring->buf == NULL) {
        free(ring);
        return -ENOMEM;
    }
    ring->logger = logger;
    ring->stats = stats;
    ring->wake = wake;
    ring->wake_arg = arg;
    ring->next = logger->rings;
    logger->rings = ring;
    *ret_ring = ring;
    return 0;
}

const _Atomic bool *logger_evictions_watched(const struct logger *logger)
{
    return &logger->evictions;
}

int logger_start(struct logger *logger)
{
    atomic_store_explicit(&logger->stop, false, memory_order_relaxed); /* there is no thread yet */
    const int rc = thread_start(&logger->thread, logger_main, logger);
    logger->started = rc == 0;
    return rc;
}

void logger_stop(struct logger *logger)
{
    if (logger == NULL || !logger->started)
        return;
    atomic_store_explicit(&logger->stop, true, memory_order_seq_cst); /* see wait_for_work() */
    logger_poke(logger);
    (void)pthread_join(logger->thread, NULL);
    logger->started = false;
}

static void watchers_free(struct logger_watcher *watcher)
{
    while (watcher != NULL) {
        struct logger_watcher *next = watcher->next;
        free(watcher);
        watcher = next;
    }
}

void logger_free(struct logger *logger)
{
    if (logger == NULL)
        return;
    logger_stop(logger);
    watchers_free(logger->watchers);
    watchers_free(logger->incoming);
    while (logger->rings != NULL) {
        struct logger_ring *ring = logger->rings;
        logger->rings = ring->next;
        free(ring->buf);
        free(ring);
    }
    pthread_mutex_destroy(&logger->lock);
    (void)sem_destroy(&logger->wake_up);
    free(logger);
}
