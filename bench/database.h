/* bench/database.h — what the application behind the cache has, and how often the cache had it.
 *
 * Includes: workload.  Included by: trace, policy.
 * Threads:  one owner.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "workload.h"

enum { DATABASE_KEY_BYTES = 24 };

struct object {
    uint32_t version;
    uint32_t value_bytes; /* 0: never asked for */
    uint32_t expires_s;   /* of the last set, seconds since the start; 0: never */
    uint32_t filled_trip; /* trace: the trip whose misses brought it into the cache last */
};

struct database {
    struct object *objects; /* by id */
    uint64_t footprint;     /* bytes of all keys and values that there are */
    bool counting;          /* what follows counts */
    uint64_t gets, misses, bytes, missed_bytes;
    uint64_t first, first_bytes; /* asked for the first time: no cache could have them */
};

/* Returns false when memory ran out. Owns: database_fini(). */
MUST_USE bool database_init(struct database *base, const struct workload *load);
void database_fini(struct database *base);

/* The object that a request is about; an update makes a new version of it. */
struct object *database_touch(struct database *base, const struct workload_request *request);
/* A get of an object of that size was answered from the cache, or was not. */
void database_count(struct database *base, uint32_t value_bytes, bool missed);
/* Print the sums as fields of a JSON object, without braces. */
void database_print(const struct database *base);
