/* event/open.c — how a sink is named, and opened.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/num.h"
#include "event/sink_priv.h"

#define SYSLOG_PATH "/dev/log"

/* ── names ────────────────────────────────────────────────────────────────────────────────── */

static int refuse(char *error, const char *name, const char *what)
{
    (void)snprintf(error, EVENT_ERROR_BYTES, "-o events: %.100s: %s", name, what);
    return -EINVAL;
}

static int unix_parse(struct event_sink *sink, char *error)
{
    struct sockaddr_un *address = (struct sockaddr_un *)(void *)&sink->address;
    const size_t len = strlen(sink->target);
    if (len >= sizeof(address->sun_path))
        return refuse(error, sink->name, "a path of a socket has at most 107 bytes");
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, sink->target, len + 1);
    sink->address_bytes = (socklen_t)sizeof(*address);
    return 0;
}

/* HOST:PORT; an IPv6 address stands in brackets. */
static int host_parse(struct event_sink *sink, char *error)
{
    char host[256];
    const char *colon = strrchr(sink->target, ':');
    const char *start = sink->target;
    size_t len = colon != NULL ? (size_t)(colon - start) : 0;
    if (len > 2 && start[0] == '[' && start[len - 1] == ']') {
        start++;
        len -= 2;
    } else if (memchr(start, ':', len) != NULL) {
        return refuse(error, sink->name, "an IPv6 address stands in brackets: syslog:[::1]:514");
    }
    if (len == 0 || len >= sizeof(host) || colon[1] == '\0')
        return refuse(error, sink->name, "not syslog:HOST:PORT, and not an absolute path either");
    uint64_t port;
    if (!num_parse_u64(bytes_str(colon + 1), UINT16_MAX, &port) || port == 0)
        return refuse(error, sink->name, "the port is a number, 1..65535");
    memcpy(host, start, len);
    host[len] = '\0';
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    const int rc = getaddrinfo(host, colon + 1, &hints, &found);
    if (rc != 0) {
        (void)refuse(error, sink->name, gai_strerror(rc));
        return -ENOENT;
    }
    memcpy(&sink->address, found->ai_addr, found->ai_addrlen);
    sink->address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* Does the name begin with `word`, alone or with a colon? Sets the target behind that. */
static bool is_kind(struct event_sink *sink, const char *word)
{
    const size_t len = strlen(word);
    if (strncmp(sink->name, word, len) != 0 || (sink->name[len] != '\0' && sink->name[len] != ':'))
        return false;
    sink->target = sink->name + len + (sink->name[len] == ':');
    return true;
}

static int sink_parse(struct event_sink *sink, char *error)
{
    if (is_kind(sink, "stderr")) {
        sink->kind = EVENT_SINK_STDERR;
        return sink->target[0] == '\0' ? 0 : refuse(error, sink->name, "stderr stands alone");
    }
    if (is_kind(sink, "file")) {
        sink->kind = EVENT_SINK_FILE;
        return sink->target[0] != '\0' ? 0 : refuse(error, sink->name, "file:PATH needs a path");
    }
    if (is_kind(sink, "unix")) {
        sink->kind = EVENT_SINK_UNIX;
        return sink->target[0] != '\0' ? unix_parse(sink, error)
                                       : refuse(error, sink->name, "unix:PATH needs a path");
    }
    if (is_kind(sink, "syslog")) {
        if (sink->target[0] == '\0')
            sink->target = SYSLOG_PATH;
        const bool path = sink->target[0] == '/';
        sink->kind = path ? EVENT_SINK_SYSLOG_UNIX : EVENT_SINK_SYSLOG_UDP;
        return path ? unix_parse(sink, error) : host_parse(sink, error);
    }
    return refuse(error, sink->name,
                  "not a sink; there are file:PATH, unix:PATH, syslog, syslog:PATH, "
                  "syslog:HOST:PORT and stderr, joined by +");
}

/* This machine's name, without what would end the field of a syslog line. */
static void host_set(struct event_sink *sink)
{
    if (gethostname(sink->host, sizeof(sink->host)) != 0)
        sink->host[0] = '\0';
    sink->host[sizeof(sink->host) - 1] = '\0';
    for (char *at = sink->host; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~')
            *at = '_';
    if (sink->host[0] == '\0')
        memcpy(sink->host, "-", 2);
}

int event_sinks_parse(const char *text, struct event_sink ret_sinks[EVENT_SINKS_MAX],
                      char *ret_error)
{
    int count = 0, rc = 0;
    for (size_t len; rc == 0; text += len + 1) {
        len = strcspn(text, "+");
        if (count == EVENT_SINKS_MAX) {
            rc = refuse(ret_error, text, "too many sinks, 8 at most");
            break;
        }
        struct event_sink *sink = &ret_sinks[count];
        *sink = (struct event_sink){.fd = -1, .udp_fd = -1, .name = strndup(text, len)};
        if (sink->name == NULL) {
            rc = -ENOMEM;
            break;
        }
        count++;
        host_set(sink);
        rc = sink_parse(sink, ret_error);
        if (text[len] == '\0')
            break;
    }
    for (int i = 0; rc != 0 && i < count; i++)
        event_sink_fini(&ret_sinks[i]);
    return rc != 0 ? rc : count;
}

/* ── opening ──────────────────────────────────────────────────────────────────────────────── */

/* Returns an fd or -errno. */
static int socket_connect(const struct event_sink *sink, int type)
{
    const int fd = socket(sink->address.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&sink->address, sink->address_bytes) == 0)
        return fd;
    const int error = errno;
    close(fd);
    return -error;
}

/* What listens there decides between packets and a stream; syslog mostly has packets. */
static int unix_connect(struct event_sink *sink)
{
    sink->packets = sink->kind == EVENT_SINK_SYSLOG_UNIX;
    int fd = socket_connect(sink, sink->packets ? SOCK_DGRAM : SOCK_STREAM);
    if (fd == -EPROTOTYPE) {
        sink->packets = !sink->packets;
        fd = socket_connect(sink, sink->packets ? SOCK_DGRAM : SOCK_STREAM);
    }
    return fd;
}

/* Connected, so that the system tells when nobody listens there. */
static int udp_connect(const struct event_sink *sink)
{
    const struct sockaddr *address = (const struct sockaddr *)&sink->address;
    return connect(sink->udp_fd, address, sink->address_bytes) == 0 ? sink->udp_fd : -errno;
}

int event_sink_open(struct event_sink *sink)
{
    int fd = -EBADF;
    switch (sink->kind) {
    case EVENT_SINK_STDERR:
        fd = STDERR_FILENO;
        break;
    case EVENT_SINK_FILE: /* (not to wait for the reader of a pipe) */
        fd = open(sink->target, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                  0640);
        fd = fd < 0 ? -errno : fd;
        break;
    case EVENT_SINK_UNIX:
    case EVENT_SINK_SYSLOG_UNIX:
        fd = unix_connect(sink);
        break;
    case EVENT_SINK_SYSLOG_UDP:
        sink->packets = true;
        fd = udp_connect(sink);
        break;
    }
    if (fd < 0)
        return fd;
    sink->fd = fd;
    return 0;
}

int event_sink_init(struct event_sink *sink, uint64_t now_ms, char *ret_error)
{
    int rc = 0;
    sink->buf = malloc(EVENT_SINK_BYTES);
    if (sink->buf == NULL)
        rc = -ENOMEM;
    else if (sink->kind == EVENT_SINK_SYSLOG_UDP &&
             (sink->udp_fd = socket(sink->address.ss_family,
                                    SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
        rc = -errno;
    const bool may_come = sink->kind != EVENT_SINK_FILE;
    if (rc == 0) {
        rc = event_sink_open(sink);
        if (rc == 0)
            return 0;
        if (may_come || rc == -ENXIO) { /* a pipe that nobody reads */
            event_sink_fail(sink, now_ms, -rc);
            return 0;
        }
    }
    (void)refuse(ret_error, sink->name, strerror(-rc));
    return rc;
}
