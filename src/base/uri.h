/* base/uri.h — keys as memcached prints them where a line must not break: RFC 3986, section 2.1.
 *
 * Includes: base.  Included by: hot, logger, gate, cmd.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/bytes.h"

enum { URI_BYTES_PER_BYTE_MAX = 3 };

/* Write `text` with all but letters, digits and -._~ as %XX to `dst` (room for
 * URI_BYTES_PER_BYTE_MAX bytes for each of its bytes, no NUL). Returns where it ends. */
uint8_t *uri_write(uint8_t *dst, struct bytes text);
