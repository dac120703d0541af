/* config: what the options are, and changes while the server runs.
 *
 *     config get NAME|BEGINNING*|*   CONFIG name value source, for each; END
 *     config set NAME VALUE          OK, or CLIENT_ERROR and why not; VALUE as in a file
 *     config reload                  OK: it is as if SIGHUP had come
 *
 * `config get cluster`, by which some clients ask whether there is a managed cluster behind the
 * address, is answered as any name that is not an option's: there is none.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

static enum cmd_rc client_error(struct cmd_ctx *ctx, const char *text)
{
    out_put_str(ctx->out, "CLIENT_ERROR ");
    out_put_str(ctx->out, text);
    out_put_str(ctx->out, "\r\n");
    return CMD_OK;
}

static struct bytes trimmed(struct bytes text)
{
    while (text.len > 0 && text.ptr[0] == ' ')
        text = bytes_skip(text, 1);
    while (text.len > 0 && text.ptr[text.len - 1] == ' ')
        text.len--;
    return text;
}

static enum cmd_rc config_get(struct cmd_ctx *ctx, struct bytes rest)
{
    struct bytes name;
    if (!proto_token_next(&rest, &name))
        return client_error(ctx, "usage: config get NAME|*");
    if (ctx->server == NULL || ctx->server->config_get == NULL ||
        !ctx->server->config_get(ctx->server_arg, name, ctx->out))
        return client_error(ctx, "no option has this name");
    proto_reply(ctx->out, PROTO_REPLY_END);
    return CMD_OK;
}

static enum cmd_rc config_set(struct cmd_ctx *ctx, struct bytes rest)
{
    char error[CMD_ERROR_BYTES] = "not possible here";
    struct bytes name;
    if (!proto_token_next(&rest, &name) || trimmed(rest).len == 0)
        return client_error(ctx, "usage: config set NAME VALUE");
    cmd_admin_used(ctx, "config set");
    if (ctx->server == NULL || ctx->server->config_set == NULL ||
        !ctx->server->config_set(ctx->server_arg, name, trimmed(rest), error))
        return client_error(ctx, error);
    proto_reply(ctx->out, PROTO_REPLY_OK);
    return CMD_OK;
}

static enum cmd_rc config_reload(struct cmd_ctx *ctx)
{
    cmd_admin_used(ctx, "config reload");
    if (ctx->server != NULL && ctx->server->config_reload != NULL)
        ctx->server->config_reload(ctx->server_arg);
    proto_reply(ctx->out, PROTO_REPLY_OK);
    return CMD_OK;
}

enum cmd_rc cmd_config(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct bytes rest = req->rest, word;
    if (!proto_token_next(&rest, &word))
        return client_error(ctx, "usage: config get, set or reload");
    if (bytes_is(word, "get"))
        return config_get(ctx, rest);
    if (bytes_is(word, "set"))
        return config_set(ctx, rest);
    if (bytes_is(word, "reload"))
        return config_reload(ctx);
    return client_error(ctx, "usage: config get, set or reload");
}
