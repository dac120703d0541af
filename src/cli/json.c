/* cli/json.c — pieces of JSON.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/json.h"

#include "proto/base64.h"

/* Bytes of the character at the start of `in`, which is not empty; 0: it is none. */
static size_t utf8_char(struct bytes in)
{
    static const struct {
        uint8_t first_min, first_max, second_min, second_max;
        size_t len;
    } forms[] = {
        {0x00, 0x7f, 0x80, 0xbf, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (in.ptr[0] < forms[i].first_min || in.ptr[0] > forms[i].first_max)
            continue;
        if (in.len < forms[i].len)
            return 0;
        for (size_t j = 1; j < forms[i].len; j++) {
            const uint8_t min = j == 1 ? forms[i].second_min : 0x80;
            const uint8_t max = j == 1 ? forms[i].second_max : 0xbf;
            if (in.ptr[j] < min || in.ptr[j] > max)
                return 0;
        }
        return forms[i].len;
    }
    return 0;
}

bool cli_utf8_valid(struct bytes bytes)
{
    while (bytes.len > 0) {
        const size_t len = utf8_char(bytes);
        if (len == 0)
            return false;
        bytes = bytes_skip(bytes, len);
    }
    return true;
}

void cli_json_string(FILE *file, struct bytes bytes)
{
    fputc('"', file);
    while (bytes.len > 0) {
        const size_t len = utf8_char(bytes);
        const uint8_t byte = bytes.ptr[0];
        if (byte == '"' || byte == '\\')
            fprintf(file, "\\%c", byte);
        else if (len == 0 || byte < 0x20 || byte == 0x7f)
            fprintf(file, "\\u%04x", byte);
        else
            fwrite(bytes.ptr, 1, len, file);
        bytes = bytes_skip(bytes, len == 0 ? 1 : len);
    }
    fputc('"', file);
}

void cli_json_base64(FILE *file, struct bytes bytes)
{
    enum { STEP = 3072 }; /* a multiple of 3: padding only at the end */
    uint8_t text[BASE64_ENCODED(STEP)];
    fputc('"', file);
    while (bytes.len > 0) {
        const size_t len = bytes.len < STEP ? bytes.len : STEP;
        fwrite(text, 1, base64_encode(text, bytes_of(bytes.ptr, len)), file);
        bytes = bytes_skip(bytes, len);
    }
    fputc('"', file);
}
