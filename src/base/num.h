/* base/num.h — decimal numbers to and from bytes, always range-checked.
 *
 * Includes: base.  Included by: all.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum { NUM_U64_DIGITS_MAX = 20 };

/* Read all of `text` as an unsigned decimal: digits only, no sign, no blank, at least one digit.
 * Returns false (and writes nothing) on anything else or above `max`. */
MUST_USE bool num_parse_u64(struct bytes text, uint64_t max, uint64_t *ret_value);
/* The same with an optional leading '-'. */
MUST_USE bool num_parse_i64(struct bytes text, int64_t *ret_value);

/* As num_format_u64(), for any value. */
size_t num_format_long(uint8_t *dst, uint64_t value);
extern const char num_pairs[201]; /* "00" to "99" */

/* Write `value` in decimal to `dst` (room for NUM_U64_DIGITS_MAX bytes, no NUL).
 * Returns the number of digits. Inlined, for answers hold two or three numbers, mostly short. */
static ALWAYS_INLINE size_t num_format_u64(uint8_t *dst, uint64_t value)
{
    if (value < 10) {
        dst[0] = (uint8_t)('0' + value);
        return 1;
    }
    if (value < 100) {
        memcpy(dst, num_pairs + 2 * value, 2);
        return 2;
    }
    if (value < 1000) {
        dst[0] = (uint8_t)('0' + value / 100);
        memcpy(dst + 1, num_pairs + 2 * (value % 100), 2);
        return 3;
    }
    return num_format_long(dst, value);
}
/* Decimal digits of `value`, 1..20. */
size_t num_digits_u64(uint64_t value);
