/* bench/aside.c — see aside.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "aside.h"

#include "conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { COMMAND_BYTES_MAX = 256, PARTS_PER_READ = 4 };

int aside_open(struct aside *aside, const char *host, uint16_t port, const char *commands)
{
    *aside = (struct aside){.fd = -1};
    if (commands == NULL || commands[0] == '\0')
        return 0;
    aside->next = commands;
    const int fd = conn_connect(host, port);
    if (fd < 0)
        return fd;
    aside->fd = fd;
    return 0;
}

void aside_close(struct aside *aside)
{
    if (aside->fd >= 0)
        close(aside->fd);
}

void aside_begin(struct aside *aside, uint64_t begin_ns, double window_ns)
{
    if (aside->fd < 0)
        return;
    unsigned count = 1;
    for (const char *at = aside->next; (at = strchr(at, ';')) != NULL; at++)
        count++;
    aside->every_ns = window_ns / (count + 1);
    aside->due_ns = (double)begin_ns + aside->every_ns;
}

bool aside_step(struct aside *aside, uint64_t now_ns)
{
    if (aside->due_ns == 0.0 || *aside->next == '\0' || (double)now_ns < aside->due_ns)
        return true;
    char line[COMMAND_BYTES_MAX];
    const size_t len = strcspn(aside->next, ";");
    if (len + 2 > sizeof(line)) {
        aside->error = "a command that is too long";
        return false;
    }
    memcpy(line, aside->next, len);
    memcpy(line + len, "\r\n", 2);
    aside->next += len + (aside->next[len] == ';');
    aside->due_ns += aside->every_ns;
    aside->sent++;
    if (send(aside->fd, line, len + 2, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(len + 2))
        return true;
    aside->error = "cannot send";
    return false;
}

/* A bounded part at a time: what is timed is the load. The rest is still there in the next turn,
 * for the loop is told as long as there is something (level-triggered). */
bool aside_recv(struct aside *aside, uint64_t now_ns)
{
    static uint8_t dropped[64 << 10];
    for (unsigned i = 0; i < PARTS_PER_READ; i++) {
        const ssize_t got = recv(aside->fd, dropped, sizeof(dropped), MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (got <= 0) {
            aside->error = "the server closed the connection";
            return false;
        }
        aside->bytes += (uint64_t)got;
        aside->last_ns = now_ns;
    }
    return true;
}
