/* bench/workload.h — generated request streams for the trace replay, repeatable from a seed.
 *
 * Includes: dist.  Included by: trace.
 * Threads:  one owner.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "dist.h"

#include <stddef.h>

enum workload_kind {
    WORKLOAD_ZIPF09,  /* zipf 0.9 over all keys */
    WORKLOAD_ZIPF10,  /* zipf 1.0 */
    WORKLOAD_SCAN,    /* zipf 1.0, and bursts of keys that come once: 30 % of the requests */
    WORKLOAD_SHIFT,   /* new keys appear at the top of a zipf 1.0 and sink */
    WORKLOAD_TTL,     /* zipf 1.0; a key lives 1, 2, 4 or 8 s, or for ever */
    WORKLOAD_UPDATE,  /* zipf 1.0, half of the requests set a value of another size */
    WORKLOAD_GROW,    /* zipf 1.0, a tenth are sets; sizes grow from half to four times */
    WORKLOAD_RECENCY, /* the same key again after a log-uniform distance; a tenth are new keys */
    WORKLOAD_LARGE,   /* zipf 0.9 of values up to 512 KiB */
    WORKLOAD_KINDS
};

struct workload_request {
    uint32_t id;
    uint32_t exptime_s;
    uint32_t value_bytes; /* of a value that is made now */
    bool update;          /* a set, whatever is cached; otherwise a get */
};

enum { WORKLOAD_HISTORY = 1 << 20 };

struct workload {
    enum workload_kind kind;
    uint64_t keys, requests; /* popular keys; length of the stream */
    uint64_t done;
    uint64_t fresh_next; /* next key that was never asked for */
    struct dist_rng rng;
    struct dist_zipf zipf;
    struct dist_sizes sizes;
    uint32_t *history; /* WORKLOAD_RECENCY: ids of the last requests */
};

/* The kind of that name, or WORKLOAD_KINDS. */
enum workload_kind workload_kind_find(const char *name);

/* Returns false when memory ran out. Owns: workload_fini(). */
MUST_USE bool workload_init(struct workload *load, enum workload_kind kind, uint64_t keys,
                            uint64_t requests);
void workload_fini(struct workload *load);

/* No id of the stream is as high as this. */
uint64_t workload_id_end(const struct workload *load);

struct workload_request workload_next(struct workload *load);
