/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/scram.h"

#include "base/num.h"
#include "proto/base64.h"

/* ── attributes ───────────────────────────────────────────────────────────────────────────── */

static bool take(struct bytes *rest, const char *text)
{
    const struct bytes start = bytes_str(text);
    if (!bytes_starts(*rest, start))
        return false;
    *rest = bytes_skip(*rest, start.len);
    return true;
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Go past an extension: a letter, '=', and something. */
static bool extension_skip(struct bytes *rest)
{
    const struct bytes value = bytes_part_take(rest, ',', NULL);
    return value.len > 2 && is_letter(value.ptr[0]) && value.ptr[1] == '=' && value.ptr[0] != 'm' &&
           memchr(value.ptr, '\0', value.len) == NULL;
}

/* What a nonce may consist of: printable ASCII but ','. */
static bool nonce_ok(struct bytes nonce)
{
    for (size_t i = 0; i < nonce.len; i++)
        if (nonce.ptr[i] <= ' ' || nonce.ptr[i] >= 0x7f || nonce.ptr[i] == ',')
            return false;
    return nonce.len > 0;
}

/* A name with its "=2C" and "=3D" read. */
static bool name_read(struct bytes text, uint8_t name[SCRAM_NAME_BYTES_MAX], uint8_t *ret_len)
{
    uint8_t len = 0;
    while (text.len > 0) {
        uint8_t byte = text.ptr[0];
        if (byte == '\0' || len == SCRAM_NAME_BYTES_MAX)
            return false;
        if (take(&text, "=2C"))
            byte = ',';
        else if (take(&text, "=3D"))
            byte = '=';
        else if (byte == '=')
            return false;
        else
            text = bytes_skip(text, 1);
        name[len++] = byte;
    }
    *ret_len = len;
    return len > 0;
}

/* ── messages of a client ─────────────────────────────────────────────────────────────────── */

bool scram_first_parse(struct bytes message, struct scram_first *ret_first)
{
    struct scram_first first;
    struct bytes rest = message, authzid = bytes_of(NULL, 0);
    if (message.len > SCRAM_MESSAGE_BYTES_MAX || (!take(&rest, "n,") && !take(&rest, "y,")))
        return false;
    if (take(&rest, "a=")) {
        authzid = bytes_part_take(&rest, ',', NULL);
        if (authzid.len == 0)
            return false;
    } else if (!take(&rest, ",")) {
        return false;
    }
    first.head = bytes_of(message.ptr, message.len - rest.len);
    first.bare = rest;
    if (!take(&rest, "n="))
        return false;
    const struct bytes name = bytes_part_take(&rest, ',', NULL);
    if (!name_read(name, first.name, &first.name_bytes) || !take(&rest, "r="))
        return false;
    first.nonce = bytes_part_take(&rest, ',', NULL);
    if (!nonce_ok(first.nonce) || first.nonce.len > SCRAM_CLIENT_NONCE_BYTES_MAX)
        return false;
    while (rest.len > 0)
        if (!extension_skip(&rest))
            return false;
    if (message.ptr[message.len - 1] == ',' || (authzid.len > 0 && !bytes_equal(authzid, name)))
        return false;
    *ret_first = first;
    return true;
}

/* Base64 of 32 bytes, and nothing else. */
static bool proof_read(struct bytes text, uint8_t proof[SCRAM_HASH_BYTES])
{
    uint8_t raw[SCRAM_HASH_BYTES + 1], again[BASE64_ENCODED(SCRAM_HASH_BYTES)];
    if (text.len != sizeof(again) || base64_decode(raw, text) != SCRAM_HASH_BYTES)
        return false;
    (void)base64_encode(again, bytes_of(raw, SCRAM_HASH_BYTES));
    if (!bytes_equal(bytes_of(again, sizeof(again)), text))
        return false;
    memcpy(proof, raw, SCRAM_HASH_BYTES);
    return true;
}

bool scram_final_parse(struct bytes message, struct scram_final *ret_final)
{
    struct scram_final final;
    struct bytes rest = message;
    if (message.len > SCRAM_MESSAGE_BYTES_MAX || !take(&rest, "c="))
        return false;
    final.channel = bytes_part_take(&rest, ',', NULL);
    if (!take(&rest, "r="))
        return false;
    final.nonce = bytes_part_take(&rest, ',', NULL);
    while (rest.len > 0 && !take(&rest, "p="))
        if (!extension_skip(&rest))
            return false;
    /* The proof is the last: 44 digits, and ",p=" in front of them. */
    if (!nonce_ok(final.nonce) || !proof_read(rest, final.proof))
        return false;
    final.text = bytes_of(message.ptr, message.len - rest.len - 3);
    *ret_final = final;
    return true;
}

bool scram_channel_fits(struct bytes channel, struct bytes head)
{
    uint8_t text[SCRAM_CHANNEL_BYTES_MAX];
    if (head.len > SCRAM_MESSAGE_BYTES_MAX)
        return false;
    return bytes_equal(bytes_of(text, base64_encode(text, head)), channel);
}

/* ── messages of ours ─────────────────────────────────────────────────────────────────────── */

static uint8_t *put(uint8_t *dst, const void *ptr, size_t len)
{
    memcpy(dst, ptr, len);
    return dst + len;
}

uint8_t *scram_answer_write(uint8_t *dst, struct bytes nonce, struct bytes own_nonce,
                            struct bytes salt, uint32_t iterations)
{
    dst = put(dst, "r=", 2);
    dst = put(dst, nonce.ptr, nonce.len);
    dst = put(dst, own_nonce.ptr, own_nonce.len);
    dst = put(dst, ",s=", 3);
    dst += base64_encode(dst, salt);
    dst = put(dst, ",i=", 3);
    return dst + num_format_u64(dst, iterations);
}

void scram_signature_write(uint8_t *dst, const uint8_t signature[SCRAM_HASH_BYTES])
{
    dst = put(dst, "v=", 2);
    (void)base64_encode(dst, bytes_of(signature, SCRAM_HASH_BYTES));
}
