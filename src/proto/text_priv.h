/* proto/text_priv.h — what the files of the text parser share.
 *
 *   text.c   lines, words, classic commands; the shortcuts for the hottest of them
 *   meta.c   keys and flags of meta commands
 *
 * Includes: base, proto.  Included by: proto/text.c, proto/meta.c.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/num.h"
#include "proto/compose.h"
#include "proto/request.h"

static ALWAYS_INLINE void text_request_init(struct proto_request *req, enum proto_cmd cmd)
{
    proto_request_init(req, cmd, 2);
}

/* Record why a line cannot be served; the last reason counts. */
static inline void text_refuse(struct proto_request *req, enum proto_reply reply)
{
    req->error = proto_reply_texts[reply];
}

static inline bool text_key_ok(struct bytes key)
{
    return key.len >= 1 && key.len <= PROTO_KEY_BYTES_MAX;
}

/* The first space or LF at or after `at`; `end` when there is none. */
static ALWAYS_INLINE const uint8_t *text_token_end(const uint8_t *at, const uint8_t *end)
{
#ifdef __SSE2__
    const __m128i space = _mm_set1_epi8(' '), lf = _mm_set1_epi8('\n');
    for (; end - at >= 16; at += 16) {
        const __m128i chunk = _mm_loadu_si128((const __m128i *)(const void *)at);
        const __m128i found = _mm_or_si128(_mm_cmpeq_epi8(chunk, space), _mm_cmpeq_epi8(chunk, lf));
        const unsigned mask = (unsigned)_mm_movemask_epi8(found);
        if (mask != 0)
            return at + __builtin_ctz(mask);
    }
#endif
    while (at < end && *at != ' ' && *at != '\n')
        at++;
    return at;
}

/* proto_token_next(), inlined. */
static ALWAYS_INLINE bool text_token_next(struct bytes *rest, struct bytes *ret_token)
{
    if (rest->len == 0)
        return false;
    const uint8_t *at = rest->ptr, *end = rest->ptr + rest->len;
    while (at < end && *at == ' ')
        at++;
    const uint8_t *stop = text_token_end(at, end);
    *ret_token = bytes_of(at, (size_t)(stop - at));
    *rest = bytes_of(stop, (size_t)(end - stop));
    return stop > at;
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
