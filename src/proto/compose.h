/* proto/compose.h — answers of the text protocol, written straight into the output.
 *
 * Two kinds of calls: proto_reply() appends a whole fixed line; the proto_write_… helpers write
 * at a pointer into space that the caller has reserved, and return where they stopped.
 *
 * Includes: base, proto/base64.h, tbl/replies.def.  Included by: gate, cmd.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/num.h"
#include "base/out.h"
#include "proto/base64.h"

enum proto_reply {
#define REPLY(ID, text) PROTO_REPLY_##ID,
#include "tbl/replies.def"
#undef REPLY
    PROTO_REPLY_COUNT
};

/* The texts, for proto_request.error and the like: NUL-terminated, without their line end. */
extern const char *const proto_reply_texts[PROTO_REPLY_COUNT];
/* The same with CR LF. */
extern const struct bytes proto_reply_lines[PROTO_REPLY_COUNT];

static inline void proto_reply(struct out *out, enum proto_reply reply)
{
    const struct bytes line = proto_reply_lines[reply];
    out_put(out, line.ptr, line.len);
}

enum {
    /* "VALUE " key " " flags " " bytes " " cas CR LF */
    PROTO_VALUE_HEAD_BYTES_MAX = 6 + 250 + 1 + 10 + 1 + 20 + 1 + 20 + 2,
    PROTO_END_BYTES = 5, /* END CR LF */
};

static ALWAYS_INLINE uint8_t *proto_write(uint8_t *dst, const void *ptr, size_t len)
{
    memcpy(dst, ptr, len);
    return dst + len;
}

static inline uint8_t *proto_write_crlf(uint8_t *dst)
{
    return proto_write(dst, "\r\n", 2);
}

static inline uint8_t *proto_write_end(uint8_t *dst)
{
    return proto_write(dst, "END\r\n", PROTO_END_BYTES);
}

/* A character and a number: " 12", "c12". */
static inline uint8_t *proto_write_number(uint8_t *dst, char before, uint64_t value)
{
    *dst++ = (uint8_t)before;
    return dst + num_format_u64(dst, value);
}

/* `VALUE key flags bytes`, without the line end. */
static inline uint8_t *proto_write_value_head(uint8_t *dst, struct bytes key, uint32_t client_flags,
                                              uint64_t value_bytes)
{
    dst = proto_write(dst, "VALUE ", 6);
    dst = proto_write(dst, key.ptr, key.len);
    dst = proto_write_number(dst, ' ', client_flags);
    return proto_write_number(dst, ' ', value_bytes);
}
