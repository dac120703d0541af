/* Answers that walk over all items: lru_crawler metadump and mgdump, stats cachedump and sizes; and
 * over all prefixes: stats detail dump.
 *
 * They are given in steps of some hundred items. Between two steps the answer is sent, and the
 * worker serves its other connections (CMD_AGAIN); so a dump takes constant memory, however much
 * there is to tell and however slowly the client reads.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/uri.h"
#include "cmd/cmd_priv.h"

enum {
    STEP_BYTES = 32 * 1024,                /* of answers; some 100 us of work */
    STEP_BUCKETS = 64,                     /* of the index, when there is nothing to send */
    CACHEDUMP_BYTES_MAX = 2 * 1024 * 1024, /* as memcached's */
    SIZE_STEP = 32,
    /* Sizes up to 1 MiB are told to the next 32 bytes, larger ones to the next 32 KiB. */
    FINE_BYTES = 1 << 20,
    FINE_COUNT = FINE_BYTES / SIZE_STEP + 1,
    COARSE_STEP = 32 * 1024,
    COARSE_COUNT = (1 << 30) / COARSE_STEP + 2,
};

struct histogram {
    uint64_t fine[FINE_COUNT], coarse[COARSE_COUNT];
};

struct cmd_dump {
    struct store_scan scan;
    struct cmd_ctx *ctx; /* of the step */
    enum cmd_dump_kind kind;
    uint64_t items_left, bytes_left; /* CMD_DUMP_CACHE */
    struct histogram *histogram;     /* CMD_DUMP_SIZES */
    size_t prefixes_at;              /* CMD_DUMP_PREFIXES: which come next */
};

/* ── lines ────────────────────────────────────────────────────────────────────────────────── */

static uint8_t *write_text(uint8_t *dst, const char *text)
{
    return proto_write(dst, text, strlen(text));
}

static uint64_t wall_s(uint32_t cache_s)
{
    return (uint64_t)((int64_t)cache_s + clock_wall_offset_s());
}

static void put_meta(struct cmd_dump *dump, const struct store_view *view)
{
    enum { LINE_BYTES_MAX = URI_BYTES_PER_BYTE_MAX * STORE_KEY_BYTES_MAX + 200 };
    struct out *out = dump->ctx->out;
    uint8_t *start = out_reserve(out, LINE_BYTES_MAX);
    if (start == NULL)
        return;
    uint8_t *dst = uri_write(write_text(start, "key="), view->key);
    if (view->exp_s == 0)
        dst = write_text(dst, " exp=-1");
    else
        dst = proto_write_number(write_text(dst, " exp"), '=', wall_s(view->exp_s));
    dst = proto_write_number(write_text(dst, " la"), '=', wall_s(view->last_access_s));
    dst = proto_write_number(write_text(dst, " cas"), '=', view->cas_unique);
    dst = write_text(dst, view->fetched ? " fetch=yes" : " fetch=no");
    dst = proto_write_number(write_text(dst, " cls"), '=', CMD_CLASS);
    dst = proto_write_number(write_text(dst, " size"), '=', view->memory_bytes);
    dst = proto_write_number(write_text(dst, " flags"), '=', view->client_flags);
    dst = write_text(dst, " \n"); /* so it is, observed 1.6.45 */
    out_commit(out, (size_t)(dst - start));
}

static void put_mg(struct cmd_dump *dump, const struct store_view *view)
{
    struct out *out = dump->ctx->out;
    uint8_t *start = out_reserve(out, 3 + PROTO_KEY_TEXT_BYTES_MAX + 4);
    if (start == NULL)
        return;
    uint8_t *dst = write_text(start, "mg ");
    if (view->key_binary)
        dst = write_text(dst + base64_encode(dst, view->key), " b");
    else
        dst = proto_write(dst, view->key.ptr, view->key.len);
    dst = proto_write_crlf(dst);
    out_commit(out, (size_t)(dst - start));
}

static void put_cache(struct cmd_dump *dump, const struct store_view *view)
{
    struct out *out = dump->ctx->out;
    const size_t before = out->len;
    if (view->key_binary || dump->items_left == 0)
        return;
    out_put_str(out, "ITEM ");
    out_put(out, view->key.ptr, view->key.len);
    out_printf(out, " [%" PRIu64 " b; %" PRIu64 " s]\r\n", view->value_bytes,
               view->exp_s == 0 ? 0 : wall_s(view->exp_s));
    const size_t bytes = out->len - before;
    if (bytes > dump->bytes_left) {
        out->len = before;
        dump->items_left = 0;
        return;
    }
    dump->bytes_left -= bytes;
    dump->items_left--;
}

static void count_size(struct cmd_dump *dump, const struct store_view *view)
{
    struct histogram *histogram = dump->histogram;
    const uint64_t bytes = view->memory_bytes;
    if (bytes <= FINE_BYTES) {
        histogram->fine[(bytes + SIZE_STEP - 1) / SIZE_STEP]++;
        return;
    }
    const uint64_t step = (bytes + COARSE_STEP - 1) / COARSE_STEP;
    histogram->coarse[step < COARSE_COUNT ? step : COARSE_COUNT - 1]++;
}

static void put_sizes(struct out *out, const uint64_t *counts, size_t count, size_t step)
{
    for (size_t i = 0; i < count; i++)
        if (counts[i] > 0)
            out_printf(out, "STAT %zu %" PRIu64 "\r\n", i * step, counts[i]);
}

static void put_item(void *arg, const struct store_view *view)
{
    struct cmd_dump *dump = arg;
    switch (dump->kind) {
    case CMD_DUMP_META:
        put_meta(dump, view);
        break;
    case CMD_DUMP_MG:
        put_mg(dump, view);
        break;
    case CMD_DUMP_CACHE:
        put_cache(dump, view);
        break;
    case CMD_DUMP_SIZES:
        count_size(dump, view);
        break;
    case CMD_DUMP_PREFIXES: /* is not about items */
        break;
    }
}

/* ── steps ────────────────────────────────────────────────────────────────────────────────── */

static bool is_crawl(enum cmd_dump_kind kind)
{
    return kind == CMD_DUMP_META || kind == CMD_DUMP_MG;
}

static void put_end(const struct cmd_dump *dump)
{
    struct out *out = dump->ctx->out;
    if (dump->kind == CMD_DUMP_SIZES) {
        put_sizes(out, dump->histogram->fine, FINE_COUNT, SIZE_STEP);
        put_sizes(out, dump->histogram->coarse, COARSE_COUNT, COARSE_STEP);
    }
    proto_reply(out, dump->kind == CMD_DUMP_MG ? PROTO_REPLY_META_END : PROTO_REPLY_END);
}

static struct cmd_dump *dump_new(struct cmd_ctx *ctx, enum cmd_dump_kind kind)
{
    struct cmd_dump *dump = calloc(1, sizeof(*dump));
    if (dump == NULL)
        return NULL;
    dump->kind = kind;
    if (kind == CMD_DUMP_SIZES) {
        dump->histogram = calloc(1, sizeof(*dump->histogram));
        if (dump->histogram == NULL) {
            free(dump);
            return NULL;
        }
    }
    if (is_crawl(kind)) {
        stat_inc(ctx->stats, STAT_LRU_CRAWLER_STARTS);
        atomic_fetch_add_explicit(&ctx->tuning->dumps, 1, memory_order_relaxed);
    }
    return dump;
}

void cmd_abort(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct cmd_dump *dump = req->progress;
    req->progress = NULL;
    if (dump == NULL)
        return;
    if (is_crawl(dump->kind))
        atomic_fetch_sub_explicit(&ctx->tuning->dumps, 1, memory_order_relaxed);
    free(dump->histogram);
    free(dump);
}

enum cmd_rc cmd_dump_continue(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct cmd_dump *dump = req->progress;
    const uint64_t before = out_bytes(ctx->out);
    dump->ctx = ctx;
    for (unsigned i = 0; i < STEP_BUCKETS && !dump->scan.done; i++) {
        if (dump->kind == CMD_DUMP_PREFIXES)
            dump->scan.done = !cmd_prefixes_print(ctx->prefixes, &dump->prefixes_at, ctx->out);
        else
            store_scan(ctx->thread, &dump->scan, put_item, dump);
        if (dump->kind == CMD_DUMP_CACHE && dump->items_left == 0)
            dump->scan.done = true;
        if (out_bytes(ctx->out) - before >= STEP_BYTES)
            break;
    }
    if (!dump->scan.done && !ctx->out->failed)
        return CMD_AGAIN;
    put_end(dump);
    cmd_abort(ctx, req);
    return CMD_OK;
}

/* Begin, with the first step. `limit`: items of CMD_DUMP_CACHE. */
static enum cmd_rc dump_run(struct cmd_ctx *ctx, struct proto_request *req, enum cmd_dump_kind kind,
                            uint64_t limit)
{
    struct cmd_dump *dump = dump_new(ctx, kind);
    if (dump == NULL) {
        proto_reply(ctx->out, PROTO_REPLY_NO_MEMORY);
        return CMD_OK;
    }
    dump->items_left = limit;
    dump->bytes_left = CACHEDUMP_BYTES_MAX;
    req->progress = dump;
    return cmd_dump_continue(ctx, req);
}

/* Are there answers of this packet that are still to be sent? One that ends in MN counts as sent:
 * memcached flushes there. */
static bool is_pipelined(const struct out *out)
{
    enum { MN_BYTES = 4 };
    return out_bytes(out) > 0 &&
           (out->len < MN_BYTES || memcmp(out->buf + out->len - MN_BYTES, "MN\r\n", MN_BYTES) != 0);
}

/* ── lru_crawler metadump, mgdump ─────────────────────────────────────────────────────────── */

enum cmd_rc cmd_dump_begin(struct cmd_ctx *ctx, struct proto_request *req, enum cmd_dump_kind kind,
                           struct bytes classes)
{
    const bool mg = kind == CMD_DUMP_MG;
    bool ours = true;
    enum proto_reply reply = PROTO_REPLY_OK;
    if (!atomic_load_explicit(&ctx->tuning->crawler, memory_order_relaxed))
        reply = PROTO_REPLY_CRAWLER_OFF;
    else if (ctx->opts->disable_dumping)
        reply = mg ? PROTO_REPLY_NO_MGDUMP : PROTO_REPLY_NO_METADUMP;
    else if (is_pipelined(ctx->out))
        reply = mg ? PROTO_REPLY_MGDUMP_PIPELINED : PROTO_REPLY_METADUMP_PIPELINED;
    else if (!bytes_is(classes, "hash"))
        reply = cmd_classes_read(classes, &ours);
    if (reply == PROTO_REPLY_OK)
        cmd_admin_used(ctx, mg ? "mgdump" : "metadump");
    if (reply == PROTO_REPLY_OK && ours)
        return dump_run(ctx, req, kind, 0);
    if (reply == PROTO_REPLY_OK)
        reply = mg ? PROTO_REPLY_META_END : PROTO_REPLY_END;
    proto_reply(ctx->out, reply);
    return CMD_OK;
}

/* ── stats cachedump, sizes ───────────────────────────────────────────────────────────────── */

enum cmd_rc cmd_stats_cachedump(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    struct bytes words[2];
    uint64_t class, limit;
    if (ctx->opts->disable_dumping)
        proto_reply(ctx->out, PROTO_REPLY_NO_CACHEDUMP);
    else if (!proto_token_next(&args, &words[0]) || !proto_token_next(&args, &words[1]))
        proto_reply(ctx->out, PROTO_REPLY_BAD_LINE);
    else if (!num_parse_u64(words[0], UINT32_MAX, &class) ||
             !num_parse_u64(words[1], UINT32_MAX, &limit))
        proto_reply(ctx->out, PROTO_REPLY_BAD_FORMAT);
    else if (class >= CMD_CLASSES_MAX)
        proto_reply(ctx->out, PROTO_REPLY_BAD_CLASS);
    else if (class == CMD_CLASS) {
        cmd_admin_used(ctx, "cachedump");
        return dump_run(ctx, req, CMD_DUMP_CACHE, limit != 0 ? limit : UINT64_MAX);
    } else
        proto_reply(ctx->out, PROTO_REPLY_END);
    return CMD_OK;
}

enum cmd_rc cmd_stats_sizes(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args)
{
    (void)args;
    if (ctx->opts->track_sizes)
        return dump_run(ctx, req, CMD_DUMP_SIZES, 0);
    out_put_str(ctx->out, "STAT sizes_status disabled\r\n");
    proto_reply(ctx->out, PROTO_REPLY_END);
    return CMD_OK;
}

enum cmd_rc cmd_stats_prefixes(struct cmd_ctx *ctx, struct proto_request *req)
{
    return dump_run(ctx, req, CMD_DUMP_PREFIXES, 0);
}
