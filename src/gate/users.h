/* gate/users.h — who may log in: a table of users, made from the bytes of `user:password` files.
 *
 *     gate_users_new ─► gate_users_add, once per file ─► gate_users_seal ─► gate_users_find ...
 *
 * The table holds no password and no name, but digests of them under a key that is drawn at the
 * start and never leaves the process. What a login costs in time must tell nothing about the table:
 *
 *   - gate_users_find() takes the digest D of what the client has sent; that takes as long as the
 *     client's own bytes are long. Nothing of the table takes part.
 *   - It then looks for D among the sorted digests, in a number of steps that depends on their
 *     count alone. Which ones it looks at depends on D. But D is the value of a pseudo-random
 *     function under a secret key: the D of a right name with a wrong password, or of a password
 *     that is right but for a byte, is as far from the stored one as that of anything else. So
 *     there is no "nearer", and time cannot tell whether a name exists or how long a password is.
 *
 * Comparing with every user would tell as little, but costs each guess 10,000 comparisons in a
 * table of 10,000 users, at the expense of everybody else.
 *
 * Includes: base, gate/digest.h.  Included by: gate.  Pure: no file, no log.
 * Threads:  one while it is filled; any number once it is sealed.
 * Memory:   48 bytes per line and 24 per user; overwritten before it is freed. Nothing of the
 *           text is kept.
 * Spec:     memcached 1.6.45, -Y; limits are ours (there: 8 lines of 256 bytes).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "gate/digest.h"

enum {
    GATE_NAME_BYTES_MAX = 255,
    GATE_PASSWORD_BYTES_MAX = 1024,
    GATE_USERS_MAX = 16383, /* names; an id has 14 bits, see server/session.h */
    GATE_LINES_MAX = 65536, /* one name may have several passwords: old and new, for a while */
};

struct gate_users;

/* Why a file or table was refused. Never quotes the file. */
struct gate_fault {
    size_t line; /* from 1; 0: it concerns no single line */
    const char *what;
};

/* An empty table. Whoever compares ids over time (gate_users_seal) keeps to one `key`.
 * Returns 0 or -ENOMEM. Owns: gate_users_free(). */
MUST_USE int gate_users_new(struct gate_digest key, struct gate_users **ret_users);
/* Overwrites what it held. NULL is fine. */
void gate_users_free(struct gate_users *users);

/* Add every line of `text`: `user:password`, ended by LF or CR LF, the last one also by the end.
 * The password is all that follows the first ':'.
 * Returns 0; -EINVAL: a line is malformed, *ret_fault says which; -ENOMEM. After a failure the
 * table is only good for gate_users_free(). */
MUST_USE int gate_users_add(struct gate_users *users, struct bytes text,
                            struct gate_fault *ret_fault);

/* Nothing more is added. Gives each name an id from 1 to GATE_USERS_MAX: the one that it has in
 * `before` (NULL: none), else one that no name there has and that has not been in use for the
 * longest time. So a connection that has logged in keeps meaning the same user.
 * Returns 0; -EINVAL: too many names. */
MUST_USE int gate_users_seal(struct gate_users *users, const struct gate_users *before,
                             struct gate_fault *ret_fault);

/* The id of the user with this name and password; 0: there is none. */
MUST_USE uint16_t gate_users_find(const struct gate_users *users, struct bytes name,
                                  struct bytes password);
/* Is there a user with this id? */
bool gate_users_has(const struct gate_users *users, uint16_t id);
/* Number of names. */
size_t gate_users_count(const struct gate_users *users);
