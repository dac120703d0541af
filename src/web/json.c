/* SPDX-License-Identifier: BSD-3-Clause */
#include "web/json.h"

#include "base/utf8.h"

void json_string(struct out *out, struct bytes text)
{
    out_put_str(out, "\"");
    while (text.len > 0) {
        const size_t len = utf8_char(text);
        const uint8_t byte = text.ptr[0];
        if (byte == '"' || byte == '\\')
            out_printf(out, "\\%c", byte);
        else if (len == 0 || byte < ' ' || byte == 0x7f || strchr("<>&", byte) != NULL)
            out_printf(out, "\\u%04x", byte);
        else
            out_put(out, text.ptr, len);
        text = bytes_skip(text, len == 0 ? 1 : len);
    }
    out_put_str(out, "\"");
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* Does JSON read it as a number, and every reader the same one? */
static bool is_number(struct bytes text)
{
    enum { DIGITS_MAX = 15 }; /* that many fit a double */
    const bool minus = text.len > 0 && text.ptr[0] == '-';
    if (minus)
        text = bytes_skip(text, 1);
    size_t whole = 0;
    while (whole < text.len && is_digit(text.ptr[whole]))
        whole++;
    if (whole == 0 || whole > DIGITS_MAX || (whole > 1 && text.ptr[0] == '0'))
        return false;
    if (whole == text.len)
        return true;
    size_t at = whole + 1;
    while (at < text.len && is_digit(text.ptr[at]))
        at++;
    return text.ptr[whole] == '.' && at > whole + 1 && at == text.len && at <= DIGITS_MAX + 1;
}

void json_rows(struct out *out, struct bytes lines)
{
    const char *comma = "";
    out_put_str(out, "{");
    while (lines.len > 0) {
        struct bytes value = bytes_line_take(&lines);
        if (!bytes_is(bytes_part_take(&value, ' ', NULL), "STAT"))
            continue;
        const struct bytes name = bytes_part_take(&value, ' ', NULL);
        out_put_str(out, comma);
        comma = ",";
        json_string(out, name);
        out_put_str(out, ":");
        if (is_number(value))
            out_put(out, value.ptr, value.len);
        else
            json_string(out, value);
    }
    out_put_str(out, "}");
}

void json_reachable(struct out *out, struct bytes lines)
{
    static const char *const names[] = {"address", "how", "where", "who", "what"};
    const char *between = "";
    out_put_str(out, "[");
    while (lines.len > 0) {
        struct bytes line = bytes_line_take(&lines);
        out_put_str(out, between);
        between = ",";
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            out_printf(out, "%s\"%s\":", i == 0 ? "{" : ",", names[i]);
            json_string(out, bytes_part_take(&line, '\t', NULL));
        }
        out_put_str(out, "}");
    }
    out_put_str(out, "]");
}
