/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/live.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "gate/gate.h"
#include "gate/limit.h"
#include "server/process.h"
#include "server/server.h"

_Static_assert((int)OPT_TEXT_BYTES == (int)CMD_ERROR_BYTES &&
                   (int)OPT_TEXT_BYTES == (int)GATE_ERROR_BYTES,
               "errors are passed on");

/* ── what can change ──────────────────────────────────────────────────────────────────────── */

static void net_apply(struct server *server, const struct opts *opts)
{
    net_limits_set(server->net,
                   &(const struct net_limits){.conns_max = opts->conn_limit,
                                              .requests_per_event = opts->max_reqs_per_event,
                                              .idle_timeout_s = opts->idle_timeout_s});
}

static void verbose_apply(struct server *server, const struct opts *opts)
{
    (void)server;
    log_level_set(opts->verbose);
}

static void crawler_apply(struct server *server, const struct opts *opts)
{
    atomic_store_explicit(&server->tuning.crawler, opts->lru_crawler, memory_order_relaxed);
    atomic_store_explicit(&server->tuning.crawler_items_max, opts->lru_crawler_tocrawl,
                          memory_order_relaxed);
}

static void window_apply(struct server *server, const struct opts *opts)
{
    events_window_set(server->events, opts->events_window_s);
}

static void limits_apply(struct server *server, const struct opts *opts)
{
    gate_limits_change(server->limits, opts);
}

/* What can fail has been done before. */
static void done_already(struct server *server, const struct opts *opts)
{
    (void)server;
    (void)opts;
}

#define ROW(field, apply)                                                                          \
    {                                                                                              \
        offsetof(struct opts, field), apply                                                        \
    }
#define LIMIT(field) ROW(field, limits_apply), ROW(field##_prefix, limits_apply)

/* One for each row that is LIVE or RELOAD. */
static const struct {
    size_t offset;
    void (*apply)(struct server *server, const struct opts *opts);
} rows[] = {
    ROW(memory_limit_bytes, done_already),
    ROW(verbose, verbose_apply),
    ROW(lru_crawler, crawler_apply),
    ROW(lru_crawler_tocrawl, crawler_apply),
    ROW(conn_limit, net_apply),
    ROW(max_reqs_per_event, net_apply),
    ROW(idle_timeout_s, net_apply),
    ROW(events_window_s, window_apply),
    LIMIT(limit_requests),
    LIMIT(limit_bytes),
    LIMIT(limit_conns),
    LIMIT(limit_logins),
    LIMIT(limit_udp_challenges),
    LIMIT(limit_udp_bytes),
    LIMIT(limit_udp_legacy),
    ROW(limit_dry_run, limits_apply),
    ROW(access_file, done_already),
    ROW(allow, done_already),
    ROW(deny, done_already),
    ROW(protected_mode, done_already),
};

static bool is_live(size_t row)
{
    const enum opt_when when = opt_when_of(row);
    return opt_is_option(row) && (when == OPT_WHEN_LIVE || when == OPT_WHEN_RELOAD);
}

static void apply(struct server *server, size_t row)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (opt_row_at(rows[i].offset) == row) {
            rows[i].apply(server, &server->live.running);
            return;
        }
    assert(false); /* a row of options.def promises what is not here */
}

/* ── what is in effect ────────────────────────────────────────────────────────────────────── */

static void seen(struct opts *running, size_t row)
{
    running->source[row] = (struct opt_source){.from = OPT_FROM_LIVE};
}

/* Look at what other commands may have changed. */
static void see(struct server *server)
{
    struct opts *running = &server->live.running;
    struct store_info info;
    store_info(server->store, &info);
    if (info.memory_bytes != server->live.memory_bytes) {
        running->memory_limit_bytes = server->live.memory_bytes = info.memory_bytes;
        seen(running, OPT_ROW(memory_limit_bytes));
    }
    const uint32_t verbose = log_level_get();
    if (verbose != running->verbose) {
        running->verbose = verbose;
        seen(running, OPT_ROW(verbose));
    }
    const struct cmd_tuning *tuning = &server->tuning;
    const bool crawler = atomic_load_explicit(&tuning->crawler, memory_order_relaxed);
    if (crawler != running->lru_crawler) {
        running->lru_crawler = crawler;
        seen(running, OPT_ROW(lru_crawler));
    }
    const uint32_t items = atomic_load_explicit(&tuning->crawler_items_max, memory_order_relaxed);
    if (items != running->lru_crawler_tocrawl) {
        running->lru_crawler_tocrawl = items;
        seen(running, OPT_ROW(lru_crawler_tocrawl));
    }
}

/* ── changes ──────────────────────────────────────────────────────────────────────────────── */

/* What is to be in effect, and how it differs from what is. */
struct change {
    struct opts opts;
    bool row[OPT_ROWS_MAX];
};

static bool refuse(char *error, const char *text)
{
    (void)snprintf(error, OPT_TEXT_BYTES, "%s", text);
    return false;
}

/* Does what the change brings fit together, and with what is fixed? */
static bool change_check(const struct server *server, struct change *change, char *error)
{
    struct opt_result result;
    opt_check(&change->opts, &result);
    if (result.action != OPT_RUN)
        return refuse(error, result.text);
    for (size_t i = 0; i < opt_count(); i++) {
        if (!opt_is_option(i) || is_live(i) || opt_is_same(&change->opts, &server->live.running, i))
            continue;
        char name[OPT_NAME_BYTES];
        opt_name_format(i, name);
        (void)snprintf(error, OPT_TEXT_BYTES, "%s would have to change with it, at a restart",
                       name);
        return false;
    }
    const uint64_t beside = process_fds_beside(server->opts), all = net_fds_max(server->net);
    if (change->row[OPT_ROW(conn_limit)] && change->opts.conn_limit + beside > all) {
        (void)snprintf(error, OPT_TEXT_BYTES,
                       "conn_limit: the process may have %llu open files (ulimit -n) since its "
                       "start; allowed: up to %llu",
                       (unsigned long long)all,
                       (unsigned long long)(all > beside ? all - beside : 0));
        return false;
    }
    return true;
}

static bool memory_change(struct server *server, const struct change *change, char *error)
{
    if (!change->row[OPT_ROW(memory_limit_bytes)])
        return true;
    if (store_memory_set(server->store, change->opts.memory_limit_bytes) != 0)
        return refuse(error, "memory_limit: not possible: fixed with -e, or too small, or above "
                             "the addresses reserved at the start");
    struct store_info info;
    store_info(server->store, &info);
    server->live.memory_bytes = info.memory_bytes;
    return true;
}

static void change_tell(const struct server *server, size_t row)
{
    char name[OPT_NAME_BYTES], value[OPT_VALUE_BYTES], source[OPT_SOURCE_BYTES];
    opt_name_format(row, name);
    opt_value_format(&server->live.running, row, value);
    opt_source_format(&server->live.running, row, source);
    log_line(LOG_INFO, "%s is now %.200s (%.300s)", name, value, source);
}

/* Put it in force, or nothing of it. Takes the change's options, when it returns true. */
static bool change_commit(struct server *server, struct change *change, char *error)
{
    if (!change_check(server, change, error) || !memory_change(server, change, error))
        return false;
    struct opts *running = &server->live.running;
    opt_fini(running);
    *running = change->opts;
    for (size_t i = 0; i < opt_count(); i++) {
        if (!change->row[i])
            continue;
        apply(server, i);
        change_tell(server, i);
    }
    return true;
}

/* ── reload ───────────────────────────────────────────────────────────────────────────────── */

static void mistake_log(void *arg, const char *line)
{
    (void)arg;
    log_line(LOG_ERROR, "%s", line);
}

/* What was changed and cannot change now. */
static void restarts_tell(const struct opts *fresh, const struct opts *running)
{
    for (size_t i = 0; i < opt_count(); i++) {
        if (!opt_is_option(i) || is_live(i) || opt_is_same(fresh, running, i))
            continue;
        char name[OPT_NAME_BYTES], value[OPT_VALUE_BYTES], source[OPT_SOURCE_BYTES];
        opt_name_format(i, name);
        opt_value_format(fresh, i, value);
        opt_source_format(fresh, i, source);
        log_line(LOG_ERROR, "%s = %.200s (%.300s) needs a restart", name, value, source);
    }
}

/* Change what is in effect as the freshly read options have changed. */
static bool fresh_adopt(struct server *server, const struct opts *fresh, char *error)
{
    struct live *live = &server->live;
    struct change change = {.row = {false}};
    int rc = opt_clone(&change.opts, &live->running);
    for (size_t i = 0; i < opt_count() && rc == 0; i++) {
        if (!opt_is_option(i))
            continue;
        change.row[i] = is_live(i) && !opt_is_same(fresh, &live->loaded, i) &&
                        !opt_is_same(fresh, &live->running, i);
        if (change.row[i] || opt_is_same(fresh, &live->running, i))
            rc = opt_copy(&change.opts, fresh, i); /* or it is the source alone that has changed */
    }
    if (rc == 0 ? change_commit(server, &change, error) : refuse(error, "out of memory"))
        return true;
    opt_fini(&change.opts);
    return false;
}

/* With users and access list, which the configuration names. */
static bool fresh_commit(struct server *server, struct opts *fresh, char *error)
{
    struct live *live = &server->live;
    const struct gate_lists lists = {.deny = fresh->deny,
                                     .allow = fresh->allow,
                                     .access_file = fresh->access_file,
                                     .protect = strcmp(fresh->protected_mode, "no") != 0};
    struct gate_update *update;
    if (gate_prepare(server->gate, &lists, &update, error) != 0)
        return false;
    (void)pthread_mutex_lock(&live->lock);
    see(server);
    const bool ok = fresh_adopt(server, fresh, error);
    if (ok) {
        /* Its texts are those of `loaded` from now on. After the limits: it has connections ask
         * anew whom they concern. */
        gate_commit(server->gate, update);
        restarts_tell(fresh, &live->running);
        opt_fini(&live->loaded);
        live->loaded = *fresh;
    } else {
        gate_discard(update);
    }
    (void)pthread_mutex_unlock(&live->lock);
    return ok;
}

static bool reload(struct server *server, char *error)
{
    if (server->live.inputs->path == NULL)
        return gate_reload(server->gate, error) == 0;
    const struct opt_teller teller = {.mistake = mistake_log};
    struct opts fresh;
    struct opt_result result;
    config_load(server->live.inputs, &teller, &fresh, &result);
    const bool ok =
        result.action == OPT_RUN ? fresh_commit(server, &fresh, error) : refuse(error, result.text);
    if (!ok)
        opt_fini(&fresh);
    return ok;
}

bool live_reload(struct server *server, char *ret_error)
{
    struct live *live = &server->live;
    const bool ok = reload(server, ret_error);
    if (ok)
        ret_error[0] = '\0'; /* who may fail writes there beforehand */
    (void)pthread_mutex_lock(&live->lock);
    live->reloads += ok;
    live->refused += !ok;
    (void)snprintf(live->error, sizeof(live->error), "%s", ret_error);
    (void)pthread_mutex_unlock(&live->lock);
    return ok;
}

/* ── commands ─────────────────────────────────────────────────────────────────────────────── */

/* May clients change it? */
static bool may_set(size_t row, char *error)
{
    char name[OPT_NAME_BYTES];
    opt_name_format(row, name);
    const char *why = NULL;
    switch (opt_when_of(row)) {
    case OPT_WHEN_LIVE:
        return true;
    case OPT_WHEN_RELOAD:
        why = "is changed in the configuration file, by a reload, and not by clients";
        break;
    case OPT_WHEN_INERT:
        why = "has no effect here";
        break;
    case OPT_WHEN_START:
    case OPT_WHEN_ONCE:
        why = "is fixed at the start";
        break;
    }
    (void)snprintf(error, OPT_TEXT_BYTES, "%s %s", name, why);
    return false;
}

/* With the lock. */
static bool set(struct server *server, size_t row, struct bytes value, char *error)
{
    struct change change = {.row = {false}};
    struct opt_result result = {.action = OPT_RUN};
    see(server);
    bool ok = opt_clone(&change.opts, &server->live.running) == 0 || refuse(error, "out of memory");
    if (ok) {
        opt_set_live(&change.opts, row, value, &result);
        ok = result.action == OPT_RUN || refuse(error, result.text);
    }
    change.row[row] = true;
    ok = ok && change_commit(server, &change, error);
    if (!ok)
        opt_fini(&change.opts);
    return ok;
}

bool live_set(void *arg, struct bytes name, struct bytes value, char *ret_error)
{
    struct server *server = arg;
    size_t row;
    if (!opt_find(name, &row))
        return refuse(ret_error, "no option has this name");
    if (!may_set(row, ret_error))
        return false;
    (void)pthread_mutex_lock(&server->live.lock);
    const bool ok = set(server, row, value, ret_error);
    (void)pthread_mutex_unlock(&server->live.lock);
    return ok;
}

/* NAME, or a beginning of it and *. */
static bool is_meant(struct bytes pattern, size_t row)
{
    char name[OPT_NAME_BYTES];
    size_t only;
    opt_name_format(row, name);
    if (pattern.len == 0 || pattern.ptr[pattern.len - 1] != '*')
        return opt_find(pattern, &only) && only == row;
    return bytes_starts(bytes_str(name), bytes_of(pattern.ptr, pattern.len - 1));
}

bool live_get(void *arg, struct bytes name, struct out *out)
{
    struct server *server = arg;
    struct live *live = &server->live;
    bool any = false;
    (void)pthread_mutex_lock(&live->lock);
    see(server);
    for (size_t i = 0; i < opt_count(); i++) {
        if (!opt_is_option(i) || !is_meant(name, i))
            continue;
        char own[OPT_NAME_BYTES], value[OPT_VALUE_BYTES], source[OPT_SOURCE_BYTES];
        opt_name_format(i, own);
        opt_value_format(&live->running, i, value);
        opt_source_format(&live->running, i, source);
        out_put_str(out, "CONFIG ");
        out_put_str(out, own);
        out_put_str(out, " ");
        out_put_str(out, value);
        out_put_str(out, " ");
        out_put_str(out, source);
        out_put_str(out, "\r\n");
        any = true;
    }
    (void)pthread_mutex_unlock(&live->lock);
    return any;
}

static void put_row(struct out *out, const char *name, const char *more, const char *value)
{
    out_put_str(out, "STAT ");
    out_put_str(out, name);
    out_put_str(out, more);
    out_put_str(out, " ");
    out_put_str(out, value);
    out_put_str(out, "\r\n");
}

void live_stats(void *arg, struct out *out)
{
    struct server *server = arg;
    struct live *live = &server->live;
    (void)pthread_mutex_lock(&live->lock);
    see(server);
    const char *path = live->inputs->path;
    put_row(out, "config", ":file", path != NULL ? path : "none");
    out_printf(out, "STAT config:reloads %u\r\nSTAT config:reloads_refused %u\r\n", live->reloads,
               live->refused);
    put_row(out, "config", ":last_error", live->error[0] != '\0' ? live->error : "none");
    for (size_t i = 0; i < opt_count(); i++) {
        if (!opt_is_option(i))
            continue;
        char name[OPT_NAME_BYTES], value[OPT_VALUE_BYTES], source[OPT_SOURCE_BYTES];
        opt_name_format(i, name);
        opt_value_format(&live->running, i, value);
        opt_source_format(&live->running, i, source);
        put_row(out, name, "", value);
        put_row(out, name, ":source", source);
    }
    (void)pthread_mutex_unlock(&live->lock);
}

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

int live_init(struct server *server, const struct config_inputs *inputs)
{
    struct live *live = &server->live;
    live->inputs = inputs;
    (void)pthread_mutex_init(&live->lock, NULL);
    const int rc = opt_clone(&live->running, server->opts);
    return rc == 0 ? opt_clone(&live->loaded, server->opts) : rc;
}

void live_begin(struct server *server)
{
    struct store_info info;
    store_info(server->store, &info);
    server->live.memory_bytes = info.memory_bytes;
}

void live_fini(struct server *server)
{
    opt_fini(&server->live.running);
    opt_fini(&server->live.loaded);
    (void)pthread_mutex_destroy(&server->live.lock);
}
