/* Who may come in at all: asked once per accepted connection, in the listener's thread, before a
 * worker or a byte of TLS has been spent on it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "gate/gate.h"
#include "gate/limit.h"
#include "server/server.h"

/* In the words of a server that cannot do what it is asked to: clients show them to people. */
static const char protected_words[] =
    "SERVER_ERROR protected mode: this server has no users and no access list, so it serves only "
    "clients of its own machine. Its operator can give it logins (-Y FILE), an access list "
    "(--access-file=FILE, --allow=CIDR), or --protected-mode=no\r\n";

/* A newcomer, on its way through the steps. */
struct newcomer {
    struct server *server;
    unsigned listener;
    const struct ip_peer *peer;
    const char *words; /* of the refusal; NULL: none */
};

static void refusal_note(const struct newcomer *who, enum event_type type)
{
    struct gate *gate = who->server->gate;
    const struct event event = {
        .type = type,
        .from = who->peer,
        .to_port = gate_listener_port(gate, who->listener),
        .rule = bytes_str(
            gate_explain(gate, who->server->worker_count, who->listener, who->peer, GATE_ALL)),
    };
    event_note(who->server->listener_events, &event);
}

/* Access list and protected mode. Who is on a list of the denied is told nothing: most of those are
 * scanners, and an operator sees the hits (stats access) and the events. */
static bool address_is_welcome(struct newcomer *who)
{
    switch (gate_admit(who->server->gate, who->server->worker_count, who->listener, who->peer)) {
    case GATE_WELCOME:
        return true;
    case GATE_PROTECTED:
        who->words = protected_words;
        refusal_note(who, EVENT_CONN_PROTECTED);
        return false;
    case GATE_DENIED:
        refusal_note(who, EVENT_CONN_DENIED);
        return false;
    }
    return false;
}

/* Over the limit of new connections it is told nothing either: words cost more than they help. */
static bool rate_is_fine(struct newcomer *who)
{
    const struct gate_limit_ends ends = {
        .from = who->peer, .to_port = gate_listener_port(who->server->gate, who->listener)};
    return gate_limit_take(who->server->listener_limiter, GATE_LIMIT_CONNS, &ends, 1,
                           clock_mono_ms());
}

bool server_arrive(void *arg, unsigned listener, const struct ip_peer *peer, const char **ret_words)
{
    /* The first that says no decides. */
    static bool (*const steps[])(struct newcomer * who) = {
        address_is_welcome,
        rate_is_fine,
    };
    struct newcomer who = {.server = arg, .listener = listener, .peer = peer};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        if (steps[i](&who))
            continue;
        *ret_words = who.words;
        return false;
    }
    if (who.server->udp != NULL)
        udp_vouch(who.server->udp, peer);
    return true;
}

/* ── listeners ────────────────────────────────────────────────────────────────────────────── */

bool server_is_certified(const struct opts *opts, const struct net_listener_info *info)
{
    enum { REQUIRE = 2 }; /* of -o ssl_verify_mode, and above */
    return info->tls == NET_TLS_CLIENT_CERT ||
           (info->tls == NET_TLS_ON && opts->ssl_verify_mode >= REQUIRE);
}

int server_listeners_tell(struct server *server, char *ret_error)
{
    struct net_listener_info info;
    size_t count = 0;
    while (net_listener_get(server->net, count, &info))
        count++;
    struct gate_listener *listeners = calloc(count + 1, sizeof(*listeners));
    if (listeners == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count && net_listener_get(server->net, i, &info); i++)
        listeners[i] = (struct gate_listener){
            .transport = info.datagrams           ? GATE_UDP
                         : info.family == AF_UNIX ? GATE_UNIX
                                                  : GATE_TCP,
            .ip = info.ip,
            .port = (uint16_t)info.port,
            .certified = server_is_certified(server->opts, &info),
        };
    const int rc = gate_listeners_set(server->gate, listeners, count, ret_error);
    free(listeners);
    return rc == 0 || rc == -ENOMEM ? rc : -EKEYREJECTED;
}
