/* stress/stress_flush.c — flush_all against everybody: what is older is gone, what is younger
 * stays.
 *
 * One thread flushes. Others store and read keys of their own, some with operations that copy an
 * item, and compare with when flushes began and ended: a value stored before one that is over
 * must not be seen again; a value stored when none was under way must be there as long as none
 * has begun. Memory is plenty; maintenance sweeps and compacts.
 *
 * Usage: stress_flush [SEED]; environment: MATTE_SEED, MATTE_FLUSH_SECONDS (5).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "support/kit.h"

enum { WORKERS = 3, KEYS = 3000 };

struct race {
    struct store *store;
    uint64_t seed;
    _Atomic uint64_t begun, ended; /* flushes; equal: none is under way */
    _Atomic uint64_t hits, misses;
    _Atomic bool stop;
};

struct own { /* what a worker knows of a key */
    uint64_t version;
    uint64_t begun; /* flushes begun before the store was called */
    uint64_t ended; /* flushes begun by the time the store was done: later ones hide it */
};

struct worker {
    struct race *race;
    struct kit kit;
    uint64_t id, random;
    struct own own[KEYS];
};

static struct store_key key_of(const struct worker *w, uint64_t name[2], uint64_t number)
{
    name[0] = number;
    name[1] = w->id;
    return kit_key(&w->kit, bytes_of(name, 16));
}

static void value_store(struct worker *w, uint64_t number)
{
    uint64_t name[2], value[20] = {0};
    const struct store_key key = key_of(w, name, number);
    struct own *own = &w->own[number];
    const size_t len = sizeof(value[0]) * (1 + kit_random_below(&w->random, COUNT_OF(value)));
    value[0] = ++own->version;
    own->begun = atomic_load(&w->race->begun);
    const bool quiet = own->begun == atomic_load(&w->race->ended);
    const struct store_put put = {.value = bytes_of(value, len)};
    const enum store_rc rc = store_put(w->kit.thread, &key, &put, NULL);
    KIT_CHECK(rc == STORE_OK, "%s", kit_rc_name(rc));
    own->ended = atomic_load(&w->race->begun);
    if (!quiet)
        own->begun = UINT64_MAX; /* it may be gone, or not */
}

/* Copies the item to another place, in most cases. */
static void value_copy(struct worker *w, uint64_t number)
{
    uint64_t name[2];
    const struct store_key key = key_of(w, name, number);
    struct store_view view;
    const bool touch = kit_random_below(&w->random, 2);
    const struct store_fetch fetch = {
        .touch = true,
        .touch_exp_s =
            touch ? w->kit.now_s + 1000 + (uint32_t)kit_random_below(&w->random, 99999) : 0};
    (void)!store_fetch(w->kit.thread, &key, &fetch, &view);
}

static void value_check(struct worker *w, uint64_t number)
{
    uint64_t name[2], version;
    const struct store_key key = key_of(w, name, number);
    const struct own *own = &w->own[number];
    struct store_view view;
    const uint64_t over = atomic_load(&w->race->ended); /* flushes over before we look */
    const enum store_rc rc = store_get(w->kit.thread, &key, 0, &view);
    const uint64_t begun = atomic_load(&w->race->begun); /* and begun when we have looked */
    if (rc != STORE_OK) {
        KIT_CHECK(own->version == 0 || begun != own->begun, "key %llu: %s, but no flush began",
                  (unsigned long long)number, kit_rc_name(rc));
        atomic_fetch_add_explicit(&w->race->misses, 1, memory_order_relaxed);
        return;
    }
    memcpy(&version, view.value.ptr, sizeof(version));
    KIT_CHECK(version == own->version, "version %llu, stored last: %llu",
              (unsigned long long)version, (unsigned long long)own->version);
    KIT_CHECK(over <= own->ended, "key %llu: seen after flush %llu, stored before %llu",
              (unsigned long long)number, (unsigned long long)over,
              (unsigned long long)own->ended + 1);
    atomic_fetch_add_explicit(&w->race->hits, 1, memory_order_relaxed);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    kit_join(&w->kit, w->race->store, KIT_START_S);
    while (!atomic_load_explicit(&w->race->stop, memory_order_relaxed)) {
        for (uint64_t batch = kit_random_below(&w->random, 30); batch > 0; batch--) {
            const uint64_t number = kit_random_below(&w->random, KEYS);
            const uint64_t kind = kit_random_below(&w->random, 8);
            if (kind < 3)
                value_store(w, number);
            else if (kind < 5)
                value_copy(w, number);
            value_check(w, number);
        }
        kit_tick(&w->kit);
    }
    kit_close(&w->kit);
    return NULL;
}

static void *maintainer_main(void *arg)
{
    struct race *race = arg;
    kit_keep_house(race->store, &race->stop, 1);
    return NULL;
}

static void flusher_run(struct race *race, uint64_t duration_ns)
{
    struct kit kit;
    uint64_t random = race->seed;
    const uint64_t end_ns = kit_mono_ns() + duration_ns;
    kit_join(&kit, race->store, KIT_START_S);
    while (kit_mono_ns() < end_ns) {
        atomic_fetch_add(&race->begun, 1);
        store_flush(kit.thread, kit.now_s);
        atomic_fetch_add(&race->ended, 1);
        store_thread_offline(kit.thread);
        nanosleep(&(struct timespec){.tv_nsec = (long)kit_random_below(&random, 3000000)}, NULL);
        store_thread_online(kit.thread, KIT_START_S);
    }
    atomic_store(&race->stop, true);
    store_maintain_wake(race->store);
    kit_close(&kit);
}

int main(int argc, char **argv)
{
    static struct race race;
    static struct worker workers[WORKERS];
    pthread_t threads[WORKERS + 1];
    struct store_info info;
    race.seed = kit_seed_init(argc, argv);
    const struct store_config config = {.memory_bytes = 32 * KIT_MIB, .item_bytes_max = KIT_MIB};
    KIT_CHECK(store_new(&config, &race.store) == 0, "no store");
    for (uint64_t i = 0; i < WORKERS; i++) {
        workers[i].race = &race;
        workers[i].id = i;
        workers[i].random = race.seed * 10 + i;
        pthread_create(&threads[i], NULL, worker_main, &workers[i]);
    }
    pthread_create(&threads[WORKERS], NULL, maintainer_main, &race);
    flusher_run(&race, kit_env_u64("MATTE_FLUSH_SECONDS", 5) * 1000000000ull);
    for (size_t i = 0; i < WORKERS + 1; i++)
        pthread_join(threads[i], NULL);
    store_info(race.store, &info);
    printf("%llu flushes, %llu hits, %llu misses, %llu items flushed, %llu evictions\n",
           (unsigned long long)race.ended, (unsigned long long)race.hits,
           (unsigned long long)race.misses, (unsigned long long)info.flushed,
           (unsigned long long)info.evictions);
    KIT_CHECK(race.hits > 0 && race.misses > 0, "nothing happened");
    KIT_CHECK(info.evictions == 0, "evictions in plenty of memory");
    store_free(race.store);
    return 0;
}
