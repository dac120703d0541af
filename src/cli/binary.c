/* cli/binary.c — the little of the binary protocol that `matte check` needs.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/binary.h"

#include "base/be.h"

enum { MAGIC_REQUEST = 0x80, MAGIC_ANSWER = 0x81 };

enum cli_reply_rc cli_binary_parse(struct bytes in, struct cli_binary *ret_binary, size_t *ret_used)
{
    if (in.len > 0 && in.ptr[0] != MAGIC_ANSWER)
        return CLI_REPLY_BAD;
    if (in.len < CLI_BINARY_HEADER_BYTES)
        return CLI_REPLY_MORE;
    const size_t key_bytes = be_read_u16(in.ptr + 2), extra_bytes = in.ptr[4];
    const uint32_t body_bytes = be_read_u32(in.ptr + 8);
    if (body_bytes > CLI_BINARY_BODY_BYTES_MAX || key_bytes + extra_bytes > body_bytes)
        return CLI_REPLY_BAD;
    if (in.len < CLI_BINARY_HEADER_BYTES + body_bytes)
        return CLI_REPLY_MORE;
    ret_binary->opcode = in.ptr[1];
    ret_binary->status = be_read_u16(in.ptr + 6);
    ret_binary->value = bytes_of(in.ptr + CLI_BINARY_HEADER_BYTES + extra_bytes + key_bytes,
                                 body_bytes - extra_bytes - key_bytes);
    *ret_used = CLI_BINARY_HEADER_BYTES + body_bytes;
    return CLI_REPLY_WHOLE;
}

size_t cli_binary_write(uint8_t *dst, uint8_t opcode, struct bytes key)
{
    memset(dst, 0, CLI_BINARY_HEADER_BYTES);
    dst[0] = MAGIC_REQUEST;
    dst[1] = opcode;
    (void)be_write_u16(dst + 2, (uint16_t)key.len);
    (void)be_write_u32(dst + 8, (uint32_t)key.len);
    if (key.len > 0)
        memcpy(dst + CLI_BINARY_HEADER_BYTES, key.ptr, key.len);
    return CLI_BINARY_HEADER_BYTES + key.len;
}
