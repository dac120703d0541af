/* cli/binary.h — parser of what a server answers by the binary protocol.
 *
 * Includes: base.  Included by: cli and its tests.  Pure.
 * Memory:   a reply points into the input.
 * Spec:     memcached 1.6.45, binary protocol.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cli/reply.h"

enum {
    CLI_BINARY_HEADER_BYTES = 24,
    CLI_BINARY_BODY_BYTES_MAX = 4096, /* of the answers that we ask for */
    CLI_BINARY_GET = 0x00,
    CLI_BINARY_VERSION = 0x0b,
    CLI_BINARY_SASL_LIST = 0x20,
    CLI_BINARY_FINE = 0x0000,
    CLI_BINARY_MISS = 0x0001,
    CLI_BINARY_AUTH_NEEDED = 0x0020,
};

struct cli_binary {
    uint8_t opcode;
    uint16_t status;
    struct bytes value; /* behind extras and key */
};

/* Read one answer at the start of `in`; as cli_reply_parse(). */
MUST_USE enum cli_reply_rc cli_binary_parse(struct bytes in, struct cli_binary *ret_binary,
                                            size_t *ret_used);

/* Write a request without extras and value into `dst`, which has room for CLI_BINARY_HEADER_BYTES
 * and the key. Returns its bytes. */
size_t cli_binary_write(uint8_t *dst, uint8_t opcode, struct bytes key);
