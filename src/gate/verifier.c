/* SPDX-License-Identifier: BSD-3-Clause */
#define OPENSSL_SUPPRESS_DEPRECATED /* the calls of SHA-256: see verifier.h */
#include "gate/verifier.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/be.h"

enum { WORDS = 8, PAD_BITS = 8 * SHA256_CBLOCK };

_Static_assert(GATE_HASH_BYTES == SHA256_DIGEST_LENGTH, "SHA-256");

/* ── SHA-256 and HMAC ─────────────────────────────────────────────────────────────────────── */

void gate_sha256(struct bytes text, uint8_t ret_hash[GATE_HASH_BYTES])
{
    SHA256_CTX ctx;
    (void)SHA256_Init(&ctx);
    (void)SHA256_Update(&ctx, text.ptr, text.len);
    (void)SHA256_Final(ret_hash, &ctx);
    OPENSSL_cleanse(&ctx, sizeof(ctx));
}

static void pad_take(SHA256_CTX *ctx, const uint8_t *block, uint8_t pad, uint32_t ret_words[WORDS])
{
    uint8_t padded[SHA256_CBLOCK];
    for (size_t i = 0; i < sizeof(padded); i++)
        padded[i] = block[i] ^ pad;
    (void)SHA256_Init(ctx);
    SHA256_Transform(ctx, padded);
    memcpy(ret_words, ctx->h, sizeof(uint32_t[WORDS]));
    OPENSSL_cleanse(padded, sizeof(padded));
}

void gate_hmac_init(struct gate_hmac *key, struct bytes bytes)
{
    uint8_t block[SHA256_CBLOCK] = {0};
    if (bytes.len > sizeof(block))
        gate_sha256(bytes, block);
    else if (bytes.len > 0)
        memcpy(block, bytes.ptr, bytes.len);
    SHA256_CTX ctx;
    pad_take(&ctx, block, 0x36, key->inner);
    pad_take(&ctx, block, 0x5c, key->outer);
    OPENSSL_cleanse(&ctx, sizeof(ctx));
    OPENSSL_cleanse(block, sizeof(block));
}

/* Go on behind a pad. */
static void pad_resume(SHA256_CTX *ctx, const uint32_t words[WORDS])
{
    (void)SHA256_Init(ctx);
    memcpy(ctx->h, words, sizeof(uint32_t[WORDS]));
    ctx->Nl = PAD_BITS;
}

void gate_hmac(const struct gate_hmac *key, struct bytes text, uint8_t ret_mac[GATE_HASH_BYTES])
{
    SHA256_CTX ctx;
    uint8_t hash[GATE_HASH_BYTES];
    pad_resume(&ctx, key->inner);
    (void)SHA256_Update(&ctx, text.ptr, text.len);
    (void)SHA256_Final(hash, &ctx);
    pad_resume(&ctx, key->outer);
    (void)SHA256_Update(&ctx, hash, sizeof(hash));
    (void)SHA256_Final(ret_mac, &ctx);
    OPENSSL_cleanse(&ctx, sizeof(ctx));
    OPENSSL_cleanse(hash, sizeof(hash));
}

/* ── PBKDF2 ───────────────────────────────────────────────────────────────────────────────── */

/* `key` over a hash, again and again: HMAC whose blocks have their place and their padding already.
 * Adds each result to `sum`. */
static void pbkdf2_rounds(const struct gate_hmac *key, const uint8_t first[GATE_HASH_BYTES],
                          uint32_t rounds, uint8_t sum[GATE_HASH_BYTES])
{
    /* A hash behind a pad: 0x80, zeros, and how many bits that is in all. */
    uint8_t block[SHA256_CBLOCK] = {[GATE_HASH_BYTES] = 0x80};
    (void)be_write_u64(block + SHA256_CBLOCK - 8, PAD_BITS + 8 * GATE_HASH_BYTES);
    memcpy(block, first, GATE_HASH_BYTES);
    uint32_t words[WORDS] = {0};
    SHA256_CTX ctx;
    (void)SHA256_Init(&ctx);
    for (; rounds > 0; rounds--) {
        memcpy(ctx.h, key->inner, sizeof(words));
        SHA256_Transform(&ctx, block);
        for (size_t i = 0; i < WORDS; i++)
            (void)be_write_u32(block + 4 * i, ctx.h[i]);
        memcpy(ctx.h, key->outer, sizeof(words));
        SHA256_Transform(&ctx, block);
        for (size_t i = 0; i < WORDS; i++) {
            (void)be_write_u32(block + 4 * i, ctx.h[i]);
            words[i] ^= ctx.h[i];
        }
    }
    for (size_t i = 0; i < WORDS; i++)
        (void)be_write_u32(sum + 4 * i, be_read_u32(sum + 4 * i) ^ words[i]);
    OPENSSL_cleanse(&ctx, sizeof(ctx));
    OPENSSL_cleanse(block, sizeof(block));
    OPENSSL_cleanse(words, sizeof(words));
}

void gate_verifier_derive(struct gate_verifier *verifier, const struct gate_hmac *password)
{
    uint8_t first[GATE_SALT_BYTES_MAX + 4], salted[GATE_HASH_BYTES], hash[GATE_HASH_BYTES];
    memcpy(first, verifier->salt, verifier->salt_bytes);
    (void)be_write_u32(first + verifier->salt_bytes, 1); /* the number of the block, the only one */
    gate_hmac(password, bytes_of(first, verifier->salt_bytes + 4u), salted);
    memcpy(hash, salted, sizeof(hash));
    pbkdf2_rounds(password, hash, verifier->iterations - 1, salted);
    struct gate_hmac key;
    gate_hmac_init(&key, bytes_of(salted, sizeof(salted)));
    gate_hmac(&key, bytes_str("Client Key"), hash);
    gate_sha256(bytes_of(hash, sizeof(hash)), verifier->stored);
    gate_hmac(&key, bytes_str("Server Key"), verifier->server);
    OPENSSL_cleanse(&key, sizeof(key));
    OPENSSL_cleanse(salted, sizeof(salted));
    OPENSSL_cleanse(hash, sizeof(hash));
}

void gate_verifier_burn(uint32_t iterations)
{
    const struct gate_hmac key = {0};
    uint8_t sum[GATE_HASH_BYTES] = {0};
    pbkdf2_rounds(&key, sum, iterations, sum);
    OPENSSL_cleanse(sum, sizeof(sum)); /* so the compiler cannot leave the work out */
}

/* ── questions ────────────────────────────────────────────────────────────────────────────── */

bool gate_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

bool gate_verifier_matches(const struct gate_verifier *verifier, const struct gate_hmac *password)
{
    struct gate_verifier derived = *verifier;
    gate_verifier_derive(&derived, password);
    const bool equal = gate_equal(derived.stored, verifier->stored, sizeof(derived.stored));
    OPENSSL_cleanse(&derived, sizeof(derived));
    return equal;
}

bool gate_verifier_proves(const struct gate_verifier *verifier, struct bytes text,
                          const uint8_t proof[GATE_HASH_BYTES])
{
    struct gate_hmac key;
    uint8_t client[GATE_HASH_BYTES], hash[GATE_HASH_BYTES];
    gate_hmac_init(&key, bytes_of(verifier->stored, sizeof(verifier->stored)));
    gate_hmac(&key, text, client);
    for (size_t i = 0; i < sizeof(client); i++)
        client[i] ^= proof[i];
    gate_sha256(bytes_of(client, sizeof(client)), hash);
    OPENSSL_cleanse(&key, sizeof(key));
    OPENSSL_cleanse(client, sizeof(client));
    return gate_equal(hash, verifier->stored, sizeof(hash));
}
