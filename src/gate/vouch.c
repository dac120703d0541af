/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/vouch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/hash.h"

int gate_vouch_new(struct gate_vouch **ret_vouch)
{
    struct gate_vouch *vouch = aligned_alloc(CACHE_LINE_BYTES, sizeof(*vouch));
    if (vouch == NULL)
        return -ENOMEM;
    memset(vouch, 0, sizeof(*vouch));
    if (getrandom(&vouch->seed, sizeof(vouch->seed), 0) != (ssize_t)sizeof(vouch->seed)) {
        free(vouch);
        return -EIO;
    }
    *ret_vouch = vouch;
    return 0;
}

void gate_vouch_free(struct gate_vouch *vouch)
{
    free(vouch);
}

static uint64_t hash_of(const struct gate_vouch *vouch, const struct ip *ip)
{
    return hash_bytes(bytes_of(ip->byte, sizeof(ip->byte)), vouch->seed);
}

static uint32_t mark_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

/* Relaxed throughout: a cell is one word and tells all by itself. */
void gate_vouch_put(struct gate_vouch *vouch, const struct ip *ip, uint32_t now_s)
{
    const uint64_t hash = hash_of(vouch, ip);
    _Atomic uint64_t *cells = vouch->set[hash % GATE_VOUCH_SETS].cell, *best = &cells[0];
    uint32_t best_s = UINT32_MAX;
    for (size_t i = 0; i < GATE_VOUCH_CELLS; i++) {
        const uint64_t cell = atomic_load_explicit(&cells[i], memory_order_relaxed);
        const bool own = cell != 0 && mark_of(cell) == mark_of(hash);
        const uint32_t cell_s = own ? 0 : (uint32_t)cell;
        if (cell_s < best_s || own) {
            best = &cells[i];
            best_s = cell_s;
        }
        if (own)
            break;
    }
    atomic_store_explicit(best, (uint64_t)mark_of(hash) << 32 | now_s, memory_order_relaxed);
}

bool gate_vouch_has(const struct gate_vouch *vouch, const struct ip *ip, uint32_t now_s)
{
    const uint64_t hash = hash_of(vouch, ip);
    const _Atomic uint64_t *cells = vouch->set[hash % GATE_VOUCH_SETS].cell;
    for (size_t i = 0; i < GATE_VOUCH_CELLS; i++) {
        const uint64_t cell = atomic_load_explicit(&cells[i], memory_order_relaxed);
        /* Signed: another thread's clock may be a second ahead. */
        if (cell != 0 && mark_of(cell) == mark_of(hash))
            return (int32_t)(now_s - (uint32_t)cell) <= GATE_VOUCH_S;
    }
    return false;
}
