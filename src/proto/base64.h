/* proto/base64.h — base64 of RFC 4648 with padding, for binary keys of meta commands.
 *
 * Includes: base.  Included by: proto, gate, cli.  Pure.
 * Spec:     RFC 4648 section 4; reading is as lenient as memcached's: foreign bytes are
 *           skipped, and what follows the padding is not looked at (observed 1.6.18).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

/* Bytes that base64_decode may write for `len` bytes of text, and that encoding `len` bytes
 * takes. */
#define BASE64_DECODED_MAX(len) ((len) / 4 * 3)
#define BASE64_ENCODED(len)     (((len) + 2) / 3 * 4)

/* Decode `text` into `dst` (room for BASE64_DECODED_MAX(text.len)).
 * Returns the number of bytes written; 0: not readable, or nothing in it. */
size_t base64_decode(uint8_t *dst, struct bytes text);

/* Encode `data` into `dst` (room for BASE64_ENCODED(data.len)). Returns the bytes written. */
size_t base64_encode(uint8_t *dst, struct bytes data);
