/* version quit flush_all verbosity cache_memlimit shutdown drain refresh_certs.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

enum cmd_rc cmd_version(struct cmd_ctx *ctx, struct proto_request *req)
{
    (void)req; /* `version noreply` is answered, as memccapable demands */
    out_put_str(ctx->out, "VERSION " CMD_VERSION "\r\n");
    return CMD_OK;
}

enum cmd_rc cmd_quit(struct cmd_ctx *ctx, struct proto_request *req)
{
    (void)req;
    ctx->close_reason = LOGGER_NORMAL;
    return CMD_CLOSE;
}

void cmd_flush_run(struct cmd_ctx *ctx, int64_t exptime)
{
    cmd_admin_used(ctx, "flush_all");
    store_flush(ctx->thread, exptime > 0 ? cmd_exptime(ctx, exptime) : ctx->now_s);
}

enum cmd_rc cmd_flush_all(struct cmd_ctx *ctx, struct proto_request *req)
{
    stat_inc(ctx->stats, STAT_CMD_FLUSH); /* a refused one as well */
    if (ctx->opts->disable_flush_all)
        return cmd_answer(ctx, req, PROTO_REPLY_NO_FLUSH);
    struct bytes token;
    int64_t exptime = 0;
    if (proto_token_next(&req->rest, &token) &&
        (!num_parse_i64(token, &exptime) || exptime < INT32_MIN || exptime > INT32_MAX))
        return cmd_answer(ctx, req, PROTO_REPLY_BAD_EXPTIME);
    cmd_flush_run(ctx, exptime);
    return cmd_answer(ctx, req, PROTO_REPLY_OK);
}

enum cmd_rc cmd_verbosity(struct cmd_ctx *ctx, struct proto_request *req)
{
    enum { LEVEL_MAX = 2 };
    struct bytes token;
    uint64_t level;
    if (!proto_token_next(&req->rest, &token))
        return cmd_answer(ctx, req, PROTO_REPLY_ERROR);
    if (!num_parse_u64(token, UINT32_MAX, &level))
        return cmd_answer(ctx, req, PROTO_REPLY_BAD_FORMAT);
    cmd_admin_used(ctx, "verbosity");
    if (ctx->server != NULL && ctx->server->verbosity_set != NULL)
        ctx->server->verbosity_set(ctx->server_arg,
                                   level > LEVEL_MAX ? LEVEL_MAX : (unsigned)level);
    return cmd_answer(ctx, req, PROTO_REPLY_OK);
}

enum cmd_rc cmd_cache_memlimit(struct cmd_ctx *ctx, struct proto_request *req)
{
    enum { MIB_MIN = 8, MIB_BITS = 20 };
    struct bytes token;
    uint64_t mib;
    if (!proto_token_next(&req->rest, &token) || !num_parse_u64(token, UINT32_MAX, &mib))
        return cmd_answer(ctx, req, PROTO_REPLY_ERROR);
    if (mib < MIB_MIN)
        return cmd_answer(ctx, req, PROTO_REPLY_MEMORY_SMALL);
    cmd_admin_used(ctx, "cache_memlimit");
    const bool done = ctx->server != NULL && ctx->server->memory_set != NULL &&
                      ctx->server->memory_set(ctx->server_arg, mib << MIB_BITS);
    return cmd_answer(ctx, req, done ? PROTO_REPLY_OK : PROTO_REPLY_MEMORY_FAILED);
}

enum cmd_rc cmd_shutdown(struct cmd_ctx *ctx, struct proto_request *req)
{
    if (!ctx->opts->enable_shutdown)
        return cmd_answer(ctx, req, PROTO_REPLY_NO_SHUTDOWN);
    struct bytes mode;
    const bool graceful = proto_token_next(&req->rest, &mode);
    if (graceful && !bytes_starts(bytes_str("graceful"), mode))
        return cmd_answer(ctx, req, PROTO_REPLY_BAD_SHUTDOWN);
    cmd_admin_used(ctx, "shutdown");
    if (ctx->server != NULL && ctx->server->shutdown != NULL)
        ctx->server->shutdown(ctx->server_arg, graceful);
    ctx->close_reason = LOGGER_SHUTDOWN;
    return CMD_CLOSE;
}

enum cmd_rc cmd_drain(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct bytes word;
    const bool undo = proto_token_next(&req->rest, &word);
    if (undo && (!bytes_is(word, "stop") || proto_token_next(&req->rest, &word)))
        return cmd_answer(ctx, req, PROTO_REPLY_BAD_DRAIN);
    cmd_admin_used(ctx, undo ? "drain stop" : "drain");
    const bool done =
        ctx->server != NULL && ctx->server->drain != NULL && ctx->server->drain(ctx, !undo);
    return cmd_answer(ctx, req, done ? PROTO_REPLY_OK : PROTO_REPLY_NO_DRAIN);
}

enum cmd_rc cmd_refresh_certs(struct cmd_ctx *ctx, struct proto_request *req)
{
    char error[CMD_ERROR_BYTES] = "Error TLS not enabled";
    cmd_admin_used(ctx, "refresh_certs");
    if (ctx->server != NULL && ctx->server->certs_refresh != NULL &&
        ctx->server->certs_refresh(ctx->server_arg, error))
        return cmd_answer(ctx, req, PROTO_REPLY_OK);
    out_put_str(ctx->out, error);
    out_put_str(ctx->out, "\r\n");
    return CMD_OK;
}
