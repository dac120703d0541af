/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/glance.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/gate.h"
#include "server/server.h"

enum { WHERE_BYTES = 48, HOW_COLUMNS_MAX = 60, WHERE_COLUMNS = 29, WHO_COLUMNS = 21 };

static bool is_certified(const struct glance *glance)
{
    return glance->tls == NET_TLS_CLIENT_CERT;
}

/* A policy that drops legacy datagrams and serves no others. */
static bool is_mute(const struct glance *glance)
{
    return glance->datagrams && strcmp(glance->udp_policy, "drop") == 0;
}

/* Nothing says who may come in, and others than this machine can reach it. */
static bool is_unguarded(const struct glance *glance)
{
    return !glance->local && !is_mute(glance) && !ip_is_loopback(&glance->ip) && !glance->list &&
           !glance->login && !is_certified(glance);
}

bool glance_is_open(const struct glance *glance)
{
    return is_unguarded(glance) && !glance->protect;
}

bool glance_is_protected(const struct glance *glance)
{
    return is_unguarded(glance) && glance->protect;
}

static const char *how(const struct glance *glance)
{
    if (glance->datagrams)
        return glance->udp_policy;
    if (glance->tls == NET_TLS_OFF)
        return "plain";
    return is_certified(glance) ? "mTLS" : "TLS";
}

static void where_format(const struct glance *glance, char ret_text[WHERE_BYTES])
{
    if (glance->local)
        (void)snprintf(ret_text, WHERE_BYTES, "this machine (mode %o)", glance->unix_mask);
    else if (glance->list)
        (void)snprintf(ret_text, WHERE_BYTES, "%zu rule%s", glance->rules,
                       glance->rules == 1 ? "" : "s");
    else if (ip_is_loopback(&glance->ip))
        (void)snprintf(ret_text, WHERE_BYTES, "this machine");
    else if (glance_is_protected(glance))
        (void)snprintf(ret_text, WHERE_BYTES, "this machine (protected mode)");
    else
        (void)snprintf(ret_text, WHERE_BYTES, "everywhere");
}

static const char *who(const struct glance *glance)
{
    if (is_mute(glance))
        return "nobody";
    if (is_certified(glance))
        return glance->login ? "certificate and login" : "certificate";
    return glance->login ? "login" : "anybody";
}

/* Administration is a class of its own: whom rules and users leave it. */
static const char *what(const struct glance *glance)
{
    if (is_mute(glance))
        return "nothing";
    if (glance->datagrams)
        return glance->udp_writes ? (glance->list ? "reads, writes, by rule" : "reads, writes")
                                  : (glance->list ? "reads, by rule" : "reads");
    if (glance->list && glance->login)
        return "by rule and user";
    return glance->list ? "by rule" : glance->login ? "by user" : "all commands";
}

void glance_columns_fit(struct glance_columns *columns, const struct glance *glance)
{
    const int address = (int)strlen(glance->address);
    const int protection = (int)strnlen(how(glance), HOW_COLUMNS_MAX);
    columns->address = address > columns->address ? address : columns->address;
    columns->how = protection > columns->how ? protection : columns->how;
}

void glance_format(const struct glance *glance, const struct glance_columns *columns,
                   char ret_text[GLANCE_BYTES])
{
    char where[WHERE_BYTES];
    where_format(glance, where);
    (void)snprintf(ret_text, GLANCE_BYTES, "%-*s  %-*.*s  %-*s  %-*s  %s", columns->address,
                   glance->address, columns->how, HOW_COLUMNS_MAX, how(glance), WHERE_COLUMNS,
                   where, WHO_COLUMNS, who(glance), what(glance));
}

/* ── of the running server ────────────────────────────────────────────────────────────────── */

static struct glance glance_of(const struct server *server, const struct net_listener_info *info)
{
    const struct opts *opts = server->opts;
    return (struct glance){
        .address = info->address,
        .ip = info->ip,
        .local = info->family == AF_UNIX,
        .datagrams = info->datagrams,
        .login = gate_login_required(server->gate),
        .protect = gate_is_protected(server->gate),
        .list = gate_has_access(server->gate),
        .rules = gate_rule_count(server->gate),
        .tls = server_is_certified(opts, info) ? NET_TLS_CLIENT_CERT : info->tls,
        .unix_mask = opts->unix_mask,
        .udp_policy = opts->udp_policy,
        .udp_writes = opts->udp_writes,
    };
}

static void open_warn(const struct server *server, const struct net_listener_info *info)
{
    log_line(LOG_ERROR,
             "warning: %s is open to everybody who can reach it: there are no logins (-Y), no "
             "access list (--access-file, --allow), and protected mode is off",
             info->address);
    const struct event event = {.type = EVENT_LISTENING_OPEN,
                                .to = &info->ip,
                                .to_port = (uint16_t)info->port,
                                .rule = bytes_str(info->address)};
    event_note(server->listener_events, &event);
}

void server_glance(const struct server *server)
{
    /* A person in front of a terminal is told without asking. */
    const enum log_level level = isatty(STDERR_FILENO) ? LOG_ERROR : LOG_INFO;
    struct net_listener_info info;
    struct glance_columns columns = {0};
    bool is_protected = false;
    for (size_t i = 0; net_listener_get(server->net, i, &info); i++) {
        const struct glance glance = glance_of(server, &info);
        glance_columns_fit(&columns, &glance);
        is_protected = is_protected || glance_is_protected(&glance);
    }
    for (size_t i = 0; net_listener_get(server->net, i, &info); i++) {
        const struct glance glance = glance_of(server, &info);
        char text[GLANCE_BYTES];
        glance_format(&glance, &columns, text);
        log_line(level, "listening on %s", text);
    }
    for (size_t i = 0; net_listener_get(server->net, i, &info); i++) {
        const struct glance glance = glance_of(server, &info);
        if (glance_is_open(&glance))
            open_warn(server, &info);
    }
    /* Who gives an address by -l expects others to come. */
    if (is_protected)
        log_line(LOG_ERROR,
                 "note: protected mode refuses clients of other machines; to serve them, give "
                 "logins (-Y FILE), an access list (--access-file=FILE, --allow=CIDR), or "
                 "--protected-mode=no");
}

void server_glance_rows(const struct server *server, struct out *out)
{
    struct net_listener_info info;
    for (size_t i = 0; net_listener_get(server->net, i, &info); i++) {
        const struct glance glance = glance_of(server, &info);
        char where[WHERE_BYTES];
        where_format(&glance, where);
        out_printf(out, "%s\t%s\t%s\t%s\t%s\n", glance.address, how(&glance), where, who(&glance),
                   what(&glance));
    }
}
