/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/rights.h"

#include "base/uri.h"

/* ── reading ──────────────────────────────────────────────────────────────────────────────── */

const char *gate_classes_parse(struct bytes text, uint8_t *ret_classes)
{
    uint8_t found = 0;
    do {
        const struct bytes word = bytes_part_take(&text, ',', NULL);
        const size_t class = gate_class_find(word);
        if (class == GATE_CLASS_COUNT)
            return "rights are read, write, flush_prefix and admin, separated by commas";
        found |= gate_class_names[class].classes;
    } while (text.len > 0);
    *ret_classes = found;
    return NULL;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

const char *gate_prefix_parse(struct bytes text, uint8_t *dst, size_t *ret_len)
{
    size_t len = 0;
    while (text.len > 0) {
        uint8_t byte = text.ptr[0];
        size_t used = 1;
        if (byte == '%') {
            const int high = text.len > 2 ? hex_value(text.ptr[1]) : -1;
            const int low = text.len > 2 ? hex_value(text.ptr[2]) : -1;
            if (high < 0 || low < 0)
                return "a '%' in a prefix is followed by two hexadecimal digits; itself it is %25";
            byte = (uint8_t)(16 * high + low);
            used = 3;
        }
        if (len == GATE_PREFIX_BYTES_MAX)
            return "a prefix is longer than 250 bytes";
        dst[len++] = byte;
        text = bytes_skip(text, used);
    }
    *ret_len = len;
    return NULL;
}

const char *gate_rights_prefix_add(struct gate_rights *rights, struct bytes prefix)
{
    if (prefix.len == 0)
        return "a prefix is empty; without any prefix all keys are allowed";
    if (prefix.len > GATE_PREFIX_BYTES_MAX)
        return "a prefix is longer than 250 bytes";
    if (rights->prefixes_bytes + 1 + prefix.len > sizeof(rights->prefixes))
        return "the prefixes take more than 1024 bytes together";
    rights->prefixes[rights->prefixes_bytes] = (uint8_t)prefix.len;
    memcpy(rights->prefixes + rights->prefixes_bytes + 1, prefix.ptr, prefix.len);
    rights->prefixes_bytes = (uint16_t)(rights->prefixes_bytes + 1 + prefix.len);
    return NULL;
}

static const char *word_parse(struct bytes word, struct gate_rights *rights)
{
    const struct bytes name = bytes_str("prefix=");
    if (!bytes_starts(word, name)) {
        if (rights->classes != 0)
            return "there is a second list of rights";
        return gate_classes_parse(word, &rights->classes);
    }
    uint8_t prefix[GATE_PREFIX_BYTES_MAX];
    size_t len = 0;
    const char *what = gate_prefix_parse(bytes_skip(word, name.len), prefix, &len);
    return what != NULL ? what : gate_rights_prefix_add(rights, bytes_of(prefix, len));
}

const char *gate_rights_parse(struct bytes text, struct gate_rights *ret_rights)
{
    struct gate_rights rights = {0};
    while (text.len > 0) {
        const struct bytes word = bytes_part_take(&text, ' ', NULL);
        const char *what = word.len > 0 ? word_parse(word, &rights) : NULL;
        if (what != NULL)
            return what;
    }
    if ((rights.classes & GATE_ADMIN) != 0 && rights.prefixes_bytes > 0)
        return "admin and a prefix exclude each other";
    *ret_rights = rights;
    return NULL;
}

/* ── writing ──────────────────────────────────────────────────────────────────────────────── */

static uint8_t *text_write(uint8_t *dst, const char *text)
{
    const size_t len = strlen(text);
    memcpy(dst, text, len);
    return dst + len;
}

/* What is usual in keys stays readable. */
static uint8_t *prefix_write(uint8_t *dst, struct bytes prefix)
{
    for (size_t i = 0; i < prefix.len; i++) {
        const uint8_t c = prefix.ptr[i];
        if (c > ' ' && c < 0x7f && c != '%')
            *dst++ = c;
        else
            dst = uri_write(dst, bytes_of(&c, 1));
    }
    return dst;
}

static bool prefix_next(struct bytes *prefixes, struct bytes *ret_prefix)
{
    if (prefixes->len == 0)
        return false;
    *ret_prefix = bytes_of(prefixes->ptr + 1, prefixes->ptr[0]);
    *prefixes = bytes_skip(*prefixes, 1u + prefixes->ptr[0]);
    return true;
}

uint8_t *gate_rights_write(uint8_t *dst, const struct gate_rights *rights)
{
    char before = ' ';
    uint8_t left = rights->classes;
    for (const char *name; (name = gate_class_name_take(&left)) != NULL; before = ',') {
        *dst++ = (uint8_t)before;
        dst = text_write(dst, name);
    }
    struct bytes rest = bytes_of(rights->prefixes, rights->prefixes_bytes), prefix;
    while (prefix_next(&rest, &prefix))
        dst = prefix_write(text_write(dst, " prefix="), prefix);
    return dst;
}

/* ── questions ────────────────────────────────────────────────────────────────────────────── */

uint8_t gate_rights_classes(const struct gate_rights *rights)
{
    if (rights->classes != 0)
        return rights->classes;
    return rights->prefixes_bytes > 0 ? GATE_READ | GATE_WRITE : GATE_ALL;
}

bool gate_prefixes_cover(struct bytes prefixes, struct bytes key)
{
    struct bytes prefix;
    while (prefix_next(&prefixes, &prefix))
        if (bytes_starts(key, prefix))
            return true;
    return false;
}
