/* delete_prefix, mdp: all keys that begin in some way.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

/* Delete what is below the request's prefix. Returns PROTO_REPLY_DELETED, or what to answer. */
static enum proto_reply run(struct cmd_ctx *ctx, const struct proto_request *req,
                            const struct cmd_key *prefix, enum logger_verb verb)
{
    stat_inc(ctx->stats, STAT_CMD_DELETE_PREFIX); /* a refused one as well */
    if (ctx->opts->disable_flush_all)
        return PROTO_REPLY_NO_DELETE_PREFIX;
    if (!store_delete_prefix(ctx->thread, prefix->key.key)) {
        stat_inc(ctx->stats, STAT_PREFIXES_REFUSED);
        return PROTO_REPLY_PREFIXES_MANY;
    }
    if ((ctx->watched & LOGGER_DELETIONS) != 0)
        cmd_prefix_deleted_log(ctx, prefix->key.key, verb);
    if (ctx->server != NULL && ctx->server->prefix_deleted != NULL)
        ctx->server->prefix_deleted(ctx, proto_name_of(req->cmd));
    return PROTO_REPLY_DELETED;
}

enum cmd_rc cmd_delete_prefix(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct cmd_key prefix;
    cmd_key_init(ctx, req, &prefix);
    return cmd_answer(ctx, req, run(ctx, req, &prefix, LOGGER_DELETE_PREFIX));
}

enum cmd_rc cmd_meta_delete_prefix(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct cmd_key prefix;
    cmd_key_init(ctx, req, &prefix);
    const enum proto_reply reply = run(ctx, req, &prefix, LOGGER_META_DELETE_PREFIX);
    if (reply != PROTO_REPLY_DELETED)
        return cmd_answer(ctx, req, reply);
    return proto_meta_has(req, 'q') ? CMD_OK : cmd_meta_answer(ctx, req, &prefix, "HD");
}
