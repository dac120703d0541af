/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/ledger.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/hash.h"

enum { MARK_BITS = 64 - GATE_BUCKET_TICK_BITS };

/* All loads and stores of cells are relaxed: a cell says everything about itself. */
struct set {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t cell[GATE_LEDGER_SET_CELLS];
};

struct table {
    struct set *sets;
    uint64_t seed;
    uint8_t v4_bits, v6_bits;
    /* The rate may change while it is asked for. The burst is stored first: whoever sees a rate
     * (acquire) sees its burst, or that of a later one, with which one decision is made by a
     * mixture of two limits that are both meant. A rate of 0 leaves the burst as it was. */
    _Atomic uint32_t per_s; /* release */
    _Atomic uint64_t burst_ticks;
};

struct gate_ledger {
    struct table table[GATE_LEDGER_SCOPES];
};

/* What a source asks of one table. */
struct claim {
    struct set *set;
    uint64_t mark; /* 1..65535 */
    uint64_t ticks, burst_ticks;
    enum gate_ledger_scope scope;
};

static uint64_t cell_of(uint64_t mark, uint64_t empty_at)
{
    return mark << GATE_BUCKET_TICK_BITS | empty_at;
}

static uint64_t cell_mark(uint64_t cell)
{
    return cell >> GATE_BUCKET_TICK_BITS;
}

static uint64_t cell_level(uint64_t cell, uint64_t now)
{
    return cell == 0 ? 0 : gate_bucket_level(cell & GATE_BUCKET_TICK_MASK, now);
}

static uint32_t per_s_of(const struct table *table)
{
    return atomic_load_explicit(&table->per_s, memory_order_acquire);
}

static struct claim claim_of(const struct gate_ledger *ledger, enum gate_ledger_scope scope,
                             const struct ip *source, uint32_t cost, uint32_t per_s)
{
    const struct table *table = &ledger->table[scope];
    const unsigned bits = ip_is_v4(source) ? table->v4_bits + IP_V4_BITS : table->v6_bits;
    const struct ip_prefix prefix = ip_prefix_of(source, bits);
    const uint64_t hash = hash_bytes(bytes_of(prefix.ip.byte, sizeof(prefix.ip.byte)), table->seed);
    const uint64_t mark = hash >> (64 - MARK_BITS);
    return (struct claim){
        .set = &table->sets[hash % GATE_LEDGER_SETS],
        .mark = mark != 0 ? mark : 1,
        .ticks = gate_bucket_ticks(per_s, cost),
        .burst_ticks = atomic_load_explicit(&table->burst_ticks, memory_order_relaxed),
        .scope = scope,
    };
}

/* Returns the number of claims: one for each table that limits anything. */
static unsigned claims_of(const struct gate_ledger *ledger, const struct ip *source, uint32_t cost,
                          struct claim ret_claims[GATE_LEDGER_SCOPES])
{
    unsigned count = 0;
    for (enum gate_ledger_scope i = 0; i < GATE_LEDGER_SCOPES; i++) {
        const uint32_t per_s = per_s_of(&ledger->table[i]);
        if (per_s != 0)
            ret_claims[count++] = claim_of(ledger, i, source, cost, per_s);
    }
    return count;
}

/* The source's cell, or else the one that gives way to it. *ret_level is the source's. */
static unsigned cell_find(const struct claim *claim, uint64_t now, uint64_t *ret_cell,
                          uint64_t *ret_level)
{
    unsigned least = 0;
    uint64_t least_cell = 0, least_level = UINT64_MAX;
    for (unsigned i = 0; i < GATE_LEDGER_SET_CELLS; i++) {
        const uint64_t cell = atomic_load_explicit(&claim->set->cell[i], memory_order_relaxed);
        const uint64_t level = cell_level(cell, now);
        if (cell_mark(cell) == claim->mark) {
            *ret_cell = cell;
            *ret_level = level;
            return i;
        }
        if (level < least_level) {
            least = i;
            least_cell = cell;
            least_level = level;
        }
    }
    *ret_cell = least_cell;
    *ret_level = 0;
    return least;
}

static uint64_t claim_level(const struct claim *claim, uint64_t now)
{
    uint64_t cell, level;
    (void)cell_find(claim, now, &cell, &level);
    return level;
}

static enum gate_ledger_rc claims_look(const struct claim *claims, unsigned count, uint64_t now)
{
    for (unsigned i = 0; i < count; i++)
        if (!gate_bucket_admits(claim_level(&claims[i], now), claims[i].ticks,
                                claims[i].burst_ticks))
            return (enum gate_ledger_rc)claims[i].scope;
    return GATE_LEDGER_FITS;
}

/* Add the claim's ticks, unless that makes more than `level_max`. Returns false then. */
static bool claim_charge(const struct claim *claim, uint64_t level_max, uint64_t now)
{
    for (unsigned i = 0; i < GATE_LEDGER_TRIES; i++) {
        uint64_t cell, level;
        const unsigned at = cell_find(claim, now, &cell, &level);
        if (!gate_bucket_admits(level, claim->ticks, level_max))
            return false;
        const uint64_t charged = cell_of(claim->mark, gate_bucket_charge(level, claim->ticks, now));
        if (atomic_compare_exchange_strong_explicit(&claim->set->cell[at], &cell, charged,
                                                    memory_order_relaxed, memory_order_relaxed))
            return true;
    }
    return true; /* see ledger.h, Threads */
}

/* Take back what claim_charge() has added. */
static void claim_refund(const struct claim *claim, uint64_t now)
{
    for (unsigned i = 0; i < GATE_LEDGER_TRIES; i++) {
        uint64_t cell, level;
        const unsigned at = cell_find(claim, now, &cell, &level);
        if (level == 0)
            return; /* forgotten, or drained since then */
        const uint64_t left = level > claim->ticks ? level - claim->ticks : 0;
        const uint64_t refunded = cell_of(claim->mark, gate_bucket_charge(left, 0, now));
        if (atomic_compare_exchange_strong_explicit(&claim->set->cell[at], &cell, refunded,
                                                    memory_order_relaxed, memory_order_relaxed))
            return;
    }
}

enum gate_ledger_rc gate_ledger_look(const struct gate_ledger *ledger, const struct ip *source,
                                     uint32_t cost, uint64_t now_ms)
{
    struct claim claims[GATE_LEDGER_SCOPES];
    const unsigned count = claims_of(ledger, source, cost, claims);
    return claims_look(claims, count, gate_bucket_now(now_ms));
}

enum gate_ledger_rc gate_ledger_take(struct gate_ledger *ledger, const struct ip *source,
                                     uint32_t cost, uint64_t now_ms)
{
    const uint64_t now = gate_bucket_now(now_ms);
    struct claim claims[GATE_LEDGER_SCOPES];
    const unsigned count = claims_of(ledger, source, cost, claims);
    const enum gate_ledger_rc rc = claims_look(claims, count, now);
    if (rc != GATE_LEDGER_FITS)
        return rc; /* the usual refusal; what follows fails only when it loses a race */
    for (unsigned i = 0; i < count; i++) {
        if (claim_charge(&claims[i], claims[i].burst_ticks, now))
            continue;
        const enum gate_ledger_rc over = (enum gate_ledger_rc)claims[i].scope;
        while (i-- > 0)
            claim_refund(&claims[i], now);
        return over;
    }
    return GATE_LEDGER_FITS;
}

void gate_ledger_charge(struct gate_ledger *ledger, const struct ip *source, uint32_t cost,
                        uint64_t now_ms)
{
    const uint64_t now = gate_bucket_now(now_ms);
    struct claim claims[GATE_LEDGER_SCOPES];
    const unsigned count = claims_of(ledger, source, cost, claims);
    for (unsigned i = 0; i < count; i++)
        (void)claim_charge(&claims[i], UINT64_MAX, now);
}

uint32_t gate_ledger_wait_ms(const struct gate_ledger *ledger, const struct ip *source,
                             uint64_t now_ms, enum gate_ledger_scope *ret_scope)
{
    const uint64_t now = gate_bucket_now(now_ms);
    struct claim claims[GATE_LEDGER_SCOPES];
    const unsigned count = claims_of(ledger, source, 0, claims);
    uint32_t wait_ms = 0;
    for (unsigned i = 0; i < count; i++) {
        const uint32_t ms =
            gate_bucket_wait_ms(claim_level(&claims[i], now), claims[i].burst_ticks);
        if (ms <= wait_ms)
            continue;
        wait_ms = ms;
        *ret_scope = claims[i].scope;
    }
    return wait_ms;
}

uint32_t gate_ledger_cells(const struct gate_ledger *ledger, enum gate_ledger_scope scope,
                           uint64_t now_ms)
{
    const uint64_t now = gate_bucket_now(now_ms);
    uint32_t count = 0;
    for (unsigned i = 0; i < GATE_LEDGER_SETS; i++)
        for (unsigned j = 0; j < GATE_LEDGER_SET_CELLS; j++) {
            _Atomic uint64_t *cell = &ledger->table[scope].sets[i].cell[j];
            count += cell_level(atomic_load_explicit(cell, memory_order_relaxed), now) > 0;
        }
    return count;
}

/* ── set-up ───────────────────────────────────────────────────────────────────────────────── */

static bool rate_is_valid(const struct gate_rate *rate)
{
    return rate->per_s == 0 ||
           (rate->burst > 0 && rate->burst <= (uint64_t)rate->per_s * GATE_BUCKET_BURST_S_MAX);
}

static void rate_store(struct table *table, struct gate_rate rate)
{
    if (rate.per_s != 0)
        atomic_store_explicit(&table->burst_ticks, gate_bucket_ticks(rate.per_s, rate.burst),
                              memory_order_relaxed);
    atomic_store_explicit(&table->per_s, rate.per_s, memory_order_release);
}

void gate_ledger_rate_set(struct gate_ledger *ledger, enum gate_ledger_scope scope,
                          struct gate_rate rate)
{
    assert(rate_is_valid(&rate));
    rate_store(&ledger->table[scope], rate);
}

bool gate_ledger_is_on(const struct gate_ledger *ledger)
{
    return per_s_of(&ledger->table[GATE_LEDGER_ADDRESS]) != 0 ||
           per_s_of(&ledger->table[GATE_LEDGER_PREFIX]) != 0;
}

static int table_init(struct table *table, const struct gate_ledger_scope_config *config)
{
    if (!rate_is_valid(&config->rate))
        return -EINVAL;
    table->v4_bits = config->v4_bits;
    table->v6_bits = config->v6_bits;
    rate_store(table, config->rate);
    const ssize_t got = getrandom(&table->seed, sizeof(table->seed), 0);
    if (got != (ssize_t)sizeof(table->seed))
        return got < 0 ? -errno : -EIO;
    void *sets = mmap(NULL, GATE_LEDGER_BYTES / GATE_LEDGER_SCOPES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sets == MAP_FAILED)
        return -ENOMEM;
    table->sets = sets;
    return 0;
}

int gate_ledger_new(const struct gate_ledger_scope_config config[GATE_LEDGER_SCOPES],
                    struct gate_ledger **ret_ledger)
{
    struct gate_ledger *ledger = calloc(1, sizeof(*ledger));
    int rc = ledger != NULL ? 0 : -ENOMEM;
    for (unsigned i = 0; i < GATE_LEDGER_SCOPES && rc == 0; i++)
        rc = table_init(&ledger->table[i], &config[i]);
    if (rc == 0)
        *ret_ledger = ledger;
    else
        gate_ledger_free(ledger);
    return rc;
}

void gate_ledger_free(struct gate_ledger *ledger)
{
    if (ledger == NULL)
        return;
    for (unsigned i = 0; i < GATE_LEDGER_SCOPES; i++)
        if (ledger->table[i].sets != NULL)
            (void)munmap(ledger->table[i].sets, GATE_LEDGER_BYTES / GATE_LEDGER_SCOPES);
    free(ledger);
}
