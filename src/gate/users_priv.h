/* gate/users_priv.h — the table of users, for the files that fill it and that check logins.
 *
 * Includes: gate/users.h.  Included by: gate/users.c, gate/login.c.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "gate/users.h"

enum { SCRAM_LINES = 4 }; /* of one name, for each costs the iterations */

struct line {
    struct gate_digest name;
    uint32_t number; /* in its file, from 1 */
    uint8_t file;
    bool hashed;
    union {
        struct {
            struct gate_digest secret; /* of the password, keyed by `name` */
            struct gate_hmac hmac;     /* of the password */
        } plain;
        struct gate_verifier verifier;
    };
    uint8_t classes;
    uint32_t name_at, name_bytes; /* in `text` */
    uint32_t prefixes_at, prefixes_bytes;
};

/* Of a plain line. */
struct secret {
    struct gate_digest secret;
    uint16_t id;
};

struct user {
    struct gate_digest name;
    uint32_t line; /* the last one with the name */
    uint16_t id;
};

struct gate_users {
    struct gate_digest key;
    uint64_t number;    /* unlike any other table's */
    uint8_t file;       /* how many were added */
    struct line *lines; /* sealed: sorted by name, then as they were added */
    size_t line_count, line_cap;
    struct secret *secrets; /* sealed: sorted */
    size_t plain_count;
    struct user *users; /* sealed: sorted by name */
    size_t user_count;
    uint8_t *text; /* names and prefixes of the lines */
    size_t text_bytes, text_cap;
    uint32_t iterations; /* of the costliest line */
    uint32_t tries;      /* by SCRAM, of the name with the most plain lines */
    uint16_t *of_id;  /* sealed: where the user of an id stands in `users`, plus one; 0: nowhere */
    uint16_t id_last; /* given out last */
};

/* The name under the table's key, as lines and users have it. */
struct gate_digest users_name_digest(const struct gate_users *users, struct bytes name);
/* Sealed: is this line the first one with its name? */
bool users_line_is_first(const struct gate_users *users, size_t line);
