/* gate/entry.h — a line of a file of users.
 *
 *     name:password                                                    plain, as memcached has it
 *     name:$scram-sha-256$4096:SALT$STORED:SERVER read,write prefix=app1:
 *                                                                      hashed; base64, RFC 4648
 *
 * A plain user may do everything. A line is a hashed one exactly when what follows the first ':'
 * begins with "$scram-sha-256$"; whatever else follows must then be right, so that a hash that was
 * cut does not become a password. Passwords that begin so have to be hashed.
 *
 * Names and passwords are bytes: what has several forms in Unicode (SASLprep, RFC 4013) is not made
 * one.
 *
 * Includes: base, proto/base64.h.  Included by: gate, cli.  Pure.
 * Memory:   name and password point into the line.
 * Spec:     memcached 1.6.45, -Y; RFC 5803 in our own notation.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "gate/rights.h"
#include "gate/verifier.h"

enum {
    GATE_NAME_BYTES_MAX = 255,
    GATE_PASSWORD_BYTES_MAX = 1024,
    /* What gate_entry_write() may write: name, hash, rights. */
    GATE_ENTRY_BYTES_MAX = GATE_NAME_BYTES_MAX + 256 + GATE_RIGHTS_TEXT_MAX,
};

struct gate_entry {
    struct bytes name;
    struct bytes password; /* plain only */
    bool hashed;
    struct gate_verifier verifier; /* hashed only, and so are: */
    struct gate_rights rights;
};

/* Read a line, without its end (LF or CR LF). Returns NULL, or what is wrong with it. */
MUST_USE const char *gate_entry_parse(struct bytes line, struct gate_entry *ret_entry);

/* What is wrong with this name, or NULL. */
const char *gate_name_fault(struct bytes name);
/* What is wrong with this password for a plain line, or NULL. A hashed one may also hold NUL, CR
 * and LF, but clients could not send it. */
const char *gate_password_fault(struct bytes password);

/* Write a hashed entry as a line, without its end, to `dst` (room for GATE_ENTRY_BYTES_MAX bytes).
 * Returns its length. */
size_t gate_entry_write(uint8_t *dst, const struct gate_entry *entry);
