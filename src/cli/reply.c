/* cli/reply.c — parser of answers.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/reply.h"

#include <stdio.h>

#include "base/num.h"

static const struct {
    const char *word;
    enum cli_reply_kind kind;
} words[] = {
    {"VERSION", CLI_REPLY_VERSION},
    {"VALUE", CLI_REPLY_VALUE},
    {"VA", CLI_REPLY_VA},
    {"STAT", CLI_REPLY_STAT},
    {"END", CLI_REPLY_END},
    {"STORED", CLI_REPLY_STORED},
    {"NOT_STORED", CLI_REPLY_NOT_STORED},
    {"DELETED", CLI_REPLY_DELETED},
    {"NOT_FOUND", CLI_REPLY_NOT_FOUND},
    {"EXISTS", CLI_REPLY_EXISTS},
    {"TOUCHED", CLI_REPLY_TOUCHED},
    {"OK", CLI_REPLY_OK},
    {"HD", CLI_REPLY_HD},
    {"NS", CLI_REPLY_NS},
    {"EX", CLI_REPLY_EX},
    {"NF", CLI_REPLY_NF},
    {"EN", CLI_REPLY_EN},
    {"MN", CLI_REPLY_MN},
    {"CONFIG", CLI_REPLY_CONFIG},
    {"ERROR", CLI_REPLY_ERROR},
    {"CLIENT_ERROR", CLI_REPLY_CLIENT_ERROR},
    {"SERVER_ERROR", CLI_REPLY_SERVER_ERROR},
};

static enum cli_reply_kind kind_of(struct bytes word)
{
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (bytes_is(word, words[i].word))
            return words[i].kind;
    return CLI_REPLY_OTHER;
}

/* The numbers of a VALUE's or a VA's line. *ret_len is how much data follows. */
static bool head_parse(struct cli_reply *reply, uint64_t *ret_len)
{
    struct bytes rest = reply->text;
    uint64_t flags;
    if (reply->kind == CLI_REPLY_VA) {
        const bool fine =
            num_parse_u64(bytes_part_take(&rest, ' ', NULL), CLI_VALUE_BYTES_MAX, ret_len);
        reply->text = rest;
        return fine;
    }
    reply->key = bytes_part_take(&rest, ' ', NULL);
    if (reply->key.len == 0 ||
        !num_parse_u64(bytes_part_take(&rest, ' ', NULL), UINT32_MAX, &flags) ||
        !num_parse_u64(bytes_part_take(&rest, ' ', &reply->has_cas), CLI_VALUE_BYTES_MAX, ret_len))
        return false;
    reply->client_flags = (uint32_t)flags;
    return !reply->has_cas || num_parse_u64(rest, UINT64_MAX, &reply->cas_unique);
}

/* VALUE key flags bytes [cas] CR LF data CR LF, or VA bytes flag* CR LF data CR LF; `data` is what
 * stands behind the line. */
static enum cli_reply_rc value_parse(struct cli_reply *reply, struct bytes data, size_t *used)
{
    uint64_t len;
    if (!head_parse(reply, &len))
        return CLI_REPLY_BAD;
    if (data.len > len && data.ptr[len] != '\r')
        return CLI_REPLY_BAD;
    if (data.len < len + 2)
        return CLI_REPLY_MORE;
    if (data.ptr[len + 1] != '\n')
        return CLI_REPLY_BAD;
    reply->value = bytes_of(data.ptr, (size_t)len);
    *used += len + 2;
    return CLI_REPLY_WHOLE;
}

/* A line that begins with no word of ours may be a number; decr leaves blanks behind it. */
static enum cli_reply_kind number_parse(struct cli_reply *reply)
{
    struct bytes text = reply->line;
    while (text.len > 1 && text.ptr[text.len - 1] == ' ')
        text.len--;
    return num_parse_u64(text, UINT64_MAX, &reply->cas_unique) ? CLI_REPLY_NUMBER : CLI_REPLY_OTHER;
}

enum cli_reply_rc cli_reply_parse(struct bytes in, struct cli_reply *ret_reply, size_t *ret_used)
{
    const size_t seen = in.len < CLI_LINE_BYTES_MAX ? in.len : CLI_LINE_BYTES_MAX;
    const uint8_t *end = seen == 0 ? NULL : memchr(in.ptr, '\n', seen);
    if (end == NULL)
        return in.len < CLI_LINE_BYTES_MAX ? CLI_REPLY_MORE : CLI_REPLY_BAD;
    size_t used = (size_t)(end - in.ptr) + 1;
    struct cli_reply reply = {.line = bytes_of(in.ptr, used - 1)};
    if (reply.line.len > 0 && reply.line.ptr[reply.line.len - 1] == '\r')
        reply.line.len--;
    reply.text = reply.line;
    reply.kind = kind_of(bytes_part_take(&reply.text, ' ', NULL));
    if (reply.kind == CLI_REPLY_STAT || reply.kind == CLI_REPLY_CONFIG)
        reply.key = bytes_part_take(&reply.text, ' ', NULL);
    if (reply.kind == CLI_REPLY_OTHER)
        reply.kind = number_parse(&reply);
    if (reply.kind == CLI_REPLY_VALUE || reply.kind == CLI_REPLY_VA) {
        const enum cli_reply_rc rc = value_parse(&reply, bytes_skip(in, used), &used);
        if (rc != CLI_REPLY_WHOLE)
            return rc;
    }
    *ret_reply = reply;
    *ret_used = used;
    return CLI_REPLY_WHOLE;
}

char *cli_text_format(char *dst, size_t cap, struct bytes bytes)
{
    enum { TAIL = sizeof("...") };
    size_t at = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        const uint8_t byte = bytes.ptr[i];
        const bool plain = byte >= 0x20 && byte < 0x7f;
        if (at + (plain ? 1 : 4) + TAIL > cap) {
            at += (size_t)snprintf(dst + at, cap - at, "...");
            break;
        }
        if (plain)
            dst[at++] = (char)byte;
        else
            at += (size_t)snprintf(dst + at, cap - at, "\\x%02x", byte);
    }
    dst[at] = '\0';
    return dst;
}
