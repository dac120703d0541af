/* bench/item.c — see item.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "item.h"

#include <string.h>

enum {
    HEAD_BYTES = 16,
    PATTERN_PERIOD = 65521, /* prime */
    PATTERN_EXTRA = 65536,  /* a slice may start anywhere and run this far without wrapping */
    START_COUNT = 4096,     /* slices start here at most: small values stay in the L1 cache */
};

static uint8_t pattern[PATTERN_PERIOD + PATTERN_EXTRA];

void item_init(void)
{
    struct dist_rng rng = {.state = 2011};
    for (size_t i = 0; i < PATTERN_PERIOD; i++)
        pattern[i] = (uint8_t)dist_rng_next(&rng);
    for (size_t i = PATTERN_PERIOD; i < sizeof(pattern); i++)
        pattern[i] = pattern[i - PATTERN_PERIOD];
}

void item_key_write(uint8_t *dst, uint32_t key_bytes, uint64_t id)
{
    static const char digits[16] = "0123456789abcdef";
    dst[0] = 'k';
    size_t i = key_bytes;
    for (; i > 1 && id != 0; id >>= 4)
        dst[--i] = (uint8_t)digits[id & 15];
    memset(dst + 1, '0', i - 1);
}

static void head_make(uint8_t head[HEAD_BYTES], const struct item *item)
{
    memcpy(head, &item->id, 8);
    memcpy(head + 8, &item->value_bytes, 4);
    memcpy(head + 12, &item->version, 4);
}

/* Where in the pattern the value's byte `at` lies, and how many follow it there (at most `len`). */
static const uint8_t *slice_at(const struct item *item, size_t at, size_t len, size_t *ret_len)
{
    size_t start = dist_mix(item->id * 31 + item->version) % START_COUNT;
    size_t place = (start + at) % PATTERN_PERIOD;
    size_t left = sizeof(pattern) - place;
    *ret_len = len < left ? len : left;
    return pattern + place;
}

void item_value_write(uint8_t *dst, const struct item *item, size_t at, size_t len)
{
    if (at < HEAD_BYTES) {
        uint8_t head[HEAD_BYTES];
        head_make(head, item);
        size_t part = len < HEAD_BYTES - at ? len : HEAD_BYTES - at;
        memcpy(dst, head + at, part);
        dst += part, at += part, len -= part;
    }
    while (len > 0) {
        size_t part;
        const uint8_t *slice = slice_at(item, at, len, &part);
        memcpy(dst, slice, part);
        dst += part, at += part, len -= part;
    }
}

bool item_value_check(const uint8_t *src, const struct item *item, size_t at, size_t len)
{
    if (at < HEAD_BYTES) {
        uint8_t head[HEAD_BYTES];
        head_make(head, item);
        size_t part = len < HEAD_BYTES - at ? len : HEAD_BYTES - at;
        if (memcmp(src, head + at, part) != 0)
            return false;
        src += part, at += part, len -= part;
    }
    while (len > 0) {
        size_t part;
        const uint8_t *slice = slice_at(item, at, len, &part);
        if (memcmp(src, slice, part) != 0)
            return false;
        src += part, at += part, len -= part;
    }
    return true;
}
