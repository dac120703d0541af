/* gate/rules.h — all that the files of users and rules say, as one set, or what is wrong with them.
 *
 * Includes: gate.  Included by: gate/gate.c, which swaps sets while they are in use.
 * Threads:  one while it is made; any number behind that.
 * Memory:   the set, and while it is made the text of one file, which is overwritten.
 * I/O:      reads the files.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "gate/gate.h"
#include "gate/users.h"

/* What sets are made from. */
struct gate_setup {
    struct gate_config config;
    struct gate_digest key;
    struct gate_listener *listeners;
    size_t listener_count;
    bool listening; /* the listeners are known; before that, a set is not sealed */
};

struct gate_rules {
    struct gate_users *users;
    struct gate_access *access; /* NULL: there is none */
};

/* Is there an access list, be it empty? */
static inline bool gate_setup_has_access(const struct gate_setup *setup)
{
    const struct gate_config *config = &setup->config;
    return config->deny != NULL || config->allow != NULL || config->access_file != NULL;
}

/* Read all files. Users who are in `before` (or NULL), too, keep their ids. Returns as gate_new().
 * Owns: gate_rules_free(). */
MUST_USE int gate_rules_new(const struct gate_setup *setup, const struct gate_rules *before,
                            struct gate_rules **ret_rules, char *ret_error);
/* NULL is fine. */
void gate_rules_free(struct gate_rules *rules);
/* Of a set that was made before the listeners were known. Returns as gate_new(). */
MUST_USE int gate_rules_seal(const struct gate_rules *rules, const struct gate_setup *setup,
                             char *ret_error);
