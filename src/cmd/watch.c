/* watch: the rest of a connection is log lines. And what the commands tell the log.
 *
 * memcached looks the old item up before it stores, deletes or counts, and logs that lookup. Our
 * store does both in one step, so while somebody watches, the item is looked at beforehand.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

/* ── events ───────────────────────────────────────────────────────────────────────────────── */

static enum logger_lookup lookup_of(enum store_rc rc)
{
    if (rc == STORE_OK)
        return LOGGER_FOUND;
    if (rc == STORE_FLUSHED)
        return LOGGER_FLUSHED;
    return rc == STORE_EXPIRED ? LOGGER_EXPIRED : LOGGER_NOT_FOUND;
}

static void get_log(struct cmd_ctx *ctx, struct bytes key, enum store_rc rc, uint64_t value_bytes)
{
    if ((ctx->watched & LOGGER_FETCHERS) == 0)
        return;
    const struct logger_event event = {
        .type = LOGGER_ITEM_GET,
        .status = (uint8_t)lookup_of(rc),
        .fd = ctx->fd,
        .value_bytes = rc == STORE_OK ? value_bytes : 0,
        .text = key,
    };
    logger_write(ctx->log, &event);
}

void cmd_item_got_watched(struct cmd_ctx *ctx, const struct store_key *key, enum store_rc rc,
                          const struct store_view *view)
{
    if (rc == STORE_OK && view->created)
        rc = STORE_MISS; /* it was not there when looked for */
    get_log(ctx, key->key, rc, rc == STORE_OK ? view->value_bytes : 0);
}

/* What was there before a write. */
struct before {
    enum store_rc rc;
    uint64_t value_bytes;
    uint32_t exp_s;
};

static struct before look_before(struct cmd_ctx *ctx, const struct store_key *key)
{
    struct store_view view;
    const enum store_rc rc = store_get(ctx->thread, key, STORE_GET_NO_BUMP, &view);
    if (rc != STORE_OK)
        return (struct before){.rc = rc};
    return (struct before){.rc = rc, .value_bytes = view.value_bytes, .exp_s = view.exp_s};
}

static enum logger_outcome outcome_of(enum store_rc rc)
{
    switch (rc) {
    case STORE_OK:
        return LOGGER_STORED;
    case STORE_MISS:
    case STORE_EXPIRED:
    case STORE_FLUSHED:
        return LOGGER_MISSING;
    case STORE_EXISTS:
        return LOGGER_EXISTS;
    case STORE_TOO_LARGE:
        return LOGGER_TOO_LARGE;
    case STORE_NO_MEMORY:
        return LOGGER_NO_MEMORY;
    case STORE_NOT_STORED:
    case STORE_NOT_NUMBER: /* of arithmetic alone */
        break;
    }
    return LOGGER_NOT_STORED;
}

struct stored {
    enum store_rc rc;
    enum logger_verb verb;
    uint64_t value_bytes;
    uint32_t exp_s;
};

/* Of an exptime that has passed memcached shows a huge number, too. */
static int64_t ttl_of(const struct cmd_ctx *ctx, uint32_t exp_s)
{
    if (exp_s == 0)
        return 0;
    return exp_s > ctx->now_s ? (int64_t)(exp_s - ctx->now_s) : -1;
}

static void store_log(struct cmd_ctx *ctx, struct bytes key, const struct stored *stored)
{
    if ((ctx->watched & LOGGER_MUTATIONS) == 0)
        return;
    const struct logger_event event = {
        .type = LOGGER_ITEM_STORE,
        .status = (uint8_t)outcome_of(stored->rc),
        .verb = (uint8_t)stored->verb,
        .fd = ctx->fd,
        .ttl_s = ttl_of(ctx, stored->exp_s),
        .value_bytes = stored->value_bytes,
        .text = key,
    };
    logger_write(ctx->log, &event);
}

/* memcached calls a set or replace with a CAS unique a cas. */
static enum logger_verb verb_of(const struct store_put *put)
{
    switch (put->mode) {
    case STORE_ADD:
        return LOGGER_ADD;
    case STORE_APPEND:
        return LOGGER_APPEND;
    case STORE_PREPEND:
        return LOGGER_PREPEND;
    case STORE_SET:
        return put->compare ? LOGGER_CAS : LOGGER_SET;
    case STORE_REPLACE:
        break;
    }
    return put->compare ? LOGGER_CAS : LOGGER_REPLACE;
}

enum store_rc cmd_item_put_watched(struct cmd_ctx *ctx, const struct proto_request *req,
                                   const struct store_key *key, const struct store_put *put,
                                   struct store_put_result *ret_result)
{
    const struct before before = look_before(ctx, key);
    const enum store_rc rc = cmd_item_put_unwatched(ctx, req, key, put, ret_result);
    if (rc == STORE_TOO_LARGE || rc == STORE_NO_MEMORY)
        return rc; /* cmd_store_refused() will tell */
    struct stored stored = {
        .rc = rc, .verb = verb_of(put), .value_bytes = req->value_bytes, .exp_s = put->exp_s};
    if (rc == STORE_OK && (put->mode == STORE_APPEND || put->mode == STORE_PREPEND)) {
        stored.value_bytes += before.value_bytes;
        stored.exp_s = before.rc == STORE_OK ? before.exp_s : put->vivify_exp_s;
    }
    get_log(ctx, key->key, before.rc, before.value_bytes);
    store_log(ctx, key->key, &stored);
    return rc;
}

void cmd_refusal_log(struct cmd_ctx *ctx, const struct store_key *key, enum logger_verb verb,
                     enum store_rc rc)
{
    store_log(ctx, key->key, &(const struct stored){.rc = rc, .verb = verb});
    if (verb != LOGGER_SET)
        return;
    const struct before before = look_before(ctx, key); /* it is about to be removed */
    get_log(ctx, key->key, before.rc, before.value_bytes);
}

enum store_rc cmd_item_arith_watched(struct cmd_ctx *ctx, const struct store_key *key,
                                     const struct store_arith *arith,
                                     struct store_arith_result *ret_result)
{
    const struct before before = look_before(ctx, key);
    const enum store_rc rc = store_arith(ctx->thread, key, arith, ret_result);
    get_log(ctx, key->key, before.rc, before.value_bytes);
    if (rc == STORE_OK && ret_result->created) { /* memcached adds it as by a command */
        get_log(ctx, key->key, STORE_MISS, 0);
        store_log(ctx, key->key,
                  &(const struct stored){.rc = rc,
                                         .verb = LOGGER_ADD,
                                         .value_bytes = num_digits_u64(ret_result->value),
                                         .exp_s = arith->vivify_exp_s});
    }
    return rc;
}

enum store_rc cmd_item_delete_watched(struct cmd_ctx *ctx, const struct store_key *key,
                                      const struct store_delete *how, enum logger_verb verb)
{
    const struct before before = look_before(ctx, key);
    const enum store_rc rc = store_delete(ctx->thread, key, how);
    get_log(ctx, key->key, before.rc, before.value_bytes);
    if (rc == STORE_OK && !how->invalidate && !how->clear_value &&
        (ctx->watched & LOGGER_DELETIONS) != 0) {
        const struct logger_event event = {
            .type = LOGGER_DELETED,
            .verb = (uint8_t)verb,
            .value_bytes = before.value_bytes,
            .text = key->key,
        };
        logger_write(ctx->log, &event);
    }
    return rc;
}

void cmd_prefix_deleted_log(struct cmd_ctx *ctx, struct bytes prefix, enum logger_verb verb)
{
    const struct logger_event event = {
        .type = LOGGER_PREFIX_DELETED, .verb = (uint8_t)verb, .fd = ctx->fd, .text = prefix};
    logger_write(ctx->log, &event);
}

/* ── watch ────────────────────────────────────────────────────────────────────────────────── */

/* Does memcached send the command's answer at once? */
static bool is_sent_at_once(enum proto_cmd cmd)
{
    return cmd == PROTO_CMD_GET || cmd == PROTO_CMD_GETS || cmd == PROTO_CMD_GAT ||
           cmd == PROTO_CMD_GATS || cmd == PROTO_CMD_MN;
}

/* Is there a request before this one whose answer, be it an empty one, was not sent yet? */
static bool is_piped(const struct cmd_ctx *ctx, const struct proto_request *req)
{
    if (ctx->batch != NULL && req > ctx->batch && req < ctx->batch + CMD_BATCH)
        return !is_sent_at_once(req[-1].cmd);
    return out_bytes(ctx->out) > 0;
}

enum cmd_rc cmd_watch(struct cmd_ctx *ctx, struct proto_request *req)
{
    if (ctx->opts->disable_watch)
        return cmd_answer(ctx, req, PROTO_REPLY_NO_WATCH);
    if (is_piped(ctx, req))
        return cmd_answer(ctx, req, PROTO_REPLY_PIPED_WATCH);
    struct bytes name;
    uint32_t streams = 0, stream;
    while (proto_token_next(&req->rest, &name)) {
        if ((stream = logger_stream_find(name)) == 0)
            return cmd_answer(ctx, req, PROTO_REPLY_ERROR);
        streams |= stream;
    }
    if (req->noreply) /* which is no stream either */
        return CMD_OK;
    if (streams == 0)
        streams = LOGGER_FETCHERS;
    enum logger_rc rc = LOGGER_FAILED;
    if (ctx->log != NULL)
        rc = logger_watcher_new(ctx->log, streams, &ctx->watcher);
    if (rc == LOGGER_TOO_MANY)
        return cmd_answer(ctx, req, PROTO_REPLY_WATCHERS_MANY);
    if (rc == LOGGER_FAILED)
        return cmd_answer(ctx, req, PROTO_REPLY_WATCHER_FAILED);
    cmd_admin_used(ctx, "watch");
    ctx->watched |= streams; /* others notice with their next turn */
    proto_reply(ctx->out, PROTO_REPLY_OK);
    return CMD_HOLD;
}
