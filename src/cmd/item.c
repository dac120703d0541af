/* delete touch incr decr.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

enum store_rc cmd_delete_run(struct cmd_ctx *ctx, const struct proto_request *req, bool compare)
{
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    cmd_prefix_count(ctx, key.key.key, PREFIX_DELETE);
    const struct store_delete how = {.compare = compare, .compare_cas = req->compare_cas};
    const enum store_rc rc = cmd_item_delete(ctx, &key.key, &how, LOGGER_DELETE);
    if (rc == STORE_OK)
        stat_inc(ctx->stats, STAT_DELETE_HITS);
    else if (store_rc_is_miss(rc))
        stat_inc(ctx->stats, STAT_DELETE_MISSES);
    cmd_count_gone(ctx, rc);
    return rc;
}

enum cmd_rc cmd_delete(struct cmd_ctx *ctx, struct proto_request *req)
{
    const enum store_rc rc = cmd_delete_run(ctx, req, false);
    return cmd_answer(ctx, req, rc == STORE_OK ? PROTO_REPLY_DELETED : PROTO_REPLY_NOT_FOUND);
}

enum cmd_rc cmd_touch(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    const struct store_fetch how = {.touch = true, .touch_exp_s = cmd_exptime(ctx, req->exptime)};
    struct store_view view;
    const enum store_rc rc = store_fetch(ctx->thread, &key.key, &how, &view);
    cmd_item_got(ctx, &key.key, rc, &view);
    stat_inc(ctx->stats, STAT_CMD_TOUCH);
    if (rc == STORE_OK) {
        stat_inc(ctx->stats, STAT_TOUCH_HITS);
        return cmd_answer(ctx, req, PROTO_REPLY_TOUCHED);
    }
    if (rc == STORE_NO_MEMORY)
        return cmd_answer(ctx, req, PROTO_REPLY_NO_MEMORY);
    cmd_count_gone(ctx, rc);
    stat_inc(ctx->stats, STAT_TOUCH_MISSES);
    return cmd_answer(ctx, req, PROTO_REPLY_NOT_FOUND);
}

static enum cmd_rc answer_number(struct cmd_ctx *ctx, const struct proto_request *req,
                                 uint64_t value)
{
    uint8_t *start = req->noreply ? NULL : out_reserve(ctx->out, NUM_U64_DIGITS_MAX + 2);
    if (start != NULL) {
        uint8_t *dst = proto_write_crlf(start + num_format_u64(start, value));
        out_commit(ctx->out, (size_t)(dst - start));
    }
    return CMD_OK;
}

enum cmd_rc cmd_arith(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    const bool decr = req->cmd == PROTO_CMD_DECR;
    const struct store_arith arith = {.decr = decr, .delta = req->delta};
    struct store_arith_result result;
    const enum store_rc rc = cmd_item_arith(ctx, &key.key, &arith, &result);
    cmd_count_arith(ctx, decr, rc, false);
    if (rc == STORE_OK)
        return answer_number(ctx, req, result.value);
    if (rc == STORE_NOT_NUMBER)
        return cmd_answer(ctx, req, PROTO_REPLY_NOT_NUMBER);
    if (!store_rc_is_miss(rc))
        return cmd_answer(ctx, req, PROTO_REPLY_NO_MEMORY);
    return cmd_answer(ctx, req, PROTO_REPLY_NOT_FOUND);
}
