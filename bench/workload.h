/* bench/workload.h — generated request streams for the trace replay, repeatable from a seed.
 *
 * A workload is a row of a table in workload.c: which key comes next, how large its value is, how
 * often it is set anew, how long it lives.
 *
 * Includes: dist.  Included by: trace, policy.
 * Threads:  one owner.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "dist.h"

#include <stddef.h>

struct workload_request {
    uint32_t id;
    uint32_t exptime_s;
    uint32_t value_bytes; /* of a value that is made now */
    bool update;          /* a set, whatever is cached; otherwise a get */
};

enum { WORKLOAD_HISTORY = 1 << 20 };

struct workload_shape;

struct workload {
    const struct workload_shape *shape;
    uint64_t keys, requests; /* popular keys; length of the stream */
    uint64_t done;
    uint64_t fresh_next; /* next key that was never asked for */
    struct dist_rng rng;
    struct dist_zipf zipf;
    struct dist_sizes sizes, large_sizes; /* large_sizes: of one key in shape->large_one_in */
    uint32_t *history;                    /* ids of the last requests, where distances count */
};

/* The row of that name, or NULL. */
const struct workload_shape *workload_find(const char *name);
/* The names of all, with blanks between them. */
const char *workload_names(void);

/* Returns false when memory ran out. Owns: workload_fini(). */
MUST_USE bool workload_init(struct workload *load, const struct workload_shape *shape,
                            uint64_t keys, uint64_t requests);
void workload_fini(struct workload *load);

/* No id of the stream is as high as this. */
uint64_t workload_id_end(const struct workload *load);

struct workload_request workload_next(struct workload *load);
