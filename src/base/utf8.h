/* base/utf8.h — characters of UTF-8.
 *
 * Includes: base.  Included by: web, cli.  Pure.
 * Spec:     RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/bytes.h"

/* Bytes of the character at the start of `in`, which is not empty; 0: it is none. */
size_t utf8_char(struct bytes in);
