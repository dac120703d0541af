/* cli/top_take.c — what `matte top` knows of a server: rates from what it has counted.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/human.h"
#include "cli/json.h"
#include "cli/reply.h"
#include "cli/top.h"

static struct cli_top_sample sample_of(const struct cli_rows *stats, uint64_t now_ns)
{
    static const char *const ops[] = {"cmd_get",   "cmd_set",      "cmd_touch", "delete_hits",
                                      "incr_hits", "incr_misses",  "decr_hits", "decr_misses",
                                      "cmd_flush", "delete_misses"};
    struct cli_top_sample sample = {
        .at_ns = now_ns,
        .hits = cli_rows_real(stats, "get_hits"),
        .misses = cli_rows_real(stats, "get_misses"),
        .evictions = cli_rows_real(stats, "evictions"),
        .in_bytes = cli_rows_real(stats, "bytes_read"),
        .out_bytes = cli_rows_real(stats, "bytes_written"),
        .bytes = cli_rows_real(stats, "bytes"),
        .limit_bytes = cli_rows_real(stats, "limit_maxbytes"),
        .items = cli_rows_real(stats, "curr_items"),
        .connections = cli_rows_real(stats, "curr_connections"),
        .connections_max = cli_rows_real(stats, "max_connections"),
        .uptime_s = cli_rows_real(stats, "uptime"),
    };
    for (size_t i = 0; i < COUNT_OF(ops); i++)
        sample.ops += cli_rows_real(stats, ops[i]);
    return sample;
}

/* Counters that went back were reset: nothing is known of that time. */
static double rate(double before, double after, double s)
{
    return s <= 0 || after < before ? -1 : (after - before) / s;
}

/* The percentile of the class that is asked for most. */
static double worst_class(const struct cli_rows *latency, const char *percentile)
{
    static const char *const classes[] = {"get", "store", "delete", "arith", "touch", "other"};
    double most = 0, us = -1;
    for (size_t i = 0; i < COUNT_OF(classes); i++) {
        char name[40];
        snprintf(name, sizeof(name), "%s:count", classes[i]);
        const double count = cli_rows_real(latency, name);
        if (count <= most)
            continue;
        most = count;
        snprintf(name, sizeof(name), "%s:%s_us", classes[i], percentile);
        us = cli_rows_real(latency, name);
    }
    return us;
}

static void hot_take(struct cli_top_server *server, const struct cli_rows *hot)
{
    server->hot_count = 0;
    for (size_t i = 0; i < CLI_TOP_HOT_MAX; i++) {
        char name[40];
        snprintf(name, sizeof(name), "hot_key:%zu:key", i + 1);
        const struct bytes *key = cli_rows_find(hot, name);
        if (key == NULL)
            return;
        struct cli_top_hot *row = &server->hot[server->hot_count++];
        cli_text_format(row->key, sizeof(row->key), *key);
        snprintf(name, sizeof(name), "hot_key:%zu:ops_per_s", i + 1);
        row->ops_per_s = cli_rows_real(hot, name);
        snprintf(name, sizeof(name), "hot_key:%zu:share", i + 1);
        row->share = cli_rows_real(hot, name);
    }
}

void cli_top_take(struct cli_top_server *server, const struct cli_top_look *look)
{
    const struct cli_rows *stats = &look->stats, *latency = &look->latency;
    const struct cli_top_sample before = server->last, after = sample_of(stats, look->at_ns);
    const struct bytes *version = cli_rows_find(stats, "version");
    cli_text_format(server->version, sizeof(server->version),
                    version == NULL ? bytes_str("?") : *version);
    server->server_times = latency->count > 0;
    server->p50_us = server->server_times ? worst_class(latency, "p50") : look->asked_us;
    double *now = server->now;
    for (size_t i = 0; i < CLI_TOP_SERIES; i++)
        now[i] = -1;
    now[CLI_TOP_P99] = server->server_times ? worst_class(latency, "p99") : look->asked_us;
    now[CLI_TOP_MEMORY] = after.bytes;
    now[CLI_TOP_CONNECTIONS] = after.connections;
    if (server->samples > 0) {
        const double s = (double)(after.at_ns - before.at_ns) / 1e9;
        now[CLI_TOP_OPS] = rate(before.ops, after.ops, s);
        now[CLI_TOP_EVICTIONS] = rate(before.evictions, after.evictions, s);
        now[CLI_TOP_IN] = rate(before.in_bytes, after.in_bytes, s);
        now[CLI_TOP_OUT] = rate(before.out_bytes, after.out_bytes, s);
        const double hits = after.hits - before.hits;
        const double all = hits + after.misses - before.misses;
        now[CLI_TOP_HITS] = all > 0 && hits >= 0 && hits <= all ? hits / all : -1;
    }
    server->last = after;
    server->fault[0] = '\0';
    /* The first sample has no rates: it would be a gap at the start of each line. */
    if (server->samples++ > 0) {
        for (size_t i = 0; i < CLI_TOP_SERIES; i++)
            server->history[i][server->history_count % CLI_TOP_HISTORY] = now[i];
        server->history_count++;
    }
    hot_take(server, &look->hot);
}

/* ── JSON ─────────────────────────────────────────────────────────────────────────────────── */

void cli_top_json(FILE *file, const struct cli_top_server *server)
{
    static const char *const names[] = {
        "ops_per_s",       "hit_ratio",   "p99_us",           "bytes",
        "evictions_per_s", "connections", "bytes_read_per_s", "bytes_written_per_s"};
    fputs("{\"server\":", file);
    cli_json_string(file, bytes_str(server->name));
    fputs(server->fault[0] == '\0' ? ",\"up\":true" : ",\"up\":false,\"fault\":", file);
    if (server->fault[0] != '\0') {
        cli_json_string(file, bytes_str(server->fault));
        fputs("}", file);
        return;
    }
    fputs(",\"version\":", file);
    cli_json_string(file, bytes_str(server->version));
    for (size_t i = 0; i < CLI_TOP_SERIES; i++)
        if (server->now[i] >= 0)
            fprintf(file, ",\"%s\":%.3f", names[i], server->now[i]);
        else
            fprintf(file, ",\"%s\":null", names[i]);
    fprintf(file, ",\"p50_us\":%.1f,\"times_are\":\"%s\"", server->p50_us,
            server->server_times ? "server" : "question");
    fprintf(file, ",\"limit_bytes\":%.0f,\"items\":%.0f,\"uptime_s\":%.0f,\"hot_keys\":[",
            server->last.limit_bytes, server->last.items, server->last.uptime_s);
    for (size_t i = 0; i < server->hot_count; i++) {
        fputs(i > 0 ? ",{\"key\":" : "{\"key\":", file);
        cli_json_string(file, bytes_str(server->hot[i].key));
        fprintf(file, ",\"ops_per_s\":%.1f,\"share\":%.3f}", server->hot[i].ops_per_s,
                server->hot[i].share);
    }
    fputs("]}", file);
}
