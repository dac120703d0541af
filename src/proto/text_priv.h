/* proto/text_priv.h — what the files of the text parser share.
 *
 *   text.c   lines, words, classic commands; the shortcuts for the hottest of them
 *   meta.c   keys and flags of meta commands
 *
 * Includes: base, proto.  Included by: proto/text.c, proto/meta.c.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/num.h"
#include "proto/compose.h"
#include "proto/request.h"

/* Record why a line cannot be served; the last reason counts. */
static inline void text_refuse(struct proto_request *req, enum proto_reply reply)
{
    req->error = proto_reply_texts[reply];
}

static inline bool text_key_ok(struct bytes key)
{
    return key.len >= 1 && key.len <= PROTO_KEY_BYTES_MAX;
}

/* A signed 32-bit decimal. */
MUST_USE bool text_parse_i32(struct bytes token, int32_t *ret_value);

/* A number the way strtoul() reads it: blanks before and after, a sign, 64 bits. The oddities
 * of storage commands' flags and exptime hang on it. */
MUST_USE bool text_parse_loose(struct bytes token, uint64_t *ret_value);

/* Client flags: such a number modulo 2^32, unless it was negative. */
MUST_USE bool text_parse_client_flags(struct bytes token, uint32_t *ret_value);

/* Read key and flags of a meta command; `rest` follows its word. */
void text_parse_meta(struct bytes rest, struct proto_request *req);
