/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/request.h"

#include "proto/text_priv.h"

const struct proto_command proto_commands[PROTO_CMD_COUNT] = {
#define COMMAND(ID, word, SHAPE, args_min, CLASS, handler)                                         \
    {word, sizeof(word) - 1, args_min, PROTO_SHAPE_##SHAPE, PROTO_CLASS_##CLASS},
#include "tbl/commands.def"
#undef COMMAND
};

enum proto_class proto_class_of(enum proto_cmd cmd)
{
    static const uint8_t classes[PROTO_CMD_ALL_COUNT] = {
#define COMMAND(ID, word, SHAPE, args_min, CLASS, handler) [PROTO_CMD_##ID] = PROTO_CLASS_##CLASS,
#include "tbl/commands.def"
#undef COMMAND
#define OPCODE(ID, code, quiet, EXTRAS, KEY, VALUE, CLASS, handler)                                \
    [PROTO_CMD_BIN_##ID] = PROTO_CLASS_##CLASS,
#include "tbl/opcodes.def"
    };
    return (enum proto_class)classes[cmd];
}

const char *proto_name_of(enum proto_cmd cmd)
{
    static const char *const names[PROTO_CMD_ALL_COUNT] = {
#define COMMAND(ID, word, SHAPE, args_min, CLASS, handler) [PROTO_CMD_##ID] = (word),
#include "tbl/commands.def"
#undef COMMAND
        [PROTO_CMD_NONE] = "",
        [PROTO_CMD_BIN_NONE] = "",
#define OPCODE(ID, code, quiet, EXTRAS, KEY, VALUE, CLASS, handler) [PROTO_CMD_BIN_##ID] = #ID,
#include "tbl/opcodes.def"
    };
    return names[cmd];
}

bool proto_token_next(struct bytes *rest, struct bytes *ret_token)
{
    return text_token_next(rest, ret_token);
}
