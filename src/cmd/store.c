/* set add replace append prepend cas.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

static enum store_mode mode_of(enum proto_cmd cmd)
{
    if (cmd == PROTO_CMD_ADD)
        return STORE_ADD;
    if (cmd == PROTO_CMD_REPLACE)
        return STORE_REPLACE;
    if (cmd == PROTO_CMD_APPEND)
        return STORE_APPEND;
    if (cmd == PROTO_CMD_PREPEND)
        return STORE_PREPEND;
    return STORE_SET;
}

static enum proto_reply reply_of(struct cmd_ctx *ctx, const struct proto_request *req,
                                 enum store_rc rc)
{
    switch (rc) {
    case STORE_OK:
        return PROTO_REPLY_STORED;
    case STORE_MISS:
    case STORE_EXPIRED:
    case STORE_FLUSHED:
        return PROTO_REPLY_NOT_FOUND;
    case STORE_EXISTS:
        return PROTO_REPLY_EXISTS;
    case STORE_NOT_STORED:
    case STORE_NOT_NUMBER: /* of arithmetic alone */
        return PROTO_REPLY_NOT_STORED;
    case STORE_TOO_LARGE:
    case STORE_NO_MEMORY:
        break;
    }
    return cmd_store_refused(ctx, req, rc);
}

enum store_rc cmd_put_run(struct cmd_ctx *ctx, const struct proto_request *req,
                          const struct cmd_put *how, struct store_put_result *ret_result)
{
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    cmd_prefix_count(ctx, key.key.key, PREFIX_SET);
    key.key.binary |= how->key_binary;
    const struct store_put put = {
        .mode = how->mode,
        .compare = how->compare,
        .compare_cas = req->compare_cas,
        .client_flags = req->client_flags,
        .exp_s = how->exp_s,
        .value = req->value,
        .upload = how->upload,
    };
    const enum store_rc rc = cmd_item_put(ctx, req, &key.key, &put, ret_result);
    if (rc != STORE_TOO_LARGE && rc != STORE_NO_MEMORY)
        stat_inc(ctx->stats, STAT_CMD_SET); /* an upload was accepted, whatever came of it */
    if (put.compare)
        cmd_count_compare(ctx, rc);
    if (rc == STORE_OK && ctx->hists != NULL)
        cmd_count_stored(ctx, req, put.exp_s);
    return rc;
}

/* Its end is missing. */
static enum cmd_rc store_bad(struct cmd_ctx *ctx, const struct proto_request *req,
                             struct store_upload *upload)
{
    struct cmd_key key;
    cmd_key_init(ctx, req, &key);
    cmd_prefix_count(ctx, key.key.key, PREFIX_SET);
    stat_inc(ctx->stats, STAT_CMD_SET);
    store_upload_free(upload);
    return cmd_answer(ctx, req, PROTO_REPLY_BAD_CHUNK);
}

enum cmd_rc cmd_store_run(struct cmd_ctx *ctx, struct proto_request *req,
                          struct store_upload *upload)
{
    if (UNLIKELY(req->value_bad))
        return store_bad(ctx, req, upload);
    const struct cmd_put how = {
        .mode = mode_of(req->cmd),
        .compare = req->cmd == PROTO_CMD_CAS,
        .exp_s = cmd_exptime(ctx, req->exptime),
        .upload = upload,
    };
    const enum store_rc rc = cmd_put_run(ctx, req, &how, NULL);
    return cmd_answer(ctx, req, reply_of(ctx, req, rc));
}

enum cmd_rc cmd_store(struct cmd_ctx *ctx, struct proto_request *req)
{
    return cmd_store_run(ctx, req, NULL);
}
