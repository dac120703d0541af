/* gate/users.h — who may log in and what he may do: a table of users, made from the bytes of files
 * of users (gate/entry.h).
 *
 *     gate_users_new ─► gate_users_add, once per file ─► gate_users_seal ─► gate_users_check ...
 *
 * Of a plain password the table holds a digest under a key that is drawn at the start and never
 * leaves the process, and HMAC's two states after it, from which SCRAM's keys can be derived. With
 * the memory of the process at hand, passwords can be tried against either; neither tells one.
 *
 * What a login costs in time must tell nothing about the table:
 *
 *   - Plain lines: it takes the digest D of what the client has sent; that takes as long as the
 *     client's own bytes are long. It then looks for D among the sorted digests, in a number of
 *     steps that depends on their count alone. D is the value of a pseudo-random function under a
 *     secret key: the D of a right name with a wrong password, or of a password that is right but
 *     for a byte, is as far from the stored one as that of anything else. So there is no "nearer",
 *     and time cannot tell whether a name exists or how long a password is.
 *   - Hashed lines: an attempt that fails has cost as many iterations as the costliest line of the
 *     table, whether the name is hashed, plain or unknown. In a table without hashed lines it costs
 *     none.
 *   - SCRAM: names that are plain or unknown get a salt made from the name under a secret key, and
 *     the iterations of the costliest line. An attempt that fails has cost as many iterations if
 *     the table has plain lines, times the most that one name has (SCRAM tries the last four), and
 *     none if it has not.
 *
 * Comparing with every user would tell as little, but costs each guess 10,000 comparisons in a
 * table of 10,000 users, at the expense of everybody else.
 *
 * What a right login has proven is remembered for a while (struct gate_memory), so that a pool of
 * connections costs the iterations once per thread.
 *
 * Includes: base, gate.  Included by: gate, cli.  Pure: no file, no log.
 * Threads:  one while it is filled; any number once it is sealed, each with its own gate_memory.
 * Memory:   about 170 bytes per line, 24 per plain one, 64 per user and his name and prefixes;
 *           overwritten before it is freed. Nothing else of the text is kept.
 * Spec:     memcached 1.6.45, -Y; limits are ours (there: 8 lines of 256 bytes).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "gate/digest.h"
#include "gate/entry.h"
#include "gate/scram.h"

enum {
    GATE_USERS_MAX = 16383, /* names; an id has 14 bits, see server/session.h */
    GATE_LINES_MAX =
        65536, /* one name may have several plain passwords: old and new, for a while */
};

struct gate_users;

/* Why a file or table was refused. Never quotes the file. */
struct gate_fault {
    size_t line; /* from 1; 0: it concerns no single line */
    size_t file; /* the line's: how many were added before its */
    const char *what;
};

/* An empty table. Whoever compares ids over time (gate_users_seal) keeps to one `key`.
 * Returns 0 or -ENOMEM. Owns: gate_users_free(). */
MUST_USE int gate_users_new(struct gate_digest key, struct gate_users **ret_users);
/* Overwrites what it held. NULL is fine. */
void gate_users_free(struct gate_users *users);

/* Add every line of `text`, ended by LF or CR LF, the last one also by the end.
 * Returns 0; -EINVAL: a line is malformed, *ret_fault says which; -ENOMEM. After a failure the
 * table is only good for gate_users_free(). */
MUST_USE int gate_users_add(struct gate_users *users, struct bytes text,
                            struct gate_fault *ret_fault);

/* Nothing more is added. Gives each name an id from 1 to GATE_USERS_MAX: the one that it has in
 * `before` (NULL: none), else one that no name there has and that has not been in use for the
 * longest time. So a connection that has logged in keeps meaning the same user.
 * Returns 0; -EINVAL: too many names, or a hashed name has a second line; -ENOMEM. */
MUST_USE int gate_users_seal(struct gate_users *users, const struct gate_users *before,
                             struct gate_fault *ret_fault);

/* ── questions ────────────────────────────────────────────────────────────────────────────── */

/* Is there a user with this id? */
bool gate_users_has(const struct gate_users *users, uint16_t id);
/* Number of names. */
size_t gate_users_count(const struct gate_users *users);
/* His name; empty when there is no such user. Borrowed from the table. */
struct bytes gate_users_name(const struct gate_users *users, uint16_t id);
/* His classes; 0 when there is no such user. */
uint8_t gate_users_classes(const struct gate_users *users, uint16_t id);
/* His prefixes, for gate_prefixes_cover(); empty: all keys, or no such user. Borrowed. */
struct bytes gate_users_prefixes(const struct gate_users *users, uint16_t id);

/* ── logins ───────────────────────────────────────────────────────────────────────────────── */

/* What one thread has lately seen proven. Holds digests and SCRAM's keys of the table that it was
 * last used with; zeroed at first, overwritten before it is freed. */
enum { GATE_MEMORY_LOGINS = 256, GATE_MEMORY_KEYS = 64 };
struct gate_memory {
    uint64_t table; /* the one's number */
    struct {
        struct gate_digest secret;
        uint16_t id; /* 0: nothing */
    } logins[GATE_MEMORY_LOGINS];
    struct {
        uint8_t stored[GATE_HASH_BYTES], server[GATE_HASH_BYTES];
        uint16_t id;
    } keys[GATE_MEMORY_KEYS];
};

/* The id of the user with this name and password; 0: there is none. */
MUST_USE uint16_t gate_users_check(const struct gate_users *users, struct gate_memory *memory,
                                   struct bytes name, struct bytes password);

/* A login by SCRAM between its two messages. */
struct gate_exchange {
    uint64_t table;                     /* the one's number */
    uint16_t proven;                    /* who he has proven to be; 0: nobody yet */
    uint32_t line;                      /* what the client has to prove; UINT32_MAX: he cannot */
    uint8_t signature[GATE_HASH_BYTES]; /* ours */
    struct gate_verifier verifier;      /* of a plain line, or none: salt and iterations alone */
    uint16_t nonce_bytes, head_bytes, answer_at, text_bytes;
    uint8_t name_bytes;
    uint8_t name[SCRAM_NAME_BYTES_MAX]; /* that he claims */
    /* What stands in front of "n=", then the text of the exchange as far as it has come. */
    uint8_t text[SCRAM_MESSAGE_BYTES_MAX + 1 + SCRAM_ANSWER_BYTES_MAX];
};

/* Take the first message; `own_nonce` is ours. Returns false when it is malformed (*ret_exchange is
 * then undefined). *ret_answer points into the exchange. */
MUST_USE bool gate_users_scram_begin(const struct gate_users *users, struct bytes message,
                                     struct bytes own_nonce, struct gate_exchange *ret_exchange,
                                     struct bytes *ret_answer);
/* Take the final one. Returns true, and writes our last message, when it proves who the client is;
 * false: the exchange is over. A table other than that of the beginning knows nothing of it. */
MUST_USE bool gate_users_scram_prove(const struct gate_users *users, struct gate_memory *memory,
                                     struct gate_exchange *exchange, struct bytes message,
                                     uint8_t ret_answer[SCRAM_SIGNATURE_BYTES]);
/* Take what follows, which is empty when the client has accepted our proof. Returns the user's id;
 * 0: nothing was proven, or not to this table. Either way the exchange is over. */
MUST_USE uint16_t gate_users_scram_end(const struct gate_users *users,
                                       struct gate_exchange *exchange, struct bytes message);
