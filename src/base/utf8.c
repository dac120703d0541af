/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/utf8.h"

#include "base/attr.h"

size_t utf8_char(struct bytes in)
{
    static const struct {
        uint8_t first_min, first_max, second_min, second_max;
        size_t len;
    } forms[] = {
        {0x00, 0x7f, 0x80, 0xbf, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        if (in.ptr[0] < forms[i].first_min || in.ptr[0] > forms[i].first_max)
            continue;
        if (in.len < forms[i].len)
            return 0;
        for (size_t j = 1; j < forms[i].len; j++)
            if (in.ptr[j] < (j == 1 ? forms[i].second_min : 0x80) ||
                in.ptr[j] > (j == 1 ? forms[i].second_max : 0xbf))
                return 0;
        return forms[i].len;
    }
    return 0;
}
