/* The commands of the binary protocol but for stat: get set delete ... Each is its text counterpart
 * with another answer, so what runs and counts is theirs where they share it (cmd_..._run).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

static enum cmd_rc answer_status(struct cmd_ctx *ctx, const struct proto_request *req,
                                 enum proto_status status)
{
    proto_binary_reply(ctx->out, req, status, bytes_of(NULL, 0));
    return CMD_OK;
}

/* A success without anything to tell. */
static enum cmd_rc answer_ok(struct cmd_ctx *ctx, const struct proto_request *req)
{
    return req->binary.quiet ? CMD_OK : answer_status(ctx, req, PROTO_STATUS_OK);
}

/* ── get getk, touch gat gatk ─────────────────────────────────────────────────────────────── */

static bool tells_key(const struct proto_request *req)
{
    return req->cmd == PROTO_CMD_BIN_GETK || req->cmd == PROTO_CMD_BIN_GATK;
}

/* Header, client flags and key of a hit. */
static uint8_t *write_hit_head(uint8_t *dst, const struct proto_request *req,
                               const struct store_view *view, uint64_t value_bytes)
{
    const struct bytes key = tells_key(req) ? view->key : bytes_of(NULL, 0);
    const struct proto_answer answer = {
        .extras_bytes = sizeof(view->client_flags),
        .key_bytes = (uint16_t)key.len,
        .value_bytes = (uint32_t)value_bytes,
        .cas_unique = view->cas_unique,
    };
    dst = proto_write_binary_head(dst, req, &answer);
    dst = be_write_u32(dst, view->client_flags);
    return key.len > 0 ? proto_write(dst, key.ptr, key.len) : dst;
}

static enum cmd_rc answer_hit(struct cmd_ctx *ctx, const struct proto_request *req,
                              const struct store_view *view)
{
    struct cmd_value value;
    if (UNLIKELY(!cmd_value_begin(ctx, view, PROTO_BINARY_VALUE_HEAD_BYTES_MAX, &value)))
        return answer_status(ctx, req, PROTO_STATUS_NO_MEMORY);
    uint8_t *dst = write_hit_head(value.start, req, view, view->value_bytes);
    cmd_value_end_bare(ctx, dst, &value);
    return CMD_OK;
}

/* Touch tells the client flags alone. */
static enum cmd_rc answer_touched(struct cmd_ctx *ctx, const struct proto_request *req,
                                  const struct store_view *view)
{
    uint8_t *start = out_reserve(ctx->out, PROTO_BINARY_VALUE_HEAD_BYTES_MAX);
    if (start != NULL)
        out_commit(ctx->out, (size_t)(write_hit_head(start, req, view, 0) - start));
    return CMD_OK;
}

/* The quiet forms are silent; those that tell keys tell it instead of a text. */
static enum cmd_rc answer_miss(struct cmd_ctx *ctx, const struct proto_request *req)
{
    if (req->binary.quiet)
        return CMD_OK;
    if (!tells_key(req))
        return answer_status(ctx, req, PROTO_STATUS_NOT_FOUND);
    uint8_t *start = out_reserve(ctx->out, PROTO_BINARY_HEADER_BYTES + req->key.len);
    if (start != NULL) {
        const struct proto_answer answer = {.status = PROTO_STATUS_NOT_FOUND,
                                            .key_bytes = (uint16_t)req->key.len};
        uint8_t *dst = proto_write_binary_head(start, req, &answer);
        dst = proto_write(dst, req->key.ptr, req->key.len);
        out_commit(ctx->out, (size_t)(dst - start));
    }
    return CMD_OK;
}

enum cmd_rc cmd_bin_get(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    struct store_view view;
    const enum store_rc rc =
        store_get(ctx->thread, &key.key, STORE_GET_CAS | STORE_GET_BRIEF, &view);
    cmd_item_got(ctx, &key.key, rc, &view);
    const bool hit = rc == STORE_OK;
    cmd_prefix_count(ctx, key.key.key, hit ? PREFIX_GET_HIT : PREFIX_GET_MISS);
    stat_inc(ctx->stats, STAT_CMD_GET);
    if (hit) {
        stat_inc(ctx->stats, STAT_GET_HITS);
        return answer_hit(ctx, req, &view);
    }
    stat_inc(ctx->stats, STAT_GET_MISSES);
    cmd_count_gone(ctx, rc);
    return answer_miss(ctx, req);
}

enum cmd_rc cmd_bin_touch(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    const struct store_fetch how = {
        .flags = STORE_GET_CAS, .touch = true, .touch_exp_s = cmd_bin_exptime(ctx, req)};
    struct store_view view;
    const enum store_rc rc = store_fetch(ctx->thread, &key.key, &how, &view);
    cmd_item_got(ctx, &key.key, rc, &view);
    const bool hit = rc == STORE_OK;
    cmd_prefix_count(ctx, key.key.key, hit ? PREFIX_GET_HIT : PREFIX_GET_MISS);
    stat_inc(ctx->stats, STAT_CMD_TOUCH);
    if (hit) {
        stat_inc(ctx->stats, STAT_TOUCH_HITS);
        return req->cmd == PROTO_CMD_BIN_TOUCH ? answer_touched(ctx, req, &view)
                                               : answer_hit(ctx, req, &view);
    }
    if (rc == STORE_NO_MEMORY)
        return answer_status(ctx, req, PROTO_STATUS_NO_MEMORY);
    stat_inc(ctx->stats, STAT_TOUCH_MISSES);
    cmd_count_gone(ctx, rc);
    return answer_miss(ctx, req);
}

/* Could the text protocol not name that key? Its items are marked, as those are that a meta command
 * named in base64, so that no answer of text has an end where the key has one. */
static bool key_is_binary(struct bytes key)
{
    bool found = false;
    for (size_t i = 0; i < key.len; i++)
        found |= key.ptr[i] == ' ' || key.ptr[i] == '\n' || key.ptr[i] == '\r';
    return found;
}

/* ── set add replace append prepend ───────────────────────────────────────────────────────── */

/* With a CAS unique, set, add and replace all are the same compare. */
static enum store_mode mode_of(const struct proto_request *req)
{
    if (req->cmd == PROTO_CMD_BIN_APPEND)
        return STORE_APPEND;
    if (req->cmd == PROTO_CMD_BIN_PREPEND)
        return STORE_PREPEND;
    if (req->compare_cas != 0 || req->cmd == PROTO_CMD_BIN_SET)
        return STORE_SET;
    return req->cmd == PROTO_CMD_BIN_ADD ? STORE_ADD : STORE_REPLACE;
}

static enum proto_status not_stored(enum store_mode mode)
{
    switch (mode) {
    case STORE_ADD:
        return PROTO_STATUS_EXISTS;
    case STORE_SET:
    case STORE_REPLACE:
        return PROTO_STATUS_NOT_FOUND;
    case STORE_APPEND:
    case STORE_PREPEND:
        break;
    }
    return PROTO_STATUS_NOT_STORED;
}

static enum proto_status store_status(struct cmd_ctx *ctx, const struct proto_request *req,
                                      enum store_mode mode, enum store_rc rc)
{
    switch (rc) {
    case STORE_OK:
        return PROTO_STATUS_OK;
    case STORE_MISS:
    case STORE_EXPIRED:
    case STORE_FLUSHED:
    case STORE_NOT_STORED:
    case STORE_NOT_NUMBER: /* of arithmetic alone */
        return not_stored(mode);
    case STORE_EXISTS:
        return PROTO_STATUS_EXISTS;
    case STORE_TOO_LARGE:
    case STORE_NO_MEMORY:
        break;
    }
    (void)cmd_store_refused(ctx, req, rc);
    return rc == STORE_TOO_LARGE ? PROTO_STATUS_TOO_LARGE : PROTO_STATUS_NO_MEMORY;
}

enum cmd_rc cmd_bin_store_run(struct cmd_ctx *ctx, struct proto_request *req,
                              struct store_upload *upload)
{
    const struct cmd_put how = {
        .mode = mode_of(req),
        .compare = req->compare_cas != 0,
        .key_binary = key_is_binary(req->key),
        .exp_s = cmd_bin_exptime(ctx, req),
        .upload = upload,
    };
    /* A CAS unique that nobody sees costs nothing: the quiet forms do not ask for it. */
    struct store_put_result result = {0};
    const bool quiet = req->binary.quiet;
    const enum store_rc rc = cmd_put_run(ctx, req, &how, quiet ? NULL : &result);
    const enum proto_status status = store_status(ctx, req, how.mode, rc);
    if (status != PROTO_STATUS_OK)
        return answer_status(ctx, req, status);
    uint8_t *start = quiet ? NULL : out_reserve(ctx->out, PROTO_BINARY_HEADER_BYTES);
    if (start != NULL) {
        const struct proto_answer answer = {.cas_unique = result.cas_unique};
        (void)proto_write_binary_head(start, req, &answer);
        out_commit(ctx->out, PROTO_BINARY_HEADER_BYTES);
    }
    return CMD_OK;
}

enum cmd_rc cmd_bin_store(struct cmd_ctx *ctx, struct proto_request *req)
{
    return cmd_bin_store_run(ctx, req, NULL);
}

/* ── delete increment decrement ───────────────────────────────────────────────────────────── */

enum cmd_rc cmd_bin_delete(struct cmd_ctx *ctx, struct proto_request *req)
{
    const enum store_rc rc = cmd_delete_run(ctx, req, req->compare_cas != 0);
    if (rc == STORE_OK)
        return answer_ok(ctx, req);
    return answer_status(ctx, req,
                         rc == STORE_EXISTS ? PROTO_STATUS_EXISTS : PROTO_STATUS_NOT_FOUND);
}

static enum cmd_rc answer_number(struct cmd_ctx *ctx, const struct proto_request *req,
                                 const struct store_arith_result *result)
{
    enum { BYTES = PROTO_BINARY_HEADER_BYTES + sizeof(result->value) };
    uint8_t *start = req->binary.quiet ? NULL : out_reserve(ctx->out, BYTES);
    if (start != NULL) {
        const struct proto_answer answer = {.value_bytes = sizeof(result->value),
                                            .cas_unique = result->cas_unique};
        be_write_u64(proto_write_binary_head(start, req, &answer), result->value);
        out_commit(ctx->out, BYTES);
    }
    return CMD_OK;
}

enum cmd_rc cmd_bin_arith(struct cmd_ctx *ctx, struct proto_request *req)
{
    enum { NEVER_CREATE = -1 };
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    key.key.binary = key_is_binary(req->key);
    const struct store_arith arith = {
        .decr = req->cmd == PROTO_CMD_BIN_DECREMENT,
        .compare = req->compare_cas != 0,
        .vivify = req->exptime != NEVER_CREATE,
        .vivify_exp_s = cmd_bin_exptime(ctx, req),
        .delta = req->delta,
        .initial = req->binary.initial,
        .compare_cas = req->compare_cas,
        .flags = req->binary.quiet ? 0 : STORE_GET_CAS,
    };
    struct store_arith_result result = {.created = false};
    const enum store_rc rc = cmd_item_arith(ctx, &key.key, &arith, &result);
    cmd_count_arith(ctx, arith.decr, rc, result.created);
    if (rc == STORE_OK)
        return answer_number(ctx, req, &result);
    if (rc == STORE_NOT_NUMBER)
        return answer_status(ctx, req, PROTO_STATUS_NOT_NUMBER);
    if (rc == STORE_EXISTS)
        return answer_status(ctx, req, PROTO_STATUS_EXISTS);
    return answer_status(ctx, req,
                         store_rc_is_miss(rc) ? PROTO_STATUS_NOT_FOUND : PROTO_STATUS_NO_MEMORY);
}

/* ── noop version quit flush, logins ──────────────────────────────────────────────────────── */

enum cmd_rc cmd_bin_noop(struct cmd_ctx *ctx, struct proto_request *req)
{
    return answer_status(ctx, req, PROTO_STATUS_OK);
}

enum cmd_rc cmd_bin_version(struct cmd_ctx *ctx, struct proto_request *req)
{
    proto_binary_reply(ctx->out, req, PROTO_STATUS_OK, bytes_str(CMD_VERSION));
    return CMD_OK;
}

enum cmd_rc cmd_bin_quit(struct cmd_ctx *ctx, struct proto_request *req)
{
    (void)answer_ok(ctx, req);
    return CMD_CLOSE;
}

enum cmd_rc cmd_bin_flush(struct cmd_ctx *ctx, struct proto_request *req)
{
    stat_inc(ctx->stats, STAT_CMD_FLUSH); /* a refused one as well */
    if (ctx->opts->disable_flush_all)
        return answer_status(ctx, req, PROTO_STATUS_AUTH_ERROR);
    cmd_flush_run(ctx, (uint32_t)req->exptime);
    return answer_ok(ctx, req);
}

/* Without -S these are unknown, as in memcached. The mechanism is req->key, what it sends is
 * req->value, always whole. */
enum cmd_rc cmd_bin_sasl(struct cmd_ctx *ctx, struct proto_request *req)
{
    return answer_status(ctx, req, PROTO_STATUS_UNKNOWN);
}
