/* What the answers of meta commands share.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

static uint8_t *write_opaque(uint8_t *dst, const struct proto_request *req)
{
    dst = cmd_write_letter(dst, 'O');
    const struct bytes opaque = req->meta.opaque;
    return opaque.len > 0 ? proto_write(dst, opaque.ptr, opaque.len) : dst;
}

static uint8_t *write_key(uint8_t *dst, struct bytes key, bool binary)
{
    dst = cmd_write_letter(dst, 'k');
    if (!binary)
        return proto_write(dst, key.ptr, key.len);
    dst += base64_encode(dst, key);
    return cmd_write_letter(dst, 'b');
}

uint8_t *cmd_write_echo(uint8_t *dst, char letter, const struct proto_request *req,
                        struct bytes key, bool binary)
{
    if (letter == 'O')
        return write_opaque(dst, req);
    return letter == 'k' ? write_key(dst, key, binary) : dst;
}

uint8_t *cmd_write_ttl(uint8_t *dst, const struct cmd_ctx *ctx, uint32_t exp_s)
{
    if (exp_s == 0)
        return proto_write(dst, " t-1", 4);
    return cmd_write_flag(dst, 't', exp_s > ctx->now_s ? exp_s - ctx->now_s : 0);
}

enum cmd_rc cmd_meta_answer(struct cmd_ctx *ctx, const struct proto_request *req,
                            const struct cmd_key *key, const char code[static 2])
{
    uint8_t *start = out_reserve(ctx->out, CMD_META_HEAD_BYTES_MAX);
    if (start == NULL)
        return CMD_OK;
    uint8_t *dst = proto_write(start, code, 2);
    for (size_t i = 0; i < req->meta.letter_count; i++)
        dst = cmd_write_echo(dst, req->meta.letters[i], req, key->key.key, key->key.binary);
    dst = proto_write_crlf(dst);
    out_commit(ctx->out, (size_t)(dst - start));
    return CMD_OK;
}
