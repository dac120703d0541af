/* bench/policy.c — replay a workload against the store itself: no sockets, no real time.
 *
 * What trace.c does to a server, done to the store in this process, a get at a time: millions of
 * requests per second, so that a change of the eviction policy can be tried on every workload at
 * several sizes in minutes. Its clock is the stream's: `rate` requests make a second. Miss ratios
 * come out as from a server of equal -m (within half a percent, where time does not matter).
 *
 * Threads:  one; it keeps house, too.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "args.h"
#include "cpu.h"
#include "database.h"
#include "item.h"
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VALUE_BYTES_MAX = 1 << 20,
    MIB = 1 << 20,
};

struct policy_opts {
    const char *workload;
    uint64_t keys, requests, memory_mb, by_bytes;
    double rate;
};

struct policy {
    struct policy_opts opts;
    struct workload workload;
    struct database base;
    struct store *store;
    struct store_thread *thread;
    uint8_t *value; /* the bytes of every value */
    uint64_t refused;
};

#define AT(field) offsetof(struct policy_opts, field)
static const struct args_row rows[] = {
    {"workload", ARGS_TEXT, AT(workload), 0, 0, "its name; a wrong one lists them"},
    {"keys", ARGS_COUNT, AT(keys), 1000, 1e9, "popular keys"},
    {"requests", ARGS_COUNT, AT(requests), 1000, 1e9, "length of the stream"},
    {"memory-mb", ARGS_COUNT, AT(memory_mb), 1, 1e6, "the store's memory"},
    {"rate", ARGS_REAL, AT(rate), 1, 1e9, "requests per second of the stream's own time"},
    {"by-bytes", ARGS_COUNT, AT(by_bytes), 0, 1, "1: like -o evict_by=bytes"},
    {0},
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "policy: %s: %s\n", what, why);
    exit(2);
}

static void put(struct policy *policy, const struct store_key *key, uint32_t value_bytes,
                uint32_t exp_s)
{
    const struct store_put put = {
        .mode = STORE_SET, .exp_s = exp_s, .value = bytes_of(policy->value, value_bytes)};
    if (store_put(policy->thread, key, &put, NULL) != STORE_OK)
        policy->refused++;
}

static void request_do(struct policy *policy, const struct workload_request *request,
                       uint32_t now_s)
{
    uint8_t text[DATABASE_KEY_BYTES];
    const struct object *object = database_touch(&policy->base, request);
    item_key_write(text, sizeof(text), request->id);
    struct store_key key = {.key = bytes_of(text, sizeof(text))};
    key.hash = store_hash(policy->store, key.key);
    const uint32_t exp_s = request->exptime_s > 0 ? now_s + request->exptime_s : 0;
    if (request->update) {
        put(policy, &key, object->value_bytes, exp_s);
        return;
    }
    struct store_view view;
    const bool missed = store_get(policy->thread, &key, 0, &view) != STORE_OK;
    database_count(&policy->base, object->value_bytes, missed);
    if (missed)
        put(policy, &key, object->value_bytes, exp_s);
}

static void replay(struct policy *policy)
{
    const struct policy_opts *opts = &policy->opts;
    for (uint64_t done = 0; done < opts->requests; done++) {
        const uint32_t now_s = 1 + (uint32_t)((double)done / opts->rate);
        store_thread_quiesce(policy->thread, now_s);
        store_maintain(policy->thread);
        policy->base.counting = done >= opts->requests / 2;
        const struct workload_request request = workload_next(&policy->workload);
        request_do(policy, &request, now_s);
    }
}

static void report(const struct policy *policy, double seconds)
{
    struct store_info info;
    store_info(policy->store, &info);
    printf("{\"requests\":%" PRIu64 ",\"requests_per_s\":%.0f,\"refused\":%" PRIu64 ",",
           policy->opts.requests, (double)policy->opts.requests / seconds, policy->refused);
    database_print(&policy->base);
    const double memory = (double)info.memory_bytes;
    printf(",\"live\":%.4f,\"index\":%.4f,\"small\":%.3f,\"main\":%.3f,",
           (double)info.item_bytes / memory, (double)info.index_bytes / memory,
           (double)info.segments_small / info.segments_max,
           (double)info.segments_main / info.segments_max);
    printf("\"evictions\":%" PRIu64 ",\"ghost_hits\":%" PRIu64 ",\"copied\":%.3f}\n",
           info.evictions, info.ghost_hits,
           (double)info.bytes_copied / (double)(policy->base.bytes + 1));
}

int main(int argc, char **argv)
{
    static struct policy policy = {.opts = {.workload = "zipf1.0",
                                            .keys = 1000000,
                                            .requests = 5000000,
                                            .memory_mb = 64,
                                            .rate = 400000}};
    args_parse(rows, &policy.opts, argc, argv);
    const struct workload_shape *shape = workload_find(policy.opts.workload);
    if (shape == NULL)
        die("no such workload; there are", workload_names());
    const struct store_config config = {.memory_bytes = policy.opts.memory_mb * MIB,
                                        .item_bytes_max = VALUE_BYTES_MAX,
                                        .evict_by_bytes = policy.opts.by_bytes != 0,
                                        .hash_seed = 7};
    policy.value = calloc(1, VALUE_BYTES_MAX);
    if (policy.value == NULL ||
        !workload_init(&policy.workload, shape, policy.opts.keys, policy.opts.requests) ||
        !database_init(&policy.base, &policy.workload))
        die("memory", strerror(ENOMEM));
    int rc = store_new(&config, &policy.store);
    if (rc == 0)
        rc = store_thread_new(policy.store, &policy.thread);
    if (rc != 0)
        die("store", strerror(-rc));
    const uint64_t begin_ns = cpu_clock_ns();
    store_thread_online(policy.thread, 1);
    replay(&policy);
    report(&policy, (double)(cpu_clock_ns() - begin_ns) / 1e9);
    store_thread_offline(policy.thread);
    store_thread_free(policy.thread);
    store_free(policy.store);
    database_fini(&policy.base);
    workload_fini(&policy.workload);
    free(policy.value);
    return 0;
}
