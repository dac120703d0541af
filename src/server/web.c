/* server/web.c — the admin listener: what it is told and asks of us.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gate/limit.h"
#include "net/tls.h"
#include "server/confine.h"
#include "server/server.h"

_Static_assert(WEB_ERROR_BYTES <= (int)SERVER_ERROR_BYTES, "errors are passed on");

/* ── what it asks ─────────────────────────────────────────────────────────────────────────── */

static void begin(void *arg)
{
    const struct server *server = arg;
    confine_admin(server->opts);
}

static void facts(void *arg, struct web_facts *ret_facts)
{
    server_facts(arg, ret_facts);
}

static void group(void *arg, enum web_group group, struct out *out)
{
    void (*const groups[WEB_GROUP_COUNT])(void *server, struct out *out) = {
        [WEB_GROUP_GENERAL] = admin_ops.stats_general,
        [WEB_GROUP_SETTINGS] = admin_ops.stats_settings,
        [WEB_GROUP_SECURITY] = admin_ops.stats_security,
        [WEB_GROUP_LATENCY] = admin_ops.stats_latency,
        [WEB_GROUP_LIMITS] = admin_ops.stats_limits,
        [WEB_GROUP_ACCESS] = admin_ops.stats_access,
        [WEB_GROUP_UDP] = admin_ops.stats_udp,
        [WEB_GROUP_PREFIXES] = admin_ops.stats_prefixes,
        [WEB_GROUP_CONNS] = admin_ops.stats_conns,
        [WEB_GROUP_HOTKEYS] = admin_ops.stats_hotkeys,
        [WEB_GROUP_CLIENTS] = admin_ops.stats_clients,
    };
    groups[group](arg, out);
}

static const char *who(const struct server *server)
{
    const bool certified = server->opts->admin_tls_ca != NULL;
    if (web_has_tokens(server->web))
        return certified ? "certificate and token" : "token";
    return certified ? "certificate" : "anybody";
}

static void reachable(void *arg, struct out *out)
{
    const struct server *server = arg;
    char url[WEB_URL_BYTES];
    server_glance_rows(server, out);
    for (size_t i = 0; web_url(server->web, i, url); i++)
        out_printf(out, "%s\t%s\t%s\t%s\tadmin page, metrics\n", url,
                   server->web_tls == NULL              ? "plain"
                   : server->opts->admin_tls_ca != NULL ? "mTLS"
                                                        : "TLS",
                   web_is_local(server->web, i) ? "this machine" : "everywhere", who(server));
}

static void recent(void *arg, struct out *out)
{
    const struct server *server = arg;
    events_recent(server->events, out);
}

static bool is_draining(void *arg)
{
    return server_draining(arg);
}

static bool token_may(void *arg, const struct ip_peer *from, uint16_t to_port)
{
    const struct server *server = arg;
    const struct gate_limit_ends ends = {.from = from, .to_port = to_port};
    return gate_limit_login(server->web_limiter, &ends, clock_mono_ms());
}

static void token_failed(void *arg, const struct ip_peer *from)
{
    const struct server *server = arg;
    gate_limit_login_failed(server->web_limiter, from, clock_mono_ms());
}

static void note(void *arg, const struct event *event)
{
    const struct server *server = arg;
    event_note(server->web_events, event);
}

static const struct web_ops ops = {
    .begin = begin,
    .facts = facts,
    .group = group,
    .reachable = reachable,
    .recent = recent,
    .is_draining = is_draining,
    .token_may = token_may,
    .token_failed = token_failed,
    .note = note,
};

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

int server_web_tls_load(const struct opts *opts, struct net_tls **ret_tls, char *ret_error)
{
    enum { TLS_1_2 = 2, GATHER_BYTES = 16384 };
    *ret_tls = NULL;
    if (opts->admin_tls_cert == NULL) {
        if (opts->admin_tls_key == NULL && opts->admin_tls_ca == NULL)
            return 0;
        (void)snprintf(ret_error, SERVER_ERROR_BYTES,
                       "-o admin_tls_key and admin_tls_ca need admin_tls_cert");
        return -EINVAL;
    }
    const struct net_tls_config config = {
        .chain_path = opts->admin_tls_cert,
        .key_path = opts->admin_tls_key,
        .ca_path = opts->admin_tls_ca,
        .verify = opts->admin_tls_ca != NULL ? NET_TLS_VERIFY_REQUIRE : NET_TLS_VERIFY_NONE,
        .version_min = TLS_1_2,
        .gather_bytes = GATHER_BYTES,
    };
    return net_tls_new(&config, ret_tls, ret_error);
}

static void tell(const struct server *server)
{
    /* A person in front of a terminal is told without asking. */
    const enum log_level level = isatty(STDERR_FILENO) ? LOG_ERROR : LOG_INFO;
    char url[WEB_URL_BYTES];
    for (size_t i = 0; web_url(server->web, i, url); i++)
        log_line(level, "admin page: %s (%s, %s)", url,
                 web_is_local(server->web, i) ? "this machine" : "everywhere", who(server));
}

int server_web_init(struct server *server, char *ret_error)
{
    const struct opts *opts = server->opts;
    if (opts->admin == NULL)
        return 0;
    const struct web_config config = {
        .listen = opts->admin,
        .hosts = opts->admin_hosts,
        .token_path = opts->admin_token_file,
        .tls = server->web_tls,
        .certified = opts->admin_tls_ca != NULL,
        .ops = &ops,
        .arg = server,
    };
    int rc = event_source_new(server->events, &server->web_events);
    if (rc != 0)
        return rc;
    server->web_limiter = gate_limiter_of(server->limits, opts->threads + 1, server->web_events);
    server->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC); /* -1: then it tells 0 */
    rc = web_new(&config, &server->web, ret_error);
    if (rc != 0)
        return rc == -ENOMEM ? rc : -EKEYREJECTED; /* what was asked for cannot be used */
    tell(server);
    return 0;
}

int server_web_start(struct server *server)
{
    return server->web != NULL ? web_start(server->web) : 0;
}

bool server_web_reload(struct server *server, bool *ret_done)
{
    char error[WEB_ERROR_BYTES], tls_error[NET_TLS_ERROR_BYTES];
    if (server->web == NULL || (server->web_tls == NULL && !web_has_tokens(server->web)))
        return false;
    const int tokens = web_reload(server->web, error);
    if (tokens != 0)
        log_line(LOG_ERROR, "the tokens stay as they were: %s", error);
    const int certs = server->web_tls != NULL ? net_tls_refresh(server->web_tls, tls_error) : 0;
    if (certs != 0)
        log_line(LOG_ERROR, "the certificates of -o admin stay as they were: %s", tls_error);
    *ret_done = tokens == 0 && certs == 0;
    if (*ret_done)
        log_line(LOG_INFO, "read the tokens and certificates of -o admin again");
    return true;
}
