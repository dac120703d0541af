/* event/event.h — security events: counted always, told as JSON lines once per window.
 *
 *     worker ── event_note ──► its source ─┐                       ┌─► file
 *     worker ── event_note ──► its source ─┼─► thread `events` ────┼─► syslog
 *     listener ── event_note ► its source ─┘   every 10 s, merged  └─► unix socket, stderr
 *
 * What is alike in type, rule, prefix of the source (/24, /56), port and command is one line with a
 * count, so a storm is one line. A source keeps EVENT_KINDS_MAX of them per type and window; what
 * does not fit is one line more per type, which says so. Nobody waits for a sink, and no count is
 * ever lost: only lines are, and how many is counted.
 *
 *     event_note(ctx->events, &(const struct event){
 *         .type = EVENT_CONN_DENIED, .from = io->peer, .to_port = 11211,
 *         .rule = bytes_str("deny 10.0.0.0/8")});
 *
 * Includes: base.  Included by: gate, cmd, net, server.
 * Threads:  one source per thread, which alone notes into it; the rest any.
 * Memory:   fixed per source; what an event points to is copied, up to the sizes below.
 * Spec:     docs/events.md.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "base/ip.h"
#include "base/out.h"

enum event_type {
#define EVENT(id, ...) EVENT_##id,
#include "tbl/events.def"
    EVENT_TYPE_COUNT
};

enum {
    EVENT_KINDS_MAX = 64,      /* per type and window */
    EVENT_RULE_BYTES_MAX = 64, /* more is cut */
    EVENT_USER_BYTES_MAX = 64,
    EVENT_VERB_BYTES_MAX = 16,
};

/* What happened. All that it points to is borrowed for the call; the rest may stay 0. */
struct event {
    enum event_type type;
    bool dry_run;               /* it would have been refused, but was not */
    uint16_t to_port;           /* ours; 0: not known */
    const struct ip_peer *from; /* NULL: nobody, the server itself */
    const struct ip *to;        /* ours; NULL: not known */
    struct bytes rule;          /* which of the rules decided, as its owner would recognise it */
    struct bytes user;          /* who is logged in, or tries to; any bytes */
    const char *verb;           /* the command */
    uint32_t bytes_in, bytes_out;
};

struct event_source; /* one thread's */
struct events;       /* all of them */

struct events_config {
    const char *sinks;        /* the text of -o events; NULL: count only */
    uint32_t window_s;        /* what is alike in that time is one line */
    bool all;                 /* lines also about types that are only counted */
    bool keep;                /* keep the last EVENTS_KEPT lines, for events_recent() */
    void (*begin)(void *arg); /* in the thread, before anything else; may be NULL */
    void *begin_arg;
};

/* Open the sinks. Returns 0 or -errno with a line in ret_error[EVENTS_ERROR_BYTES].
 * Owns: events_free(). */
enum { EVENTS_ERROR_BYTES = 256, EVENTS_KEPT = 64 };
MUST_USE int events_new(const struct events_config *config, struct events **ret_events,
                        char *ret_error);
/* NULL is fine. Nobody notes any more; what has been noted is told, as far as the sinks take it
 * within a second. Frees the sources. */
void events_free(struct events *events);
/* A source for one more thread. Returns 0 or -ENOMEM. Borrowed from `events`. */
MUST_USE int event_source_new(struct events *events, struct event_source **ret_source);

/* Start the thread; without sinks and `keep` there is none to start. Returns 0 or -errno. */
MUST_USE int events_start(struct events *events);
/* Change config.window_s: a window under way ends by the new one at the latest. Any thread. */
void events_window_set(struct events *events, uint32_t window_s);
/* Have files opened anew, for they were renamed. Any thread, and signal handlers. */
void events_reopen(struct events *events);

/* Count it and remember it for the next line. NULL: nothing (tests). Some tens of nanoseconds. */
void event_note(struct event_source *source, const struct event *event);
/* The same at a time of the caller's, Unix time; for tests. */
void event_note_at(struct event_source *source, const struct event *event, uint64_t unix_ms);

/* What the thread does, for tests: all that is due at `now_ms` (monotonic; the first window begins
 * with the first call). Returns when it wants to be called again. */
uint64_t events_step(struct events *events, uint64_t now_ms);

/* ── seen from outside ────────────────────────────────────────────────────────────────────── */

/* How many there were of each type since the last reset. */
void events_sum(struct events *events, uint64_t ret_counts[EVENT_TYPE_COUNT]);
void events_reset(struct events *events);

/* Append the lines that were kept, the one told last first, as an array of JSON. Any thread. */
void events_recent(struct events *events, struct out *out);

struct events_sink_info {
    const char *name;     /* as it was asked for; borrowed from `events` */
    uint64_t lines, lost; /* since the last reset: written, and not */
};

/* The n-th sink. Returns false when there are fewer. */
MUST_USE bool events_sink_get(struct events *events, size_t index,
                              struct events_sink_info *ret_info);

/* The row's name. */
const char *event_name(enum event_type type);
