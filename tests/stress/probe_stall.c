/* stress/probe_stall.c — the longest single call while a large store fills, grows and evicts.
 *
 * A probe for people, no pass or fail. It prints, for each stage, how long single calls of set
 * and get took: by the clock (with all that a busy machine does in between, and waiting for the
 * housekeeping thread) and in CPU time of the calling thread (its own work only; each measurement
 * costs a system call, so means are a little high).
 *
 * Usage: probe_stall [MIB] [VALUE_BYTES]; a housekeeping thread runs unless MATTE_PROBE_ALONE=1.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "support/kit.h"

enum { BUCKETS = 40, LONGEST = 5 };

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

static void probe_one(struct probe *probe, uint64_t number, struct bytes value)
{
    char text[24];
    struct kit *kit = &probe->kit;
    const int len = snprintf(text, sizeof(text), "key:%012llu", (unsigned long long)number);
    const struct store_key key = kit_key(kit, bytes_of(text, (size_t)len));
    const struct store_put put = {.value = value};
    struct store_put_result result;
    struct store_view view;
    const struct instant begin = instant_now();
    const enum store_rc put_rc = store_put(kit->thread, &key, &put, &result);
    const struct instant middle = instant_now();
    const enum store_rc get_rc = store_get(kit->thread, &key, 0, &view);
    const struct instant end = instant_now();
    KIT_CHECK(put_rc == STORE_OK && get_rc == STORE_OK, "set %s, get %s", kit_rc_name(put_rc),
              kit_rc_name(get_rc));
    record_add(&probe->set, middle.wall_ns - begin.wall_ns);
    record_add(&probe->get, end.wall_ns - middle.wall_ns);
    record_add(&probe->set_cpu, middle.cpu_ns - begin.cpu_ns);
    record_add(&probe->get_cpu, end.cpu_ns - middle.cpu_ns);
}

static void stage(struct probe *probe, const char *name, uint64_t first, uint64_t count,
                  struct bytes value)
{
    const uint64_t begin_ns = kit_mono_ns();
    for (uint64_t i = first; i < first + count; i++) {
        probe_one(probe, i, value);
        if (i % 32 == 0)
            kit_tick(&probe->kit);
    }
    const struct store_info info = kit_info(&probe->kit);
    printf("%s: %llu sets in %.2f s; %llu items, %llu buckets, %llu evictions, RSS %llu MiB\n",
           name, (unsigned long long)count, (double)(kit_mono_ns() - begin_ns) / 1e9,
           (unsigned long long)info.items, (unsigned long long)info.index_buckets,
           (unsigned long long)info.evictions, (unsigned long long)(kit_rss_bytes() >> 20));
    record_print("set, clock", &probe->set);
    record_print("set, CPU  ", &probe->set_cpu);
    record_print("get, clock", &probe->get);
    record_print("get, CPU  ", &probe->get_cpu);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct probe probe;
    static uint8_t value[1 << 19];
    pthread_t maintainer;
    const uint64_t memory_bytes = (argc > 1 ? strtoull(argv[1], NULL, 0) : 1024) * KIT_MIB;
    const size_t len = argc > 2 ? strtoull(argv[2], NULL, 0) : 100;
    const bool alone = kit_env_u64("MATTE_PROBE_ALONE", 0) != 0;
    kit_open(&probe.kit,
             &(struct store_config){.memory_bytes = memory_bytes, .item_bytes_max = KIT_MIB / 2});
    KIT_CHECK(len + 64 <= sizeof(value), "values up to half a MiB");
    if (!alone)
        pthread_create(&maintainer, NULL, maintainer_main, &probe);
    const uint64_t fits = memory_bytes / (len + 48);
    const struct bytes small = bytes_of(value, len);
    stage(&probe, "filling", 0, fits * 9 / 10, small);
    stage(&probe, "evicting", fits * 9 / 10, fits / 2, small);
    stage(&probe, "overwriting", fits, fits / 2, small);
    stage(&probe, "values of 400000 bytes", 1ull << 40, memory_bytes / 800000,
          bytes_of(value, 400000));
    stage(&probe, "small values again", 2ull << 40, fits / 2, small);
    atomic_store(&probe.stop, true);
    store_maintain_wake(probe.kit.store);
    if (!alone)
        pthread_join(maintainer, NULL);
    kit_close(&probe.kit);
    return 0;
}
