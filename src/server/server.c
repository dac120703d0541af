/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/gate.h"
#include "gate/limit.h"
#include "net/tls.h"
#include "server/confine.h"

static void users_tell(const struct server *server)
{
    const size_t count = gate_user_count(server->gate);
    if (count == 0)
        log_line(LOG_ERROR, "warning: no users, so nobody can log in");
    else
        log_line(LOG_INFO, "users who may log in: %zu", count);
}

static void dead_tell(const char *line)
{
    log_line(LOG_ERROR, "warning: %s", line);
}

/* After each reading. */
static void access_tell(const struct server *server)
{
    enum { DEAD_MAX = 10 }; /* of a file that was generated there may be thousands */
    if (!gate_has_access(server->gate))
        return;
    const size_t count = gate_rule_count(server->gate);
    if (gate_admits_nobody(server->gate))
        log_line(LOG_ERROR, "warning: the access list has %s, so no address may come in",
                 count == 0 ? "no rules" : "no rule that allows any");
    log_line(LOG_INFO, "rules of the access list: %zu", count);
    gate_dead_each(server->gate, DEAD_MAX, dead_tell);
}

/* What the files have brought. */
static void rules_tell(const struct server *server)
{
    if (gate_login_required(server->gate))
        users_tell(server);
    access_tell(server);
}

/* Connections that the new rules leave nothing are closed, silent ones as well. */
static void rules_renewed(struct server *server)
{
    rules_tell(server);
    net_review(server->net);
}

static int gate_init(struct server *server, char *error)
{
    const struct opts *opts = server->opts;
    const char *pwdb = opts->enable_sasl ? getenv("MEMCACHED_SASL_PWDB") : NULL;
    if (opts->enable_sasl && opts->auth_file == NULL && pwdb == NULL) {
        (void)snprintf(error, SERVER_ERROR_BYTES,
                       "-S needs users: lines user:password in a file that -Y names, or the "
                       "environment variable MEMCACHED_SASL_PWDB");
        return -EKEYREJECTED;
    }
    const struct gate_config config = {
        .files = {opts->auth_file, pwdb},
        .slots = opts->threads + 1,
        .deny = opts->deny,
        .allow = opts->allow,
        .access_file = opts->access_file,
        .protect = strcmp(opts->protected_mode, "no") != 0,
    };
    const int rc = gate_new(&config, &server->gate, error);
    if (rc != 0)
        return rc == -ENOMEM ? rc : -EKEYREJECTED;
    return 0;
}

static int limits_init(struct server *server, char *error)
{
    const unsigned workers = server->opts->threads;
    const int rc = gate_limits_new(server->opts, workers + 2, &server->limits, error);
    if (rc == 0)
        server->listener_limiter =
            gate_limiter_of(server->limits, workers, server->listener_events);
    return rc == -EINVAL ? -EKEYREJECTED : rc;
}

int server_files_check(const struct opts *opts, char *ret_error)
{
    struct server server = {.opts = opts};
    ret_error[0] = '\0';
    int rc = gate_init(&server, ret_error);
    if (rc == 0)
        rc = gate_limits_new(opts, 1, &server.limits, ret_error);
    if (rc != 0 && ret_error[0] == '\0')
        (void)snprintf(ret_error, SERVER_ERROR_BYTES, "%s", strerror(-rc));
    gate_limits_free(server.limits);
    gate_free(server.gate);
    return rc;
}

static int workers_init(struct server *server)
{
    const struct opts *opts = server->opts;
    server->workers = aligned_alloc(CACHE_LINE_BYTES, opts->threads * sizeof(*server->workers));
    server->net_workers = calloc(opts->threads, sizeof(*server->net_workers));
    if (server->workers == NULL || server->net_workers == NULL)
        return -ENOMEM;
    struct cmd_ctx model = {
        .store = server->store,
        .opts = opts,
        .prefixes = &server->prefixes,
        .tuning = &server->tuning,
        .server = &admin_ops,
        .server_arg = server,
    };
    for (unsigned i = 0; i < opts->threads; i++) {
        int rc = stat_block_new(server->stats, &model.stats);
        if (rc == 0 && opts->latency_stats)
            rc = stat_hists_new(server->stats, &model.hists);
        if (server->hot != NULL)
            model.hot = hot_set_worker(server->hot, i);
        if (rc == 0)
            rc = watch_ring_new(server, model.stats, &server->workers[i], &model.log);
        if (rc == 0)
            rc = event_source_new(server->events, &model.events);
        if (rc == 0)
            rc = worker_init(&server->workers[i], &model, &server->net);
        if (rc != 0)
            return rc;
        server->worker_count++;
        if (server->udp != NULL && udp_worker_new(server->udp, &server->workers[i].udp) != 0)
            return -ENOMEM;
        server->workers[i].index = i;
        server->workers[i].timing = (struct stat_timing){.hists = model.hists};
        server->workers[i].gate = server->gate;
        server->workers[i].limiter = gate_limiter_of(server->limits, i, model.events);
        server->workers[i].login_required = gate_login_required(server->gate);
        server->net_workers[i] = (struct net_worker_config){.arg = &server->workers[i],
                                                            .stats = model.stats,
                                                            .timing = &server->workers[i].timing,
                                                            .log = model.log,
                                                            .events = model.events};
    }
    return 0;
}

enum net_tls_mode server_tls_mode(const struct server *server, enum opt_listen_tls tls)
{
    switch (tls) {
    case OPT_LISTEN_DEFAULT:
        return server->tls != NULL ? NET_TLS_ON : NET_TLS_OFF;
    case OPT_LISTEN_NOTLS:
        return NET_TLS_OFF;
    case OPT_LISTEN_BTLS:
        return NET_TLS_NO_CLIENT_CERT;
    case OPT_LISTEN_MTLS:
        return NET_TLS_CLIENT_CERT;
    }
    return NET_TLS_OFF;
}

static struct net_address address_of(const struct server *server, const struct opt_listen *host,
                                     bool datagrams)
{
    const int32_t port = datagrams ? server->opts->udp_port : server->opts->port;
    const int32_t wanted = host->port >= 0 ? host->port : port;
    return (struct net_address){
        .host = strcmp(host->host, "*") == 0 ? NULL : host->host,
        .port = wanted < 0 ? 0 : wanted,
        .tag = (uint8_t)host->protocol,
        .tls = datagrams ? NET_TLS_OFF : server_tls_mode(server, host->tls),
        .datagrams = datagrams,
    };
}

/* Are the addresses of -l served so? By streams not when sockets of these were handed over. */
static bool is_served(const struct server *server, bool datagrams)
{
    if (datagrams)
        return server->opts->udp_port != 0;
    return server->opts->port != 0 && server->activation->count == 0;
}

/* Turn the text of -l into addresses, those of TCP first. Returns how many, or -errno. */
static int addresses_init(struct server *server)
{
    const struct opts *opts = server->opts;
    const struct bytes list = bytes_str(opts->listen);
    size_t max = 1;
    for (size_t i = 0; i < list.len; i++)
        max += list.ptr[i] == ',' || list.ptr[i] == ';';
    server->addresses = calloc(2 * max, sizeof(*server->addresses));
    server->hosts = calloc(max, sizeof(*server->hosts));
    if (server->addresses == NULL || server->hosts == NULL)
        return -ENOMEM;
    size_t count = 0;
    struct bytes rest = list;
    for (int rc; count < max; count++)
        if ((rc = opt_listen_next(&rest, &server->hosts[count])) <= 0) {
            if (rc < 0)
                return rc;
            break;
        }
    size_t address_count = 0;
    for (int datagrams = 0; datagrams < 2; datagrams++)
        for (size_t i = 0; i < count && is_served(server, datagrams != 0); i++)
            server->addresses[address_count++] =
                address_of(server, &server->hosts[i], datagrams != 0);
    return (int)address_count;
}

static void poked(void *arg)
{
    server_reload(arg);
}

static void tick(void *arg)
{
    const struct server *server = arg;
    udp_tick(server->udp);
}

/* Tell what is listened on, and let those parts know that have to. */
static int listeners_learn(struct server *server, char *error)
{
    struct net_listener_info info;
    int rc = 0;
    for (size_t i = 0; rc == 0 && net_listener_get(server->net, i, &info); i++) {
        int32_t *port = info.datagrams ? &server->udp_port : &server->port;
        if (*port == 0)
            *port = info.port;
        if (info.datagrams)
            rc = udp_listener_add(server->udp, i, &info, error);
    }
    return rc;
}

static int net_init(struct server *server, char *error)
{
    const struct opts *opts = server->opts;
    int address_count = 0;
    if (opts->unix_socket == NULL)
        address_count = addresses_init(server);
    struct stat_block *stats;
    const int stat_rc = stat_block_new(server->stats, &stats);
    if (address_count < 0 || stat_rc != 0)
        return address_count < 0 ? address_count : stat_rc;
    struct logger_ring *log;
    const int log_rc = watch_ring_new(server, stats, NULL, &log);
    if (log_rc != 0)
        return log_rc;
    const struct net_config config = {
        .ops = &worker_ops,
        .addresses = server->addresses,
        .address_count = (size_t)address_count,
        .handed = server->handed,
        .handed_count = server->activation->count,
        .unix_path = server->activation->count == 0 ? opts->unix_socket : NULL,
        .unix_mask = opts->unix_mask,
        .tls = server->tls,
        .workers = server->net_workers,
        .worker_count = server->worker_count,
        .stats = stats,
        .log = log,
        .conns_max = opts->conn_limit,
        .conns_max_refuse = opts->maxconns_fast,
        .refusal = "ERROR Too many open connections\r\n",
        .backlog = (int)opts->listen_backlog,
        .requests_per_event = opts->max_reqs_per_event,
        .napi_ids = opts->napi_ids > 0,
        .mark = opts->sock_cookie_id,
        .idle_timeout_s = opts->idle_timeout_s,
        .in_bytes_max = opts->read_buf_limit_bytes / opts->threads,
        .drain_s = opts->drain_time_s,
        .poked = poked,
        .arrive = server_arrive,
        .tick = tick,
        .arg = server,
    };
    int rc = net_new(&config, &server->net, error);
    if (rc == 0)
        rc = server_listeners_tell(server, error);
    if (rc == 0)
        rc = listeners_learn(server, error);
    if (rc == 0) {
        server_glance(server);
        rules_tell(server);
    }
    return rc;
}

int server_init(struct server *server, const struct server_start *start, char *ret_error)
{
    const struct opts *opts = start->opts;
    *server = (struct server){.opts = opts,
                              .activation = start->activation,
                              .tls = start->tls,
                              .web_tls = start->web_tls,
                              .statm_fd = -1};
    ret_error[0] = '\0';
    notify_open(&server->notify);
    cmd_tuning_init(&server->tuning, opts);
    int rc = live_init(server, start->inputs);
    if (rc == 0)
        rc = server_events_init(server, ret_error);
    if (rc == 0)
        rc = gate_init(server, ret_error);
    if (rc == 0)
        rc = limits_init(server, ret_error);
    if (rc == 0)
        rc = stat_registry_new(&server->stats);
    if (rc == 0)
        rc = watch_init(server);
    if (rc == 0)
        rc = memory_open(server, ret_error);
    if (rc == 0)
        live_begin(server);
    if (rc == 0)
        rc = cmd_prefixes_init(&server->prefixes, opts->stats_delimiter, opts->stats_detail);
    if (rc == 0 && opts->hotkeys && !opts->disable_dumping)
        rc = hot_set_new(opts->threads, opts->stats_delimiter, &server->hot);
    if (rc == 0 && opts->udp_port != 0 && opts->unix_socket == NULL)
        rc = udp_new(opts, &server->udp, ret_error);
    if (rc == 0)
        rc = workers_init(server);
    if (rc == 0)
        rc = server_handed_init(server, ret_error);
    if (rc == 0)
        rc = net_init(server, ret_error);
    if (rc == 0)
        rc = server_web_init(server, ret_error);
    if (rc != 0 && ret_error[0] == '\0')
        (void)snprintf(ret_error, SERVER_ERROR_BYTES, "cannot start: %s", strerror(-rc));
    return rc;
}

int server_run(struct server *server)
{
    struct stat_block *stats;
    int rc = confine_process(server->opts);
    if (rc == 0)
        rc = stat_block_new(server->stats, &stats);
    if (rc == 0)
        rc = watch_ring_new(server, stats, NULL, &server->keeper.log);
    server->keeper.tuning = &server->tuning;
    if (rc == 0)
        rc = housekeeper_start(&server->keeper, server->store, server->opts);
    if (rc == 0)
        rc = logger_start(server->logger);
    if (rc == 0)
        rc = events_start(server->events);
    if (rc == 0)
        rc = server_web_start(server);
    if (rc == 0)
        rc = watchdog_start(&server->watchdog, server->net, &server->notify, server->opts);
    if (rc != 0)
        return rc;
    server->served = true;
    return net_run(server->net);
}

/* A security event: a part was read again, or could not be. */
static void reload_note(const struct server *server, bool done, const char *part)
{
    event_note(server->listener_events,
               &(const struct event){.type = done ? EVENT_RULES_RELOADED : EVENT_RULES_REJECTED,
                                     .rule = bytes_str(part)});
}

void server_reload(struct server *server)
{
    log_line(LOG_INFO, "reloading");
    server_reload_begin(server);
    events_reopen(server->events);
    char live_error[OPT_TEXT_BYTES];
    const bool rules = live_reload(server, live_error);
    if (rules)
        rules_renewed(server);
    else
        log_line(LOG_ERROR, "%susers and access stay as they were: %s",
                 server->live.inputs->path != NULL ? "configuration, " : "", live_error);
    if (server->live.inputs->path != NULL)
        reload_note(server, rules, "configuration");
    reload_note(server, rules, "users and access");
    char udp_error[UDP_ERROR_BYTES];
    if (server->udp != NULL && server->opts->udp_keys != NULL) {
        const bool keys = udp_reload(server->udp, udp_error) == 0;
        if (keys)
            log_line(LOG_INFO, "read the keys of -o udp_keys again");
        else
            log_line(LOG_ERROR, "the keys of -o udp_keys stay as they were: %s", udp_error);
        reload_note(server, keys, "udp keys");
    }
    if (server->tls != NULL) {
        char error[NET_TLS_ERROR_BYTES];
        reload_note(server, server_tls_refresh(server, error), "tls certificates");
    }
    bool done;
    if (server_web_reload(server, &done))
        reload_note(server, done, "admin listener");
    server_reload_end(server);
}

void server_fini(struct server *server)
{
    watchdog_stop(&server->watchdog);
    logger_stop(server->logger);
    web_free(server->web); /* asks all of the others */
    if (server->statm_fd >= 0)
        close(server->statm_fd);
    net_tls_free(server->web_tls);
    net_free(server->net); /* joins the workers: we are alone but for the housekeeper */
    net_tls_free(server->tls);
    housekeeper_stop(&server->keeper);
    events_free(server->events); /* nobody notes any more */
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_fini(&server->workers[i]);
    free(server->workers);
    free(server->net_workers);
    free(server->addresses);
    free(server->hosts);
    free(server->handed);
    cmd_prefixes_fini(&server->prefixes);
    hot_set_free(server->hot);
    udp_free(server->udp);
    gate_free(server->gate);
    gate_limits_free(server->limits);
    stat_registry_free(server->stats);
    memory_save(server); /* nobody uses it any more */
#ifdef MATTE_TEST_BUILD
    cmd_debug_fini();
#endif
    store_free(server->store);
    live_fini(server);
    logger_free(server->logger);
    notify_close(&server->notify); /* last: the manager counts how long the end takes */
}
