/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/base64.h"

enum { PAD = 64, FOREIGN = 65 };

static const char digits[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The six bits that a character stands for, or PAD or FOREIGN. */
static unsigned sextet(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned)c - 'A';
    if (c >= 'a' && c <= 'z')
        return (unsigned)c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return (unsigned)c - '0' + 52;
    if (c == '+')
        return 62;
    if (c == '/')
        return 63;
    return c == '=' ? PAD : FOREIGN;
}

/* Does the text consist of whole groups of four, foreign bytes left out? */
static bool whole_groups(struct bytes text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += sextet(text.ptr[i]) != FOREIGN;
    return count > 0 && count % 4 == 0;
}

size_t base64_decode(uint8_t *dst, struct bytes text)
{
    if (!whole_groups(text))
        return 0;
    uint32_t group = 0;
    unsigned in_group = 0, pads = 0;
    size_t written = 0;
    for (size_t i = 0; i < text.len; i++) {
        const unsigned bits = sextet(text.ptr[i]);
        if (bits == FOREIGN)
            continue;
        pads += bits == PAD;
        group = group << 6 | (bits & 63);
        if (++in_group < 4)
            continue;
        dst[written++] = (uint8_t)(group >> 16);
        dst[written++] = (uint8_t)(group >> 8);
        dst[written++] = (uint8_t)group;
        if (pads > 0)
            return pads <= 2 ? written - pads : 0;
        in_group = 0;
        group = 0;
    }
    return written;
}

size_t base64_encode(uint8_t *dst, struct bytes data)
{
    size_t written = 0;
    for (size_t i = 0; i < data.len; i += 3) {
        const size_t count = data.len - i < 3 ? data.len - i : 3;
        uint32_t group = (uint32_t)data.ptr[i] << 16;
        if (count > 1)
            group |= (uint32_t)data.ptr[i + 1] << 8;
        if (count > 2)
            group |= data.ptr[i + 2];
        for (size_t digit = 0; digit < 4; digit++)
            dst[written++] =
                digit <= count ? (uint8_t)digits[group >> (18 - 6 * digit) & 63] : (uint8_t)'=';
    }
    return written;
}
