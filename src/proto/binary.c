/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/binary.h"

/* ── tables ───────────────────────────────────────────────────────────────────────────────── */

enum {
    /* Fields between header and key: how many bytes. */
    EXTRAS_NO = 0,
    EXTRAS_STORE = 4 + 4,     /* client flags, exptime */
    EXTRAS_ARITH = 8 + 8 + 4, /* delta, initial value, exptime */
    EXTRAS_EXPTIME = 4,
    EXTRAS_MAYBE = 0xff, /* none, or an exptime */
};
enum { KEY_NO, KEY_YES, KEY_MAYBE };
enum { VALUE_NO, VALUE_ANY, VALUE_BEHIND };

struct opcode {
    uint8_t extras, key, value;
};

/* By command, from the first one of the binary protocol on. */
static const struct opcode opcodes[] = {
#define OPCODE(ID, code, quiet, EXTRAS, KEY, VALUE, CLASS, handler)                                \
    {EXTRAS_##EXTRAS, KEY_##KEY, VALUE_##VALUE},
#include "tbl/opcodes.def"
};

enum {
    FIRST = PROTO_CMD_NONE + 1,
    NONE = 0x100,
    QUIET = 0x80, /* beside the number of a row */
};

/* What each code means: 1 and the number of its row; 0: nothing. Quiet forms that do not exist
 * stand above the codes. */
static const uint8_t meanings[2 * NONE] = {
#define OPCODE(ID, code, quiet, EXTRAS, KEY, VALUE, CLASS, handler)                                \
    [code] = PROTO_CMD_BIN_##ID - FIRST + 1,                                                       \
    [(quiet) == NONE ? NONE + (code) : (quiet)] = (PROTO_CMD_BIN_##ID - FIRST + 1) | QUIET,
#include "tbl/opcodes.def"
};

const char *proto_status_text(enum proto_status status)
{
    switch (status) {
#define STATUS(ID, code, text)                                                                     \
    case PROTO_STATUS_##ID:                                                                        \
        return text;
#include "tbl/statuses.def"
    }
    return "";
}

/* ── requests ─────────────────────────────────────────────────────────────────────────────── */

struct header {
    uint8_t extras_bytes;
    uint16_t key_bytes;
    uint32_t body_bytes;
};

static void request_init(struct proto_request *req, const uint8_t *header)
{
    proto_request_init(req, PROTO_CMD_BIN_NONE, 0);
    req->compare_cas = be_read_u64(header + 16);
    req->binary = (struct proto_binary){.opcode = header[1], .opaque = be_read_u32(header + 12)};
}

/* Do the lengths fit the command? */
static bool lengths_ok(const struct opcode *opcode, const struct header *header)
{
    const uint32_t before_value = (uint32_t)header->extras_bytes + header->key_bytes;
    const bool extras_ok = opcode->extras == EXTRAS_MAYBE
                               ? header->extras_bytes == 0 || header->extras_bytes == EXTRAS_EXPTIME
                               : header->extras_bytes == opcode->extras;
    return extras_ok && (opcode->key == KEY_MAYBE || (header->key_bytes > 0) == opcode->key) &&
           (opcode->value != VALUE_NO || header->body_bytes == before_value);
}

static enum proto_rc malformed(struct proto_request *req, enum proto_status status)
{
    proto_binary_refuse(req, status);
    return PROTO_CLOSE;
}

/* Nobody knows the opcode: all of its body goes past. */
static enum proto_rc unknown(struct proto_request *req, const struct header *header,
                             size_t *ret_used)
{
    proto_binary_refuse(req, PROTO_STATUS_UNKNOWN);
    req->has_value = header->body_bytes > 0;
    req->value_bytes = header->body_bytes;
    *ret_used = PROTO_BINARY_HEADER_BYTES;
    return PROTO_OK;
}

static void read_extras(struct proto_request *req, const uint8_t *extras, size_t len)
{
    switch (len) {
    case EXTRAS_STORE:
        req->client_flags = be_read_u32(extras);
        req->exptime = (int32_t)be_read_u32(extras + 4);
        break;
    case EXTRAS_ARITH:
        req->delta = be_read_u64(extras);
        req->binary.initial = be_read_u64(extras + 8);
        req->exptime = (int32_t)be_read_u32(extras + 16);
        break;
    case EXTRAS_EXPTIME:
        req->exptime = (int32_t)be_read_u32(extras);
        break;
    default:
        break;
    }
}

enum proto_rc proto_binary_parse(struct bytes in, struct proto_request *ret_req, size_t *ret_used)
{
    if (in.len < PROTO_BINARY_HEADER_BYTES)
        return PROTO_MORE;
    struct proto_request *req = ret_req;
    const struct header header = {
        .extras_bytes = in.ptr[4],
        .key_bytes = be_read_u16(in.ptr + 2),
        .body_bytes = be_read_u32(in.ptr + 8),
    };
    const uint32_t before_value = (uint32_t)header.extras_bytes + header.key_bytes;
    const unsigned meaning = meanings[in.ptr[1]];
    const unsigned row = meaning % QUIET - 1;
    const struct opcode *opcode = meaning == 0 ? NULL : &opcodes[row];
    const bool sound = in.ptr[0] == PROTO_BINARY_REQUEST && before_value <= header.body_bytes &&
                       header.key_bytes <= PROTO_KEY_BYTES_MAX &&
                       header.body_bytes <= PROTO_BODY_BYTES_MAX && opcode != NULL &&
                       lengths_ok(opcode, &header);
    const size_t head_bytes = PROTO_BINARY_HEADER_BYTES + before_value;
    if (sound && in.len < head_bytes)
        return PROTO_MORE;
    request_init(req, in.ptr);
    if (UNLIKELY(!sound)) {
        if (in.ptr[0] != PROTO_BINARY_REQUEST)
            return PROTO_CLOSE;
        if (before_value > header.body_bytes)
            return malformed(req, PROTO_STATUS_UNKNOWN);
        if (opcode != NULL || header.key_bytes > PROTO_KEY_BYTES_MAX ||
            header.body_bytes > PROTO_BODY_BYTES_MAX)
            return malformed(req, PROTO_STATUS_INVALID);
        return unknown(req, &header, ret_used);
    }
    req->cmd = (enum proto_cmd)(FIRST + row);
    req->binary.quiet = (meaning & QUIET) != 0;
    read_extras(req, in.ptr + PROTO_BINARY_HEADER_BYTES, header.extras_bytes);
    req->key = bytes_of(in.ptr + PROTO_BINARY_HEADER_BYTES + header.extras_bytes, header.key_bytes);
    req->has_value = opcode->value == VALUE_ANY;
    if (req->has_value)
        req->value_bytes = header.body_bytes - before_value;
    if (proto_value_is_login(req) && req->value_bytes > PROTO_LOGIN_BYTES_MAX)
        proto_binary_refuse(req, PROTO_STATUS_NO_MEMORY);
    *ret_used = head_bytes;
    return PROTO_OK;
}

/* ── answers ──────────────────────────────────────────────────────────────────────────────── */

void proto_binary_reply(struct out *out, const struct proto_request *req, enum proto_status status,
                        struct bytes value)
{
    if (status != PROTO_STATUS_OK && value.len == 0)
        value = bytes_str(proto_status_text(status));
    uint8_t *start = out_reserve(out, PROTO_BINARY_HEADER_BYTES + value.len);
    if (start == NULL)
        return;
    const struct proto_answer answer = {.status = status, .value_bytes = (uint32_t)value.len};
    uint8_t *dst = proto_write_binary_head(start, req, &answer);
    if (value.len > 0)
        memcpy(dst, value.ptr, value.len);
    out_commit(out, PROTO_BINARY_HEADER_BYTES + value.len);
}

struct bytes proto_binary_key_peek(struct bytes in)
{
    if (in.len < PROTO_BINARY_HEADER_BYTES)
        return bytes_of(NULL, 0);
    const size_t at = PROTO_BINARY_HEADER_BYTES + (size_t)in.ptr[4], len = be_read_u16(in.ptr + 2);
    if (len > PROTO_KEY_BYTES_MAX || at + len > in.len)
        return bytes_of(NULL, 0);
    return bytes_of(in.ptr + at, len);
}
