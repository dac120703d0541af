/* event/event.c — sources and counts.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "event/event_priv.h"

static const char *const names[EVENT_TYPE_COUNT] = {
#define EVENT(id, number, name, ...) [EVENT_##id] = name,
#include "tbl/events.def"
};

const char *event_name(enum event_type type)
{
    return names[type];
}

int events_new(struct events **ret_events)
{
    struct events *events = calloc(1, sizeof(*events));
    if (events == NULL)
        return -ENOMEM;
    pthread_mutex_init(&events->lock, NULL);
    *ret_events = events;
    return 0;
}

void events_free(struct events *events)
{
    if (events == NULL)
        return;
    while (events->sources != NULL) {
        struct event_source *source = events->sources;
        events->sources = source->next;
        free(source);
    }
    pthread_mutex_destroy(&events->lock);
    free(events);
}

int event_source_new(struct events *events, struct event_source **ret_source)
{
    struct event_source *source = aligned_alloc(_Alignof(struct event_source), sizeof(*source));
    if (source == NULL)
        return -ENOMEM;
    memset(source, 0, sizeof(*source));
    pthread_mutex_lock(&events->lock);
    source->next = events->sources;
    events->sources = source;
    pthread_mutex_unlock(&events->lock);
    *ret_source = source;
    return 0;
}

void event_note(struct event_source *source, const struct event *event)
{
    if (source == NULL)
        return;
    _Atomic uint64_t *count = &source->counts[event->type];
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* Add up since the start; the lock is held. */
static void sources_sum(const struct events *events, uint64_t ret_counts[EVENT_TYPE_COUNT])
{
    memset(ret_counts, 0, EVENT_TYPE_COUNT * sizeof(ret_counts[0]));
    for (const struct event_source *source = events->sources; source != NULL; source = source->next)
        for (size_t i = 0; i < EVENT_TYPE_COUNT; i++)
            ret_counts[i] += atomic_load_explicit(&source->counts[i], memory_order_relaxed);
}

void events_sum(struct events *events, uint64_t ret_counts[EVENT_TYPE_COUNT])
{
    pthread_mutex_lock(&events->lock);
    sources_sum(events, ret_counts);
    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++)
        ret_counts[i] -= events->baseline[i];
    pthread_mutex_unlock(&events->lock);
}

void events_reset(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    sources_sum(events, events->baseline);
    pthread_mutex_unlock(&events->lock);
}
