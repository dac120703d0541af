/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd.h"

#include "base/clock.h"
#include "cmd/cmd_priv.h"

/* ── dispatch ─────────────────────────────────────────────────────────────────────────────── */

static enum cmd_rc (*const handlers[PROTO_CMD_ALL_COUNT])(struct cmd_ctx *,
                                                          struct proto_request *) = {
#define COMMAND(ID, word, SHAPE, args_min, CLASS, handler) [PROTO_CMD_##ID] = cmd_##handler,
#include "tbl/commands.def"
#undef COMMAND
#define OPCODE(ID, code, quiet, EXTRAS, KEY, VALUE, CLASS, handler)                                \
    [PROTO_CMD_BIN_##ID] = cmd_bin_##handler,
#include "tbl/opcodes.def"
};

static COLD enum cmd_rc refuse(struct cmd_ctx *ctx, const struct proto_request *req)
{
    if (proto_is_binary(req)) {
        proto_binary_reply(ctx->out, req, (enum proto_status)req->binary.status, bytes_of(NULL, 0));
    } else if (!req->noreply) {
        out_put_str(ctx->out, req->error);
        out_put_str(ctx->out, "\r\n");
    }
    return CMD_OK;
}

enum cmd_rc cmd_run(struct cmd_ctx *ctx, struct proto_request *req)
{
    return LIKELY(req->error == NULL) ? handlers[req->cmd](ctx, req) : refuse(ctx, req);
}

/* What is not here is OTHER. */
const uint8_t cmd_stat_classes[PROTO_CMD_ALL_COUNT] = {
    [PROTO_CMD_GET] = STAT_CLASS_GET,
    [PROTO_CMD_GETS] = STAT_CLASS_GET,
    [PROTO_CMD_MG] = STAT_CLASS_GET,
    [PROTO_CMD_BIN_GET] = STAT_CLASS_GET,
    [PROTO_CMD_BIN_GETK] = STAT_CLASS_GET,
    [PROTO_CMD_SET] = STAT_CLASS_STORE,
    [PROTO_CMD_ADD] = STAT_CLASS_STORE,
    [PROTO_CMD_REPLACE] = STAT_CLASS_STORE,
    [PROTO_CMD_APPEND] = STAT_CLASS_STORE,
    [PROTO_CMD_PREPEND] = STAT_CLASS_STORE,
    [PROTO_CMD_CAS] = STAT_CLASS_STORE,
    [PROTO_CMD_MS] = STAT_CLASS_STORE,
    [PROTO_CMD_BIN_SET] = STAT_CLASS_STORE,
    [PROTO_CMD_BIN_ADD] = STAT_CLASS_STORE,
    [PROTO_CMD_BIN_REPLACE] = STAT_CLASS_STORE,
    [PROTO_CMD_BIN_APPEND] = STAT_CLASS_STORE,
    [PROTO_CMD_BIN_PREPEND] = STAT_CLASS_STORE,
    [PROTO_CMD_DELETE] = STAT_CLASS_DELETE,
    [PROTO_CMD_MD] = STAT_CLASS_DELETE,
    [PROTO_CMD_BIN_DELETE] = STAT_CLASS_DELETE,
    [PROTO_CMD_INCR] = STAT_CLASS_ARITH,
    [PROTO_CMD_DECR] = STAT_CLASS_ARITH,
    [PROTO_CMD_MA] = STAT_CLASS_ARITH,
    [PROTO_CMD_BIN_INCREMENT] = STAT_CLASS_ARITH,
    [PROTO_CMD_BIN_DECREMENT] = STAT_CLASS_ARITH,
    [PROTO_CMD_TOUCH] = STAT_CLASS_TOUCH,
    [PROTO_CMD_GAT] = STAT_CLASS_TOUCH,
    [PROTO_CMD_GATS] = STAT_CLASS_TOUCH,
    [PROTO_CMD_BIN_TOUCH] = STAT_CLASS_TOUCH,
    [PROTO_CMD_BIN_GAT] = STAT_CLASS_TOUCH,
    [PROTO_CMD_BIN_GATK] = STAT_CLASS_TOUCH,
};

/* ── batches ──────────────────────────────────────────────────────────────────────────────── */

void cmd_prefetch_bucket(struct cmd_ctx *ctx, struct proto_request *req)
{
    if (req->key.len == 0 || req->error != NULL)
        return;
    if (UNLIKELY(req->key_base64)) {
        struct cmd_key key;
        cmd_key_find(ctx, req, &key);
        req->hash = key.key.hash;
    } else if (!req->hashed) {
        req->hash = store_hash(ctx->store, req->key);
    }
    req->hashed = true;
    req->hint = 0;
    store_prefetch_bucket(ctx->store, req->hash);
}

void cmd_prefetch_item(struct cmd_ctx *ctx, struct proto_request *req)
{
    if (req->hashed)
        req->hint = store_prefetch_item(ctx->store, req->hash);
}

/* ── hot keys ─────────────────────────────────────────────────────────────────────────────── */

/* Has it a key of an item, and one alone? */
static bool has_one_key(const struct proto_request *req)
{
    if (!req->hashed || req->error != NULL || cmd_stat_classes[req->cmd] == STAT_CLASS_OTHER)
        return false;
    const bool many = req->cmd == PROTO_CMD_GET || req->cmd == PROTO_CMD_GETS ||
                      req->cmd == PROTO_CMD_GAT || req->cmd == PROTO_CMD_GATS;
    return !many || req->rest.len == 0;
}

void cmd_hot_note(struct cmd_ctx *ctx, const struct proto_request *batch, size_t count)
{
    /* Not by cmd_key_init(): one more caller, and the compiler no longer puts it in line above. */
    uint8_t decoded[PROTO_KEY_BINARY_BYTES_MAX];
    size_t i;
    while (hot_next(ctx->hot, count, &i)) {
        if (!has_one_key(&batch[i]))
            continue;
        struct bytes key = batch[i].key;
        if (batch[i].key_base64)
            key = bytes_of(decoded, base64_decode(decoded, key));
        hot_note(ctx->hot, key, batch[i].hash);
    }
}

/* ── shared by the families ───────────────────────────────────────────────────────────────── */

uint32_t cmd_exptime(const struct cmd_ctx *ctx, int64_t exptime)
{
    enum { RELATIVE_S_MAX = 60 * 60 * 24 * 30 };
    if (exptime == 0)
        return 0;
    if (exptime < 0)
        return ctx->now_s;
    if (exptime <= RELATIVE_S_MAX)
        return ctx->now_s > UINT32_MAX - (uint32_t)exptime ? UINT32_MAX
                                                           : ctx->now_s + (uint32_t)exptime;
    const int64_t exp_s = exptime - clock_wall_offset_s();
    if (exp_s <= ctx->now_s)
        return ctx->now_s;
    return exp_s > UINT32_MAX ? UINT32_MAX : (uint32_t)exp_s;
}

uint32_t cmd_vivify_exptime(const struct cmd_ctx *ctx, const struct proto_request *req)
{
    int32_t exptime = req->meta.vivify_exptime;
    for (size_t i = 0; i < req->meta.letter_count; i++) {
        if (req->meta.letters[i] == 'T')
            exptime = req->exptime;
        else if (req->meta.letters[i] == 'N')
            exptime = req->meta.vivify_exptime;
    }
    return cmd_exptime(ctx, exptime);
}

void cmd_count_compare(struct cmd_ctx *ctx, enum store_rc rc)
{
    if (rc == STORE_OK)
        stat_inc(ctx->stats, STAT_CAS_HITS);
    else if (rc == STORE_EXISTS)
        stat_inc(ctx->stats, STAT_CAS_BADVAL);
    else if (store_rc_is_miss(rc))
        stat_inc(ctx->stats, STAT_CAS_MISSES);
}

NOINLINE void cmd_count_stored(const struct cmd_ctx *ctx, const struct proto_request *req,
                               uint32_t exp_s)
{
    stat_hist_add(ctx->hists, STAT_HIST_VALUE_BYTES, req->value_bytes);
    if (exp_s != 0)
        stat_hist_add(ctx->hists, STAT_HIST_TTL_S, exp_s > ctx->now_s ? exp_s - ctx->now_s : 0);
}

void cmd_count_arith(struct cmd_ctx *ctx, bool decr, enum store_rc rc, bool created)
{
    if (rc == STORE_OK && !created)
        stat_inc(ctx->stats, decr ? STAT_DECR_HITS : STAT_INCR_HITS);
    if (store_rc_is_miss(rc))
        stat_inc(ctx->stats, decr ? STAT_DECR_MISSES : STAT_INCR_MISSES);
    cmd_count_gone(ctx, rc);
}

/* What the request does, for the log. */
static enum logger_verb verb_of(const struct proto_request *req)
{
    if (req->cmd == PROTO_CMD_ADD || req->cmd == PROTO_CMD_BIN_ADD)
        return LOGGER_ADD;
    if (req->cmd == PROTO_CMD_REPLACE || req->cmd == PROTO_CMD_BIN_REPLACE)
        return LOGGER_REPLACE;
    if (req->cmd == PROTO_CMD_APPEND || req->cmd == PROTO_CMD_BIN_APPEND)
        return LOGGER_APPEND;
    if (req->cmd == PROTO_CMD_PREPEND || req->cmd == PROTO_CMD_BIN_PREPEND)
        return LOGGER_PREPEND;
    return req->cmd == PROTO_CMD_CAS ? LOGGER_CAS : LOGGER_SET;
}

enum proto_reply cmd_store_refused(struct cmd_ctx *ctx, const struct proto_request *req,
                                   enum store_rc rc)
{
    const bool is_set =
        req->cmd == PROTO_CMD_SET || req->cmd == PROTO_CMD_MS || req->cmd == PROTO_CMD_BIN_SET;
    const bool watched = (ctx->watched & (LOGGER_FETCHERS | LOGGER_MUTATIONS)) != 0;
    struct cmd_key key;
    if (is_set || watched)
        cmd_key_init(ctx, req, &key);
    if (UNLIKELY(watched))
        cmd_refusal_log(ctx, &key.key, verb_of(req), rc);
    if (is_set) {
        (void)!store_delete(ctx->thread, &key.key, &(struct store_delete){0});
    }
    const bool too_large = rc == STORE_TOO_LARGE;
    stat_inc(ctx->stats, too_large ? STAT_STORE_TOO_LARGE : STAT_STORE_NO_MEMORY);
    return too_large ? PROTO_REPLY_TOO_LARGE : PROTO_REPLY_NO_MEMORY_STORE;
}

bool cmd_store_outgrown(const struct cmd_ctx *ctx, const struct proto_request *req,
                        enum store_mode mode, enum store_rc rc)
{
    return rc == STORE_TOO_LARGE && (mode == STORE_APPEND || mode == STORE_PREPEND) &&
           req->key.len + req->value_bytes + STORE_ITEM_BYTES_EXTRA <= ctx->opts->max_item_bytes;
}

/* ── values ───────────────────────────────────────────────────────────────────────────────── */

static void release_ref(void *owner)
{
    store_ref_free(owner);
}

bool cmd_value_begin(struct cmd_ctx *ctx, const struct store_view *view, size_t head_bytes,
                     struct cmd_value *ret_value)
{
    *ret_value = (struct cmd_value){.view = view};
    if (UNLIKELY(view->fragmented || view->value_bytes > CMD_COPY_BYTES_MAX)) {
        ret_value->ref = store_ref_new(ctx->thread, view);
        if (ret_value->ref == NULL && view->fragmented)
            return false;
    }
    if (ret_value->ref == NULL)
        head_bytes += view->value.len + 2;
    ret_value->start = out_reserve(ctx->out, head_bytes);
    if (LIKELY(ret_value->start != NULL))
        return true;
    store_ref_free(ret_value->ref);
    return false;
}

void cmd_value_end_ref(struct cmd_ctx *ctx, struct cmd_value *value)
{
    size_t count;
    const struct bytes *spans = store_ref_spans(value->ref, &count);
    out_blob(ctx->out, spans, count, release_ref, value->ref);
}

/* ── uploads ──────────────────────────────────────────────────────────────────────────────── */

/* Copy the bytes behind `*bytes` to `dst` and let it point there. */
static uint8_t *text_keep(uint8_t *dst, struct bytes *bytes)
{
    if (bytes->len > 0)
        memcpy(dst, bytes->ptr, bytes->len);
    bytes->ptr = dst;
    return dst + bytes->len;
}

/* The upload cannot go on: what remains of the value is swallowed, then this is the answer. */
static void upload_refuse(struct cmd_ctx *ctx, struct proto_request *req, enum store_rc rc)
{
    const enum proto_reply reply = cmd_store_refused(ctx, req, rc);
    if (proto_is_binary(req))
        proto_binary_refuse(req, rc == STORE_TOO_LARGE ? PROTO_STATUS_TOO_LARGE
                                                       : PROTO_STATUS_NO_MEMORY);
    else
        req->error = proto_reply_texts[reply];
}

bool cmd_upload_begin(struct cmd_ctx *ctx, const struct proto_request *req,
                      struct cmd_upload *ret_upload)
{
    struct cmd_upload *upload = ret_upload;
    upload->upload = NULL;
    upload->req = *req;
    upload->req.rest = bytes_of(NULL, 0);
    upload->req.value = bytes_of(NULL, 0);
    if (req->error != NULL)
        return false; /* its key and opaque are not needed, and may be too long */
    uint8_t *dst = text_keep(upload->text, &upload->req.key);
    if (req->cmd == PROTO_CMD_MS)
        text_keep(dst, &upload->req.meta.opaque);
    struct cmd_key key;
    cmd_key_init(ctx, &upload->req, &key);
    const enum store_rc rc =
        store_upload_new(ctx->thread, &key.key, req->value_bytes, &upload->upload);
    if (rc == STORE_OK)
        return true;
    upload->upload = NULL;
    upload_refuse(ctx, &upload->req, rc);
    return false;
}

enum cmd_rc cmd_upload_end(struct cmd_ctx *ctx, struct cmd_upload *upload, bool terminated)
{
    struct store_upload *value = upload->upload;
    upload->upload = NULL;
    upload->req.value_bad = !terminated;
    if (proto_is_binary(&upload->req))
        return cmd_bin_store_run(ctx, &upload->req, value);
    return upload->req.cmd == PROTO_CMD_MS ? cmd_meta_set_run(ctx, &upload->req, value)
                                           : cmd_store_run(ctx, &upload->req, value);
}

void cmd_upload_fail(struct cmd_ctx *ctx, struct cmd_upload *upload)
{
    cmd_upload_abort(upload);
    upload_refuse(ctx, &upload->req, STORE_NO_MEMORY);
}

void cmd_upload_abort(struct cmd_upload *upload)
{
    store_upload_free(upload->upload);
    upload->upload = NULL;
}
