/* bench/item.h — the items of a benchmark: key and value follow from (id, version, size) alone.
 *
 *    value:  | id u64 | size u32 | version u32 | slice of a pattern, chosen by id and version |
 *            0        8          12            16
 *
 * So every byte of every answer can be checked without remembering what was stored. The
 * pattern's period is a prime, so that swapped pieces of a large value are noticed.
 *
 * Includes: dist.  Included by: the bench programs.
 * Threads:  any, after item_init().
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "dist.h"

#include <stddef.h>

enum {
    ITEM_KEY_BYTES_MIN = 9,
    ITEM_KEY_BYTES_MAX = 250,
};

struct item {
    uint64_t id; /* below 16^(key bytes - 1) */
    uint32_t version;
    uint32_t value_bytes;
};

void item_init(void); /* once, first */

/* Write the key of `id`: 'k', then hexadecimal digits, `key_bytes` in all. */
void item_key_write(uint8_t *dst, uint32_t key_bytes, uint64_t id);

/* Write bytes at..at+len of the value. */
void item_value_write(uint8_t *dst, const struct item *item, size_t at, size_t len);

/* Are these bytes at..at+len of the value? */
MUST_USE bool item_value_check(const uint8_t *src, const struct item *item, size_t at, size_t len);
