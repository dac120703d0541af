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
 * Includes: base.  Included by: gate.
 * Threads:  any number, no locks: a new cell is stored by compare-and-swap. Who has lost
 *           GATE_LEDGER_TRIES races is let through: each of them is a charge of another thread, so
 *           at most one in GATE_LEDGER_TRIES + 1 goes uncharged, while refusing would punish a
 *           source for its neighbours.
 * Memory:   GATE_LEDGER_BYTES of addresses, mapped by gate_ledger_new(); memory as they are used.
 *           No later call allocates.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/ip.h"
#include "gate/bucket.h"

enum {
    GATE_LEDGER_SET_CELLS = CACHE_LINE_BYTES / 8,
    GATE_LEDGER_SETS = 8192, /* of each table: 65536 sources */
    GATE_LEDGER_BYTES = 2 * GATE_LEDGER_SETS * CACHE_LINE_BYTES,
    GATE_LEDGER_TRIES = 8,
};

enum gate_ledger_scope { GATE_LEDGER_ADDRESS, GATE_LEDGER_PREFIX, GATE_LEDGER_SCOPES };

/* Below GATE_LEDGER_FITS: the scope that has no room. */
enum gate_ledger_rc {
    GATE_LEDGER_ADDRESS_OVER = GATE_LEDGER_ADDRESS,
    GATE_LEDGER_PREFIX_OVER = GATE_LEDGER_PREFIX,
    GATE_LEDGER_FITS,
};

/* One table: whom it counts as one, and what they may. */
struct gate_ledger_scope_config {
    struct gate_rate rate;
    uint8_t v4_bits, v6_bits; /* 0..32 and 0..128 */
};

struct gate_ledger;

/* Returns 0; -EINVAL: a burst out of range; -ENOMEM, or -errno of the random numbers' source.
 * Owns: gate_ledger_free(). */
MUST_USE int gate_ledger_new(const struct gate_ledger_scope_config config[GATE_LEDGER_SCOPES],
                             struct gate_ledger **ret_ledger);
void gate_ledger_free(struct gate_ledger *ledger); /* NULL is fine */

/* Another rate for one scope, from now on; a burst in range. What was used stays used, as the time
 * that it takes to drain. Any thread, one at a time. */
void gate_ledger_rate_set(struct gate_ledger *ledger, enum gate_ledger_scope scope,
                          struct gate_rate rate);
/* Does it limit anything, just now? */
bool gate_ledger_is_on(const struct gate_ledger *ledger);

/* May `source` use `cost` more at `now_ms` (any clock that does not go back)? Charges its address
 * and its prefix, or neither. More than a burst at once never fits. */
MUST_USE enum gate_ledger_rc gate_ledger_take(struct gate_ledger *ledger, const struct ip *source,
                                              uint32_t cost, uint64_t now_ms);
/* The same question without a charge. */
MUST_USE enum gate_ledger_rc gate_ledger_look(const struct gate_ledger *ledger,
                                              const struct ip *source, uint32_t cost,
                                              uint64_t now_ms);
/* Charge for what has been used already, over the burst or not. */
void gate_ledger_charge(struct gate_ledger *ledger, const struct ip *source, uint32_t cost,
                        uint64_t now_ms);
/* Milliseconds until what `source` was charged for is within the burst again, and which scope takes
 * that long; 0: it is. */
uint32_t gate_ledger_wait_ms(const struct gate_ledger *ledger, const struct ip *source,
                             uint64_t now_ms, enum gate_ledger_scope *ret_scope);

/* How many cells hold something. Walks the table. */
uint32_t gate_ledger_cells(const struct gate_ledger *ledger, enum gate_ledger_scope scope,
                           uint64_t now_ms);
