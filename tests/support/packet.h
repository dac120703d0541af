/* support/packet.h — packets of the binary protocol as lines of text, there and back.
 *
 *     "01 k:a f:7 t:0 v:abc"      set a, client flags 7, exptime 0, value abc
 *     "05 k:n d:1 i:9 t:0 c:*"    increment n by 1, initially 9, with the last CAS unique told
 *     "01 0 c"                    an answer: opcode 01, status 0, with a CAS unique
 *
 * The first word is the opcode, hexadecimal; f and t are 4 bytes of extras, d and i 8 bytes, in the
 * order in which they stand; ~ in a key is a blank. `o:` is the opaque. K:, E: and B: (numbers)
 * overrule the lengths of key, extras and body, m: (hexadecimal) the magic.
 *
 * Includes: base, proto.  Included by: tests of the binary protocol.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/be.h"
#include "proto/binary.h"

struct packet_parts {
    uint8_t magic, opcode;
    uint8_t extras[64];
    size_t extras_len;
    uint8_t key_text[300];
    struct bytes key, value;
    uint32_t opaque;
    uint64_t cas;
    long long key_bytes, extras_bytes, body_bytes; /* negative: the real ones */
};

static inline void packet_word(struct packet_parts *parts, struct bytes word, uint64_t cas_last)
{
    char text[32] = "";
    const struct bytes rest = bytes_skip(word, 2);
    memcpy(text, rest.ptr, rest.len < sizeof(text) - 1 ? rest.len : sizeof(text) - 1);
    const uint64_t number = strtoull(text, NULL, word.ptr[0] == 'm' ? 16 : 10);
    uint8_t *dst = parts->extras + parts->extras_len;
    switch (word.ptr[0]) {
    case 'k':
        for (size_t i = 0; i < rest.len; i++)
            parts->key_text[i] = rest.ptr[i] == '~' ? ' ' : rest.ptr[i];
        parts->key = bytes_of(parts->key_text, rest.len);
        break;
    case 'v':
        parts->value = rest;
        break;
    case 'f':
    case 't':
        parts->extras_len = (size_t)(be_write_u32(dst, (uint32_t)number) - parts->extras);
        break;
    case 'd':
    case 'i':
        parts->extras_len = (size_t)(be_write_u64(dst, number) - parts->extras);
        break;
    case 'c':
        parts->cas = text[0] == '*' ? cas_last : number;
        break;
    case 'o':
        parts->opaque = (uint32_t)number;
        break;
    case 'm':
        parts->magic = (uint8_t)number;
        break;
    case 'K':
        parts->key_bytes = (long long)number;
        break;
    case 'E':
        parts->extras_bytes = (long long)number;
        break;
    case 'B':
        parts->body_bytes = (long long)number;
        break;
    default:
        abort();
    }
}

static inline struct bytes packet_next_word(struct bytes *line)
{
    size_t len = 0;
    while (len < line->len && line->ptr[len] != ' ')
        len++;
    const struct bytes word = bytes_of(line->ptr, len);
    *line = bytes_skip(*line, len < line->len ? len + 1 : len);
    return word;
}

/* Append the packet that `line` describes; `c:*` stands for `cas_last`. */
static inline void packet_put(struct out *out, struct bytes line, uint64_t cas_last)
{
    struct packet_parts parts = {
        .magic = 0x80, .key_bytes = -1, .extras_bytes = -1, .body_bytes = -1};
    const struct bytes opcode = packet_next_word(&line);
    const char digits[3] = {(char)opcode.ptr[0], (char)opcode.ptr[1], '\0'};
    parts.opcode = (uint8_t)strtoul(digits, NULL, 16);
    while (line.len > 0)
        packet_word(&parts, packet_next_word(&line), cas_last);
    const size_t body = parts.extras_len + parts.key.len + parts.value.len;
    uint8_t head[PROTO_BINARY_HEADER_BYTES] = {parts.magic, parts.opcode};
    be_write_u16(head + 2,
                 (uint16_t)(parts.key_bytes < 0 ? (long long)parts.key.len : parts.key_bytes));
    head[4] = (uint8_t)(parts.extras_bytes < 0 ? (long long)parts.extras_len : parts.extras_bytes);
    be_write_u32(head + 8, (uint32_t)(parts.body_bytes < 0 ? (long long)body : parts.body_bytes));
    be_write_u32(head + 12, parts.opaque);
    be_write_u64(head + 16, parts.cas);
    out_put(out, head, sizeof(head));
    out_put(out, parts.extras, parts.extras_len);
    out_put(out, parts.key.ptr, parts.key.len);
    out_put(out, parts.value.ptr, parts.value.len);
}

/* Append the packets of `lines`, separated by LF. */
static inline void packet_put_lines(struct out *out, const char *lines, uint64_t cas_last)
{
    struct bytes rest = bytes_str(lines);
    while (rest.len > 0) {
        const uint8_t *lf = memchr(rest.ptr, '\n', rest.len);
        const size_t len = lf != NULL ? (size_t)(lf - rest.ptr) : rest.len;
        packet_put(out, bytes_of(rest.ptr, len), cas_last);
        rest = bytes_skip(rest, lf != NULL ? len + 1 : len);
    }
}

/* Append a line for each answer in `packets`:
 * opcode, status, c when there is a CAS unique, o: unless 0, extras, key, value; an error's text is
 * left out when it is the usual one. Returns the last CAS unique; ~0: this is no sound packet. */
static inline uint64_t packet_show(struct out *out, struct bytes packets)
{
    uint64_t cas_last = 0;
    while (packets.len > 0) {
        if (packets.len < PROTO_BINARY_HEADER_BYTES || packets.ptr[0] != PROTO_BINARY_ANSWER)
            return UINT64_MAX;
        const uint8_t *head = packets.ptr;
        const size_t key = be_read_u16(head + 2), extras = head[4], body = be_read_u32(head + 8);
        const unsigned status = be_read_u16(head + 6);
        packets = bytes_skip(packets, PROTO_BINARY_HEADER_BYTES);
        if (key + extras > body || body > packets.len || head[5] != 0)
            return UINT64_MAX;
        out_printf(out, "%02x %x", head[1], status);
        if (be_read_u64(head + 16) != 0) {
            cas_last = be_read_u64(head + 16);
            out_put_str(out, " c");
        }
        if (be_read_u32(head + 12) != 0)
            out_printf(out, " o:%u", (unsigned)be_read_u32(head + 12));
        if (extras == 4)
            out_printf(out, " f:%u", (unsigned)be_read_u32(packets.ptr));
        else if (extras != 0)
            out_put_str(out, " extras?");
        if (key > 0) {
            out_put_str(out, " k:");
            out_put(out, packets.ptr + extras, key);
        }
        const struct bytes value = bytes_of(packets.ptr + extras + key, body - extras - key);
        if (value.len > 0 &&
            (status == 0 || !bytes_is(value, proto_status_text((enum proto_status)status)))) {
            out_put_str(out, " v:");
            out_put(out, value.ptr, value.len);
        }
        out_put_str(out, "\n");
        packets = bytes_skip(packets, body);
    }
    return cas_last;
}
