/* gate/siphash.h — SipHash-2-4: its state, one word at a time, and the result of 64 bits.
 *
 * Usable in a program of the kernel (BPF) as well: everything is inline, no call of a library, and
 * only siphash_bytes() has a loop whose length comes from its caller.
 *
 * Includes: nothing of ours.  Included by: gate.  Pure.
 * Threads:  any.
 * Spec:     Aumasson and Bernstein, "SipHash: a fast short-input PRF".
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct siphash {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t siphash_rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void siphash_round(struct siphash *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = siphash_rotate(s->v1, 13) ^ s->v0;
    s->v3 = siphash_rotate(s->v3, 16) ^ s->v2;
    s->v0 = siphash_rotate(s->v0, 32) + s->v3;
    s->v2 += s->v1;
    s->v3 = siphash_rotate(s->v3, 21) ^ s->v0;
    s->v1 = siphash_rotate(s->v1, 17) ^ s->v2;
    s->v2 = siphash_rotate(s->v2, 32);
}

/* The key's 16 bytes as two words, the first byte of each lowest. */
static inline struct siphash siphash_begin(uint64_t key_0, uint64_t key_1)
{
    const struct siphash s = {
        .v0 = key_0 ^ 0x736f6d6570736575,
        .v1 = key_1 ^ 0x646f72616e646f6d,
        .v2 = key_0 ^ 0x6c7967656e657261,
        .v3 = key_1 ^ 0x7465646279746573,
    };
    return s;
}

static inline void siphash_word(struct siphash *s, uint64_t word)
{
    s->v3 ^= word;
    siphash_round(s);
    siphash_round(s);
    s->v0 ^= word;
}

/* The four closing rounds; what goes into v1 or v2 before them is the caller's. */
static inline uint64_t siphash_fold(struct siphash *s)
{
    siphash_round(s);
    siphash_round(s);
    siphash_round(s);
    siphash_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static inline uint64_t siphash_end_64(struct siphash *s)
{
    s->v2 ^= 0xff;
    return siphash_fold(s);
}

/* Eight bytes as a word, the first one lowest. */
static inline uint64_t siphash_load(const uint8_t *src)
{
    return (uint64_t)src[0] | (uint64_t)src[1] << 8 | (uint64_t)src[2] << 16 |
           (uint64_t)src[3] << 24 | (uint64_t)src[4] << 32 | (uint64_t)src[5] << 40 |
           (uint64_t)src[6] << 48 | (uint64_t)src[7] << 56;
}

/* Take in `len` bytes and their length, as every SipHash-2-4 ends its message. Time depends on
 * `len` alone. */
static inline void siphash_bytes(struct siphash *s, const uint8_t *src, size_t len)
{
    uint64_t last = (uint64_t)len << 56;
    for (size_t i = len - len % 8; i < len; i++)
        last |= (uint64_t)src[i] << (8 * (i % 8));
    for (size_t left = len; left >= 8; left -= 8, src += 8)
        siphash_word(s, siphash_load(src));
    siphash_word(s, last);
}

/* SipHash-2-4 of 64 bits. */
static inline uint64_t siphash_64(uint64_t key_0, uint64_t key_1, const uint8_t *src, size_t len)
{
    struct siphash s = siphash_begin(key_0, key_1);
    siphash_bytes(&s, src, len);
    return siphash_end_64(&s);
}
