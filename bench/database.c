/* bench/database.c — see database.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "database.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool database_init(struct database *base, const struct workload *load)
{
    *base = (struct database){.objects = calloc(workload_id_end(load), sizeof(*base->objects))};
    return base->objects != NULL;
}

void database_fini(struct database *base)
{
    free(base->objects);
}

struct object *database_touch(struct database *base, const struct workload_request *request)
{
    struct object *object = &base->objects[request->id];
    bool is_new = object->value_bytes == 0;
    if (is_new || request->update) {
        base->footprint += request->value_bytes + (is_new ? DATABASE_KEY_BYTES : 0);
        base->footprint -= object->value_bytes;
        if (base->counting && is_new && !request->update) {
            base->first++;
            base->first_bytes += request->value_bytes;
        }
        object->value_bytes = request->value_bytes;
        object->version += request->update;
    }
    return object;
}

void database_count(struct database *base, uint32_t value_bytes, bool missed)
{
    if (!base->counting)
        return;
    base->gets++;
    base->bytes += value_bytes;
    base->misses += missed;
    base->missed_bytes += missed ? value_bytes : 0;
}

void database_print(const struct database *base)
{
    double gets = base->gets > 0 ? (double)base->gets : 1.0;
    double bytes = base->bytes > 0 ? (double)base->bytes : 1.0;
    printf("\"footprint\":%" PRIu64 ",\"gets\":%" PRIu64 ",\"misses\":%" PRIu64 ",",
           base->footprint, base->gets, base->misses);
    printf("\"first_objects\":%.6f,\"first_bytes\":%.6f,", (double)base->first / gets,
           (double)base->first_bytes / bytes);
    printf("\"objects\":%.6f,\"bytes\":%.6f", (double)base->misses / gets,
           (double)base->missed_bytes / bytes);
}
