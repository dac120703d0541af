/* event/event_priv.h — the parts of an event's way: source, table, line, sink.
 *
 * Includes: base.  Included by: event.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "event/event.h"

struct event_source {
    /* One writer: load and store rather than a locked add; relaxed, for nothing is published with
     * a count. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t counts[EVENT_TYPE_COUNT];
    struct event_source *next;
};

struct events {
    pthread_mutex_t lock; /* list and baseline; never taken to note */
    struct event_source *sources;
    uint64_t baseline[EVENT_TYPE_COUNT]; /* counts at the last reset */
};
