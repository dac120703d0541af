/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/num.h"

bool num_parse_u64(struct bytes text, uint64_t max, uint64_t *ret_value)
{
    if (text.len == 0)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        const unsigned digit = (unsigned)text.ptr[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    if (value > max)
        return false;
    *ret_value = value;
    return true;
}

bool num_parse_i64(struct bytes text, int64_t *ret_value)
{
    const bool negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t magnitude;
    if (!num_parse_u64(negative ? bytes_skip(text, 1) : text, (uint64_t)INT64_MAX + negative,
                       &magnitude))
        return false;
    *ret_value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

size_t num_digits_u64(uint64_t value)
{
    size_t digits = 1;
    for (; value >= 10; value /= 10)
        digits++;
    return digits;
}

/* Two digits per division. */
const char num_pairs[] = "00010203040506070809101112131415161718192021222324"
                         "25262728293031323334353637383940414243444546474849"
                         "50515253545556575859606162636465666768697071727374"
                         "75767778798081828384858687888990919293949596979899";

size_t num_format_long(uint8_t *dst, uint64_t value)
{
    const size_t digits = num_digits_u64(value);
    size_t at = digits;
    while (value >= 100) {
        at -= 2;
        memcpy(dst + at, num_pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (value >= 10)
        memcpy(dst, num_pairs + 2 * value, 2);
    else
        dst[0] = (uint8_t)('0' + value);
    return digits;
}
