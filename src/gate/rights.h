/* gate/rights.h — what a user may do: classes of commands, and which keys.
 *
 * As words, separated by blanks, each at most once but for prefix=:
 *
 *     read,write            classes; without this word: all of them, with prefixes: read,write.
 *                           flush_prefix goes with prefixes: he may delete those below his own
 *     prefix=app1:          keys that begin so; several: one of them; without: all keys.
 *                           %XX is any byte, and how '%', blanks and what is not ASCII are written
 *
 * Administration has no keys, so nobody has it who is confined to some.
 *
 * Includes: base, gate/class.h.  Included by: gate, cli.  Pure.
 * Memory:   none of its own.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "gate/class.h"

enum {
    GATE_PREFIX_BYTES_MAX = 250, /* a key's */
    GATE_PREFIXES_BYTES_MAX = 1024,
    GATE_RIGHTS_TEXT_MAX = 64 + 10 * GATE_PREFIXES_BYTES_MAX,
};

struct gate_rights {
    uint8_t classes;                           /* 0: no class is named, so it is as above */
    uint16_t prefixes_bytes;                   /* 0: all keys */
    uint8_t prefixes[GATE_PREFIXES_BYTES_MAX]; /* of each its length (1..250), then itself */
};

/* Read the words. Returns NULL, or what is wrong with them. */
MUST_USE const char *gate_rights_parse(struct bytes text, struct gate_rights *ret_rights);
/* Read a list of classes, as in `read,write`. Returns NULL, or what is wrong. */
MUST_USE const char *gate_classes_parse(struct bytes text, uint8_t *ret_classes);
/* Add a prefix, as it is. Returns NULL, or what is wrong. */
MUST_USE const char *gate_rights_prefix_add(struct gate_rights *rights, struct bytes prefix);
/* Read a prefix with its %XX to `dst[GATE_PREFIX_BYTES_MAX]`. Returns NULL, or what is wrong. */
MUST_USE const char *gate_prefix_parse(struct bytes text, uint8_t *dst, size_t *ret_len);

/* Write the words, so that gate_rights_parse() reads the same, each with a blank in front of it, to
 * `dst` (room for GATE_RIGHTS_TEXT_MAX bytes). Returns where they end. */
uint8_t *gate_rights_write(uint8_t *dst, const struct gate_rights *rights);

/* The classes that there are, with what is not named. */
uint8_t gate_rights_classes(const struct gate_rights *rights);

/* Does the key begin with one of the prefixes (as struct gate_rights has them, at least one)? */
MUST_USE bool gate_prefixes_cover(struct bytes prefixes, struct bytes key);
