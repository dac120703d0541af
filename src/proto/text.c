/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/text.h"

#include "proto/text_priv.h"

/* Tokens of a classic line that are looked at; memcached's number. */
enum { TOKENS_MAX = 24 };

struct tokens {
    struct bytes at[TOKENS_MAX];
    size_t count;
};

/* ── numbers ──────────────────────────────────────────────────────────────────────────────── */

bool text_parse_i32(struct bytes token, int32_t *ret_value)
{
    int64_t value;
    if (!num_parse_i64(token, &value) || value < INT32_MIN || value > INT32_MAX)
        return false;
    *ret_value = (int32_t)value;
    return true;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool text_parse_loose(struct bytes token, uint64_t *ret_value)
{
    const uint8_t *at = token.ptr, *end = token.ptr + token.len;
    while (at < end && is_blank(*at))
        at++;
    const bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    const uint8_t *stop = at;
    while (stop < end && *stop >= '0' && *stop <= '9')
        stop++;
    uint64_t value;
    if ((stop < end && !is_blank(*stop)) ||
        !num_parse_u64(bytes_of(at, (size_t)(stop - at)), UINT64_MAX, &value))
        return false;
    *ret_value = negative ? 0 - value : value;
    return true;
}

bool text_parse_client_flags(struct bytes token, uint32_t *ret_value)
{
    uint64_t value;
    if (!text_parse_loose(token, &value))
        return false;
    /* Only a number that is negative as a signed one is searched for a sign. */
    if (value > INT64_MAX && memchr(token.ptr, '-', token.len) != NULL)
        return false;
    *ret_value = (uint32_t)value;
    return true;
}

/* The exptime of a storage command: like strtol() and reduced to 32 bits. */
static bool parse_store_exptime(struct bytes token, int32_t *ret_value)
{
    uint64_t value;
    if (!text_parse_loose(token, &value))
        return false;
    const bool negative = memchr(token.ptr, '-', token.len) != NULL;
    if (negative ? value != 0 && value <= INT64_MAX : value > INT64_MAX)
        return false;
    *ret_value = (int32_t)(uint32_t)value;
    return true;
}

/* ── shortcuts ────────────────────────────────────────────────────────────────────────────────
 * The two commonest lines in their plainest form, in one pass and without a search for the
 * line's end:
 *
 *     get key CR LF        set key flags exptime bytes [noreply] CR LF
 *
 * Whatever is not exactly like that is left to the general way below, which gives the same
 * answer. */

static bool shortcut_get(struct bytes in, struct proto_request *ret_req, size_t *ret_used)
{
    enum { WORD = 4 };
    const uint8_t *key = in.ptr + WORD, *end = in.ptr + in.len;
    const uint8_t *lf = text_token_end(key, end);
    if (lf == end || *lf != '\n')
        return false;
    const size_t len = (size_t)(lf - key) - (lf[-1] == '\r');
    if (!text_key_ok(bytes_of(key, len)))
        return false;
    text_request_init(ret_req, PROTO_CMD_GET);
    ret_req->key = bytes_of(key, len);
    *ret_used = (size_t)(lf + 1 - in.ptr);
    return true;
}

/* Read 1 to 9 digits at `at` < end. Returns where they stop, or NULL. */
static inline const uint8_t *shortcut_number(const uint8_t *at, const uint8_t *end,
                                             uint32_t *ret_value)
{
    enum { DIGITS_MAX = 9 };
    const uint8_t *const last = end - at > DIGITS_MAX ? at + DIGITS_MAX : end;
    const uint8_t *const begin = at;
    uint32_t value = 0, digit;
    while (at < last && (digit = (uint32_t)*at - '0') <= 9) {
        value = value * 10 + digit;
        at++;
    }
    *ret_value = value;
    return at > begin && at < end ? at : NULL;
}

static bool shortcut_set(struct bytes in, struct proto_request *ret_req, size_t *ret_used)
{
    enum { WORD = 4 };
    static const char quiet[] = " noreply\r\n";
    const uint8_t *key = in.ptr + WORD, *end = in.ptr + in.len;
    const uint8_t *at = text_token_end(key, end);
    const size_t len = (size_t)(at - key);
    uint32_t numbers[3];
    if (!text_key_ok(bytes_of(key, len)))
        return false;
    for (int i = 0; i < 3; i++) {
        if (end - at < 2 || *at != ' ' || (at = shortcut_number(at + 1, end, &numbers[i])) == NULL)
            return false;
    }
    const struct bytes tail = bytes_of(at, (size_t)(end - at));
    const bool noreply = bytes_starts(tail, bytes_str(quiet));
    if (!noreply && !bytes_starts(tail, bytes_str("\r\n")))
        return false;
    text_request_init(ret_req, PROTO_CMD_SET);
    ret_req->key = bytes_of(key, len);
    ret_req->client_flags = numbers[0];
    ret_req->exptime = (int32_t)numbers[1];
    ret_req->has_value = true;
    ret_req->value_bytes = numbers[2];
    ret_req->noreply = noreply;
    *ret_used = (size_t)(at - in.ptr) + (noreply ? sizeof(quiet) - 1 : 2);
    return true;
}

/* ── lines ────────────────────────────────────────────────────────────────────────────────── */

static enum proto_cmd command_find(struct bytes word)
{
    for (enum proto_cmd cmd = 0; cmd < PROTO_CMD_NONE; cmd++) {
        const struct proto_command *row = &proto_commands[cmd];
        if (row->word_bytes == word.len && row->word[0] == (char)word.ptr[0] &&
            memcmp(row->word, word.ptr, word.len) == 0)
            return cmd;
    }
    return PROTO_CMD_NONE;
}

static struct bytes last_token(struct bytes line)
{
    while (line.len > 0 && line.ptr[line.len - 1] == ' ')
        line.len--;
    const uint8_t *space = line.len > 0 ? memrchr(line.ptr, ' ', line.len) : NULL;
    return space == NULL ? line : bytes_skip(line, (size_t)(space + 1 - line.ptr));
}

static void tokens_split(struct bytes rest, struct tokens *ret_tokens)
{
    ret_tokens->count = 0;
    while (ret_tokens->count < TOKENS_MAX &&
           text_token_next(&rest, &ret_tokens->at[ret_tokens->count]))
        ret_tokens->count++;
}

/* Is one of the keys too long? Every run of 251 bytes must hold a space, so only the last one
 * of each run is searched for. */
static bool keys_too_long(struct bytes keys)
{
    while (keys.len > PROTO_KEY_BYTES_MAX) {
        const uint8_t *space = memrchr(keys.ptr, ' ', PROTO_KEY_BYTES_MAX + 1);
        if (space == NULL)
            return true;
        keys = bytes_skip(keys, (size_t)(space + 1 - keys.ptr));
    }
    return false;
}

static void parse_keys(struct bytes rest, struct proto_request *req)
{
    req->rest = rest;
    if (!text_token_next(&req->rest, &req->key))
        text_refuse(req, PROTO_REPLY_BAD_FORMAT);
    else if (keys_too_long(rest))
        text_refuse(req, PROTO_REPLY_BAD_KEYS);
}

static void parse_touch_keys(struct bytes rest, struct proto_request *req)
{
    struct bytes exptime;
    if (!text_token_next(&rest, &exptime)) {
        text_refuse(req, PROTO_REPLY_BAD_FORMAT);
        return;
    }
    parse_keys(rest, req);
    if (req->key.len > 0 && !text_parse_i32(exptime, &req->exptime))
        text_refuse(req, PROTO_REPLY_BAD_EXPTIME);
}

/* A length that cannot be believed is an error at once, and what follows is read as a command.
 * Other errors wait until the data block has been swallowed. */
static void parse_store(const struct tokens *tokens, struct proto_request *req)
{
    text_refuse(req, PROTO_REPLY_BAD_FORMAT);
    if (!num_parse_u64(tokens->at[3], PROTO_VALUE_BYTES_MAX, &req->value_bytes))
        return;
    req->has_value = true;
    if (text_parse_client_flags(tokens->at[1], &req->client_flags) &&
        parse_store_exptime(tokens->at[2], &req->exptime) &&
        (req->cmd != PROTO_CMD_CAS || num_parse_u64(tokens->at[4], UINT64_MAX, &req->compare_cas)))
        req->error = NULL;
}

/* Commands that begin with one key and have a fixed number of arguments. */
static void parse_keyed(const struct proto_command *row, struct bytes rest,
                        struct proto_request *req)
{
    enum { DELETE_ARGS_MAX = 3 }; /* key, an old time, noreply; memccapable wants an end to it */
    struct tokens tokens;
    tokens_split(rest, &tokens);
    /* A prefix with a blank in it, mistyped, would be a shorter one, which deletes more. */
    const bool too_many = (row->shape == PROTO_SHAPE_KEY && tokens.count > DELETE_ARGS_MAX) ||
                          (row->shape == PROTO_SHAPE_PREFIX && tokens.count > 1u + req->noreply);
    if (tokens.count < row->args_min || too_many || !text_key_ok(tokens.at[0])) {
        text_refuse(req, PROTO_REPLY_BAD_FORMAT);
        return;
    }
    req->key = tokens.at[0];
    if (row->shape == PROTO_SHAPE_STORE || row->shape == PROTO_SHAPE_CAS)
        parse_store(&tokens, req);
    else if (row->shape == PROTO_SHAPE_NUMBER &&
             !num_parse_u64(tokens.at[1], UINT64_MAX, &req->delta))
        text_refuse(req, PROTO_REPLY_BAD_DELTA);
    else if (row->shape == PROTO_SHAPE_EXPTIME && !text_parse_i32(tokens.at[1], &req->exptime))
        text_refuse(req, PROTO_REPLY_BAD_EXPTIME);
}

/* Honour `noreply` as the last token, whatever stands before it, and take it off. */
static struct bytes take_noreply(struct bytes rest, struct proto_request *req)
{
    const struct bytes last = last_token(rest);
    req->noreply = bytes_is(last, "noreply");
    return req->noreply ? bytes_of(rest.ptr, (size_t)(last.ptr - rest.ptr)) : rest;
}

static void parse_args(const struct proto_command *row, struct bytes rest,
                       struct proto_request *req)
{
    switch ((enum proto_shape)row->shape) {
    case PROTO_SHAPE_KEYS:
        parse_keys(rest, req);
        break;
    case PROTO_SHAPE_TOUCH_KEYS:
        parse_touch_keys(rest, req);
        break;
    case PROTO_SHAPE_STORE:
    case PROTO_SHAPE_CAS:
    case PROTO_SHAPE_KEY:
    case PROTO_SHAPE_PREFIX:
    case PROTO_SHAPE_NUMBER:
    case PROTO_SHAPE_EXPTIME:
        (void)take_noreply(rest, req); /* counts as an argument all the same */
        parse_keyed(row, rest, req);
        break;
    case PROTO_SHAPE_META:
    case PROTO_SHAPE_META_VALUE:
        text_parse_meta(rest, req);
        break;
    case PROTO_SHAPE_ARGS:
        req->rest = take_noreply(rest, req);
        break;
    case PROTO_SHAPE_LINE:
        req->rest = rest;
        break;
    }
}

/* `line` is without its end. */
static enum proto_rc parse_line(struct bytes line, struct proto_request *req)
{
    text_request_init(req, PROTO_CMD_NONE);
    if (line.len < 2) {
        text_refuse(req, PROTO_REPLY_BAD_FORMAT);
        return PROTO_OK;
    }
    const uint8_t *space = memchr(line.ptr, ' ', line.len);
    const size_t word_bytes = space == NULL ? line.len : (size_t)(space - line.ptr);
    if (word_bytes > 0)
        req->cmd = command_find(bytes_of(line.ptr, word_bytes));
    if (req->cmd != PROTO_CMD_NONE) {
        parse_args(&proto_commands[req->cmd], bytes_skip(line, word_bytes), req);
        return PROTO_OK;
    }
    if (bytes_starts(last_token(line), bytes_str("HTTP/")))
        return PROTO_CLOSE; /* a browser, or somebody who makes one talk to us */
    (void)take_noreply(line, req);
    text_refuse(req, PROTO_REPLY_ERROR);
    return PROTO_OK;
}

/* No LF yet: wait for more, but not for ever. */
static enum proto_rc line_unfinished(struct bytes in, struct proto_request *ret_req)
{
    enum { BLANKS_MAX = 100 };
    if (in.len <= PROTO_LINE_BYTES_MAX)
        return PROTO_MORE;
    struct bytes rest = in;
    while (in.len - rest.len <= BLANKS_MAX && rest.ptr[0] == ' ')
        rest = bytes_skip(rest, 1);
    const bool is_get = in.len - rest.len <= BLANKS_MAX && (bytes_starts(rest, bytes_str("get ")) ||
                                                            bytes_starts(rest, bytes_str("gets ")));
    if (is_get && in.len <= PROTO_GET_LINE_BYTES_MAX)
        return PROTO_MORE;
    text_request_init(ret_req, PROTO_CMD_NONE);
    if (is_get)
        text_refuse(ret_req, PROTO_REPLY_LINE_TOO_LONG);
    return PROTO_CLOSE;
}

enum proto_rc proto_text_parse(struct bytes in, struct proto_request *ret_req, size_t *ret_used)
{
    if (in.len > 4 && in.ptr[3] == ' ') {
        if (memcmp(in.ptr, "get", 3) == 0 && shortcut_get(in, ret_req, ret_used))
            return PROTO_OK;
        if (memcmp(in.ptr, "set", 3) == 0 && shortcut_set(in, ret_req, ret_used))
            return PROTO_OK;
    }
    const uint8_t *lf = in.len > 0 ? memchr(in.ptr, '\n', in.len) : NULL;
    if (lf == NULL)
        return line_unfinished(in, ret_req);
    struct bytes line = bytes_of(in.ptr, (size_t)(lf - in.ptr));
    if (line.len > 1 && line.ptr[line.len - 1] == '\r')
        line.len--;
    const enum proto_rc rc = parse_line(line, ret_req);
    if (rc == PROTO_OK)
        *ret_used = (size_t)(lf + 1 - in.ptr);
    return rc;
}

struct bytes proto_text_key_peek(struct bytes in)
{
    enum { WORD_BYTES_MAX = 8 };
    const uint8_t *at = in.ptr, *end = in.ptr + in.len;
    const uint8_t *last = in.len > WORD_BYTES_MAX ? at + WORD_BYTES_MAX : end;
    while (at < last && *at != ' ')
        at++;
    if (at >= last)
        return bytes_of(NULL, 0);
    at++;
    const uint8_t *stop = text_token_end(at, end);
    if (stop > at && stop < end && stop[-1] == '\r')
        stop--;
    const size_t len = (size_t)(stop - at);
    return len <= PROTO_KEY_BYTES_MAX ? bytes_of(at, len) : bytes_of(NULL, 0);
}
