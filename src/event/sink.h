/* event/sink.h — where lines go: a file, syslog, a unix socket, stderr.
 *
 *     SINK[+SINK]...   file:PATH | unix:PATH | syslog[:PATH] | syslog:HOST:PORT | stderr
 *
 *      sink_put ─► buffer ─► sink_send ─► out
 *          │                       │ no room now: poll tells when
 *          ▼ full: lost            │ broken: opened again after 1 s, then 2, 4, ... 30 s
 *
 * A sink never makes anybody wait: what it does not take stays in its buffer, what does not fit is
 * counted. A line that was cut by a broken connection or a rotated file is sent whole again.
 *
 * Includes: base.  Included by: event.
 * Threads:  the thread of the events; `lines` and `lost` any.
 * Memory:   EVENT_SINK_BYTES per sink.
 * Spec:     docs/events.md; RFC 5424 (syslog), 5426 (over UDP).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdatomic.h>
#include <sys/socket.h>

#include "event/line.h"

enum {
    EVENT_SINKS_MAX = 8,
    EVENT_SINK_BYTES = 256 * 1024,
    EVENT_SINK_BACKOFF_MS = 1000, /* doubles with each failure in a row, */
    EVENT_SINK_BACKOFF_MAX_MS = 30000,
    EVENT_ERROR_BYTES = 256,
};

enum event_sink_kind {
    EVENT_SINK_STDERR,
    EVENT_SINK_FILE,
    EVENT_SINK_UNIX,
    EVENT_SINK_SYSLOG_UNIX,
    EVENT_SINK_SYSLOG_UDP,
};

struct event_sink {
    enum event_sink_kind kind;
    char *name;         /* as it was asked for */
    const char *target; /* in it, behind the first colon; or a default */
    char host[65];      /* of a syslog line: this machine's name */
    struct sockaddr_storage address;
    socklen_t address_bytes;
    int fd;              /* -1: not open */
    int udp_fd;          /* of SYSLOG_UDP: made at the start, and connected when that works */
    bool packets;        /* a line per packet; else one stream */
    bool dead;           /* for ever: stderr is gone */
    bool told;           /* the operator knows that it does not work */
    bool full;           /* wait for room: poll says when */
    uint64_t retry_ms;   /* nothing before that; 0: at once */
    uint32_t backoff_ms; /* the next pause */
    char *buf;
    size_t from, to;              /* of buf: what waits, whole lines but the first */
    size_t sent;                  /* of the first line */
    _Atomic uint64_t lines, lost; /* one writer, any reader: relaxed */
};

/* Read the text of -o events. Returns the number of sinks, or -EINVAL or -ENOENT (a host) with a
 * line in ret_error[EVENT_ERROR_BYTES]. Owns: event_sink_fini() each. */
MUST_USE int event_sinks_parse(const char *text, struct event_sink ret_sinks[EVENT_SINKS_MAX],
                               char *ret_error);
/* Make room, open it for the first time. A file that cannot be opened is an error, with a line; a
 * socket that nobody listens on is not. Returns 0 or -errno. */
MUST_USE int event_sink_init(struct event_sink *sink, uint64_t now_ms, char *ret_error);
void event_sink_fini(struct event_sink *sink); /* what still waits counts as lost */

/* Have a line sent, with its LF, about a type of this severity at that time. */
void event_sink_put(struct event_sink *sink, struct bytes line, enum event_type type,
                    uint64_t unix_ms);
/* Send what can be sent at `now_ms` (monotonic). */
void event_sink_send(struct event_sink *sink, uint64_t now_ms);
/* Open the file anew: it has been renamed. The old one stays when there is no new one. */
void event_sink_reopen(struct event_sink *sink);

/* What to poll for: returns false when there is nothing to wait for. */
MUST_USE bool event_sink_poll(const struct event_sink *sink, short *ret_events);
/* poll said so. */
void event_sink_polled(struct event_sink *sink, short events, uint64_t now_ms);
/* When event_sink_send() has something to do again; UINT64_MAX: not before poll says so. */
uint64_t event_sink_due_ms(const struct event_sink *sink);
