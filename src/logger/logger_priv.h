/* logger/logger_priv.h — what the files of logger share.
 *
 *   ring.c      a thread's ring            event.c     entries and their lines
 *   watcher.c   a watcher's buffer         logger.c    life, and the logger thread
 *
 * Who begins or ends to watch takes `lock`, counts the streams and sets `mask`; the logger thread
 * takes new watchers from `incoming` into a list of its own, and frees those that are `gone`. It
 * never holds the lock while it works, so nobody waits for it.
 *
 * That a watcher misses no event from its first moment on: the thread looks how far the rings are
 * filled before it takes `incoming`. An event that is there because of the new mask was written
 * after the watcher came in, so the thread finds the watcher.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include "logger/logger.h"

enum { LOGGER_LINE_BYTES_MAX = 1024 }; /* the longest: 250 escaped bytes and some numbers */

/* An entry of a ring, `bytes` long with the text behind it; a multiple of 8. */
struct entry {
    uint64_t gid;
    uint32_t bytes;
    uint8_t type; /* enum logger_type; LOGGER_TYPE_COUNT: fills the ring's end */
    uint8_t status, verb;
    uint8_t fetched;
    int64_t time_us; /* Unix time */
    int64_t ttl_s;
    uint64_t value_bytes;
    int32_t fd;
    uint32_t idle_s;
    uint32_t text_bytes;
    uint8_t text[];
};

struct logger_ring {
    struct logger *logger;
    struct stat_block *stats;
    void (*wake)(void *arg);
    void *wake_arg;
    uint8_t *buf;
    size_t cap; /* a multiple of 8 */
    struct logger_ring *next;
    bool wake_due;  /* the logger thread's: a watcher of the owner waits and has got something */
    uint64_t limit; /* the logger thread's: how far this pass reads */
    /* Positions count up for ever; modulo `cap` they are places in `buf`. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t head; /* written to; the owner's */
    uint64_t tail_seen;                               /* the owner's: `tail` as of a while ago */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t tail; /* read up to; the logger thread's */
};

struct logger_watcher {
    struct logger_ring *owner;
    uint32_t streams;
    uint64_t gid_first; /* older events are none of its business */
    uint64_t skipped;   /* lines since the last that fitted */
    size_t cap;
    struct logger_watcher *next;
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t head; /* written to; the logger thread's */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t tail; /* read up to; the owner's */
    atomic_bool waiting; /* set by the owner, who found nothing; cleared by who wakes it */
    atomic_bool gone;    /* release by the owner: not used any more; acquire by the thread */
    uint8_t buf[];
};

struct logger {
    struct logger_config config;
    struct logger_ring *rings; /* fixed when the thread starts */
    pthread_t thread;
    bool started;
    /* Read by everyone, seldom written: alone on their line. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t mask;
    atomic_bool evictions;                                      /* mask has LOGGER_EVICTIONS */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t gid;            /* number of the next event */
    _Alignas(CACHE_LINE_BYTES) atomic_bool asleep;              /* the thread waits for `wake_up` */
    _Alignas(CACHE_LINE_BYTES) struct logger_watcher *watchers; /* the thread's own list */
    sem_t wake_up;
    atomic_bool stop;
    pthread_mutex_t lock; /* of what follows, and of writing `mask` */
    struct logger_watcher *incoming;
    unsigned count;                         /* watchers that are not gone */
    unsigned stream_counts[LOGGER_STREAMS]; /* ...by what they watch */
};

/* ring.c */
/* The oldest entry of this pass; NULL when there is none. */
const struct entry *ring_peek(struct logger_ring *ring);
void ring_pop(struct logger_ring *ring, const struct entry *entry);

/* event.c */
extern const uint32_t entry_streams[LOGGER_TYPE_COUNT];
/* Write the entry's line to `dst`. Returns its length, LF included. */
size_t entry_format(const struct entry *entry, char dst[LOGGER_LINE_BYTES_MAX]);

/* watcher.c */
void watcher_put(struct logger_watcher *watcher, const char *line, size_t len);

/* logger.c: the thread has something to do. Any thread. */
void logger_poke(struct logger *logger);
