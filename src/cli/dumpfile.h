/* cli/dumpfile.h — the file of `matte dump`: a head, a record per item, a record that ends it.
 *
 * Every record has a checksum that counts in its number, so that one that is damaged, missing or
 * at another place is noticed, and a file that was cut has no end.
 *
 * Includes: base.  Included by: cli and its tests.  Pure.
 * Memory:   records point into the input.
 * Spec:     docs/dump-format.md.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum {
    CLI_DUMP_VERSION = 1,
    CLI_DUMP_HEAD_BYTES = 32,
    CLI_DUMP_FIXED_BYTES = 20, /* of a record, before key and value */
    CLI_DUMP_SUM_BYTES = 8,
    CLI_DUMP_KEY_BYTES_MAX = 250,
    CLI_DUMP_VALUE_BYTES_MAX = 1 << 30,
};

struct cli_dump_item {
    struct bytes key, value;
    uint32_t client_flags;
    uint64_t expires_s; /* Unix time; 0: never */
};

struct cli_dump_record {
    bool is_end;
    uint64_t count; /* of the end: how many items are before it */
    struct cli_dump_item item;
};

enum cli_dump_rc {
    CLI_DUMP_WHOLE,
    CLI_DUMP_MORE,  /* so far it is the beginning of one */
    CLI_DUMP_BAD,   /* it is none, or it is damaged */
    CLI_DUMP_NEWER, /* of a head: of a version that is not known here */
};

/* A record in three pieces; the value lies between them. */
struct cli_dump_frame {
    uint8_t head[CLI_DUMP_FIXED_BYTES + CLI_DUMP_KEY_BYTES_MAX];
    size_t head_bytes;
    uint8_t sum[CLI_DUMP_SUM_BYTES];
};

void cli_dump_head_write(uint8_t dst[CLI_DUMP_HEAD_BYTES], uint64_t created_s);
MUST_USE enum cli_dump_rc cli_dump_head_parse(struct bytes in, uint64_t *ret_created_s);

/* `number` is that of the record, from 0. Key and value are within the limits above. */
void cli_dump_item_frame(const struct cli_dump_item *item, uint64_t number,
                         struct cli_dump_frame *ret_frame);
void cli_dump_end_frame(uint64_t number, struct cli_dump_frame *ret_frame);

/* Read the record `number` at the start of `in`. WHOLE: *ret_used is its length. MORE: *ret_used is
 * how many bytes it needs at least, more than there are. */
MUST_USE enum cli_dump_rc cli_dump_record_parse(struct bytes in, uint64_t number,
                                                struct cli_dump_record *ret_record,
                                                size_t *ret_used);
