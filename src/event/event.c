/* event/event.c — sources: counting, and remembering for the next line.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "event/event_priv.h"

static_assert(EVENT_ERROR_BYTES <= (int)EVENTS_ERROR_BYTES, "errors are passed on");

static const struct {
    const char *name;
    enum event_when when;
} rows[EVENT_TYPE_COUNT] = {
#define EVENT(id, number, name_, action, severity, transport, when_, ...)                          \
    [EVENT_##id] = {.name = name_, .when = EVENT_WHEN_##when_},
#include "tbl/events.def"
};

const char *event_name(enum event_type type)
{
    return rows[type].name;
}

enum event_when event_when(enum event_type type)
{
    return rows[type].when;
}

/* ── noting ───────────────────────────────────────────────────────────────────────────────── */

/* It matters to have the line at once. */
static COLD void prompt_wake(struct events *events)
{
    /* acq_rel: who finds it set has his event seen by the thread that is about to clear it */
    if (!atomic_exchange_explicit(&events->prompt, true, memory_order_acq_rel))
        events_wake(events);
}

static bool is_counted(struct event_source *source, const struct event *event)
{
    _Atomic uint64_t *count = &source->counts[event->type];
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    return source->on && (rows[event->type].when != EVENT_WHEN_COUNTED || source->all);
}

static void remember(struct event_source *source, const struct event *event, uint64_t unix_ms)
{
    struct event_place place;
    event_place_of(source->seed, event, &place);
    spin_lock(&source->lock);
    event_table_add(source->table, &place, event, unix_ms);
    spin_unlock(&source->lock);
    if (rows[event->type].when == EVENT_WHEN_PROMPT)
        prompt_wake(source->events);
}

void event_note_at(struct event_source *source, const struct event *event, uint64_t unix_ms)
{
    if (source != NULL && is_counted(source, event))
        remember(source, event, unix_ms);
}

void event_note(struct event_source *source, const struct event *event)
{
    if (source == NULL || !is_counted(source, event))
        return;
    struct timespec now; /* coarse: some milliseconds late, and four times as fast */
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    remember(source, event, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

/* ── sums ─────────────────────────────────────────────────────────────────────────────────── */

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
    for (unsigned i = 0; i < events->sink_count; i++) {
        const struct event_sink *sink = &events->sinks[i];
        events->lines_baseline[i] = atomic_load_explicit(&sink->lines, memory_order_relaxed);
        events->lost_baseline[i] = atomic_load_explicit(&sink->lost, memory_order_relaxed);
    }
    pthread_mutex_unlock(&events->lock);
}

void events_recent(struct events *events, struct out *out)
{
    struct event_kept *kept = events->kept;
    out_put_str(out, "[");
    if (kept != NULL) {
        pthread_mutex_lock(&kept->lock);
        for (size_t i = 0; i < kept->count; i++) {
            const size_t at = (kept->next + EVENTS_KEPT - 1 - i) % EVENTS_KEPT;
            if (i > 0)
                out_put_str(out, ",");
            out_put(out, kept->line[at], kept->bytes[at]);
        }
        pthread_mutex_unlock(&kept->lock);
    }
    out_put_str(out, "]");
}

bool events_sink_get(struct events *events, size_t index, struct events_sink_info *ret_info)
{
    if (index >= events->sink_count)
        return false;
    const struct event_sink *sink = &events->sinks[index];
    pthread_mutex_lock(&events->lock);
    *ret_info = (struct events_sink_info){
        .name = sink->name,
        .lines = atomic_load_explicit(&sink->lines, memory_order_relaxed) -
                 events->lines_baseline[index],
        .lost =
            atomic_load_explicit(&sink->lost, memory_order_relaxed) - events->lost_baseline[index],
    };
    pthread_mutex_unlock(&events->lock);
    return true;
}

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

static int sinks_open(struct events *events, char *error)
{
    const uint64_t now_ms = clock_mono_ns() / 1000000;
    const char *names = events->config.sinks;
    const int count = names != NULL ? event_sinks_parse(names, events->sinks, error) : 0;
    if (count < 0)
        return count;
    events->sink_count = (unsigned)count;
    for (int i = 0; i < count; i++) {
        const int rc = event_sink_init(&events->sinks[i], now_ms, error);
        if (rc != 0)
            return rc;
    }
    events->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (events->wake_fd < 0)
        return -errno;
    if (getrandom(&events->seed, sizeof(events->seed), 0) != (ssize_t)sizeof(events->seed))
        return -EIO;
    events->merged = event_table_new(events->seed);
    events->spare = event_table_new(events->seed);
    return events->merged != NULL && events->spare != NULL ? 0 : -ENOMEM;
}

static int kept_new(struct events *events)
{
    events->kept = calloc(1, sizeof(*events->kept));
    if (events->kept == NULL)
        return -ENOMEM;
    pthread_mutex_init(&events->kept->lock, NULL);
    return 0;
}

static void kept_free(struct event_kept *kept)
{
    if (kept != NULL)
        pthread_mutex_destroy(&kept->lock);
    free(kept);
}

int events_new(const struct events_config *config, struct events **ret_events, char *ret_error)
{
    struct events *events = calloc(1, sizeof(*events));
    if (events == NULL)
        return -ENOMEM;
    events->config = *config;
    atomic_init(&events->window_s, config->window_s);
    events->wake_fd = -1;
    pthread_mutex_init(&events->lock, NULL);
    ret_error[0] = '\0';
    int rc = config->keep ? kept_new(events) : 0;
    if (rc == 0 && (config->sinks != NULL || config->keep))
        rc = sinks_open(events, ret_error);
    if (rc != 0) {
        if (ret_error[0] == '\0')
            (void)snprintf(ret_error, EVENTS_ERROR_BYTES, "-o events: %s", strerror(-rc));
        events_free(events);
        return rc;
    }
    *ret_events = events;
    return 0;
}

void events_free(struct events *events)
{
    if (events == NULL)
        return;
    events_finish(events);
    while (events->sources != NULL) {
        struct event_source *source = events->sources;
        events->sources = source->next;
        event_table_free(source->table);
        free(source);
    }
    for (unsigned i = 0; i < events->sink_count; i++)
        event_sink_fini(&events->sinks[i]);
    event_table_free(events->merged);
    event_table_free(events->spare);
    if (events->wake_fd >= 0)
        close(events->wake_fd);
    kept_free(events->kept);
    pthread_mutex_destroy(&events->lock);
    free(events);
}

int event_source_new(struct events *events, struct event_source **ret_source)
{
    struct event_source *source = aligned_alloc(_Alignof(struct event_source), sizeof(*source));
    if (source == NULL)
        return -ENOMEM;
    memset(source, 0, sizeof(*source));
    source->events = events;
    source->all = events->config.all;
    source->seed = events->seed;
    source->on = events->sink_count > 0 || events->kept != NULL;
    if (source->on) {
        source->table = event_table_new(events->seed);
        if (source->table == NULL) {
            free(source);
            return -ENOMEM;
        }
    }
    pthread_mutex_lock(&events->lock);
    source->next = events->sources;
    events->sources = source;
    pthread_mutex_unlock(&events->lock);
    *ret_source = source;
    return 0;
}
