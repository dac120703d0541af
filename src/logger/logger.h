/* logger/logger.h — events that clients may watch: a ring per thread, one thread that makes lines.
 *
 *     worker ── logger_write ──► its ring ─┐                   ┌─► watcher's buffer ─► its worker
 *     worker ── logger_write ──► its ring ─┼─► logger thread ──┤                         │
 *     housekeeper, listener ───► its ring ─┘   by gid, as text └─► watcher's buffer      ▼
 *                                                                             logger_watcher_take
 *
 * Nobody ever waits: a full ring drops events, a full watcher's buffer skips lines; both are
 * counted, and a watcher is told how many lines it missed. When nobody watches, an event costs the
 * one test of logger_watched()'s result, and the logger thread sleeps.
 *
 * Includes: base, stat.  Included by: cmd, net, server.
 * Threads:  rings are made before logger_start(); each has one writer. A watcher belongs to the
 *           thread whose ring it was made with.
 * Memory:   ring_bytes per thread and watcher_bytes per watcher, of which there are at most
 *           LOGGER_WATCHERS_MAX.
 * Spec:     memcached 1.6.45, watchers.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdatomic.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/ip.h"
#include "base/out.h"
#include "stat/stat.h"

enum {
    LOGGER_WATCHERS_MAX = 20,
    LOGGER_TEXT_BYTES_MAX = 250, /* of a key or a message */
};

/* What can be watched, a bit each. */
enum {
    LOGGER_FETCHERS = 1 << 0,
    LOGGER_MUTATIONS = 1 << 1,
    LOGGER_EVICTIONS = 1 << 2,
    LOGGER_CONNEVENTS = 1 << 3,
    LOGGER_SYSEVENTS = 1 << 4, /* accepted, but nothing here emits it; likewise those below: */
    LOGGER_RAWCMDS = 1 << 5,
    LOGGER_DELETIONS = 1 << 6, /* (this one does) */
    LOGGER_PROXYREQS = 1 << 7,
    LOGGER_PROXYEVENTS = 1 << 8,
    LOGGER_PROXYUSER = 1 << 9,
    LOGGER_STREAMS = 10, /* how many there are */
};

/* The bit of a stream's name; 0 when there is none of that name. */
uint32_t logger_stream_find(struct bytes name);

/* ── events ───────────────────────────────────────────────────────────────────────────────── */

enum logger_type {
    LOGGER_ITEM_GET,
    LOGGER_ITEM_STORE,
    LOGGER_DELETED,
    LOGGER_PREFIX_DELETED,
    LOGGER_EVICTION,
    LOGGER_CONN_NEW,
    LOGGER_CONN_CLOSE,
    LOGGER_CONN_ERROR,
    LOGGER_CONN_TLS_ERROR,
    LOGGER_TYPE_COUNT,
};

enum logger_lookup { LOGGER_NOT_FOUND, LOGGER_FOUND, LOGGER_FLUSHED, LOGGER_EXPIRED };
enum logger_outcome {
    LOGGER_NOT_STORED,
    LOGGER_STORED,
    LOGGER_EXISTS,
    LOGGER_MISSING, /* "not_found" */
    LOGGER_TOO_LARGE,
    LOGGER_NO_MEMORY,
};
enum logger_verb {
    LOGGER_ADD,
    LOGGER_SET,
    LOGGER_REPLACE,
    LOGGER_APPEND,
    LOGGER_PREPEND,
    LOGGER_CAS,
    LOGGER_DELETE,
    LOGGER_META_DELETE,
    LOGGER_DELETE_PREFIX,
    LOGGER_META_DELETE_PREFIX,
};
enum logger_reason { LOGGER_ERROR, LOGGER_NORMAL, LOGGER_IDLE_TIMEOUT, LOGGER_SHUTDOWN };

/* One event. Which fields count: see the lines in event.c. */
struct logger_event {
    uint8_t type;         /* enum logger_type */
    uint8_t status;       /* enum logger_lookup, logger_outcome or logger_reason */
    uint8_t verb;         /* enum logger_verb */
    bool fetched;         /* EVICTION: somebody had read it */
    int fd;               /* of the client; -1: none */
    int64_t ttl_s;        /* what was left of its life; 0 (EVICTION: -1) for ever */
    uint32_t idle_s;      /* EVICTION: since the last use */
    uint64_t value_bytes; /* of the item */
    struct bytes
        text; /* the key or its prefix; CONN_NEW, CONN_CLOSE: a struct ip_peer; else a message.
                           * Longer than LOGGER_TEXT_BYTES_MAX: cut off. */
};

struct logger_ring;

/* Which streams are watched by anybody now. Relaxed: who has just begun to watch is seen a moment
 * later. */
uint32_t logger_watched(const struct logger_ring *ring);

/* Is LOGGER_EVICTIONS among them? For the store, which knows no logger. */
struct logger;
const _Atomic bool *logger_evictions_watched(const struct logger *logger);

/* Write an event to the calling thread's ring, or count it as dropped. For events of a stream that
 * is watched only: test logger_watched() first. */
void logger_write(struct logger_ring *ring, const struct logger_event *event);

/* ── watchers ─────────────────────────────────────────────────────────────────────────────── */

struct logger_watcher;

enum logger_rc { LOGGER_OK, LOGGER_TOO_MANY, LOGGER_FAILED };

/* Begin to watch `streams`; what happens from now on can be taken. `owner` is the ring of the
 * calling thread: its `wake` is called when there is something to take.
 * Returns LOGGER_OK; LOGGER_TOO_MANY; LOGGER_FAILED: out of memory.
 * Owns: end with logger_watcher_free(). */
MUST_USE enum logger_rc logger_watcher_new(struct logger_ring *owner, uint32_t streams,
                                           struct logger_watcher **ret_watcher);
/* Move up to `max` bytes of lines to the end of `out`. Returns how many; 0: none for now, `wake`
 * will be called when there are. Only by the owner's thread. */
size_t logger_watcher_take(struct logger_watcher *watcher, struct out *out, size_t max);
/* By the owner's thread, or when no thread runs. */
void logger_watcher_free(struct logger_watcher *watcher);

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

struct logger_config {
    size_t ring_bytes, watcher_bytes;
    struct stat_block *stats; /* the logger thread's */
    void (*begin)(void *arg); /* called by the logger thread before anything else; or NULL */
    void *begin_arg;
};

/* Returns 0 or -ENOMEM. Owns: logger_free(). */
MUST_USE int logger_new(const struct logger_config *config, struct logger **ret_logger);
/* A ring for one more thread, which counts into `stats`. `wake(arg)` is called by the logger
 * thread when one of the ring's watchers can take lines; NULL: nobody will watch here.
 * Returns 0 or -ENOMEM. Owns: the logger. */
MUST_USE int logger_ring_new(struct logger *logger, struct stat_block *stats,
                             void (*wake)(void *arg), void *arg, struct logger_ring **ret_ring);
/* Start the logger thread; again after logger_stop(), if need be. Returns 0 or -errno. */
MUST_USE int logger_start(struct logger *logger);
/* End and join it; no `wake` is called any more. NULL, and one not started, are fine. */
void logger_stop(struct logger *logger);
/* Stop, and free all rings and watchers. NULL is fine. */
void logger_free(struct logger *logger);
