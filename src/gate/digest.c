/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/digest.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_rounds(struct sip *s, unsigned count)
{
    for (; count > 0; count--) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 = rotate(s->v0, 32) + s->v3;
        s->v2 += s->v1;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v2 = rotate(s->v2, 32);
    }
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_rounds(s, 2);
    s->v0 ^= word;
}

static inline uint64_t sip_fold(struct sip *s)
{
    sip_rounds(s, 4);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* Up to 8 bytes, the first one lowest. */
static inline uint64_t word_of(const uint8_t *bytes, size_t len)
{
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

struct gate_digest gate_digest(struct gate_digest key, struct bytes bytes)
{
    struct sip s = {
        .v0 = key.lo ^ 0x736f6d6570736575,
        .v1 = key.hi ^ 0x646f72616e646f6d ^ 0xee,
        .v2 = key.lo ^ 0x6c7967656e657261,
        .v3 = key.hi ^ 0x7465646279746573,
    };
    size_t at = 0;
    for (; bytes.len - at >= 8; at += 8)
        sip_word(&s, word_of(bytes.ptr + at, 8));
    sip_word(&s, word_of(bytes.ptr + at, bytes.len - at) | (uint64_t)bytes.len << 56);
    s.v2 ^= 0xee;
    struct gate_digest digest;
    digest.lo = sip_fold(&s);
    s.v1 ^= 0xdd;
    digest.hi = sip_fold(&s);
    return digest;
}
