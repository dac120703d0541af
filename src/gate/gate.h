/* gate/gate.h — who may come in: the users of the server's files, asked by workers, read anew while
 * they ask.
 *
 * Includes: base.  Included by: server.
 * Threads:  gate_new(), gate_free() while no worker runs; gate_reload() in one thread at a time;
 *           gate_check() in any, each with a slot of its own.
 * Memory:   one table of users, two during a reload.
 * I/O:      reads the files, in gate_new() and gate_reload(); no log.
 * Spec:     memcached 1.6.45, authentication.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

struct gate;

enum { GATE_ERROR_BYTES = 512 };

struct gate_config {
    const char *files[2]; /* of lines `user:password`; NULL: none. Borrowed. */
    unsigned slots;       /* how many threads ask */
};

/* Read the files; all their users may log in. Returns 0, or -errno with a line without its end in
 * ret_error[GATE_ERROR_BYTES], which names file, line and what is wrong but quotes nothing.
 * Owns: gate_free(). */
MUST_USE int gate_new(const struct gate_config *config, struct gate **ret_gate, char *ret_error);
/* Overwrites what it held. NULL is fine. */
void gate_free(struct gate *gate);

/* Read the files again. Returns as gate_new(); after a failure the users are those of before. Waits
 * for checks under way, which take microseconds. */
MUST_USE int gate_reload(struct gate *gate, char *ret_error);

/* The id of the user with this name and password, from 1 to GATE_USERS_MAX; 0: there is none, or
 * not with this password. Its time tells neither (gate/users.h says why). `slot` < config.slots is
 * the calling thread's. */
MUST_USE uint16_t gate_check(struct gate *gate, unsigned slot, struct bytes name,
                             struct bytes password);

/* Number of users. In the thread that reloads. */
size_t gate_user_count(const struct gate *gate);
