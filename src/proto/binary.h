/* proto/binary.h — the binary protocol: a packet in, a request out; heads of answers.
 *
 *    0      1      2      4      5      6      8      12     16     24
 *    +------+------+------+------+------+------+------+------+------+--------+-----+-------+
 *    | 0x80 | op   | key  | ext  | type | resv | body | opaq | CAS  | extras | key | value |
 *    | 0x81 | code | len  | len  | (0)  | stat | len  |      |      |        |     |       |
 *    +------+------+------+------+------+------+------+------+------+--------+-----+-------+
 *                  2 bytes       1      2      4      4      8      '------- body -------'
 *
 * All numbers are big-endian; the body's length is that of extras, key and value together.
 *
 * Includes: base, proto/request.h, tbl/opcodes.def, tbl/statuses.def.
 * Included by: gate, cmd, server.  Pure: no socket, no store, no clock.
 * Threads:  any.
 * Memory:   none of its own; the request points into the input.
 * Spec:     memcached 1.6.45, section "Binary protocol"; memcached protocol_binary.txt.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/be.h"
#include "base/out.h"
#include "proto/request.h"

enum {
    PROTO_BINARY_REQUEST = 0x80, /* the first byte; no text command begins like that */
    PROTO_BINARY_ANSWER = 0x81,
    PROTO_BINARY_HEADER_BYTES = 24,
    PROTO_BINARY_VALUE_HEAD_BYTES_MAX = PROTO_BINARY_HEADER_BYTES + 4 + 250,
};

enum proto_status {
#define STATUS(ID, code, text) PROTO_STATUS_##ID = code,
#include "tbl/statuses.def"
};

/* The text of an outcome; empty for those that are no errors. */
const char *proto_status_text(enum proto_status status);

/* Parse one packet at the start of `in`. The bytes of its header, extras and key are counted in
 * *ret_used (PROTO_OK only); its value, when req->has_value, begins there and has no end bytes.
 * PROTO_MORE writes nothing. What is malformed is seen by the header alone.
 * A request with `error` and `has_value` is answered after its value has been swallowed. */
MUST_USE enum proto_rc proto_binary_parse(struct bytes in, struct proto_request *ret_req,
                                          size_t *ret_used);

/* Answer with a status instead of running the command. */
static inline void proto_binary_refuse(struct proto_request *req, enum proto_status status)
{
    req->binary.status = (uint8_t)status;
    req->error = proto_status_text(status);
}

/* What an answer's header says, beside what it repeats of the request. */
struct proto_answer {
    enum proto_status status;
    uint8_t extras_bytes;
    uint16_t key_bytes;
    uint32_t value_bytes;
    uint64_t cas_unique;
};

/* Write the header (PROTO_BINARY_HEADER_BYTES); returns where the extras go. */
static inline uint8_t *proto_write_binary_head(uint8_t *dst, const struct proto_request *req,
                                               const struct proto_answer *answer)
{
    *dst++ = PROTO_BINARY_ANSWER;
    *dst++ = req->binary.opcode;
    dst = be_write_u16(dst, answer->key_bytes);
    *dst++ = answer->extras_bytes;
    *dst++ = 0;
    dst = be_write_u16(dst, (uint16_t)answer->status);
    dst = be_write_u32(dst, answer->extras_bytes + answer->key_bytes + answer->value_bytes);
    dst = be_write_u32(dst, req->binary.opaque);
    return be_write_u64(dst, answer->cas_unique);
}

/* A whole answer without extras and key; an error's value is its text. */
void proto_binary_reply(struct out *out, const struct proto_request *req, enum proto_status status,
                        struct bytes value);

/* The key of the request at `in`, as far as it is there; a hint, like proto_text_key_peek(). */
struct bytes proto_binary_key_peek(struct bytes in);
