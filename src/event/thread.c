/* event/thread.c — the thread: collects the tables, makes lines, feeds the sinks.
 *
 *     wait ─► window over: collect, a line per kind of all ──► sinks
 *       ▲     something prompt: collect, its lines alone ────► sinks  (10 times a second at most)
 *       └──── a sink has room again, or is to be tried again ► sinks
 *
 * Tables are taken from sources by exchange with an empty one, and merged without any lock.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "event/event_priv.h"

enum {
    PROMPT_EVERY_MS = 100,
    FINISH_MS = 1000, /* for sinks to take the last lines */
};

void events_wake(struct events *events)
{
    const uint64_t one = 1;
    (void)!write(events->wake_fd, &one, sizeof(one)); /* full: it is awake anyway */
}

void events_window_set(struct events *events, uint32_t window_s)
{
    atomic_store_explicit(&events->window_s, window_s, memory_order_relaxed);
    if (events->sink_count > 0)
        events_wake(events);
}

void events_reopen(struct events *events)
{
    if (events->sink_count == 0)
        return;
    /* release: whoever renamed the file did so before */
    atomic_store_explicit(&events->reopen, true, memory_order_release);
    events_wake(events);
}

static uint64_t now_ms_get(void)
{
    return clock_mono_ns() / 1000000;
}

/* ── collecting ───────────────────────────────────────────────────────────────────────────── */

static void source_collect(struct events *events, struct event_source *source)
{
    spin_lock(&source->lock);
    struct event_table *full = source->table;
    source->table = events->spare;
    spin_unlock(&source->lock);
    event_table_merge(events->merged, full);
    event_table_clear(full);
    events->spare = full;
}

static void collect(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    struct event_source *source = events->sources; /* they never go, and new ones come in front */
    pthread_mutex_unlock(&events->lock);
    for (; source != NULL; source = source->next)
        source_collect(events, source);
}

static void line_keep(struct event_kept *kept, const char *line, size_t len)
{
    pthread_mutex_lock(&kept->lock);
    memcpy(kept->line[kept->next], line, len);
    kept->bytes[kept->next] = (uint16_t)len;
    kept->next = (kept->next + 1) % EVENTS_KEPT;
    kept->count += kept->count < EVENTS_KEPT;
    pthread_mutex_unlock(&kept->lock);
}

static void entry_tell(struct events *events, struct event_entry *entry, uint64_t now_ms)
{
    char line[EVENT_LINE_BYTES_MAX];
    const enum event_type type = (enum event_type)entry->key.type;
    const size_t len = event_line_format(entry, line);
    if (events->kept != NULL)
        line_keep(events->kept, line, len);
    for (unsigned i = 0; i < events->sink_count; i++) {
        struct event_sink *sink = &events->sinks[i];
        event_sink_put(sink, bytes_of(line, len), type, entry->last_ms);
        if (sink->to - sink->from > EVENT_SINK_BYTES / 2) /* a window may have more lines */
            event_sink_send(sink, now_ms);
    }
    event_entry_forget(entry);
}

static void tell(struct events *events, bool prompt_only, uint64_t now_ms)
{
    struct event_entry *entry;
    for (size_t i = 0; (entry = event_table_at(events->merged, i)) != NULL; i++) {
        if (entry->count == 0)
            continue;
        if (prompt_only && event_when((enum event_type)entry->key.type) != EVENT_WHEN_PROMPT)
            continue;
        entry_tell(events, entry, now_ms);
    }
}

static void window_end(struct events *events, uint64_t now_ms)
{
    const uint64_t window_ms =
        atomic_load_explicit(&events->window_s, memory_order_relaxed) * 1000ull;
    if (events->window_end_ms == 0) {
        events->window_end_ms = now_ms + window_ms;
        return;
    }
    if (events->window_end_ms > now_ms + window_ms) /* windows have become shorter */
        events->window_end_ms = now_ms + window_ms;
    if (now_ms < events->window_end_ms)
        return;
    collect(events);
    tell(events, false, now_ms);
    event_table_clear(events->merged);
    /* Late by a window and more, after a suspension: no window is told twice, so just go on. */
    events->window_end_ms += window_ms;
    if (events->window_end_ms <= now_ms)
        events->window_end_ms = now_ms + window_ms;
}

/* acq_rel: see prompt_wake() */
static void prompt_tell(struct events *events, uint64_t now_ms)
{
    if (!events->prompt_due && atomic_load_explicit(&events->prompt, memory_order_relaxed))
        events->prompt_due = true;
    if (!events->prompt_due || now_ms < events->prompt_next_ms)
        return;
    (void)atomic_exchange_explicit(&events->prompt, false, memory_order_acq_rel);
    events->prompt_due = false;
    events->prompt_next_ms = now_ms + PROMPT_EVERY_MS;
    collect(events);
    tell(events, true, now_ms);
}

static uint64_t sinks_send(struct events *events, uint64_t now_ms)
{
    uint64_t due_ms = UINT64_MAX;
    for (unsigned i = 0; i < events->sink_count; i++) {
        struct event_sink *sink = &events->sinks[i];
        event_sink_send(sink, now_ms);
        const uint64_t sink_ms = event_sink_due_ms(sink);
        due_ms = sink_ms < due_ms ? sink_ms : due_ms;
    }
    return due_ms;
}

uint64_t events_step(struct events *events, uint64_t now_ms)
{
    if (atomic_exchange_explicit(&events->reopen, false, memory_order_acq_rel))
        for (unsigned i = 0; i < events->sink_count; i++)
            event_sink_reopen(&events->sinks[i]);
    window_end(events, now_ms);
    prompt_tell(events, now_ms);
    uint64_t due_ms = sinks_send(events, now_ms);
    if (events->window_end_ms < due_ms)
        due_ms = events->window_end_ms;
    if (events->prompt_due && events->prompt_next_ms < due_ms)
        due_ms = events->prompt_next_ms;
    return due_ms;
}

/* ── the thread ───────────────────────────────────────────────────────────────────────────── */

/* Until somebody wakes us, a sink has room or has ended, or it is `due_ms`. */
static void wait_for_work(struct events *events, uint64_t due_ms)
{
    struct pollfd fds[1 + EVENT_SINKS_MAX] = {{.fd = events->wake_fd, .events = POLLIN}};
    struct event_sink *sinks[1 + EVENT_SINKS_MAX];
    nfds_t count = 1;
    for (unsigned i = 0; i < events->sink_count; i++) {
        if (!event_sink_poll(&events->sinks[i], &fds[count].events))
            continue;
        fds[count].fd = events->sinks[i].fd;
        sinks[count++] = &events->sinks[i];
    }
    const uint64_t now_ms = now_ms_get();
    const uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    const struct timespec timeout = {.tv_sec = (time_t)(wait_ms / 1000),
                                     .tv_nsec = (long)(wait_ms % 1000) * 1000000};
    if (ppoll(fds, count, &timeout, NULL) <= 0)
        return; /* time, or a signal's handler ran */
    uint64_t ignored;
    if (fds[0].revents != 0)
        (void)!read(events->wake_fd, &ignored, sizeof(ignored));
    for (nfds_t i = 1; i < count; i++)
        if (fds[i].revents != 0)
            event_sink_polled(sinks[i], fds[i].revents, now_ms_get());
}

static void *events_main(void *arg)
{
    struct events *events = arg;
    (void)pthread_setname_np(pthread_self(), "events");
    if (events->config.begin != NULL)
        events->config.begin(events->config.begin_arg);
    /* acquire: see events_finish() */
    while (!atomic_load_explicit(&events->stop, memory_order_acquire))
        wait_for_work(events, events_step(events, now_ms_get()));
    return NULL;
}

int events_start(struct events *events)
{
    if (events->sink_count == 0 && events->kept == NULL)
        return 0;
    const int rc = thread_start(&events->thread, events_main, events);
    events->started = rc == 0;
    return rc;
}

/* Is there a line left that its sink may take soon? */
static bool is_sending(const struct events *events)
{
    for (unsigned i = 0; i < events->sink_count; i++)
        if (events->sinks[i].full)
            return true;
    return false;
}

void events_finish(struct events *events)
{
    if (events->started) {
        /* release: pairs with events_main(); what was noted is read after the join anyway */
        atomic_store_explicit(&events->stop, true, memory_order_release);
        events_wake(events);
        (void)pthread_join(events->thread, NULL);
        events->started = false;
    }
    if (events->merged == NULL || events->spare == NULL)
        return;
    collect(events);
    tell(events, false, now_ms_get());
    const uint64_t end_ms = now_ms_get() + FINISH_MS;
    for (uint64_t now_ms; (now_ms = now_ms_get()) < end_ms;) {
        (void)sinks_send(events, now_ms);
        if (!is_sending(events))
            return;
        wait_for_work(events, end_ms);
    }
}
