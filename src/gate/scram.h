/* gate/scram.h — the messages of SCRAM-SHA-256, as the server reads and writes them.
 *
 *     client                                            server
 *     n,,n=NAME,r=NONCE                      ──►
 *                                            ◄──  r=NONCE+OURS,s=SALT,i=ITERATIONS
 *     c=biws,r=NONCE+OURS,p=PROOF            ──►
 *                                            ◄──  v=SIGNATURE
 *     (empty: it has checked that)           ──►
 *
 * What proof and signature are made from is the text of the exchange: the first message less what
 * stands in front of "n=", our answer, and the final message less its proof, joined by commas.
 *
 * There is no channel binding: a client that wants it (p=) is refused, one that would have liked it
 * (y) is served, since we never offer it. Extensions are skipped, mandatory ones (m=) refused.
 *
 * Includes: base, proto/base64.h.  Included by: gate.  Pure: no secret, no hash, no randomness.
 * Threads:  any.
 * Memory:   results point into the message.
 * Spec:     RFC 5802, RFC 7677. Names are compared as bytes: no SASLprep.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum {
    SCRAM_MESSAGE_BYTES_MAX = 1024, /* of a client; longer ones are refused */
    SCRAM_NAME_BYTES_MAX = 255,
    SCRAM_CLIENT_NONCE_BYTES_MAX = 256,
    SCRAM_OWN_NONCE_BYTES_MAX = 32,
    SCRAM_SALT_BYTES_MAX = 32,
    SCRAM_HASH_BYTES = 32,
    /* r= nonces, ,s= salt ,i= iterations */
    SCRAM_ANSWER_BYTES_MAX = SCRAM_CLIENT_NONCE_BYTES_MAX + SCRAM_OWN_NONCE_BYTES_MAX + 64 + 20,
    SCRAM_SIGNATURE_BYTES = 2 + 44, /* v= */
    /* Base64 of what stands in front of "n=". */
    SCRAM_CHANNEL_BYTES_MAX = (SCRAM_MESSAGE_BYTES_MAX + 2) / 3 * 4,
};

struct scram_first {
    struct bytes head; /* up to "n=", as the final message must repeat it */
    struct bytes bare; /* the rest */
    struct bytes nonce;
    uint8_t name[SCRAM_NAME_BYTES_MAX]; /* =2C and =3D are read */
    uint8_t name_bytes;
};

/* Read the first message. Returns false when it is malformed, too long, wants channel binding or
 * something unknown, or asks to act for somebody else than the one who logs in. */
MUST_USE bool scram_first_parse(struct bytes message, struct scram_first *ret_first);

struct scram_final {
    struct bytes channel; /* base64 of scram_first.head, unless the client errs */
    struct bytes nonce;   /* the client's and ours */
    struct bytes text;    /* the message less its proof */
    uint8_t proof[SCRAM_HASH_BYTES];
};

MUST_USE bool scram_final_parse(struct bytes message, struct scram_final *ret_final);

/* Does `channel` repeat `head`? */
MUST_USE bool scram_channel_fits(struct bytes channel, struct bytes head);

/* Write our answer to the first message, with what we add to the nonce (printable ASCII but ',', up
 * to SCRAM_OWN_NONCE_BYTES_MAX), to `dst` (room for SCRAM_ANSWER_BYTES_MAX bytes). Returns
 * where it ends. */
uint8_t *scram_answer_write(uint8_t *dst, struct bytes nonce, struct bytes own_nonce,
                            struct bytes salt, uint32_t iterations);

/* Write our last message to `dst` (SCRAM_SIGNATURE_BYTES bytes). */
void scram_signature_write(uint8_t *dst, const uint8_t signature[SCRAM_HASH_BYTES]);
