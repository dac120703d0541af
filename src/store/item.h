/* store/item.h — the records of the log: layout, sizes, building, reading. Store only.
 *
 *   0        4     5    6      8
 *   +--------+-----+----+------+-------+-------+-------+-----+-------+-----+-------+ 8-byte
 *   | vlen:24| fmt | st | use  | exp   | flags | cas   | key | value | pad | stamp | aligned
 *   | klen:8 |     |    |      | 0 / 4 | 0124  | 0 / 8 |     |       |     | 0 / 8 |
 *   +--------+-----+----+------+-------+-------+-------+-----+-------+-----+-------+
 *
 *   klen 1..250  an item.  fmt NUMBER: the value is one aligned u64 and vlen its printed width.
 *                fmt LARGE: the value is an aligned table: u64 total bytes, then one location per
 *                fragment (vlen = bytes of that table).
 *                fmt STAMP: it is younger than that deletion of a key prefix, see (8) in
 *                store_priv.h. At the end, so that lookups need not know of it.
 *   klen 251     a fragment of a large item: u64 hash of the key (finds the item), then payload.
 *   klen 0       filler: vlen bytes in all, nothing in it.
 *
 * So a segment can be walked from its start without the index. `size` and `fmt` never change once
 * the record is published, nor do key and value (but for a NUMBER's u64). What changes:
 *   st   stale, win, cas-seen, dead: written under the bucket lock only, read by anyone. Dead also
 *        by who has unlinked the record, soon after.
 *   use  freq:2 fetched:1 la:13: overwritten by any reader without a lock; a lost update is
 *        harmless.
 *   exp  touch in place: written under the bucket lock, read by anyone.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdatomic.h>

#include "base/attr.h"
#include "base/bytes.h"

enum {
    FMT_EXP = 1,
    FMT_FLAGS_SHIFT = 1, /* two bits: client flags take 0, 1, 2 or 4 bytes */
    FMT_FLAGS = 3 << FMT_FLAGS_SHIFT,
    FMT_CAS = 8,
    FMT_LARGE = 16,
    FMT_BINARY = 32,
    FMT_NUMBER = 64,
    FMT_STAMP = 128,
};

enum { ST_STALE = 1, ST_WIN = 2, ST_CAS_SEEN = 4, ST_DEAD = 8 };

enum { ITEM_KLEN_FILLER = 0, ITEM_KLEN_FRAGMENT = 251 };
enum { ITEM_HEAD_BYTES = 8, ITEM_HEAD_BYTES_MAX = 24, ITEM_ALIGN = 8, ITEM_NUMBER_WIDTH_MAX = 20 };
enum { FRAGMENT_HEAD_BYTES = 16, ITEM_STAMP_BYTES = 8 };

/* use: freq in bits 14-15, fetched in 13, last access in 0-12 */
enum { USE_FREQ_SHIFT = 14, USE_FREQ_MAX = 3, USE_FETCHED = 1 << 13, USE_LA_MASK = 0x1fff };

struct item {
    uint32_t size; /* vlen << 8 | klen */
    uint8_t fmt;
    _Atomic uint8_t st;
    _Atomic uint16_t use;
};
_Static_assert(sizeof(struct item) == ITEM_HEAD_BYTES, "the header is eight bytes");

/* What a new item shall be. */
struct item_spec {
    struct bytes key;
    uint64_t value_bytes; /* plain: the value; NUMBER: printed width; LARGE: bytes of the table */
    uint64_t cas;         /* written when fmt has FMT_CAS */
    uint64_t stamp;       /* written when fmt has FMT_STAMP */
    uint32_t client_flags;
    uint32_t exp_s;
    uint8_t fmt; /* from item_fmt() */
};

static inline uint32_t item_align(uint64_t bytes)
{
    return (uint32_t)((bytes + ITEM_ALIGN - 1) & ~(uint64_t)(ITEM_ALIGN - 1));
}

static inline unsigned item_klen(const struct item *item)
{
    return item->size & 0xff;
}

static inline uint32_t item_vlen(const struct item *item)
{
    return item->size >> 8;
}

/* Bytes before the key, by the four low bits of fmt: 8 + exp + flags + cas. */
static inline unsigned item_head_bytes(unsigned fmt)
{
    static const uint8_t head[16] = {8, 12, 9, 13, 10, 14, 12, 16, 16, 20, 17, 21, 18, 22, 20, 24};
    return head[fmt & 15];
}

/* Flags of the layout for an item; `extra`: FMT_LARGE, FMT_BINARY, FMT_NUMBER, FMT_CAS, FMT_STAMP
 * as wanted. */
static inline uint8_t item_fmt(uint32_t exp_s, uint32_t client_flags, unsigned extra)
{
    const unsigned width = client_flags == 0        ? 0
                           : client_flags <= 0xff   ? 1
                           : client_flags <= 0xffff ? 2
                                                    : 3;
    return (uint8_t)((exp_s != 0 ? FMT_EXP : 0) | width << FMT_FLAGS_SHIFT | extra);
}

/* Numbers, large items, those with a stamp. */
uint64_t item_bytes_for_odd(unsigned fmt, size_t klen, uint64_t vlen);

static inline uint64_t item_bytes_for(unsigned fmt, size_t klen, uint64_t vlen)
{
    if (UNLIKELY((fmt & (FMT_NUMBER | FMT_LARGE | FMT_STAMP)) != 0))
        return item_bytes_for_odd(fmt, klen, vlen);
    return (item_head_bytes(fmt) + klen + vlen + ITEM_ALIGN - 1) & ~(uint64_t)(ITEM_ALIGN - 1);
}

/* Bytes of any record, whatever it is: the step of a walk. */
static inline uint32_t item_bytes(const struct item *item)
{
    const unsigned klen = item_klen(item);
    if (klen == ITEM_KLEN_FILLER)
        return item_vlen(item);
    if (klen == ITEM_KLEN_FRAGMENT)
        return item_align(FRAGMENT_HEAD_BYTES + (uint64_t)item_vlen(item));
    return (uint32_t)item_bytes_for(item->fmt, klen, item_vlen(item));
}

static inline uint8_t *item_key_ptr(const struct item *item)
{
    return (uint8_t *)(uintptr_t)item + item_head_bytes(item->fmt);
}

static inline struct bytes item_key(const struct item *item)
{
    return bytes_of(item_key_ptr(item), item_klen(item));
}

static inline bool item_key_is(const struct item *item, struct bytes key)
{
    return item_klen(item) == key.len && memcmp(item_key_ptr(item), key.ptr, key.len) == 0;
}

/* Start of the value, of a NUMBER's u64 or of a LARGE item's table. */
static inline uint8_t *item_value_ptr(const struct item *item)
{
    const unsigned head = item_head_bytes(item->fmt) + item_klen(item);
    return (uint8_t *)(uintptr_t)item +
           ((item->fmt & (FMT_NUMBER | FMT_LARGE)) ? item_align(head) : head);
}

static inline _Atomic uint64_t *item_number(const struct item *item)
{
    return (_Atomic uint64_t *)(void *)item_value_ptr(item);
}

/* LARGE: total bytes of the value, and its fragments' locations. */
static inline uint64_t item_large_bytes(const struct item *item)
{
    uint64_t total;
    memcpy(&total, item_value_ptr(item), sizeof(total));
    return total;
}

/* Bytes of the value as a client sees it. */
static inline uint64_t item_value_bytes(const struct item *item)
{
    return (item->fmt & FMT_LARGE) ? item_large_bytes(item) : item_vlen(item);
}

static inline _Atomic uint64_t *item_large_table(const struct item *item, size_t *ret_count)
{
    *ret_count = item_vlen(item) / sizeof(uint64_t) - 1;
    return (_Atomic uint64_t *)(void *)(item_value_ptr(item) + sizeof(uint64_t));
}

static inline _Atomic uint32_t *item_exp_ptr(const struct item *item)
{
    return (_Atomic uint32_t *)((uintptr_t)item + ITEM_HEAD_BYTES);
}

/* 0: never. Relaxed: a touch that runs beside this lookup comes before or after it. */
static inline uint32_t item_exp_s(const struct item *item)
{
    return (item->fmt & FMT_EXP) ? atomic_load_explicit(item_exp_ptr(item), memory_order_relaxed)
                                 : 0;
}

static inline uint32_t item_client_flags(const struct item *item)
{
    const uint8_t *at = (const uint8_t *)item + ITEM_HEAD_BYTES + ((item->fmt & FMT_EXP) ? 4 : 0);
    uint16_t two;
    uint32_t four;
    switch ((item->fmt & FMT_FLAGS) >> FMT_FLAGS_SHIFT) {
    case 0:
        return 0;
    case 1:
        return *at;
    case 2:
        memcpy(&two, at, sizeof(two));
        return two;
    default:
        memcpy(&four, at, sizeof(four));
        return four;
    }
}

/* The stored CAS unique; only for FMT_CAS. */
static inline uint64_t item_cas_field(const struct item *item)
{
    uint64_t cas;
    memcpy(&cas, item_key_ptr(item) - sizeof(cas), sizeof(cas));
    return cas;
}

/* Only before the record is linked. */
static inline void item_cas_field_set(struct item *item, uint64_t cas)
{
    memcpy(item_key_ptr(item) - sizeof(cas), &cas, sizeof(cas));
}

/* 0: without FMT_STAMP. */
static inline uint64_t item_stamp(const struct item *item)
{
    uint64_t stamp = 0;
    if (item->fmt & FMT_STAMP)
        memcpy(&stamp, (const uint8_t *)item + item_bytes(item) - ITEM_STAMP_BYTES, sizeof(stamp));
    return stamp;
}

static inline uint8_t item_st(const struct item *item)
{
    return atomic_load_explicit(&item->st, memory_order_acquire);
}

/* Under the bucket lock. Release: who sees cas-seen also sees the number it was set for. */
static inline void item_st_set(struct item *item, unsigned set, unsigned clear)
{
    const unsigned st = (item_st(item) | set) & ~clear;
    atomic_store_explicit(&item->st, (uint8_t)st, memory_order_release);
}

static inline uint16_t item_use(const struct item *item)
{
    return atomic_load_explicit(&item->use, memory_order_relaxed);
}

static inline unsigned item_use_freq(uint16_t use)
{
    return use >> USE_FREQ_SHIFT;
}

/* Seconds since the segment's birth in 13 bits: a tiny floating point number, 4-bit exponent and
 * 9-bit mantissa. Exact below 1024 s, rounded down by at most 0.2 % up to 194 days. */
static inline uint16_t item_la_encode(uint32_t age_s)
{
    if (age_s < 512)
        return (uint16_t)age_s;
    const unsigned shift = 22u - (unsigned)__builtin_clz(age_s); /* leaves 10 bits, the top one 1 */
    if (shift > 14)
        return USE_LA_MASK;
    return (uint16_t)((shift + 1) << 9 | (age_s >> shift & 0x1ff));
}

static inline uint32_t item_la_decode(uint16_t use)
{
    const unsigned exponent = (unsigned)(use & USE_LA_MASK) >> 9;
    const uint32_t mantissa = use & 0x1ff;
    return exponent == 0 ? mantissa : (mantissa | 0x200) << (exponent - 1);
}

/* Write a record that only fills space; bytes is a multiple of 8, at least 8. */
static inline void item_write_filler(void *at, uint32_t bytes)
{
    struct item *item = at;
    item->size = bytes << 8 | ITEM_KLEN_FILLER;
    item->fmt = 0;
    atomic_store_explicit(&item->st, ST_DEAD, memory_order_relaxed);
    atomic_store_explicit(&item->use, 0, memory_order_relaxed);
}

/* Write everything of a record but its value. Returns where the value goes. */
static inline uint8_t *item_write(struct item *item, const struct item_spec *spec)
{
    item->size = (uint32_t)(spec->value_bytes << 8 | spec->key.len);
    item->fmt = spec->fmt;
    atomic_store_explicit(&item->st, 0, memory_order_relaxed);
    atomic_store_explicit(&item->use, 0, memory_order_relaxed);
    uint8_t *at = (uint8_t *)item + ITEM_HEAD_BYTES;
    if (spec->fmt & FMT_EXP) {
        atomic_store_explicit(item_exp_ptr(item), spec->exp_s, memory_order_relaxed);
        at += 4;
    }
    const uint16_t two = (uint16_t)spec->client_flags;
    switch ((spec->fmt & FMT_FLAGS) >> FMT_FLAGS_SHIFT) {
    case 0:
        break;
    case 1:
        *at++ = (uint8_t)spec->client_flags;
        break;
    case 2:
        memcpy(at, &two, 2);
        at += 2;
        break;
    default:
        memcpy(at, &spec->client_flags, 4);
        at += 4;
    }
    if (spec->fmt & FMT_CAS) {
        memcpy(at, &spec->cas, 8);
        at += 8;
    }
    memcpy(at, spec->key.ptr, spec->key.len);
    if (UNLIKELY(spec->fmt & FMT_STAMP))
        memcpy((uint8_t *)item + item_bytes(item) - ITEM_STAMP_BYTES, &spec->stamp,
               ITEM_STAMP_BYTES);
    return item_value_ptr(item);
}
