/* What commands ask of the server: statistics that no worker counts, and switches.
 *
 * Called by workers, several at a time. What is read here is either atomic or fixed since the
 * start.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "gate/gate.h"
#include "gate/limit.h"
#include "net/tls.h"
#include "server/confine.h"
#include "server/live.h"
#include "server/pass.h"
#include "server/server.h"

/* ── stats ────────────────────────────────────────────────────────────────────────────────── */

#define TUNED(server, field) atomic_load_explicit(&(server)->tuning.field, memory_order_relaxed)

/* The computed rows; those that are no plain numbers are left out. */
struct general {
    uint64_t value[STAT_ID_COUNT];
    struct store_info store;
    struct rusage usage;
};

static void general_server(struct general *general, const struct server *server)
{
    const struct opts *opts = server->opts;
    const uint32_t now_s = clock_now_s();
    uint64_t *value = general->value;
    value[STAT_PID] = (uint64_t)getpid();
    value[STAT_UPTIME] = clock_uptime_s();
    value[STAT_TIME] = (uint64_t)(now_s + clock_wall_offset_s());
    value[STAT_POINTER_SIZE] = 8 * sizeof(void *);
    struct net_limits limits;
    net_limits_get(server->net, &limits);
    value[STAT_MAX_CONNECTIONS] = limits.conns_max;
    /* Per worker an epoll and a wake-up fd, the listener's two, and the standard three. */
    value[STAT_RESERVED_FDS] = 2ull * opts->threads + 5;
    value[STAT_ACCEPTING_CONNS] = net_is_accepting(server->net);
    value[STAT_THREADS] = opts->threads;
    if (server->tls != NULL)
        value[STAT_SSL_CERT_REFRESH] = now_s - net_tls_refreshed_s(server->tls);
}

static void general_crawler(struct general *general, struct server *server)
{
    general->value[STAT_LRU_CRAWLER_RUNNING] =
        TUNED(server, dumps) > 0 || store_is_crawling(server->store);
}

static void general_store(struct general *general)
{
    const struct store_info info = general->store;
    uint64_t *value = general->value;
    value[STAT_LIMIT_MAXBYTES] = info.memory_bytes;
    value[STAT_HASH_POWER_LEVEL] = info.index_level;
    value[STAT_HASH_BYTES] = info.index_bytes;
    value[STAT_HASH_IS_EXPANDING] = info.index_growing;
    value[STAT_BYTES] = info.item_bytes;
    value[STAT_CURR_ITEMS] = info.items;
    value[STAT_TOTAL_ITEMS] = info.items_total;
    value[STAT_SLAB_GLOBAL_PAGE_POOL] = info.segments_free;
    value[STAT_EXPIRED_UNFETCHED] = info.expired_unfetched;
    value[STAT_EVICTED_UNFETCHED] = info.evicted_unfetched;
    value[STAT_EVICTED_ACTIVE] = info.evicted_active;
    value[STAT_EVICTIONS] = info.evictions;
    value[STAT_RECLAIMED] = info.reclaimed;
    value[STAT_CRAWLER_RECLAIMED] = info.expired_background;
    value[STAT_CRAWLER_ITEMS_CHECKED] = info.scanned;
    value[STAT_PREFIXES_PENDING] = info.prefixes_pending;
    value[STAT_PREFIXES_MAX] = STORE_PREFIXES_MAX;
    value[STAT_PREFIX_ITEMS] = info.prefix_deleted;
    value[STAT_PREFIX_SWEEPS] = info.prefix_sweeps;
}

static void put_seconds(struct out *out, const struct timeval *time)
{
    out_printf(out, "%lld.%06ld", (long long)time->tv_sec, (long)time->tv_usec);
}

static void general_value(void *arg, enum stat_id id, struct out *out)
{
    const struct general *general = arg;
    if (id == STAT_VERSION)
        out_put_str(out, CMD_VERSION);
    else if (id == STAT_LIBEVENT)
        out_put_str(out, "none");
    else if (id == STAT_RUSAGE_USER)
        put_seconds(out, &general->usage.ru_utime);
    else if (id == STAT_RUSAGE_SYSTEM)
        put_seconds(out, &general->usage.ru_stime);
    else
        out_put_u64(out, general->value[id]);
}

static void general_fill(struct general *general, struct server *server)
{
    *general = (struct general){0};
    general_server(general, server);
    store_info(server->store, &general->store);
    general_store(general);
    general_crawler(general, server);
    (void)getrusage(RUSAGE_SELF, &general->usage);
}

static void stats_general(void *arg, struct out *out)
{
    struct server *server = arg;
    struct general general;
    general_fill(&general, server);
    uint64_t sum[STAT_ID_COUNT];
    stat_registry_sum(server->stats, sum);
    struct net_limits limits;
    net_limits_get(server->net, &limits);
    const struct stat_provider provider = {.value = general_value,
                                           .arg = &general,
                                           .lru_crawler = TUNED(server, crawler),
                                           .idle_timeout = limits.idle_timeout_s > 0};
    stat_print(out, server->opts, sum, &provider);
}

static uint64_t microseconds(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * 1000000 + (uint64_t)time->tv_usec;
}

/* Second number of /proc/self/statm, in pages. */
static uint64_t resident_bytes(int statm_fd)
{
    char text[128];
    const ssize_t len = pread(statm_fd, text, sizeof(text), 0);
    struct bytes rest = bytes_of(text, len > 0 ? (size_t)len : 0);
    uint64_t pages;
    (void)bytes_part_take(&rest, ' ', NULL);
    if (!num_parse_u64(bytes_part_take(&rest, ' ', NULL), UINT32_MAX, &pages))
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void server_facts(struct server *server, struct web_facts *ret_facts)
{
    struct general general;
    general_fill(&general, server);
    *ret_facts = (struct web_facts){
        .user_us = microseconds(&general.usage.ru_utime),
        .system_us = microseconds(&general.usage.ru_stime),
        .resident_bytes = resident_bytes(server->statm_fd),
        .store = general.store,
        .lru_crawler = TUNED(server, crawler),
        .draining = server_draining(server),
    };
    stat_registry_sum(server->stats, ret_facts->stat);
    for (enum stat_id id = 0; id < STAT_ID_COUNT; id++)
        ret_facts->stat[id] += general.value[id]; /* a row is in one of the two */
    stat_registry_hists(server->stats, ret_facts->hist);
    events_sum(server->events, ret_facts->event);
    while (ret_facts->sink_count < WEB_SINKS_MAX &&
           events_sink_get(server->events, ret_facts->sink_count,
                           &ret_facts->sinks[ret_facts->sink_count]))
        ret_facts->sink_count++;
}

static void stats_settings(void *arg, struct out *out)
{
    struct server *server = arg;
    struct store_info info;
    store_info(server->store, &info);
    struct net_limits limits;
    net_limits_get(server->net, &limits);
    const struct stat_settings live = {
        .memory_limit_bytes = info.memory_bytes,
        .verbose = log_level_get(),
        .conn_limit = limits.conns_max,
        .max_reqs_per_event = limits.requests_per_event,
        .idle_timeout_s = limits.idle_timeout_s,
        .oldest_s = info.oldest_s,
        .port = server->opts->port >= 0 && server->activation->count == 0 ? server->opts->port
                                                                          : server->port,
        .udp_port = server->opts->udp_port >= 0 ? server->opts->udp_port : server->udp_port,
        .stats_detail = cmd_prefixes_on(&server->prefixes),
        .slab_automove = TUNED(server, automove),
        .slab_automove_window_s = TUNED(server, automove_window_s),
        .slab_automove_ratio = TUNED(server, automove_ratio),
        .lru_crawler = TUNED(server, crawler),
        .lru_crawler_sleep_us = TUNED(server, crawler_sleep_us),
        .lru_crawler_tocrawl = TUNED(server, crawler_items_max),
        .lru_segmented = TUNED(server, segmented),
        .temporary = TUNED(server, temporary),
        .hot_lru_pct = TUNED(server, hot_pct),
        .warm_lru_pct = TUNED(server, warm_pct),
        .temporary_ttl_s = TUNED(server, temporary_ttl_s),
        .hot_max_factor = TUNED(server, hot_max_factor),
        .warm_max_factor = TUNED(server, warm_max_factor),
    };
    stat_print_settings(out, server->opts, &live);
}

static void stats_udp(void *arg, struct out *out)
{
    struct server *server = arg;
    uint64_t sum[STAT_ID_COUNT];
    stat_registry_sum(server->stats, sum);
    if (server->udp != NULL) { /* first what is set, as the groups of access and limits have it */
        out_printf(out, "STAT udp_policy %s\r\n", server->opts->udp_policy);
        out_printf(out, "STAT udp_writes %s\r\n", server->opts->udp_writes ? "yes" : "no");
        out_printf(out, "STAT udp_answer_max %zu\r\n", (size_t)server->opts->udp_answer_max_bytes);
    }
    stat_print_udp(out, sum);
}

static void stats_prefixes(void *arg, struct out *out)
{
    struct server *server = arg;
    struct general general;
    uint64_t sum[STAT_ID_COUNT];
    general_fill(&general, server);
    stat_registry_sum(server->stats, sum);
    const struct stat_provider provider = {.value = general_value, .arg = &general};
    stat_print_prefixes(out, sum, &provider);
}

static void stats_latency(void *arg, struct out *out)
{
    const struct server *server = arg;
    struct stat_hist_sum sum[STAT_HIST_COUNT];
    stat_registry_hists(server->stats, sum);
    stat_print_hists(out, sum);
}

static void stats_hotkeys(void *arg, struct out *out)
{
    const struct server *server = arg;
    struct hot_list list;
    if (hot_list_make(server->hot, &list) == 0)
        hot_print(out, &list);
    else
        out->failed = true;
}

static void stats_sum(void *arg, uint64_t ret_sum[STAT_ID_COUNT])
{
    struct server *server = arg;
    stat_registry_sum(server->stats, ret_sum);
}

static void stats_reset(void *arg)
{
    struct server *server = arg;
    stat_registry_reset(server->stats);
    store_info_reset(server->store);
    events_reset(server->events);
    gate_limits_reset(server->limits);
}

static void stats_security(void *arg, struct out *out)
{
    server_events_print(arg, out);
}

static void stats_limits(void *arg, struct out *out)
{
    const struct server *server = arg;
    gate_limits_print(server->limits, out, clock_mono_ms());
}

/* ── stats conns ──────────────────────────────────────────────────────────────────────────── */

static const char *state_name(enum net_state state)
{
    switch (state) {
    case NET_STATE_FREE:
        return "conn_closed";
    case NET_STATE_LISTEN:
        return "conn_listening";
    case NET_STATE_WAIT:
    case NET_STATE_READ: /* memcached's look alike from outside, too */
        return "conn_read";
    case NET_STATE_RUN:
        return "conn_parse_cmd";
    case NET_STATE_FILL:
        return "conn_nread";
    case NET_STATE_WRITE:
        return "conn_mwrite";
    case NET_STATE_HOLD:
        return "conn_watch";
    }
    return "conn_closed";
}

static void conn_print(void *arg, const struct net_conn_info *info)
{
    struct out *out = arg;
    if (info->datagrams)
        out_printf(out, "STAT %d:UDP UDP\r\n", info->fd);
    out_printf(out, "STAT %d:addr %s\r\n", info->fd, info->address);
    if (info->listen_address[0] != '\0')
        out_printf(out, "STAT %d:listen_addr %s\r\n", info->fd, info->listen_address);
    out_printf(out, "STAT %d:state %s\r\n", info->fd, state_name(info->state));
    out_printf(out, "STAT %d:resps_waiting %d\r\n", info->fd, info->state == NET_STATE_WRITE);
    out_printf(out, "STAT %d:secs_since_last_cmd %u\r\n", info->fd,
               info->state == NET_STATE_LISTEN ? clock_uptime_s() : info->idle_s);
}

static void stats_conns(void *arg, struct out *out)
{
    const struct server *server = arg;
    net_conn_each(server->net, conn_print, out);
}

/* ── stats clients ────────────────────────────────────────────────────────────────────────── */

static void client_print(void *arg, const struct net_conn_info *info)
{
    struct out *out = arg;
    if (info->state == NET_STATE_LISTEN || info->datagrams)
        return;
    const struct net_traffic *traffic = &info->traffic;
    out_printf(out, "STAT %d:addr %s\r\n", info->fd, info->address);
    out_printf(out, "STAT %d:requests %llu\r\n", info->fd, (unsigned long long)traffic->requests);
    out_printf(out, "STAT %d:requests_per_s %.1f\r\n", info->fd, traffic->requests_per_s);
    out_printf(out, "STAT %d:bytes_read %llu\r\n", info->fd,
               (unsigned long long)traffic->bytes_read);
    out_printf(out, "STAT %d:bytes_written %llu\r\n", info->fd,
               (unsigned long long)traffic->bytes_written);
    out_printf(out, "STAT %d:pending_bytes %llu\r\n", info->fd,
               (unsigned long long)traffic->pending_bytes);
    if (traffic->pending_bytes > 0)
        out_printf(out, "STAT %d:slow_s %u\r\n", info->fd, traffic->slow_s);
}

static void stats_clients(void *arg, struct out *out)
{
    const struct server *server = arg;
    net_conn_each(server->net, client_print, out);
}

static void stats_access(void *arg, struct out *out)
{
    const struct server *server = arg;
    gate_print(server->gate, out);
}

/* ── switches ─────────────────────────────────────────────────────────────────────────────── */

static bool memory_set(void *arg, uint64_t memory_bytes)
{
    struct server *server = arg;
    if (store_memory_set(server->store, memory_bytes) != 0)
        return false;
    log_line(LOG_INFO, "memory limit is now %llu bytes", (unsigned long long)memory_bytes);
    return true;
}

static void verbosity_set(void *arg, unsigned level)
{
    (void)arg;
    log_level_set(level);
}

static void shut_down(void *arg, bool graceful)
{
    struct server *server = arg;
    log_line(LOG_INFO, "shut down by a client%s", graceful ? ", gracefully" : "");
    server_stop(server, graceful);
}

/* Whoever has said it stays connected, and can take it back. */
static bool drain(const struct cmd_ctx *ctx, bool on)
{
    const struct session_worker *worker = (const struct session_worker *)ctx; /* its first member */
    if (!server_drain(ctx->server_arg, on))
        return false;
    if (on && ctx->conn != NULL)
        pass_late_set(worker, ctx->conn);
    return true;
}

#ifdef MATTE_TEST_BUILD
static bool misbehave(void *arg, struct bytes what)
{
    (void)arg;
    return confine_misbehave(what);
}
#endif

static void config_reload(void *arg)
{
    struct server *server = arg;
    net_poke(server->net);
}

static bool certs_refresh(void *arg, char *ret_error)
{
    return server_tls_refresh(arg, ret_error);
}

const struct cmd_server_ops admin_ops = {
#ifdef MATTE_TEST_BUILD
    .misbehave = misbehave,
#endif
    .stats_general = stats_general,
    .stats_settings = stats_settings,
    .stats_conns = stats_conns,
    .stats_access = stats_access,
    .stats_limits = stats_limits,
    .stats_security = stats_security,
    .stats_config = live_stats,
    .config_get = live_get,
    .config_set = live_set,
    .config_reload = config_reload,
    .admin_used = server_admin_used,
    .prefix_deleted = server_prefix_deleted,
    .stats_udp = stats_udp,
    .stats_prefixes = stats_prefixes,
    .stats_latency = stats_latency,
    .stats_hotkeys = stats_hotkeys,
    .stats_clients = stats_clients,
    .stats_reset = stats_reset,
    .stats_sum = stats_sum,
    .memory_set = memory_set,
    .verbosity_set = verbosity_set,
    .shutdown = shut_down,
    .drain = drain,
    .certs_refresh = certs_refresh,
};
