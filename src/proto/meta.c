/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/text_priv.h"

enum { META_ARGS_MAX = 19 }; /* 20 tokens in all */

/* May a token begin with that byte? Others spoil the whole line. */
static bool letter_possible(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'z');
}

/* Of what deletes whole groups of keys: no other flag, for what it meant to narrow would be
 * deleted as well; and no base64 but the usual form, for readers of that are lenient about what
 * stands behind its end. */
static void check_prefix(struct proto_request *req)
{
    uint8_t decoded[PROTO_KEY_BINARY_BYTES_MAX], again[PROTO_KEY_TEXT_BYTES_MAX + 4];
    for (size_t i = 0; i < req->meta.letter_count; i++)
        if (strchr("bOkq", req->meta.letters[i]) == NULL)
            text_refuse(req, PROTO_REPLY_META_INVALID);
    if (!req->key_base64)
        return;
    const size_t len = base64_decode(decoded, req->key);
    if (!bytes_equal(bytes_of(again, base64_encode(again, bytes_of(decoded, len))), req->key))
        text_refuse(req, PROTO_REPLY_META_BAD_KEY);
}

/* What is looked at only when every flag could be read. */
static void check_flags(struct proto_request *req)
{
    if (req->meta.opaque.len > PROTO_OPAQUE_BYTES_MAX)
        text_refuse(req, PROTO_REPLY_META_BAD_OPAQUE);
    if (req->cmd == PROTO_CMD_MDP)
        check_prefix(req);
    if (!proto_meta_has(req, 'M'))
        return;
    const int mode = req->meta.mode;
    if (req->cmd == PROTO_CMD_MS && (mode == 0 || strchr("EAPRS", mode) == NULL))
        text_refuse(req, PROTO_REPLY_META_SET_MODE);
    if (req->cmd == PROTO_CMD_MA && (mode == 0 || strchr("I+D-", mode) == NULL))
        text_refuse(req, PROTO_REPLY_META_ARITH_MODE);
}

static void check_key(struct proto_request *req)
{
    uint8_t decoded[PROTO_KEY_BINARY_BYTES_MAX];
    req->key_base64 = true;
    if (base64_decode(decoded, req->key) == 0)
        text_refuse(req, PROTO_REPLY_META_BAD_KEY);
}

/* A number behind a letter, or a note of what is wrong with it. */
static void read_i32(struct bytes token, struct proto_request *req, int32_t *value)
{
    if (!text_parse_i32(token, value))
        text_refuse(req, PROTO_REPLY_META_BAD_TOKEN);
}

static void read_u64(struct bytes token, struct proto_request *req, uint64_t *value)
{
    if (!num_parse_u64(token, UINT64_MAX, value))
        text_refuse(req, PROTO_REPLY_META_BAD_TOKEN);
}

/* Take in one flag. Returns false when there is no such letter. Wrong numbers are noted and
 * reading goes on, for a later error has precedence. */
static bool read_flag(char letter, struct bytes token, struct proto_request *req)
{
    switch (letter) {
    case 'b':
        check_key(req);
        break;
    case 'C':
        read_u64(token, req, &req->compare_cas);
        break;
    case 'D':
        read_u64(token, req, &req->delta);
        break;
    case 'E':
        read_u64(token, req, &req->meta.explicit_cas);
        break;
    case 'F':
        if (!text_parse_client_flags(token, &req->client_flags))
            text_refuse(req, PROTO_REPLY_BAD_FORMAT);
        break;
    case 'J':
        read_u64(token, req, &req->meta.initial);
        break;
    case 'M':
        req->meta.mode = token.len > 0 ? token.ptr[0] : 0;
        break;
    case 'N':
        read_i32(token, req, &req->meta.vivify_exptime);
        break;
    case 'O':
        req->meta.opaque = token;
        break;
    case 'R':
        read_i32(token, req, &req->meta.recache_exptime);
        break;
    case 'T':
        read_i32(token, req, &req->exptime);
        break;
    default:
        return strchr("IPLcfhklqstuvx", letter) != NULL;
    }
    return true;
}

static void read_flags(const struct bytes *tokens, size_t count, struct proto_request *req)
{
    for (size_t i = 0; i < count; i++) {
        const char letter = (char)tokens[i].ptr[0];
        if (letter >= 'A' && proto_meta_has(req, letter)) {
            text_refuse(req, PROTO_REPLY_META_DUPLICATE);
            return;
        }
        if (letter < 'A' || !read_flag(letter, bytes_skip(tokens[i], 1), req)) {
            text_refuse(req, PROTO_REPLY_META_INVALID);
            return;
        }
        req->meta.flags |= PROTO_FLAG(letter);
        req->meta.letters[req->meta.letter_count++] = letter;
    }
}

/* `me` knows b alone and takes no offence at anything else. */
static void read_debug_flags(const struct bytes *tokens, size_t count, struct proto_request *req)
{
    for (size_t i = 0; i < count && !req->key_base64; i++)
        if (tokens[i].ptr[0] == 'b')
            check_key(req);
    if (req->error != NULL)
        text_refuse(req, PROTO_REPLY_BAD_FORMAT);
}

/* The key and what stands before the flags. Returns false when the line is unreadable. */
static bool read_fixed(const struct bytes *tokens, size_t count, struct proto_request *req)
{
    text_refuse(req, PROTO_REPLY_BAD_FORMAT);
    if (count < proto_commands[req->cmd].args_min || !text_key_ok(tokens[0]))
        return false;
    if (req->cmd == PROTO_CMD_MS) {
        if (!num_parse_u64(tokens[1], PROTO_VALUE_BYTES_MAX, &req->value_bytes))
            return false;
        req->has_value = true;
    }
    req->key = tokens[0];
    req->error = NULL;
    return true;
}

/* `letters` is written as it is counted. */
static void meta_init(struct proto_meta *meta)
{
    meta->flags = 0;
    meta->explicit_cas = 0;
    meta->initial = 0;
    meta->opaque = bytes_of(NULL, 0);
    meta->vivify_exptime = 0;
    meta->recache_exptime = 0;
    meta->mode = 0;
    meta->letter_count = 0;
}

void text_parse_meta(struct bytes rest, struct proto_request *req)
{
    struct bytes tokens[META_ARGS_MAX + 1];
    size_t count = 0;
    meta_init(&req->meta);
    for (; count <= META_ARGS_MAX && text_token_next(&rest, &tokens[count]); count++) {
        if (count >= 1 && !letter_possible(tokens[count].ptr[0])) {
            text_refuse(req, PROTO_REPLY_BAD_FORMAT);
            return;
        }
    }
    if (!read_fixed(tokens, count, req))
        return;
    if (count > META_ARGS_MAX) {
        text_refuse(req, PROTO_REPLY_META_TOO_MANY);
        return;
    }
    const size_t fixed = proto_commands[req->cmd].args_min;
    if (req->cmd == PROTO_CMD_ME) {
        read_debug_flags(tokens + fixed, count - fixed, req);
        return;
    }
    req->delta = 1;
    read_flags(tokens + fixed, count - fixed, req);
    if (req->error == NULL)
        check_flags(req);
    else if (req->cmd == PROTO_CMD_MA)
        text_refuse(req, PROTO_REPLY_META_BAD_FLAG);
}
