/* Sockets that the service manager has opened for us (server/notify.h).
 *
 * It keeps them open while we are restarted, so that clients who come meanwhile wait in the
 * kernel's queue and are refused by nobody.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "opt/opt.h"
#include "server/notify.h"

/* ── names ────────────────────────────────────────────────────────────────────────────────── */

/* What a socket's name says; words that it does not know are names that somebody gave. */
static void name_read(struct bytes name, struct activation_socket *socket)
{
    static const struct {
        const char *word;
        uint8_t protocol; /* DEFAULT: the word says nothing about it */
        uint8_t tls;      /* likewise */
    } words[] = {
        {"ascii", OPT_PROTOCOL_TEXT, OPT_LISTEN_DEFAULT},
        {"binary", OPT_PROTOCOL_BINARY, OPT_LISTEN_DEFAULT},
        {"notls", OPT_PROTOCOL_DEFAULT, OPT_LISTEN_NOTLS},
        {"btls", OPT_PROTOCOL_DEFAULT, OPT_LISTEN_BTLS},
        {"mtls", OPT_PROTOCOL_DEFAULT, OPT_LISTEN_MTLS},
    };
    for (bool more = true; more;) {
        const struct bytes word = bytes_part_take(&name, '-', &more);
        for (size_t i = 0; i < COUNT_OF(words); i++) {
            if (!bytes_is(word, words[i].word))
                continue;
            if (words[i].protocol != OPT_PROTOCOL_DEFAULT)
                socket->protocol = words[i].protocol;
            else
                socket->tls = words[i].tls;
        }
    }
}

static void names_read(const char *text, struct activation *taken)
{
    struct bytes rest = bytes_str(text != NULL ? text : "");
    bool more = true;
    for (size_t i = 0; more && i < taken->count; i++)
        name_read(bytes_part_take(&rest, ':', &more), &taken->sockets[i]);
}

int activation_parse(const char *const texts[3], long pid, struct activation *ret_taken,
                     char *ret_error)
{
    uint64_t whose, count;
    struct activation taken = {0};
    const char *listen_pid = texts[0], *listen_fds = texts[1];
    if (listen_pid == NULL || listen_fds == NULL ||
        !num_parse_u64(bytes_str(listen_pid), INT64_MAX, &whose) || whose != (uint64_t)pid) {
        *ret_taken = taken;
        return 0;
    }
    if (!num_parse_u64(bytes_str(listen_fds), INT32_MAX, &count)) {
        (void)snprintf(ret_error, ACTIVATION_ERROR_BYTES, "LISTEN_FDS is no number: '%.60s'",
                       listen_fds);
        return -EINVAL;
    }
    if (count > ACTIVATION_MAX) {
        (void)snprintf(ret_error, ACTIVATION_ERROR_BYTES,
                       "%llu sockets were handed over (LISTEN_FDS); allowed: at most %d",
                       (unsigned long long)count, ACTIVATION_MAX);
        return -E2BIG;
    }
    taken.count = (size_t)count;
    for (size_t i = 0; i < taken.count; i++)
        taken.sockets[i] = (struct activation_socket){.fd = ACTIVATION_FD_FIRST + (int)i};
    names_read(texts[2], &taken);
    *ret_taken = taken;
    return 0;
}

/* ── sockets ──────────────────────────────────────────────────────────────────────────────── */

static int option_of(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

/* Why it cannot be used; NULL: it can. */
static const char *fault_of(int fd)
{
    const int domain = option_of(fd, SO_DOMAIN);
    if (domain < 0)
        return "is no socket";
    if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX)
        return "is of a family that is not served";
    if (option_of(fd, SO_TYPE) == SOCK_DGRAM)
        return "takes datagrams; UDP has a socket per worker, which only -U opens";
    if (option_of(fd, SO_TYPE) != SOCK_STREAM || option_of(fd, SO_ACCEPTCONN) != 1)
        return "does not listen (a socket unit must not have Accept=yes)";
    return NULL;
}

/* As one that we have opened would be. */
static int fd_prepare(int fd)
{
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return -errno;
    return 0;
}

int activation_take(struct activation *ret_taken, char *ret_error)
{
    const char *const texts[3] = {getenv("LISTEN_PID"), getenv("LISTEN_FDS"),
                                  getenv("LISTEN_FDNAMES")};
    int rc = activation_parse(texts, (long)getpid(), ret_taken, ret_error);
    for (size_t i = 0; rc == 0 && i < ret_taken->count; i++) {
        const int fd = ret_taken->sockets[i].fd;
        const char *fault = fault_of(fd);
        rc = fault != NULL ? -EINVAL : fd_prepare(fd);
        if (rc != 0)
            (void)snprintf(ret_error, ACTIVATION_ERROR_BYTES,
                           "socket %d that was handed over (LISTEN_FDS) %s", fd,
                           fault != NULL ? fault : strerror(-rc));
    }
    return rc;
}
