/* mg: a lookup with flags.  me: what is known of an item.  mn: nothing, for the end of a batch.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

enum { EFFECTS = 3 }; /* letters that change what they find */
static const char effects[EFFECTS + 1] = "NTR";

static bool has_effect(const struct proto_request *req)
{
    for (int i = 0; i < EFFECTS; i++)
        if (proto_meta_has(req, effects[i]))
            return true;
    return false;
}

static enum store_rc fetch(struct cmd_ctx *ctx, const struct proto_request *req,
                           const struct cmd_key *key, struct store_view *ret_view)
{
    const unsigned flags =
        (proto_meta_has(req, 'c') || proto_meta_has(req, 'C') ? (unsigned)STORE_GET_CAS : 0) |
        (proto_meta_has(req, 'u') ? (unsigned)STORE_GET_NO_BUMP : 0);
    const bool looked = !has_effect(req);
    if (looked) {
        const enum store_rc rc = store_get(ctx->thread, &key->key, flags, ret_view);
        if (rc != STORE_OK || !ret_view->stale || ret_view->win_sent)
            return rc;
        /* Somebody is to be told to recompute it: ask again, with the lock. */
    }
    const bool fetched = looked && ret_view->fetched; /* before we looked */
    const uint32_t last_access_s = looked ? ret_view->last_access_s : 0;
    const struct store_fetch how = {
        .flags = flags,
        .lease = true,
        .touch = proto_meta_has(req, 'T'),
        .vivify = proto_meta_has(req, 'N'),
        .recache = proto_meta_has(req, 'R'),
        .touch_exp_s = cmd_exptime(ctx, req->exptime),
        .vivify_exp_s = cmd_vivify_exptime(ctx, req),
        .recache_ttl_s = req->meta.recache_exptime > 0 ? (uint32_t)req->meta.recache_exptime : 0,
        .explicit_cas = req->meta.explicit_cas,
    };
    const enum store_rc rc = store_fetch(ctx->thread, &key->key, &how, ret_view);
    struct store_view again;
    if (rc == STORE_OK && ret_view->created && !proto_meta_has(req, 'u'))
        (void)!store_get(ctx->thread, &key->key, 0, &again); /* its creator has fetched it */
    if (rc == STORE_OK && looked) {
        ret_view->fetched = fetched;
        ret_view->last_access_s = last_access_s;
    }
    return rc;
}

/* The flags of a hit in request order, then W X Z. A `t` before T or N tells the time before. */
static uint8_t *write_flags(uint8_t *dst, struct cmd_ctx *ctx, const struct proto_request *req,
                            const struct store_view *view)
{
    uint32_t exp_s = view->created ? 0 : view->exp_s;
    for (size_t i = 0; i < req->meta.letter_count; i++) {
        switch (req->meta.letters[i]) {
        case 'T':
            exp_s = cmd_exptime(ctx, req->exptime);
            break;
        case 'N':
            if (view->created)
                exp_s = cmd_exptime(ctx, req->meta.vivify_exptime);
            break;
        case 'c':
            dst = cmd_write_flag(dst, 'c', view->cas_unique);
            break;
        case 'f':
            dst = cmd_write_flag(dst, 'f', view->client_flags);
            break;
        case 'h':
            dst = cmd_write_flag(dst, 'h', view->fetched);
            break;
        case 'l':
            dst = cmd_write_flag(dst, 'l', ctx->now_s - view->last_access_s);
            break;
        case 's':
            dst = cmd_write_flag(dst, 's', view->value_bytes);
            break;
        case 't':
            dst = cmd_write_ttl(dst, ctx, exp_s);
            break;
        default:
            dst = cmd_write_echo(dst, req->meta.letters[i], req, view->key, view->key_binary);
            break;
        }
    }
    if (view->win_sent)
        dst = cmd_write_letter(dst, 'Z');
    if (view->stale)
        dst = cmd_write_letter(dst, 'X');
    if (view->won)
        dst = cmd_write_letter(dst, 'W');
    return dst;
}

static bool answer_hit(struct cmd_ctx *ctx, const struct proto_request *req,
                       const struct store_view *view)
{
    const bool withheld = proto_meta_has(req, 'C') && view->cas_unique == req->compare_cas;
    if (proto_meta_has(req, 'v') && !withheld) {
        struct cmd_value value;
        if (!cmd_value_begin(ctx, view, CMD_META_HEAD_BYTES_MAX, &value))
            return false;
        uint8_t *dst = proto_write(value.start, "VA", 2);
        dst = proto_write_number(dst, ' ', view->value_bytes);
        dst = write_flags(dst, ctx, req, view);
        cmd_value_end(ctx, proto_write_crlf(dst), &value);
        return true;
    }
    uint8_t *start = out_reserve(ctx->out, CMD_META_HEAD_BYTES_MAX);
    if (start == NULL)
        return false;
    uint8_t *dst = proto_write(start, "HD", 2);
    dst = proto_write_crlf(write_flags(dst, ctx, req, view));
    out_commit(ctx->out, (size_t)(dst - start));
    return true;
}

enum cmd_rc cmd_meta_get(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    struct store_view view;
    const enum store_rc rc = fetch(ctx, req, &key, &view);
    cmd_item_got(ctx, &key.key, rc, &view);
    if (rc == STORE_OK) {
        const bool touch = proto_meta_has(req, 'T');
        stat_inc(ctx->stats, touch ? STAT_CMD_TOUCH : STAT_CMD_GET);
        stat_inc(ctx->stats, touch ? STAT_TOUCH_HITS : STAT_GET_HITS);
        if (!answer_hit(ctx, req, &view))
            proto_reply(ctx->out, PROTO_REPLY_NO_MEMORY_GET);
        return CMD_OK;
    }
    if (rc == STORE_NO_MEMORY) {
        proto_reply(ctx->out, PROTO_REPLY_NO_MEMORY);
        return CMD_OK;
    }
    stat_inc(ctx->stats, STAT_CMD_GET);
    stat_inc(ctx->stats, STAT_GET_MISSES);
    cmd_count_gone(ctx, rc);
    return proto_meta_has(req, 'q') ? CMD_OK : cmd_meta_answer(ctx, req, &key, "EN");
}

enum cmd_rc cmd_meta_debug(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    struct store_view view;
    stat_inc(ctx->stats, STAT_CMD_META);
    const enum store_rc rc =
        store_get(ctx->thread, &key.key, STORE_GET_CAS | STORE_GET_NO_BUMP, &view);
    cmd_item_got(ctx, &key.key, rc, &view);
    if (rc != STORE_OK) {
        proto_reply(ctx->out, PROTO_REPLY_META_END);
        return CMD_OK;
    }
    out_put_str(ctx->out, "ME ");
    if (view.key_binary) {
        uint8_t text[PROTO_KEY_TEXT_BYTES_MAX];
        out_put(ctx->out, text, base64_encode(text, view.key));
    } else {
        out_put(ctx->out, view.key.ptr, view.key.len);
    }
    const int64_t ttl_s = view.exp_s == 0 ? -1 : (int64_t)view.exp_s - ctx->now_s;
    out_printf(ctx->out, " exp=%lld la=%u cas=%llu fetch=%s cls=1 size=%llu\r\n", (long long)ttl_s,
               ctx->now_s - view.last_access_s, (unsigned long long)view.cas_unique,
               view.fetched ? "yes" : "no", (unsigned long long)view.memory_bytes);
    return CMD_OK;
}

enum cmd_rc cmd_meta_noop(struct cmd_ctx *ctx, struct proto_request *req)
{
    (void)req;
    proto_reply(ctx->out, PROTO_REPLY_META_NOOP);
    return CMD_OK;
}
