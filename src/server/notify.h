/* server/notify.h — what the service manager is told, and the sockets that it hands over.
 *
 * systemd's protocols by ourselves, without its library: a datagram to the unix socket that
 * NOTIFY_SOCKET names, and listening sockets from fd 3 on, of which LISTEN_FDS tells the number.
 * Without these words in the environment nothing here does anything.
 *
 * Includes: base, opt.  Included by: server.
 * Threads:  notify_send() any, also a signal handler; the rest the main thread, before others.
 * Spec:     sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3), systemd.socket(5).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/attr.h"

/* ── telling ──────────────────────────────────────────────────────────────────────────────── */

struct notify {
    int fd; /* connected; -1: nobody wants to know */
};

/* Read the text of NOTIFY_SOCKET: a path, or '@' and an abstract name. Returns 0, -EINVAL for
 * anything else or -ENAMETOOLONG. Pure. */
MUST_USE int notify_address_parse(const char *text, struct sockaddr_un *ret_addr,
                                  socklen_t *ret_len);
/* Connect to whom NOTIFY_SOCKET names, if that is set. A failure is a warning: a server that cannot
 * tell serves all the same. */
void notify_open(struct notify *notify);
void notify_close(struct notify *notify);
/* Send lines NAME=value, 1000 bytes at most, as one message. */
void notify_send(const struct notify *notify, const char *lines);

/* How often the manager wants to hear of us, in µs; 0: never. The texts are those of WATCHDOG_USEC
 * and WATCHDOG_PID (NULL: not set), `pid` is our process. Pure. */
uint64_t notify_watchdog_us(const char *usec, const char *watchdog_pid, long pid);

/* ── sockets handed over ──────────────────────────────────────────────────────────────────── */

enum { ACTIVATION_MAX = 64, ACTIVATION_FD_FIRST = 3, ACTIVATION_ERROR_BYTES = 256 };

struct activation {
    struct activation_socket {
        int fd;
        uint8_t protocol; /* enum opt_protocol */
        uint8_t tls;      /* enum opt_listen_tls */
    } sockets[ACTIVATION_MAX];
    size_t count; /* 0: none were, the addresses of the options count */
};

/* Read the texts of LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES (NULL: not set). The words of a name,
 * joined by '-', say how its socket is served: notls, btls, mtls, ascii, binary; others, as in
 * "matted.socket", mean nothing. Returns 0 (also when the sockets are not for process `pid`), or
 * -EINVAL or -E2BIG with a line in ret_error[ACTIVATION_ERROR_BYTES]. Pure. */
MUST_USE int activation_parse(const char *const texts[3], long pid, struct activation *ret_taken,
                              char *ret_error);
/* Take what the environment tells, and look whether these are sockets that listen to streams.
 * Returns as activation_parse(). */
MUST_USE int activation_take(struct activation *ret_taken, char *ret_error);
