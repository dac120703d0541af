/* event/sink.c — the buffer of a sink, and sending from it. How one is named and opened: open.c.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "event/sink.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "event/sink_priv.h"

static void count(_Atomic uint64_t *counter, uint64_t lines)
{
    const uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + lines, memory_order_relaxed);
}

static uint64_t lines_in(const char *text, size_t len)
{
    uint64_t lines = 0;
    for (const char *end = text + len, *lf; (lf = memchr(text, '\n', (size_t)(end - text))) != NULL;
         text = lf + 1)
        lines++;
    return lines;
}

/* ── failures ─────────────────────────────────────────────────────────────────────────────── */

void event_sink_fail(struct event_sink *sink, uint64_t now_ms, int error)
{
    if (!sink->told)
        log_line(LOG_ERROR, "events: %s cannot be written to (%s); trying on", sink->name,
                 strerror(error));
    sink->told = true;
    sink->full = false;
    sink->backoff_ms = sink->backoff_ms == 0 ? EVENT_SINK_BACKOFF_MS : sink->backoff_ms * 2;
    if (sink->backoff_ms > EVENT_SINK_BACKOFF_MAX_MS)
        sink->backoff_ms = EVENT_SINK_BACKOFF_MAX_MS;
    sink->retry_ms = now_ms + sink->backoff_ms;
}

/* ...and it has to be opened again. Its next line begins anew there. */
static void connection_fail(struct event_sink *sink, uint64_t now_ms, int error)
{
    if (sink->kind == EVENT_SINK_STDERR) {
        sink->dead = true; /* and nobody can be told */
        count(&sink->lost, lines_in(sink->buf + sink->from, sink->to - sink->from));
        sink->from = sink->to = 0;
    } else {
        close(sink->fd);
    }
    sink->fd = -1;
    sink->sent = 0;
    event_sink_fail(sink, now_ms, error);
}

static void works(struct event_sink *sink)
{
    sink->backoff_ms = 0;
    sink->retry_ms = 0;
    if (!sink->told)
        return;
    sink->told = false;
    log_line(LOG_ERROR, "events: %s can be written to again; lines lost so far: %llu", sink->name,
             (unsigned long long)atomic_load_explicit(&sink->lost, memory_order_relaxed));
}

/* ── in ───────────────────────────────────────────────────────────────────────────────────── */

/* RFC 5424: facility authpriv, the severities warning, notice and informational. */
static size_t syslog_head(const struct event_sink *sink, enum event_type type, uint64_t unix_ms,
                          char *ret_head, size_t size)
{
    enum { AUTHPRIV = 10, WARNING = 4 };
    char time[EVENT_TIME_BYTES];
    event_time_format(unix_ms, "Z", time);
    const int len = snprintf(ret_head, size, "<%u>1 %s %s matted %ld %s - ",
                             AUTHPRIV * 8 + WARNING + event_severity(type) - 1, time, sink->host,
                             (long)getpid(), event_name(type));
    return (size_t)len;
}

void event_sink_put(struct event_sink *sink, struct bytes line, enum event_type type,
                    uint64_t unix_ms)
{
    char head[192] = "";
    size_t head_len = 0;
    if (sink->kind == EVENT_SINK_SYSLOG_UNIX || sink->kind == EVENT_SINK_SYSLOG_UDP)
        head_len = syslog_head(sink, type, unix_ms, head, sizeof(head));
    if (EVENT_SINK_BYTES - sink->to < head_len + line.len && sink->from > 0) {
        memmove(sink->buf, sink->buf + sink->from, sink->to - sink->from);
        sink->to -= sink->from;
        sink->from = 0;
    }
    if (sink->dead || EVENT_SINK_BYTES - sink->to < head_len + line.len) {
        count(&sink->lost, 1);
        return;
    }
    memcpy(sink->buf + sink->to, head, head_len);
    memcpy(sink->buf + sink->to + head_len, line.ptr, line.len);
    sink->to += head_len + line.len;
}

/* ── out ──────────────────────────────────────────────────────────────────────────────────── */

/* The first line is dealt with. */
static void line_drop(struct event_sink *sink, size_t len, _Atomic uint64_t *counter)
{
    count(counter, 1);
    sink->from += len;
    sink->sent = 0;
}

static size_t first_line_bytes(const struct event_sink *sink)
{
    const char *start = sink->buf + sink->from;
    const char *lf = memchr(start, '\n', sink->to - sink->from);
    return (size_t)(lf + 1 - start);
}

static bool is_room(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    const struct timespec none = {0};
    return ppoll(&poll_fd, 1, &none, NULL) == 1;
}

/* Write the next bytes of a stream. Returns their number, or -errno. */
static ssize_t stream_write(const struct event_sink *sink)
{
    const char *start = sink->buf + sink->from + sink->sent;
    size_t len = sink->to - sink->from - sink->sent;
    ssize_t got;
    if (sink->kind == EVENT_SINK_STDERR) {
        /* It is others' as well, so it cannot be made non-blocking; but what has room takes a line
         * (POSIX: PIPE_BUF bytes, a line is shorter) at once. */
        len = first_line_bytes(sink) - sink->sent;
        if (!is_room(sink->fd))
            return -EAGAIN;
    }
    if (sink->kind == EVENT_SINK_STDERR || sink->kind == EVENT_SINK_FILE)
        got = write(sink->fd, start, len);
    else
        got = send(sink->fd, start, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return got < 0 ? -errno : got;
}

/* `len` more bytes of the stream have been written. */
static void stream_written(struct event_sink *sink, size_t len)
{
    const char *start = sink->buf + sink->from;
    const size_t reached = sink->sent + len;
    const char *lf = memrchr(start, '\n', reached);
    const size_t whole = lf != NULL ? (size_t)(lf + 1 - start) : 0;
    count(&sink->lines, lines_in(start, whole));
    sink->from += whole;
    sink->sent = reached - whole;
}

/* Send the first line as a packet, without its LF. Returns as stream_write(). */
static ssize_t packet_send(struct event_sink *sink)
{
    const size_t len = first_line_bytes(sink);
    ssize_t got = send(sink->fd, sink->buf + sink->from, len - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (got < 0 && errno == ECONNREFUSED && sink->kind == EVENT_SINK_SYSLOG_UDP) {
        count(&sink->lost, 1); /* one sent before has met nobody; this one was not sent yet */
        got = send(sink->fd, sink->buf + sink->from, len - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (got < 0 && errno == EMSGSIZE) { /* it will never go through */
        line_drop(sink, len, &sink->lost);
        return 0;
    }
    if (got < 0)
        return -errno;
    line_drop(sink, len, &sink->lines);
    return got;
}

static void failed(struct event_sink *sink, uint64_t now_ms, int error)
{
    if (error == EAGAIN || error == EINTR || error == ENOBUFS)
        sink->full = true;
    else if (sink->kind == EVENT_SINK_SYSLOG_UDP ||
             (sink->kind == EVENT_SINK_FILE && error != EPIPE))
        event_sink_fail(sink, now_ms, error); /* no network, no space: it may come back as it is */
    else
        connection_fail(sink, now_ms, error);
}

void event_sink_send(struct event_sink *sink, uint64_t now_ms)
{
    while (sink->from < sink->to && !sink->full && !sink->dead && sink->retry_ms <= now_ms) {
        if (sink->fd < 0) {
            const int rc = event_sink_open(sink);
            if (rc != 0) {
                event_sink_fail(sink, now_ms, -rc);
                return;
            }
        }
        const ssize_t got = sink->packets ? packet_send(sink) : stream_write(sink);
        if (got < 0) {
            failed(sink, now_ms, (int)-got);
            continue;
        }
        if (!sink->packets)
            stream_written(sink, (size_t)got);
        works(sink);
    }
    if (sink->from == sink->to)
        sink->from = sink->to = 0;
}

static bool same_file(int one, int other)
{
    struct stat a, b;
    return one >= 0 && fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

void event_sink_reopen(struct event_sink *sink)
{
    if (sink->kind != EVENT_SINK_FILE)
        return;
    struct event_sink fresh = {.kind = sink->kind, .target = sink->target, .fd = -1, .udp_fd = -1};
    const int rc = event_sink_open(&fresh);
    if (rc != 0) {
        log_line(LOG_ERROR, "events: %s cannot be opened again (%s); the old file stays in use",
                 sink->name, strerror(-rc));
        return;
    }
    /* Half a line, for want of space, goes on where it was begun; elsewhere it begins anew. */
    if (!same_file(sink->fd, fresh.fd))
        sink->sent = 0;
    if (sink->fd >= 0)
        close(sink->fd);
    sink->fd = fresh.fd;
    sink->full = false;
    sink->retry_ms = 0;
}

/* ── waiting ──────────────────────────────────────────────────────────────────────────────── */

bool event_sink_poll(const struct event_sink *sink, short *ret_events)
{
    const bool watched = sink->kind == EVENT_SINK_UNIX || sink->kind == EVENT_SINK_SYSLOG_UNIX;
    if (sink->fd < 0 || (!sink->full && (!watched || sink->packets)))
        return false;
    *ret_events = sink->full ? POLLOUT : 0; /* the end of a stream is told in any case */
    return true;
}

void event_sink_polled(struct event_sink *sink, short events, uint64_t now_ms)
{
    if ((events & (POLLERR | POLLHUP | POLLNVAL)) != 0 && !sink->packets)
        connection_fail(sink, now_ms, EPIPE);
    else if (events != 0)
        sink->full = false;
}

uint64_t event_sink_due_ms(const struct event_sink *sink)
{
    return sink->from == sink->to || sink->full || sink->dead ? UINT64_MAX : sink->retry_ms;
}

void event_sink_fini(struct event_sink *sink)
{
    const uint64_t left =
        sink->buf != NULL ? lines_in(sink->buf + sink->from, sink->to - sink->from) : 0;
    if (left > 0)
        log_line(LOG_ERROR, "events: %s did not take the last %llu lines", sink->name,
                 (unsigned long long)left);
    if (sink->fd >= 0 && sink->kind != EVENT_SINK_STDERR)
        close(sink->fd);
    if (sink->udp_fd >= 0 && sink->udp_fd != sink->fd)
        close(sink->udp_fd);
    free(sink->buf);
    free(sink->name);
}
