/* cli/metadump.c — lines of `lru_crawler metadump`.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/metadump.h"

#include <stdio.h>

#include "base/num.h"

/* ── lines ────────────────────────────────────────────────────────────────────────────────── */

/* The value of a hexadecimal digit, or -1. */
static int hex_of(uint8_t digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    const uint8_t lower = digit | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool key_decode(struct bytes text, struct cli_meta *meta)
{
    meta->key_bytes = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.ptr[i];
        if (byte == '%') {
            if (text.len - i < 3)
                return false;
            const int high = hex_of(text.ptr[i + 1]), low = hex_of(text.ptr[i + 2]);
            if (high < 0 || low < 0)
                return false;
            byte = (uint8_t)(high * 16 + low);
            i += 2;
        }
        if (meta->key_bytes == CLI_META_KEY_BYTES_MAX)
            return false;
        meta->key[meta->key_bytes++] = byte;
    }
    return meta->key_bytes > 0;
}

/* Take one word NAME=VALUE in. */
static bool word_take(struct bytes word, struct cli_meta *meta)
{
    const struct bytes name = bytes_part_take(&word, '=', NULL);
    if (bytes_is(name, "key"))
        return key_decode(word, meta);
    if (bytes_is(name, "exp")) {
        int64_t exp;
        if (!num_parse_i64(word, &exp))
            return false;
        meta->expires = exp >= 0;
        meta->expires_s = exp >= 0 ? (uint64_t)exp : 0;
        return true;
    }
    if (bytes_is(name, "la"))
        return num_parse_u64(word, UINT64_MAX, &meta->access_s);
    if (bytes_is(name, "cas"))
        return num_parse_u64(word, UINT64_MAX, &meta->cas_unique);
    if (bytes_is(name, "size"))
        return num_parse_u64(word, UINT64_MAX, &meta->size_bytes);
    if (bytes_is(name, "fetch"))
        meta->fetched = bytes_is(word, "yes");
    return true;
}

bool cli_meta_parse(struct bytes line, struct cli_meta *ret_meta)
{
    struct cli_meta meta = {0};
    if (!bytes_starts(line, bytes_str("key=")))
        return false;
    while (line.len > 0)
        if (!word_take(bytes_part_take(&line, ' ', NULL), &meta))
            return false;
    *ret_meta = meta;
    return true;
}

/* ── filters ──────────────────────────────────────────────────────────────────────────────── */

bool cli_filter_ttl_parse(struct bytes text, struct cli_filter *filter)
{
    uint64_t min = 0, max = UINT64_MAX;
    if (bytes_is(text, "never")) {
        filter->has_ttl = filter->ttl_never = true;
        return true;
    }
    const uint8_t *dots = text.len < 2 ? NULL : memmem(text.ptr, text.len, "..", 2);
    if (dots == NULL) {
        if (!num_parse_u64(text, UINT64_MAX, &max))
            return false;
    } else {
        const struct bytes low = bytes_of(text.ptr, (size_t)(dots - text.ptr));
        const struct bytes high = bytes_skip(text, low.len + 2);
        if ((low.len == 0 && high.len == 0) ||
            (low.len > 0 && !num_parse_u64(low, UINT64_MAX, &min)) ||
            (high.len > 0 && !num_parse_u64(high, UINT64_MAX, &max)))
            return false;
    }
    if (min > max)
        return false;
    filter->has_ttl = true;
    filter->ttl_min = min;
    filter->ttl_max = max;
    return true;
}

static bool ttl_takes(const struct cli_filter *filter, const struct cli_meta *meta, uint64_t now_s)
{
    if (filter->ttl_never || !meta->expires)
        return filter->ttl_never && !meta->expires;
    const uint64_t left_s = meta->expires_s > now_s ? meta->expires_s - now_s : 0;
    return left_s >= filter->ttl_min && left_s <= filter->ttl_max;
}

bool cli_filter_takes(const struct cli_filter *filter, const struct cli_meta *meta, uint64_t now_s)
{
    const struct bytes key = bytes_of(meta->key, meta->key_bytes);
    return bytes_starts(key, filter->prefix) && meta->size_bytes >= filter->size_min &&
           (filter->size_max == 0 || meta->size_bytes <= filter->size_max) &&
           (!filter->has_ttl || ttl_takes(filter, meta, now_s)) &&
           (filter->glob.len == 0 || cli_glob_match(filter->glob, key));
}

/* Does `byte` match the one-byte pattern at the start of `pattern`? *ret_len is its length. */
static bool one_match(struct bytes pattern, uint8_t byte, size_t *ret_len)
{
    *ret_len = 1;
    if (pattern.ptr[0] == '?')
        return true;
    if (pattern.ptr[0] == '\\' && pattern.len > 1) {
        *ret_len = 2;
        return pattern.ptr[1] == byte;
    }
    const uint8_t *end = pattern.ptr[0] != '[' || pattern.len < 3
                             ? NULL
                             : memchr(pattern.ptr + 2, ']', pattern.len - 2);
    if (end == NULL)
        return pattern.ptr[0] == byte;
    const size_t len = (size_t)(end - pattern.ptr);
    const bool others = pattern.ptr[1] == '^';
    bool found = false;
    for (size_t i = others ? 2 : 1; i < len; i++) {
        const bool is_range = i + 2 < len && pattern.ptr[i + 1] == '-';
        const uint8_t last = pattern.ptr[is_range ? i + 2 : i];
        found = found || (byte >= pattern.ptr[i] && byte <= last);
        i += is_range ? 2 : 0;
    }
    *ret_len = len + 1;
    return found != others;
}

bool cli_glob_match(struct bytes pattern, struct bytes text)
{
    size_t at = 0, in = 0, len = 0;      /* in the pattern, in the text */
    size_t star = SIZE_MAX, star_in = 0; /* the last '*', and how far it reaches */
    while (in < text.len) {
        if (at < pattern.len && pattern.ptr[at] == '*') {
            star = at++;
            star_in = in;
        } else if (at < pattern.len && one_match(bytes_skip(pattern, at), text.ptr[in], &len)) {
            at += len;
            in++;
        } else if (star != SIZE_MAX) { /* the star takes one more */
            at = star + 1;
            in = ++star_in;
        } else {
            return false;
        }
    }
    while (at < pattern.len && pattern.ptr[at] == '*')
        at++;
    return at == pattern.len;
}

/* ── keys ─────────────────────────────────────────────────────────────────────────────────── */

char *cli_key_format(char dst[CLI_KEY_TEXT_BYTES], struct bytes key)
{
    char *at = dst;
    for (size_t i = 0; i < key.len && i < CLI_META_KEY_BYTES_MAX; i++) {
        const uint8_t byte = key.ptr[i];
        if (byte > 0x20 && byte < 0x7f && byte != '%')
            *at++ = (char)byte;
        else
            at += sprintf(at, "%%%02X", byte);
    }
    *at = '\0';
    return dst;
}

bool cli_key_is_binary(struct bytes key)
{
    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i] <= 0x20 || key.ptr[i] == 0x7f)
            return true;
    return false;
}
