/* get gets gat gats: `VALUE key flags bytes[ cas]` for every hit, then END.
 *
 * Many keys go in chunks: hash all and have their buckets fetched, then their items, then look
 * up. With a table larger than the processor's caches the fetches of a chunk overlap.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

/* What one call counts, added to the statistics once. */
struct tally {
    uint64_t hits, misses;
};

struct lookup {
    bool touch; /* gat: set exp_s */
    bool cas;   /* tell the CAS unique */
    uint32_t exp_s;
};

static enum store_rc look_up(struct cmd_ctx *ctx, const struct lookup *lookup,
                             const struct store_key *key, struct store_view *ret_view)
{
    const unsigned flags = lookup->cas ? STORE_GET_CAS : 0;
    if (!lookup->touch)
        return store_get(ctx->thread, key, flags | STORE_GET_BRIEF, ret_view);
    const struct store_fetch how = {.flags = flags, .touch = true, .touch_exp_s = lookup->exp_s};
    return store_fetch(ctx->thread, key, &how, ret_view);
}

/* Returns false when the value cannot be sent. */
static bool put_item(struct cmd_ctx *ctx, const struct store_view *view, bool with_cas)
{
    struct cmd_value value;
    if (!cmd_value_begin(ctx, view, PROTO_VALUE_HEAD_BYTES_MAX, &value))
        return false;
    uint8_t *dst =
        proto_write_value_head(value.start, view->key, view->client_flags, view->value_bytes);
    if (with_cas)
        dst = proto_write_number(dst, ' ', view->cas_unique);
    cmd_value_end(ctx, proto_write_crlf(dst), &value);
    return true;
}

/* Look one key up and answer. Returns false when memory for that ran out. */
static inline bool get_key(struct cmd_ctx *ctx, const struct lookup *lookup,
                           const struct store_key *key, struct tally *tally)
{
    struct store_view view;
    const enum store_rc rc = look_up(ctx, lookup, key, &view);
    cmd_item_got(ctx, key, rc, &view);
    const bool hit = rc == STORE_OK;
    cmd_prefix_count(ctx, key->key, hit ? PREFIX_GET_HIT : PREFIX_GET_MISS);
    if (hit) {
        tally->hits++;
        return put_item(ctx, &view, lookup->cas);
    }
    tally->misses++;
    cmd_count_gone(ctx, rc);
    return rc != STORE_NO_MEMORY;
}

/* As cmd_hot_note(). */
static COLD void hot_keys(struct cmd_ctx *ctx, const struct store_key *keys, size_t count)
{
    size_t i;
    while (hot_next(ctx->hot, count, &i))
        hot_note(ctx->hot, keys[i].key, keys[i].hash);
}

/* Take up to CMD_KEYS_CHUNK keys from the request's cursor, and have the memory fetched that
 * they need. */
static size_t take_keys(struct cmd_ctx *ctx, struct proto_request *req, struct store_key *ret_keys)
{
    size_t count = 0;
    while (count < CMD_KEYS_CHUNK && req->key.len > 0) {
        struct store_key *key = &ret_keys[count++];
        key->key = req->key;
        key->binary = false;
        key->hash = store_hash(ctx->store, req->key);
        store_prefetch_bucket(ctx->store, key->hash);
        if (!proto_token_next(&req->rest, &req->key))
            req->key.len = 0;
    }
    for (size_t i = 0; i < count; i++)
        ret_keys[i].hint = store_prefetch_item(ctx->store, ret_keys[i].hash);
    return count;
}

/* Look up as many keys as one turn may take. Returns false when memory for the answers ran out. */
static bool get_keys(struct cmd_ctx *ctx, struct proto_request *req, const struct lookup *lookup,
                     struct tally *tally)
{
    enum { CHUNKS_MAX = 64 }; /* 2048 keys, some 100 us; a line may have half a million */
    struct store_key keys[CMD_KEYS_CHUNK];
    bool ok = true;
    for (unsigned chunk = 0;
         ok && req->key.len > 0 && chunk < CHUNKS_MAX && out_bytes(ctx->out) < CMD_OUT_BYTES_MAX;
         chunk++) {
        const size_t count = take_keys(ctx, req, keys);
        if (LIKELY(ctx->hot != NULL) && hot_is_due(ctx->hot, count))
            hot_keys(ctx, keys, count);
        for (size_t i = 0; ok && i < count; i++)
            ok = get_key(ctx, lookup, &keys[i], tally);
    }
    return ok;
}

static enum cmd_rc answer(struct cmd_ctx *ctx, struct proto_request *req,
                          const struct lookup *lookup, struct tally *tally)
{
    bool ok;
    if (req->rest.len == 0 && req->hashed) {
        const struct store_key key = {.key = req->key, .hash = req->hash, .hint = req->hint};
        ok = get_key(ctx, lookup, &key, tally);
        req->key.len = 0;
    } else {
        req->hashed = false;
        ok = get_keys(ctx, req, lookup, tally);
    }
    if (!ok)
        proto_reply(ctx->out, PROTO_REPLY_NO_MEMORY_GET);
    else if (req->key.len > 0)
        return CMD_AGAIN;
    else
        out_put(ctx->out, "END\r\n", PROTO_END_BYTES);
    return CMD_OK;
}

enum cmd_rc cmd_get(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct tally tally = {0};
    const struct lookup lookup = {.cas = req->cmd == PROTO_CMD_GETS};
    const enum cmd_rc rc = answer(ctx, req, &lookup, &tally);
    stat_add(ctx->stats, STAT_CMD_GET, tally.hits + tally.misses);
    stat_add(ctx->stats, STAT_GET_HITS, tally.hits);
    stat_add(ctx->stats, STAT_GET_MISSES, tally.misses);
    return rc;
}

enum cmd_rc cmd_get_and_touch(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct tally tally = {0};
    const struct lookup lookup = {
        .touch = true, .cas = req->cmd == PROTO_CMD_GATS, .exp_s = cmd_exptime(ctx, req->exptime)};
    const enum cmd_rc rc = answer(ctx, req, &lookup, &tally);
    stat_add(ctx->stats, STAT_CMD_TOUCH, tally.hits + tally.misses);
    stat_add(ctx->stats, STAT_TOUCH_HITS, tally.hits);
    stat_add(ctx->stats, STAT_TOUCH_MISSES, tally.misses);
    return rc;
}
