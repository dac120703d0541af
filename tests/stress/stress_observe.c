/* stress/stress_observe.c — workers count, time and note keys; others add up, list and reset.
 *
 * Each worker knows what it has counted. While they run a reader sums the histograms up: no sum
 * ever shrinks between two resets, and no part is larger than the whole. A lister makes lists of
 * hot keys: every key in them is one that the workers ask for, whole, and the shares are shares. In
 * the end a reset leaves nothing, what is counted then is all there is, and the hot key leads.
 *
 * Usage: stress_observe [SEED]; environment: MATTE_SEED, MATTE_OBSERVE_SECONDS (3).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "hot/hot.h"
#include "stat/stat.h"
#include "support/kit.h"

enum { WORKERS = 3, BATCH = 16, KEYS = 100000 };

struct race {
    struct stat_registry *registry;
    struct hot_set *hot;
    _Atomic uint64_t requests[WORKERS]; /* relaxed: looked at when all is over */
    _Atomic uint64_t sums, lists;
    _Atomic bool stop;
};

struct worker {
    struct race *race;
    unsigned index;
    uint64_t random;
};

/* Every fourth key is the hot one. A key repeats its number, so that half of one shows. */
static struct bytes key_make(char text[64], uint64_t *random)
{
    const uint64_t number = kit_random(random) % 4 == 0 ? 0 : kit_random_below(random, KEYS);
    const int len = snprintf(text, 64, "key:%06llu:%06llu", (unsigned long long)number,
                             (unsigned long long)number);
    return bytes_of(text, (size_t)len);
}

static void batch_run(struct worker *worker, struct stat_timing *timing, struct hot *hot)
{
    (void)stat_timing_read(timing);
    size_t i;
    if (hot_is_due(hot, BATCH))
        while (hot_next(hot, BATCH, &i)) {
            char text[64];
            const struct bytes key = key_make(text, &worker->random);
            hot_note(hot, key, hash_bytes(key, 7));
        }
    for (unsigned n = 0; n < BATCH; n++)
        stat_timing_count(timing, n % 4 == 0 ? STAT_CLASS_STORE : STAT_CLASS_GET);
    stat_hist_add(timing->hists, STAT_HIST_VALUE_BYTES, kit_random_below(&worker->random, 5000));
    stat_timing_sent(timing);
    atomic_fetch_add_explicit(&worker->race->requests[worker->index], BATCH, memory_order_relaxed);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct race *race = worker->race;
    struct stat_timing timing = {0};
    struct hot *hot = hot_set_worker(race->hot, worker->index);
    KIT_CHECK(stat_hists_new(race->registry, &timing.hists) == 0, "memory");
    while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
        hot_turn(hot, clock_now_s());
        for (int i = 0; i < 100; i++)
            batch_run(worker, &timing, hot);
    }
    return NULL;
}

static void *reader_main(void *arg)
{
    struct race *race = arg;
    static struct stat_hist_sum sum[STAT_HIST_COUNT];
    uint64_t before = 0;
    while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
        clock_ticks_adjust();
        stat_registry_hists(race->registry, sum);
        const struct stat_hist_sum *get = &sum[STAT_HIST_GET];
        KIT_CHECK(get->count >= before, "%llu", (unsigned long long)get->count);
        KIT_CHECK(stat_hist_at_most(get, 1000) <= get->count, "more than all");
        KIT_CHECK(stat_hist_quantile(get, 0.5) <= stat_hist_quantile(get, 0.99), "quantiles");
        before = get->count;
        if (atomic_fetch_add(&race->sums, 1) % 16 == 15) {
            stat_registry_reset(race->registry);
            before = 0;
        }
        (void)usleep(200);
    }
    return NULL;
}

static void entries_check(const struct hot_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct hot_entry *one = &entries[i];
        KIT_CHECK(one->len == 17 && memcmp(one->text + 4, one->text + 11, 6) == 0, "%.*s",
                  (int)one->len, (const char *)one->text);
        KIT_CHECK(one->share > 0 && one->share <= 1, "share %g", one->share);
    }
}

static void *lister_main(void *arg)
{
    struct race *race = arg;
    static struct hot_list list;
    while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
        KIT_CHECK(hot_list_make(race->hot, &list) == 0, "memory");
        entries_check(list.keys, list.key_count);
        KIT_CHECK(list.prefix_count <= 1, "%zu prefixes", list.prefix_count);
        atomic_fetch_add(&race->lists, 1);
        (void)usleep(500);
    }
    return NULL;
}

static void all_check(struct race *race)
{
    static struct stat_hist_sum sum[STAT_HIST_COUNT];
    static struct hot_list list;
    stat_registry_hists(race->registry, sum);
    uint64_t requests = 0;
    for (unsigned i = 0; i < WORKERS; i++)
        requests += race->requests[i];
    KIT_CHECK(sum[STAT_HIST_GET].count <= requests, "more than all");
    KIT_CHECK(sum[STAT_HIST_GET].count == 3 * sum[STAT_HIST_STORE].count, "not three in four");
    (void)usleep(150000);
    KIT_CHECK(hot_list_make(race->hot, &list) == 0 && list.key_count > 0, "no hot key");
    KIT_CHECK(memcmp(list.keys[0].text, "key:000000:000000", 17) == 0, "not the hot one");
    KIT_CHECK(list.keys[0].share > 0.15 && list.keys[0].share < 0.35, "share %g",
              list.keys[0].share);
    printf("%llu requests, %llu sums, %llu lists\n", (unsigned long long)requests,
           (unsigned long long)race->sums, (unsigned long long)race->lists);
    KIT_CHECK(requests > 0 && race->sums > 0 && race->lists > 0, "nothing happened");
}

int main(int argc, char **argv)
{
    static struct race race;
    static struct worker workers[WORKERS];
    pthread_t threads[WORKERS], reader, lister;
    const uint64_t seed = kit_seed_init(argc, argv);
    clock_init();
    clock_ticks_init();
    KIT_CHECK(stat_registry_new(&race.registry) == 0, "memory");
    KIT_CHECK(hot_set_new(WORKERS, ':', &race.hot) == 0, "memory");
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.race = &race, .index = i, .random = seed + i};
        KIT_CHECK(pthread_create(&threads[i], NULL, worker_main, &workers[i]) == 0, "thread");
    }
    KIT_CHECK(pthread_create(&reader, NULL, reader_main, &race) == 0, "thread");
    KIT_CHECK(pthread_create(&lister, NULL, lister_main, &race) == 0, "thread");
    (void)sleep((unsigned)kit_env_u64("MATTE_OBSERVE_SECONDS", 3));
    atomic_store(&race.stop, true);
    for (unsigned i = 0; i < WORKERS; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_join(reader, NULL);
    (void)pthread_join(lister, NULL);
    stat_registry_reset(race.registry);
    struct stat_hists *more;
    KIT_CHECK(stat_hists_new(race.registry, &more) == 0, "memory");
    for (unsigned i = 0; i < 4; i++)
        stat_hist_add(more, i == 0 ? STAT_HIST_STORE : STAT_HIST_GET, 100);
    all_check(&race);
    hot_set_free(race.hot);
    stat_registry_free(race.registry);
    return 0;
}
