/* cli/json.c — pieces of JSON.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/json.h"

#include "base/utf8.h"
#include "proto/base64.h"

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
