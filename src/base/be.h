/* base/be.h — big-endian numbers in bytes that need not be aligned.
 *
 * Includes: base.  Included by: all.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <endian.h>

#include "base/bytes.h"

static inline uint16_t be_read_u16(const uint8_t *src)
{
    uint16_t value;
    memcpy(&value, src, sizeof(value));
    return be16toh(value);
}

static inline uint32_t be_read_u32(const uint8_t *src)
{
    uint32_t value;
    memcpy(&value, src, sizeof(value));
    return be32toh(value);
}

static inline uint64_t be_read_u64(const uint8_t *src)
{
    uint64_t value;
    memcpy(&value, src, sizeof(value));
    return be64toh(value);
}

/* Each returns where the next byte goes. */
static inline uint8_t *be_write_u16(uint8_t *dst, uint16_t value)
{
    value = htobe16(value);
    memcpy(dst, &value, sizeof(value));
    return dst + sizeof(value);
}

static inline uint8_t *be_write_u32(uint8_t *dst, uint32_t value)
{
    value = htobe32(value);
    memcpy(dst, &value, sizeof(value));
    return dst + sizeof(value);
}

static inline uint8_t *be_write_u64(uint8_t *dst, uint64_t value)
{
    value = htobe64(value);
    memcpy(dst, &value, sizeof(value));
    return dst + sizeof(value);
}
