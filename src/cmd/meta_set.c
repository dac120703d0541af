/* ms: store.  md: delete or invalidate.  ma: arithmetic.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

/* The answer's code; NULL for what is answered with an error line. */
static const char *code_of(enum store_rc rc)
{
    switch (rc) {
    case STORE_OK:
        return "HD";
    case STORE_MISS:
    case STORE_EXPIRED:
    case STORE_FLUSHED:
        return "NF";
    case STORE_EXISTS:
        return "EX";
    case STORE_NOT_STORED:
        return "NS";
    case STORE_NOT_NUMBER:
    case STORE_TOO_LARGE:
    case STORE_NO_MEMORY:
        break;
    }
    return NULL;
}

/* ── ms ───────────────────────────────────────────────────────────────────────────────────── */

static enum store_mode mode_of(uint8_t letter)
{
    switch (letter) {
    case 'E':
        return STORE_ADD;
    case 'A':
        return STORE_APPEND;
    case 'P':
        return STORE_PREPEND;
    case 'R':
        return STORE_REPLACE;
    default:
        return STORE_SET;
    }
}

static void answer_set(struct cmd_ctx *ctx, const struct proto_request *req,
                       const struct cmd_key *key, const char *code,
                       const struct store_put_result *result)
{
    uint8_t *start = out_reserve(ctx->out, CMD_META_HEAD_BYTES_MAX);
    if (start == NULL)
        return;
    uint8_t *dst = proto_write(start, code, 2);
    for (size_t i = 0; i < req->meta.letter_count; i++) {
        const char letter = req->meta.letters[i];
        if (letter == 'c')
            dst = cmd_write_flag(dst, 'c', result->cas_unique);
        else if (letter == 's')
            dst = cmd_write_flag(dst, 's', result->value_bytes);
        else
            dst = cmd_write_echo(dst, letter, req, key->key.key, key->key.binary);
    }
    dst = proto_write_crlf(dst);
    out_commit(ctx->out, (size_t)(dst - start));
}

enum cmd_rc cmd_meta_set_run(struct cmd_ctx *ctx, struct proto_request *req,
                             struct store_upload *upload)
{
    if (UNLIKELY(req->value_bad)) {
        stat_inc(ctx->stats, STAT_CMD_SET);
        store_upload_free(upload);
        return cmd_answer(ctx, req, PROTO_REPLY_BAD_CHUNK);
    }
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    const struct store_put put = {
        .mode = mode_of(req->meta.mode),
        .compare = proto_meta_has(req, 'C'),
        .allow_stale = proto_meta_has(req, 'I'),
        .vivify = proto_meta_has(req, 'N'),
        .client_flags = req->client_flags,
        .exp_s = cmd_exptime(ctx, req->exptime),
        .vivify_exp_s = cmd_exptime(ctx, req->meta.vivify_exptime),
        .compare_cas = req->compare_cas,
        .explicit_cas = req->meta.explicit_cas,
        .value = req->value,
        .upload = upload,
    };
    /* What c and s say of a failure. */
    struct store_put_result result = {.cas_unique = 0, .value_bytes = req->value_bytes};
    const enum store_rc rc = cmd_item_put(ctx, req, &key.key, &put, &result);
    const char *code = code_of(rc);
    if (code == NULL)
        return cmd_answer(ctx, req, cmd_store_refused(ctx, req, rc));
    stat_inc(ctx->stats, STAT_CMD_SET);
    if (put.compare)
        cmd_count_compare(ctx, rc);
    if (rc == STORE_OK && ctx->hists != NULL)
        cmd_count_stored(ctx, req, put.exp_s);
    if (rc != STORE_OK || !proto_meta_has(req, 'q'))
        answer_set(ctx, req, &key, code, &result);
    return CMD_OK;
}

enum cmd_rc cmd_meta_set(struct cmd_ctx *ctx, struct proto_request *req)
{
    return cmd_meta_set_run(ctx, req, NULL);
}

/* ── md ───────────────────────────────────────────────────────────────────────────────────── */

enum cmd_rc cmd_meta_delete(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    const struct store_delete how = {
        .compare = proto_meta_has(req, 'C'),
        .invalidate = proto_meta_has(req, 'I'),
        .clear_value = proto_meta_has(req, 'x'),
        .touch = proto_meta_has(req, 'T'),
        .touch_exp_s = cmd_exptime(ctx, req->exptime),
        .compare_cas = req->compare_cas,
        .explicit_cas = req->meta.explicit_cas,
    };
    const enum store_rc rc = cmd_item_delete(ctx, &key.key, &how, LOGGER_META_DELETE);
    const char *code = code_of(rc);
    if (code == NULL)
        return cmd_answer(ctx, req, PROTO_REPLY_NO_MEMORY);
    cmd_count_gone(ctx, rc);
    if (rc != STORE_OK)
        stat_inc(ctx->stats, STAT_DELETE_MISSES);
    else if (!how.invalidate && !how.clear_value)
        stat_inc(ctx->stats, STAT_DELETE_HITS);
    if (rc == STORE_OK && proto_meta_has(req, 'q'))
        return CMD_OK;
    return cmd_meta_answer(ctx, req, &key, code);
}

/* ── ma ───────────────────────────────────────────────────────────────────────────────────── */

/* A `t` before T or N tells the time before; on a creation that is none. */
static uint8_t *write_arith_flags(uint8_t *dst, struct cmd_ctx *ctx,
                                  const struct proto_request *req, const struct cmd_key *key,
                                  const struct store_arith_result *result)
{
    uint32_t exp_s = result->created ? 0 : result->exp_s;
    for (size_t i = 0; i < req->meta.letter_count; i++) {
        const char letter = req->meta.letters[i];
        if (letter == 'c')
            dst = cmd_write_flag(dst, 'c', result->cas_unique);
        else if (letter == 't')
            dst = cmd_write_ttl(dst, ctx, exp_s);
        else if (letter == 'T')
            exp_s = cmd_exptime(ctx, req->exptime);
        else if (letter == 'N' && result->created)
            exp_s = cmd_exptime(ctx, req->meta.vivify_exptime);
        else
            dst = cmd_write_echo(dst, letter, req, key->key.key, key->key.binary);
    }
    return dst;
}

static void answer_arith(struct cmd_ctx *ctx, const struct proto_request *req,
                         const struct cmd_key *key, const struct store_arith_result *result)
{
    uint8_t *start = out_reserve(ctx->out, CMD_META_HEAD_BYTES_MAX + NUM_U64_DIGITS_MAX + 2);
    if (start == NULL)
        return;
    const bool with_value = proto_meta_has(req, 'v');
    uint8_t *dst = proto_write(start, with_value ? "VA" : "HD", 2);
    if (with_value)
        dst = proto_write_number(dst, ' ', num_digits_u64(result->value));
    dst = proto_write_crlf(write_arith_flags(dst, ctx, req, key, result));
    if (with_value)
        dst = proto_write_crlf(dst + num_format_u64(dst, result->value));
    out_commit(ctx->out, (size_t)(dst - start));
}

/* With both t and T the answer may have to tell the exptime before; the store tells the new one. */
static uint32_t exptime_before(struct cmd_ctx *ctx, const struct proto_request *req,
                               const struct cmd_key *key)
{
    struct store_view view;
    if (!proto_meta_has(req, 't') || !proto_meta_has(req, 'T') ||
        store_get(ctx->thread, &key->key, STORE_GET_NO_BUMP, &view) != STORE_OK)
        return 0;
    return view.exp_s;
}

enum cmd_rc cmd_meta_arith(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    const struct store_arith arith = {
        .decr = req->meta.mode == 'D' || req->meta.mode == '-',
        .compare = proto_meta_has(req, 'C'),
        .vivify = proto_meta_has(req, 'N'),
        .touch = proto_meta_has(req, 'T'),
        .vivify_exp_s = cmd_vivify_exptime(ctx, req),
        .touch_exp_s = cmd_exptime(ctx, req->exptime),
        .delta = req->delta,
        .initial = req->meta.initial,
        .compare_cas = req->compare_cas,
        .explicit_cas = req->meta.explicit_cas,
        .flags = proto_meta_has(req, 'c') ? STORE_GET_CAS : 0,
    };
    const uint32_t exp_before_s = exptime_before(ctx, req, &key);
    struct store_arith_result result = {.created = false};
    const enum store_rc rc = cmd_item_arith(ctx, &key.key, &arith, &result);
    if (arith.touch)
        result.exp_s = exp_before_s;
    cmd_count_arith(ctx, arith.decr, rc, result.created);
    const char *code = code_of(rc);
    if (code == NULL)
        return cmd_answer(ctx, req,
                          rc == STORE_NOT_NUMBER ? PROTO_REPLY_NOT_NUMBER : PROTO_REPLY_NO_MEMORY);
    if (rc != STORE_OK)
        return cmd_meta_answer(ctx, req, &key, code);
    if (!proto_meta_has(req, 'q') || result.created) /* a creation is told (observed 1.6.18) */
        answer_arith(ctx, req, &key, &result);
    return CMD_OK;
}
