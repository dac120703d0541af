/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/request.h"

const struct proto_command proto_commands[PROTO_CMD_COUNT] = {
#define COMMAND(ID, word, SHAPE, args_min, CLASS, handler)                                         \
    {word, sizeof(word) - 1, args_min, PROTO_SHAPE_##SHAPE, PROTO_CLASS_##CLASS},
#include "tbl/commands.def"
#undef COMMAND
};

bool proto_token_next(struct bytes *rest, struct bytes *ret_token)
{
    if (rest->len == 0)
        return false;
    const uint8_t *at = rest->ptr, *end = rest->ptr + rest->len;
    while (at < end && *at == ' ')
        at++;
    if (at == end) {
        *rest = bytes_of(end, 0);
        return false;
    }
    const uint8_t *stop = memchr(at, ' ', (size_t)(end - at));
    if (stop == NULL)
        stop = end;
    *ret_token = bytes_of(at, (size_t)(stop - at));
    *rest = bytes_of(stop, (size_t)(end - stop));
    return true;
}
