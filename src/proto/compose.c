/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/compose.h"

const char *const proto_reply_texts[PROTO_REPLY_COUNT] = {
#define REPLY(ID, text) text,
#include "tbl/replies.def"
#undef REPLY
};

const struct bytes proto_reply_lines[PROTO_REPLY_COUNT] = {
#define REPLY(ID, text) {(const uint8_t *)text "\r\n", sizeof(text "\r\n") - 1},
#include "tbl/replies.def"
#undef REPLY
};
