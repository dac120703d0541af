/* gate/verifier.h — what a server keeps of a password for SCRAM-SHA-256, and how it is made.
 *
 *     salted = PBKDF2-HMAC-SHA-256(password, salt, iterations)
 *     stored = SHA-256(HMAC(salted, "Client Key"))        server = HMAC(salted, "Server Key")
 *
 * Whoever has read `stored` and `server` cannot log in by them; to find the password he has to try
 * passwords, each at the cost of `iterations`.
 *
 * SHA-256 is OpenSSL's, by its calls of the lowest level: only they let us keep a password in the
 * form in which HMAC takes it in (struct gate_hmac).
 *
 * Includes: base, OpenSSL.  Included by: gate, cli.  Pure.
 * Threads:  any.
 * Memory:   none of its own; what these calls held on the stack is overwritten.
 * Spec:     RFC 5802, RFC 7677, RFC 2104, RFC 8018 (PBKDF2).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum {
    GATE_HASH_BYTES = 32,       /* SHA-256 */
    GATE_SALT_BYTES = 16,       /* of a new one */
    GATE_SALT_BYTES_MAX = 32,   /* of one that is read */
    GATE_ITERATIONS_MIN = 4096, /* RFC 7677; also the default, see docs/users.md */
    GATE_ITERATIONS_MAX = 100000,
};

/* A key of HMAC-SHA-256 as it is taken in: what SHA-256 has become after each of the two pads. */
struct gate_hmac {
    uint32_t inner[8], outer[8];
};

struct gate_verifier {
    uint32_t iterations; /* GATE_ITERATIONS_MIN..MAX */
    uint8_t salt_bytes;  /* GATE_SALT_BYTES..MAX */
    uint8_t salt[GATE_SALT_BYTES_MAX];
    uint8_t stored[GATE_HASH_BYTES], server[GATE_HASH_BYTES];
};

/* Take a key in, of any length. */
void gate_hmac_init(struct gate_hmac *key, struct bytes bytes);
void gate_hmac(const struct gate_hmac *key, struct bytes text, uint8_t ret_mac[GATE_HASH_BYTES]);
void gate_sha256(struct bytes text, uint8_t ret_hash[GATE_HASH_BYTES]);

/* Fill `stored` and `server` from the password; salt and iterations are set. 0.1 to 0.3 ms per 1000
 * iterations, with and without SHA instructions. */
void gate_verifier_derive(struct gate_verifier *verifier, const struct gate_hmac *password);
/* Is this the password? In a time that depends on `iterations` alone. */
MUST_USE bool gate_verifier_matches(const struct gate_verifier *verifier,
                                    const struct gate_hmac *password);
/* Take as long as so many iterations do. */
void gate_verifier_burn(uint32_t iterations);

/* Does the proof of a SCRAM client belong to this text of the exchange? */
MUST_USE bool gate_verifier_proves(const struct gate_verifier *verifier, struct bytes text,
                                   const uint8_t proof[GATE_HASH_BYTES]);

/* Are both equal? In a time that does not depend on them. */
MUST_USE bool gate_equal(const uint8_t *a, const uint8_t *b, size_t len);
