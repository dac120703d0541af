/* stats and its sub-commands. What the process and the options tell comes from the server; what
 * is about items comes from the store, under the names that memcached gives to slab classes and
 * LRU lists: the whole store shows as one class, number 1.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

static void put_row(struct out *out, const char *name, uint64_t value)
{
    out_put_str(out, "STAT ");
    out_put_str(out, name);
    out_put(out, " ", 1);
    out_put_u64(out, value);
    out_put(out, "\r\n", 2);
}

/* A row that has a name and a value. */
struct row {
    const char *name;
    uint64_t value;
};

/* ── from the server ──────────────────────────────────────────────────────────────────────── */

static enum cmd_rc end(struct cmd_ctx *ctx)
{
    proto_reply(ctx->out, PROTO_REPLY_END);
    return CMD_OK;
}

static enum cmd_rc ask_server(struct cmd_ctx *ctx, void (*rows)(void *arg, struct out *out))
{
    if (rows != NULL)
        rows(ctx->server_arg, ctx->out);
    return end(ctx);
}

static enum cmd_rc stats_general(struct cmd_ctx *ctx)
{
    return ask_server(ctx, ctx->server == NULL ? NULL : ctx->server->stats_general);
}

static enum cmd_rc stats_settings(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    return ask_server(ctx, ctx->server == NULL ? NULL : ctx->server->stats_settings);
}

static enum cmd_rc stats_conns(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    return ask_server(ctx, ctx->server == NULL ? NULL : ctx->server->stats_conns);
}

static enum cmd_rc stats_limits(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    return ask_server(ctx, ctx->server == NULL ? NULL : ctx->server->stats_limits);
}

static enum cmd_rc stats_security(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    return ask_server(ctx, ctx->server == NULL ? NULL : ctx->server->stats_security);
}

static enum cmd_rc stats_access(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    return ask_server(ctx, ctx->server == NULL ? NULL : ctx->server->stats_access);
}

static enum cmd_rc stats_config(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    return ask_server(ctx, ctx->server == NULL ? NULL : ctx->server->stats_config);
}

static enum cmd_rc stats_udp(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    return ask_server(ctx, ctx->server == NULL ? NULL : ctx->server->stats_udp);
}

static enum cmd_rc stats_prefixes(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    return ask_server(ctx, ctx->server == NULL ? NULL : ctx->server->stats_prefixes);
}

static enum cmd_rc stats_latency(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    return ask_server(ctx, ctx->server == NULL ? NULL : ctx->server->stats_latency);
}

/* It lists keys, so it is for whom dumps are for. */
static enum cmd_rc stats_hotkeys(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    if (ctx->hot == NULL) {
        proto_reply(ctx->out, PROTO_REPLY_NO_HOTKEYS);
        return CMD_OK;
    }
    return ask_server(ctx, ctx->server == NULL ? NULL : ctx->server->stats_hotkeys);
}

static enum cmd_rc stats_clients(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    return ask_server(ctx, ctx->server == NULL ? NULL : ctx->server->stats_clients);
}

static enum cmd_rc stats_reset(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    cmd_admin_used(ctx, "stats reset");
    if (ctx->server != NULL && ctx->server->stats_reset != NULL)
        ctx->server->stats_reset(ctx->server_arg);
    if (ctx->prefixes != NULL)
        cmd_prefixes_reset(ctx->prefixes);
    proto_reply(ctx->out, PROTO_REPLY_RESET);
    return CMD_OK;
}

/* ── stats detail ─────────────────────────────────────────────────────────────────────────── */

static enum cmd_rc detail_switch(struct cmd_ctx *ctx, bool on)
{
    cmd_admin_used(ctx, "stats detail");
    cmd_prefixes_switch(ctx->prefixes, on);
    proto_reply(ctx->out, PROTO_REPLY_OK);
    return CMD_OK;
}

static enum cmd_rc stats_detail(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    struct bytes word;
    if (ctx->prefixes == NULL || ctx->opts->disable_dumping)
        proto_reply(ctx->out, PROTO_REPLY_NO_DETAIL);
    else if (!proto_token_next(&args, &word))
        proto_reply(ctx->out, PROTO_REPLY_DETAIL_USAGE);
    else if (bytes_starts(bytes_str("on"), word))
        return detail_switch(ctx, true);
    else if (bytes_starts(bytes_str("off"), word))
        return detail_switch(ctx, false);
    else if (bytes_starts(bytes_str("dump"), word))
        return cmd_stats_prefixes(ctx, req);
    else
        proto_reply(ctx->out, PROTO_REPLY_DETAIL_USAGE);
    return CMD_OK;
}

/* ── from the store ───────────────────────────────────────────────────────────────────────── */

static enum cmd_rc stats_items(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    struct store_info info;
    store_info(ctx->store, &info);
    const bool lists = ctx->opts->lru_maintainer;
    const bool temporary =
        lists && atomic_load_explicit(&ctx->tuning->temporary, memory_order_relaxed);
    const struct {
        struct row row;
        bool hidden;
    } rows[] = {
        {{"number", info.items}, false},
        {{"number_hot", 0}, !lists},
        {{"number_warm", 0}, !lists},
        {{"number_cold", info.items}, !lists},
        {{"number_temp", 0}, !temporary},
        {{"age_hot", 0}, !lists},
        {{"age_warm", 0}, !lists},
        {{"age", info.oldest_s}, false},
        {{"mem_requested", info.item_bytes}, false},
        {{"evicted", info.evictions}, false},
        {{"evicted_nonzero", info.evicted_nonzero}, false},
        {{"evicted_time", info.evicted_age_s}, false},
        {{"outofmemory", info.out_of_memory}, false},
        {{"tailrepairs", 0}, false},
        {{"reclaimed", info.reclaimed}, false},
        {{"expired_unfetched", info.expired_unfetched}, false},
        {{"evicted_unfetched", info.evicted_unfetched}, false},
        {{"evicted_active", info.evicted_active}, !lists},
        {{"crawler_reclaimed", info.expired_background}, false},
        {{"crawler_items_checked", info.scanned}, false},
        {{"lrutail_reflocked", 0}, false},
        {{"moves_to_cold", 0}, !lists},
        {{"moves_to_warm", 0}, !lists},
        {{"moves_within_lru", 0}, !lists},
        {{"direct_reclaims", 0}, !lists},
        {{"hits_to_hot", 0}, !lists},
        {{"hits_to_warm", 0}, !lists},
        {{"hits_to_cold", 0}, !lists},
        {{"hits_to_temp", 0}, !lists},
    };
    for (size_t i = 0; info.items > 0 && i < COUNT_OF(rows); i++)
        if (!rows[i].hidden)
            out_printf(ctx->out, "STAT items:%d:%s %llu\r\n", CMD_CLASS, rows[i].row.name,
                       (unsigned long long)rows[i].row.value);
    return end(ctx);
}

/* A segment is the nearest that we have to a page, and to a chunk of it. */
static enum cmd_rc stats_slabs(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)req;
    (void)args;
    struct store_info info;
    store_info(ctx->store, &info);
    uint64_t sum[STAT_ID_COUNT] = {0};
    if (ctx->server != NULL && ctx->server->stats_sum != NULL)
        ctx->server->stats_sum(ctx->server_arg, sum);
    const uint64_t used = info.segments_max - info.segments_free - info.segments_index;
    /* what has been counted stays to be seen, also when all of it has been flushed */
    const bool shown = used > 0 || sum[STAT_CMD_SET] > 0;
    const struct row rows[] = {
        {"chunk_size", info.segment_bytes},
        {"chunks_per_page", 1},
        {"total_pages", used},
        {"total_chunks", used},
        {"used_chunks", used},
        {"free_chunks", 0},
        {"free_chunks_end", 0},
        {"get_hits", sum[STAT_GET_HITS]},
        {"cmd_set", sum[STAT_CMD_SET]},
        {"delete_hits", sum[STAT_DELETE_HITS]},
        {"incr_hits", sum[STAT_INCR_HITS]},
        {"decr_hits", sum[STAT_DECR_HITS]},
        {"cas_hits", sum[STAT_CAS_HITS]},
        {"cas_badval", sum[STAT_CAS_BADVAL]},
        {"touch_hits", sum[STAT_TOUCH_HITS]},
    };
    for (size_t i = 0; shown && i < COUNT_OF(rows); i++)
        out_printf(ctx->out, "STAT %d:%s %llu\r\n", CMD_CLASS, rows[i].name,
                   (unsigned long long)rows[i].value);
    put_row(ctx->out, "active_slabs", shown);
    put_row(ctx->out, "total_malloced", info.memory_used_bytes);
    return end(ctx);
}

/* ── dispatch ─────────────────────────────────────────────────────────────────────────────── */

static const struct {
    const char *word;
    enum cmd_rc (*run)(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args);
} subs[] = {
    /* The first one that a word is a beginning of is meant. */
    {"reset", stats_reset},       {"detail", stats_detail},
    {"settings", stats_settings}, {"cachedump", cmd_stats_cachedump},
    {"conns", stats_conns},       {"items", stats_items},
    {"slabs", stats_slabs},       {"sizes", cmd_stats_sizes},
    {"limits", stats_limits},     {"security", stats_security},
    {"access", stats_access},     {"udp", stats_udp},
    {"prefixes", stats_prefixes}, {"latency", stats_latency},
    {"hotkeys", stats_hotkeys},   {"clients", stats_clients},
    {"config", stats_config},
};

enum cmd_rc cmd_stats(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct bytes word;
    if (req->progress != NULL)
        return cmd_dump_continue(ctx, req);
    if (!proto_token_next(&req->rest, &word))
        return stats_general(ctx);
    for (size_t i = 0; i < COUNT_OF(subs); i++)
        if (bytes_starts(bytes_str(subs[i].word), word))
            return subs[i].run(ctx, req, req->rest);
    proto_reply(ctx->out, PROTO_REPLY_ERROR);
    return CMD_OK;
}
