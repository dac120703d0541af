/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/entry.h"

#include "base/num.h"
#include "proto/base64.h"

#define HASH_MARK "$scram-sha-256$"

/* ── hashes ───────────────────────────────────────────────────────────────────────────────── */

/* Cut what stands in front of the next `end` off `*rest`, and it. */
static bool field_cut(struct bytes *rest, uint8_t end, struct bytes *ret_field)
{
    const uint8_t *at = rest->len > 0 ? memchr(rest->ptr, end, rest->len) : NULL;
    if (at == NULL)
        return false;
    *ret_field = bytes_of(rest->ptr, (size_t)(at - rest->ptr));
    *rest = bytes_skip(*rest, ret_field->len + 1);
    return true;
}

/* Base64 of `min` to `max` bytes, and nothing else. */
static bool bytes_parse(struct bytes text, size_t min, size_t max, uint8_t *dst, size_t *ret_len)
{
    enum { MAX = GATE_HASH_BYTES > GATE_SALT_BYTES_MAX ? GATE_HASH_BYTES : GATE_SALT_BYTES_MAX };
    uint8_t raw[MAX + 3], again[BASE64_ENCODED(MAX + 3)];
    if (text.len > BASE64_ENCODED(max))
        return false;
    const size_t len = base64_decode(raw, text);
    if (len < min || len > max ||
        !bytes_equal(bytes_of(again, base64_encode(again, bytes_of(raw, len))), text))
        return false;
    memcpy(dst, raw, len);
    *ret_len = len;
    return true;
}

static const char *hash_parse(struct bytes text, struct gate_verifier *verifier)
{
    struct bytes iterations, salt, stored;
    uint64_t count;
    size_t len = 0;
    if (!field_cut(&text, ':', &iterations) || !field_cut(&text, '$', &salt) ||
        !field_cut(&text, ':', &stored))
        return "the hash is cut or malformed";
    if (!num_parse_u64(iterations, GATE_ITERATIONS_MAX, &count) || count < GATE_ITERATIONS_MIN)
        return "the iterations of the hash are not a number from 4096 to 100000";
    verifier->iterations = (uint32_t)count;
    if (!bytes_parse(salt, GATE_SALT_BYTES, GATE_SALT_BYTES_MAX, verifier->salt, &len))
        return "the salt of the hash is not 16 to 32 bytes in base64";
    verifier->salt_bytes = (uint8_t)len;
    if (!bytes_parse(stored, GATE_HASH_BYTES, GATE_HASH_BYTES, verifier->stored, &len) ||
        !bytes_parse(text, GATE_HASH_BYTES, GATE_HASH_BYTES, verifier->server, &len))
        return "a key of the hash is not 32 bytes in base64";
    return NULL;
}

static uint8_t *hash_write(uint8_t *dst, const struct gate_verifier *verifier)
{
    memcpy(dst, HASH_MARK, sizeof(HASH_MARK) - 1);
    dst += sizeof(HASH_MARK) - 1;
    dst += num_format_u64(dst, verifier->iterations);
    *dst++ = ':';
    dst += base64_encode(dst, bytes_of(verifier->salt, verifier->salt_bytes));
    *dst++ = '$';
    dst += base64_encode(dst, bytes_of(verifier->stored, sizeof(verifier->stored)));
    *dst++ = ':';
    return dst + base64_encode(dst, bytes_of(verifier->server, sizeof(verifier->server)));
}

/* ── lines ────────────────────────────────────────────────────────────────────────────────── */

/* Two forms are as good as no line at all, since no client can send an empty name or password: that
 * would be a typing error that nobody notices. */
const char *gate_name_fault(struct bytes name)
{
    if (name.len == 0)
        return "there is no user in front of the ':'";
    if (name.len > GATE_NAME_BYTES_MAX)
        return "the user's name is longer than 255 bytes";
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] == ':' || name.ptr[i] == '\n' || name.ptr[i] == '\r' || name.ptr[i] == '\0')
            return "there is a ':', line end or NUL byte in the user's name";
    return NULL;
}

const char *gate_password_fault(struct bytes password)
{
    if (password.len == 0)
        return "there is no password behind the ':'";
    if (password.len > GATE_PASSWORD_BYTES_MAX)
        return "the password is longer than 1024 bytes";
    return NULL;
}

const char *gate_entry_parse(struct bytes line, struct gate_entry *ret_entry)
{
    struct gate_entry entry = {0};
    if (line.len == 0)
        return "the line is empty, and should be user:password";
    struct bytes rest = line;
    if (!field_cut(&rest, ':', &entry.name))
        return "there is no ':' between user and password";
    if (memchr(line.ptr, '\0', line.len) != NULL)
        return "there is a NUL byte in it";
    if (memchr(line.ptr, '\r', line.len) != NULL)
        return "there is a carriage return in the middle of it";
    const char *what = gate_name_fault(entry.name);
    if (what != NULL)
        return what;
    const struct bytes mark = bytes_str(HASH_MARK);
    entry.hashed = bytes_starts(rest, mark);
    if (!entry.hashed) {
        entry.password = rest;
        what = gate_password_fault(rest);
    } else {
        const uint8_t *blank = memchr(rest.ptr, ' ', rest.len);
        const size_t hash_bytes = blank == NULL ? rest.len : (size_t)(blank - rest.ptr);
        what = gate_rights_parse(bytes_skip(rest, hash_bytes), &entry.rights);
        if (what == NULL)
            what =
                hash_parse(bytes_skip(bytes_of(rest.ptr, hash_bytes), mark.len), &entry.verifier);
    }
    if (what == NULL)
        *ret_entry = entry;
    return what;
}

size_t gate_entry_write(uint8_t *dst, const struct gate_entry *entry)
{
    uint8_t *at = dst;
    memcpy(at, entry->name.ptr, entry->name.len);
    at += entry->name.len;
    *at++ = ':';
    at = hash_write(at, &entry->verifier);
    return (size_t)(gate_rights_write(at, &entry->rights) - dst);
}
