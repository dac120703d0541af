/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/uri.h"

static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

uint8_t *uri_write(uint8_t *dst, struct bytes text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t c = text.ptr[i];
        if (is_unreserved(c)) {
            *dst++ = c;
            continue;
        }
        *dst++ = '%';
        *dst++ = (uint8_t)digits[c >> 4];
        *dst++ = (uint8_t)digits[c & 15];
    }
    return dst;
}
