/* cmd/prefix.h — counters per key prefix, for `stats detail`.
 *
 * A prefix is what stands before the first delimiter of a key; keys without one are not counted.
 *
 * Includes: base.  Included by: cmd, server.
 * Threads:  any; each shard of the table has a lock. Switched off (the usual state) a key costs
 *           one relaxed load.
 * Memory:   PREFIX_COUNT_MAX prefixes at most, later ones are not counted; they stay until a
 *           reset.
 * Spec:     memcached 1.6.45, stats detail; -D.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdatomic.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/out.h"

enum { PREFIX_COUNT_MAX = 65536 };

enum prefix_event { PREFIX_GET_MISS, PREFIX_GET_HIT, PREFIX_SET, PREFIX_DELETE };

struct cmd_prefixes {
    _Atomic bool on;
    struct cmd_prefix_table *table;
};

/* Prepare counting by `delimiter`. Returns 0 or -errno. Owns: cmd_prefixes_fini(). */
MUST_USE int cmd_prefixes_init(struct cmd_prefixes *prefixes, char delimiter, bool on);
void cmd_prefixes_fini(struct cmd_prefixes *prefixes);
void cmd_prefixes_reset(struct cmd_prefixes *prefixes);

static inline bool cmd_prefixes_on(const struct cmd_prefixes *prefixes)
{
    return prefixes != NULL && atomic_load_explicit(&prefixes->on, memory_order_relaxed);
}

static inline void cmd_prefixes_switch(struct cmd_prefixes *prefixes, bool on)
{
    atomic_store_explicit(&prefixes->on, on, memory_order_relaxed);
}

void cmd_prefixes_count(struct cmd_prefixes *prefixes, struct bytes key, enum prefix_event event);

/* Append `PREFIX p get N hit N set N del N` lines of the part of the table that begins at *at, and
 * move *at behind it; begin with 0. Returns false when that was the last. */
MUST_USE bool cmd_prefixes_print(struct cmd_prefixes *prefixes, size_t *at, struct out *out);
