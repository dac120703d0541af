/* gate/ledger.h — how much each address and each prefix has used, in fixed memory.
 *
 * A ledger is for one purpose (requests, failed logins, challenges, ...) and has two tables: of
 * addresses, and of the prefixes that they lie in. A table is sets of eight cells, one cache line
 * each, chosen by a hash of the masked address under a secret seed:
 *
 *     cell:  48 bits  when the source's bucket will be empty (gate/bucket.h)
 *            16 bits  mark, from the same hash; 0 in a cell that was never used
 *
 * A source that is not there has an empty bucket. When its set is full, the cell with the least
 * level gives way; so a source that uses much keeps its cell, and one that used little is merely
 * forgotten, which is all that a flood of forged addresses can bring about. Two sources are taken
 * for one when set and mark are the same, 1 in 2^29 for any two; nobody outside can search for
 * such pairs.
 *
 * What is refused writes nothing: a source over its limit costs two reads.
 *
 * Includes: base.  Included by: gate, server.
 * Threads:  any number; a new cell is stored by compare-and-swap, no locks. After LEDGER_TRIES lost
 *           races it gives up and lets through: each lost race is a charge of another thread, so
 *           no more than one in LEDGER_TRIES + 1 goes uncharged, while refusing would punish a
 *           source for its neighbours.
 * Memory:   LEDGER_BYTES, mapped by gate_ledger_new() and touched as it is used; no later call
 *           allocates.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/ip.h"
#include "gate/bucket.h"

enum {
    LEDGER_SET_CELLS = CACHE_LINE_BYTES / 8,
    LEDGER_SETS = 8192, /* of each table: 65536 sources */
    LEDGER_BYTES = 2 * LEDGER_SETS * CACHE_LINE_BYTES,
    LEDGER_TRIES = 8,
};

enum ledger_scope { LEDGER_ADDRESS, LEDGER_PREFIX, LEDGER_SCOPES };

/* One table: whom it counts as one, and what they may. */
struct ledger_scope_config {
    struct gate_rate rate;
    uint8_t v4_bits, v6_bits; /* 0..32 and 0..128 */
};

struct gate_ledger;

/* Returns 0; -EINVAL: a burst out of range; -ENOMEM, or -errno of the random numbers' source.
 * Owns: gate_ledger_free(). */
MUST_USE int gate_ledger_new(const struct ledger_scope_config config[LEDGER_SCOPES],
                             struct gate_ledger **ret_ledger);
void gate_ledger_free(struct gate_ledger *ledger); /* NULL is fine */

/* May `source` use `cost` more at `now_ms` (any clock that does not go back)? Charges its address
 * and its prefix, or neither. More than a burst at once never may. Returns false when over. */
MUST_USE bool gate_ledger_take(struct gate_ledger *ledger, const struct ip *source, uint32_t cost,
                               uint64_t now_ms);
/* The same question without a charge. */
MUST_USE bool gate_ledger_look(const struct gate_ledger *ledger, const struct ip *source,
                               uint32_t cost, uint64_t now_ms);
/* Charge for what has been used already, over the burst or not. */
void gate_ledger_charge(struct gate_ledger *ledger, const struct ip *source, uint32_t cost,
                        uint64_t now_ms);
/* Milliseconds until what `source` was charged for is within the burst again; 0: it is. */
uint32_t gate_ledger_wait_ms(const struct gate_ledger *ledger, const struct ip *source,
                             uint64_t now_ms);

/* How many cells hold something. Walks the table. */
uint32_t gate_ledger_cells(const struct gate_ledger *ledger, enum ledger_scope scope,
                           uint64_t now_ms);
