/* cli/dumpfile.c — the file of `matte dump`.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/dumpfile.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"

/* A record:
 *
 *    0  kind: 'I' an item, 'E' the end        8  u64 expires (of the end: count)
 *    1  bytes of the key                     16  u32 bytes of the value
 *    2  0, 0                                 20  key, value
 *    4  u32 client flags                     then u64 checksum of all before, seed: its number
 */
enum { AT_KEY_BYTES = 1, AT_ZERO = 2, AT_FLAGS = 4, AT_EXPIRES = 8, AT_VALUE_BYTES = 16 };

static const uint8_t magic[8] = {'M', 'A', 'T', 'T', 'E', 'D', 'M', 'P'};

static void put(uint8_t *dst, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        dst[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t take(const uint8_t *src, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)src[i] << (8 * i);
    return value;
}

void cli_dump_head_write(uint8_t dst[CLI_DUMP_HEAD_BYTES], uint64_t created_s)
{
    memset(dst, 0, CLI_DUMP_HEAD_BYTES);
    memcpy(dst, magic, sizeof(magic));
    put(dst + 8, CLI_DUMP_VERSION, 2);
    put(dst + 16, created_s, 8);
    put(dst + 24, hash_bytes(bytes_of(dst, 24), 0), 8);
}

enum cli_dump_rc cli_dump_head_parse(struct bytes in, uint64_t *ret_created_s)
{
    const size_t seen = in.len < sizeof(magic) ? in.len : sizeof(magic);
    if (seen > 0 && memcmp(in.ptr, magic, seen) != 0)
        return CLI_DUMP_BAD;
    if (in.len < CLI_DUMP_HEAD_BYTES)
        return CLI_DUMP_MORE;
    if (take(in.ptr + 24, 8) != hash_bytes(bytes_of(in.ptr, 24), 0))
        return CLI_DUMP_BAD;
    if (take(in.ptr + 8, 2) != CLI_DUMP_VERSION)
        return CLI_DUMP_NEWER;
    *ret_created_s = take(in.ptr + 16, 8);
    return CLI_DUMP_WHOLE;
}

void cli_dump_item_frame(const struct cli_dump_item *item, uint64_t number,
                         struct cli_dump_frame *ret_frame)
{
    assert(item->key.len >= 1 && item->key.len <= CLI_DUMP_KEY_BYTES_MAX);
    assert(item->value.len <= CLI_DUMP_VALUE_BYTES_MAX);
    uint8_t *head = ret_frame->head;
    memset(head, 0, CLI_DUMP_FIXED_BYTES);
    head[0] = 'I';
    head[AT_KEY_BYTES] = (uint8_t)item->key.len;
    put(head + AT_FLAGS, item->client_flags, 4);
    put(head + AT_EXPIRES, item->expires_s, 8);
    put(head + AT_VALUE_BYTES, item->value.len, 4);
    memcpy(head + CLI_DUMP_FIXED_BYTES, item->key.ptr, item->key.len);
    ret_frame->head_bytes = CLI_DUMP_FIXED_BYTES + item->key.len;
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    (void)XXH3_64bits_reset_withSeed(&state, number);
    (void)XXH3_64bits_update(&state, head, ret_frame->head_bytes);
    if (item->value.len > 0)
        (void)XXH3_64bits_update(&state, item->value.ptr, item->value.len);
    put(ret_frame->sum, XXH3_64bits_digest(&state), CLI_DUMP_SUM_BYTES);
}

void cli_dump_end_frame(uint64_t number, struct cli_dump_frame *ret_frame)
{
    uint8_t *head = ret_frame->head;
    memset(head, 0, CLI_DUMP_FIXED_BYTES);
    head[0] = 'E';
    put(head + AT_EXPIRES, number, 8);
    ret_frame->head_bytes = CLI_DUMP_FIXED_BYTES;
    put(ret_frame->sum, hash_bytes(bytes_of(head, CLI_DUMP_FIXED_BYTES), number),
        CLI_DUMP_SUM_BYTES);
}

enum cli_dump_rc cli_dump_record_parse(struct bytes in, uint64_t number,
                                       struct cli_dump_record *ret_record, size_t *ret_used)
{
    *ret_used = CLI_DUMP_FIXED_BYTES + CLI_DUMP_SUM_BYTES;
    if (in.len < CLI_DUMP_FIXED_BYTES)
        return CLI_DUMP_MORE;
    const bool is_end = in.ptr[0] == 'E';
    const size_t key_bytes = in.ptr[AT_KEY_BYTES];
    const size_t value_bytes = (size_t)take(in.ptr + AT_VALUE_BYTES, 4);
    const uint64_t time = take(in.ptr + AT_EXPIRES, 8);
    if ((!is_end && in.ptr[0] != 'I') || take(in.ptr + AT_ZERO, 2) != 0)
        return CLI_DUMP_BAD;
    if (is_end ? key_bytes > 0 || value_bytes > 0 || time != number
               : key_bytes == 0 || key_bytes > CLI_DUMP_KEY_BYTES_MAX ||
                     value_bytes > CLI_DUMP_VALUE_BYTES_MAX)
        return CLI_DUMP_BAD;
    const size_t bytes = CLI_DUMP_FIXED_BYTES + key_bytes + value_bytes;
    *ret_used = bytes + CLI_DUMP_SUM_BYTES;
    if (in.len < *ret_used)
        return CLI_DUMP_MORE;
    if (take(in.ptr + bytes, 8) != hash_bytes(bytes_of(in.ptr, bytes), number))
        return CLI_DUMP_BAD;
    *ret_record = (struct cli_dump_record){
        .is_end = is_end,
        .count = is_end ? time : 0,
        .item = {.key = bytes_of(in.ptr + CLI_DUMP_FIXED_BYTES, key_bytes),
                 .value = bytes_of(in.ptr + CLI_DUMP_FIXED_BYTES + key_bytes, value_bytes),
                 .client_flags = (uint32_t)take(in.ptr + AT_FLAGS, 4),
                 .expires_s = is_end ? 0 : time},
    };
    return CLI_DUMP_WHOLE;
}
