/* event/event_priv.h — sources, and what the thread makes of them.
 *
 * Includes: base.  Included by: event.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <pthread.h>

#include "base/spin.h"
#include "event/sink.h"

struct event_source {
    /* One writer: load and store rather than a locked add; relaxed, for nothing is published with
     * a count. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t counts[EVENT_TYPE_COUNT];
    /* The owner holds it to add one event, the thread to take the table away and leave an empty
     * one: neither is long, so nobody waits in practice. */
    struct spin lock;
    struct event_table *table; /* guarded by the lock; NULL: it is not on */
    bool on, all;              /* there is a sink; it is told of all types */
    uint64_t seed;
    struct events *events;
    struct event_source *next;
};

/* The last lines, for who looks at them from elsewhere. */
struct event_kept {
    pthread_mutex_t lock; /* of the rest; held for a copy */
    size_t next, count;
    uint16_t bytes[EVENTS_KEPT];
    char line[EVENTS_KEPT][EVENT_LINE_BYTES_MAX];
};

struct events {
    struct events_config config;
    _Atomic uint32_t window_s; /* of the config at first; relaxed, it says all about itself */
    uint64_t seed;             /* of all tables */
    pthread_mutex_t lock;      /* list, baselines; never taken to note */
    struct event_source *sources;
    uint64_t baseline[EVENT_TYPE_COUNT]; /* counts at the last reset */
    uint64_t lines_baseline[EVENT_SINKS_MAX], lost_baseline[EVENT_SINKS_MAX];
    struct event_sink sinks[EVENT_SINKS_MAX];
    unsigned sink_count;
    struct event_kept *kept; /* NULL: not asked for */

    /* the thread's own */
    struct event_table *merged; /* of this window, as far as it has been collected */
    struct event_table *spare;  /* empty */
    uint64_t window_end_ms;     /* 0: none has begun */
    uint64_t prompt_next_ms;    /* no sooner are lines told at once again */
    bool prompt_due;

    pthread_t thread;
    bool started;
    int wake_fd;
    /* Set, then the eventfd is written; the thread reads that first, so it misses none. */
    _Atomic bool stop, reopen, prompt;
};

/* How a row is told. */
enum event_when { EVENT_WHEN_COUNTED, EVENT_WHEN_WINDOW, EVENT_WHEN_PROMPT };
enum event_when event_when(enum event_type type);

/* thread.c */
void events_wake(struct events *events);
void events_finish(struct events *events); /* stop the thread, tell what is left */
