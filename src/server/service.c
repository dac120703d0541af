/* Beginning and end as the service manager and operators see them: sockets that were handed over,
 * being drained, stopping; and the lines that tell of it (server/notify.h).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/server.h"

/* ── handed over ──────────────────────────────────────────────────────────────────────────── */

/* As -l says it of an address (opt.c). */
static int handed_check(const struct opts *opts, const struct activation_socket *socket,
                        char *error)
{
    if (socket->tls != OPT_LISTEN_DEFAULT && !opts->enable_ssl) {
        (void)snprintf(error, SERVER_ERROR_BYTES,
                       "the name of a socket that was handed over says notls, btls or mtls; these "
                       "are valid only with -Z, --enable-ssl");
        return -EKEYREJECTED;
    }
    if (socket->tls == OPT_LISTEN_MTLS && opts->ssl_ca_cert == NULL) {
        (void)snprintf(error, SERVER_ERROR_BYTES,
                       "mtls, the name of a socket that was handed over, needs -o ssl_ca_cert");
        return -EKEYREJECTED;
    }
    return 0;
}

int server_handed_init(struct server *server, char *ret_error)
{
    const struct activation *taken = server->activation;
    if (taken->count == 0)
        return 0;
    server->handed = calloc(taken->count, sizeof(*server->handed));
    if (server->handed == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < taken->count; i++) {
        const struct activation_socket *socket = &taken->sockets[i];
        const int rc = handed_check(server->opts, socket, ret_error);
        if (rc != 0)
            return rc;
        server->handed[i] =
            (struct net_handed){.fd = socket->fd,
                                .tag = socket->protocol,
                                .tls = server_tls_mode(server, (enum opt_listen_tls)socket->tls)};
    }
    log_line(LOG_INFO, "sockets that were handed over: %zu; they count instead of -l, -p and -s",
             taken->count);
    return 0;
}

/* ── telling ──────────────────────────────────────────────────────────────────────────────── */

static void serving_tell(const struct server *server, const char *first)
{
    struct net_listener_info info;
    size_t count = 0;
    char where[NET_ADDR_TEXT_BYTES] = "nothing", lines[NET_ADDR_TEXT_BYTES + 128];
    for (; net_listener_get(server->net, count, &info); count++)
        if (count == 0)
            memcpy(where, info.address, sizeof(where));
    char more[32] = "";
    if (count > 1)
        (void)snprintf(more, sizeof(more), " and %zu more", count - 1);
    (void)snprintf(lines, sizeof(lines), "%sSTATUS=serving %s%s\n", first, where, more);
    notify_send(&server->notify, lines);
}

void server_ready(const struct server *server)
{
    char first[48] = "READY=1\n";
    if (server->opts->daemon) /* it knows the process that we were forked from */
        (void)snprintf(first, sizeof(first), "READY=1\nMAINPID=%ld\n", (long)getpid());
    serving_tell(server, first);
}

void server_reload_begin(const struct server *server)
{
    /* The time tells the manager which of several reloads this is. */
    char lines[96];
    (void)snprintf(lines, sizeof(lines), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n",
                   clock_mono_ns() / 1000);
    notify_send(&server->notify, lines);
}

void server_reload_end(const struct server *server)
{
    notify_send(&server->notify, "READY=1\n");
}

/* ── going out of service ─────────────────────────────────────────────────────────────────── */

bool server_draining(const struct server *server)
{
    return net_draining(server->net) != NET_DRAIN_OFF;
}

bool server_drain(struct server *server, bool on)
{
    if (atomic_load_explicit(&server->stopping, memory_order_relaxed))
        return false;
    if (on == server_draining(server))
        return true;
    log_line(LOG_INFO, on ? "draining" : "no longer draining");
    net_drain(server->net, on ? NET_DRAIN_ON : NET_DRAIN_OFF);
    /* One of the two in between may have been a stop: it comes last, whatever happens. */
    if (atomic_load(&server->stopping))
        net_drain(server->net, NET_DRAIN_END);
    if (on)
        notify_send(&server->notify, "STATUS=draining: clients are sent away as they fall idle\n");
    else
        serving_tell(server, "");
    return true;
}

void server_stop(struct server *server, bool graceful)
{
    if (graceful)
        atomic_store_explicit(&server->graceful, true, memory_order_relaxed);
    const bool again = atomic_exchange(&server->stopping, true);
    if (!again)
        notify_send(&server->notify, "STOPPING=1\nSTATUS=stopping\n");
    if (again || server->opts->drain_time_s == 0)
        net_stop(server->net);
    else
        net_drain(server->net, NET_DRAIN_END);
}
