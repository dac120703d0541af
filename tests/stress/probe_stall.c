/* stress/probe_stall.c — the longest single call while a store fills, grows and evicts.
 *
 * A probe for people, no pass or fail. Per size of values it prints, for each stage, how long
 * single calls took: by the clock (with all that a busy machine does in between, and waiting for
 * the housekeeping thread) and in CPU time of the calling thread (its own work only; each
 * measurement costs a system call, so means are a little high). Values larger than what the server
 * reads at once come in chunks, as they do there: each call of the upload counts by itself.
 *
 * Usage: probe_stall [MIB [VALUE_BYTES...]]; a housekeeping thread runs unless MATTE_PROBE_ALONE=1.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "support/kit.h"

enum { BUCKETS = 40, LONGEST = 5, READ_BYTES = 16 << 10, SMALL_BYTES = 64 };

struct record { /* calls by log2 of their nanoseconds */
    uint64_t count[BUCKETS];
    uint64_t calls, sum_ns;
    uint64_t longest_ns[LONGEST];
};

struct instant {
    uint64_t wall_ns, cpu_ns;
};

struct probe {
    struct kit kit;
    struct record set, get, set_cpu, get_cpu;
    _Atomic bool stop;
};

static void record_add(struct record *record, uint64_t ns)
{
    record->count[63 - __builtin_clzll(ns | 1)]++;
    record->calls++;
    record->sum_ns += ns;
    for (size_t i = 0; i < LONGEST; i++)
        if (ns > record->longest_ns[i]) {
            const uint64_t shorter = record->longest_ns[i];
            record->longest_ns[i] = ns;
            ns = shorter;
        }
}

static struct instant instant_now(void)
{
    struct timespec cpu;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    return (struct instant){kit_mono_ns(),
                            (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec};
}

static uint64_t record_quantile_ns(const struct record *record, double part)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += record->count[i];
        if ((double)seen >= part * (double)record->calls)
            return 2ull << i;
    }
    return 0;
}

static void record_print(const char *name, struct record *record)
{
    printf("  %s: mean %llu ns, p99 < %llu ns, p99.99 < %llu ns; longest us:", name,
           (unsigned long long)(record->sum_ns / (record->calls | 1)),
           (unsigned long long)record_quantile_ns(record, 0.99),
           (unsigned long long)record_quantile_ns(record, 0.9999));
    for (size_t i = 0; i < LONGEST; i++)
        printf(" %.1f", (double)record->longest_ns[i] / 1000);
    printf("\n");
    *record = (struct record){0};
}

static void *maintainer_main(void *arg)
{
    struct probe *probe = arg;
    struct kit kit;
    kit_join(&kit, probe->kit.store, KIT_START_S);
    while (!atomic_load(&probe->stop)) {
        store_maintain(kit.thread);
        store_thread_offline(kit.thread);
        store_touch_ahead(probe->kit.store);
        store_maintain_wait(kit.store, 100);
        store_thread_online(kit.thread, KIT_START_S);
    }
    kit_close(&kit);
    return NULL;
}

static struct instant call_end(struct record *wall, struct record *cpu, const struct instant *begin)
{
    const struct instant end = instant_now();
    record_add(wall, end.wall_ns - begin->wall_ns);
    record_add(cpu, end.cpu_ns - begin->cpu_ns);
    return end;
}

/* What the server does with a value that is not whole in what it has read: one call per turn. */
static enum store_rc upload(struct probe *probe, const struct store_key *key, struct bytes value,
                            struct store_upload **ret_upload)
{
    struct kit *kit = &probe->kit;
    struct instant begin = instant_now();
    enum store_rc rc = store_upload_new(kit->thread, key, value.len, ret_upload);
    (void)call_end(&probe->set, &probe->set_cpu, &begin);
    while (rc == STORE_OK && value.len > 0) {
        size_t room;
        kit_tick(kit);
        uint8_t *space = store_upload_space(*ret_upload, &room);
        room = room < value.len ? room : value.len;
        memcpy(space, value.ptr, room);
        value = bytes_skip(value, room);
        begin = instant_now();
        rc = store_upload_fill(kit->thread, *ret_upload, room);
        (void)call_end(&probe->set, &probe->set_cpu, &begin);
    }
    return rc;
}

static void probe_one(struct probe *probe, uint64_t number, struct bytes value)
{
    char text[24];
    struct kit *kit = &probe->kit;
    const int len = snprintf(text, sizeof(text), "key:%012llu", (unsigned long long)number);
    const struct store_key key = kit_key(kit, bytes_of(text, (size_t)len));
    struct store_put put = {.value = value};
    struct store_put_result result;
    struct store_view view;
    enum store_rc rc = STORE_OK;
    if (value.len > READ_BYTES) {
        rc = upload(probe, &key, value, &put.upload);
        put.value = bytes_of(NULL, 0);
    }
    KIT_CHECK(rc == STORE_OK, "upload %s", kit_rc_name(rc));
    const struct instant begin = instant_now();
    rc = store_put(kit->thread, &key, &put, &result);
    const struct instant middle = call_end(&probe->set, &probe->set_cpu, &begin);
    const enum store_rc get_rc = store_get(kit->thread, &key, 0, &view);
    (void)call_end(&probe->get, &probe->get_cpu, &middle);
    KIT_CHECK(rc == STORE_OK && get_rc == STORE_OK, "set %s, get %s", kit_rc_name(rc),
              kit_rc_name(get_rc));
}

static void stage(struct probe *probe, const char *name, uint64_t first, uint64_t count,
                  struct bytes value)
{
    const uint64_t begin_ns = kit_mono_ns();
    for (uint64_t i = first; i < first + count; i++) {
        probe_one(probe, i, value);
        if (i % 32 == 0 || value.len > READ_BYTES)
            kit_tick(&probe->kit);
    }
    const struct store_info info = kit_info(&probe->kit);
    printf("%zu bytes, %s: %llu sets in %.2f s; %llu items, %llu evictions, RSS %llu MiB\n",
           value.len, name, (unsigned long long)count, (double)(kit_mono_ns() - begin_ns) / 1e9,
           (unsigned long long)info.items, (unsigned long long)info.evictions,
           (unsigned long long)(kit_rss_bytes() >> 20));
    record_print("set, clock", &probe->set);
    record_print("set, CPU  ", &probe->set_cpu);
    record_print("get, clock", &probe->get);
    record_print("get, CPU  ", &probe->get_cpu);
    fflush(stdout);
}

static void probe_size(uint64_t memory_bytes, struct bytes value)
{
    static struct probe probe;
    pthread_t maintainer;
    const bool alone = kit_env_u64("MATTE_PROBE_ALONE", 0) != 0;
    probe = (struct probe){0};
    kit_open(&probe.kit,
             &(struct store_config){.memory_bytes = memory_bytes, .item_bytes_max = 2 * KIT_MIB});
    if (!alone)
        pthread_create(&maintainer, NULL, maintainer_main, &probe);
    const uint64_t fits = memory_bytes / (value.len + 48);
    const struct bytes small = bytes_of(value.ptr, SMALL_BYTES);
    stage(&probe, "filling", 0, fits * 9 / 10, value);
    stage(&probe, "evicting", fits * 9 / 10, fits / 2, value);
    stage(&probe, "overwriting", fits, fits / 2, value);
    if (value.len != SMALL_BYTES) {
        stage(&probe, "between", 2ull << 40, memory_bytes / (SMALL_BYTES + 48), small);
        stage(&probe, "among small values", 1ull << 40, fits / 2, value);
    }
    atomic_store(&probe.stop, true);
    store_maintain_wake(probe.kit.store);
    if (!alone)
        pthread_join(maintainer, NULL);
    kit_close(&probe.kit);
}

int main(int argc, char **argv)
{
    static uint8_t bytes[2 << 20];
    static char *const usual[] = {"64", "1024", "8192", "400000", "1000000"};
    const uint64_t memory_bytes = (argc > 1 ? strtoull(argv[1], NULL, 0) : 1024) * KIT_MIB;
    const size_t count = argc > 2 ? (size_t)argc - 2 : COUNT_OF(usual);
    char *const *sizes = argc > 2 ? argv + 2 : usual;
    for (size_t i = 0; i < count; i++) {
        const size_t len = strtoull(sizes[i], NULL, 0);
        KIT_CHECK(len >= SMALL_BYTES && len + 64 <= sizeof(bytes), "values of 64 B to 2 MiB");
        probe_size(memory_bytes, bytes_of(bytes, len));
    }
    return 0;
}
