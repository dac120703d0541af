/* stress/stress_scan.c — walks over all items while others store, delete and make the index grow
 * and the maintenance thread moves items about: each walk meets every item that is there all the
 * time exactly once, and no key twice.
 *
 * Nothing is evicted (-M) and memory is short, so compaction moves items all the time; a put that
 * finds no memory is not stored. Steady keys are only read and overwritten, others come and go,
 * and the number of these rises until memory is full, so the table grows as well.
 *
 * Usage: stress_scan [SEED]; environment: MATTE_SEED, MATTE_SCAN_WALKS (at least so many per
 *        scanner, and until enough has been moved; 60, under sanitizers 15).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>

#include "support/kit.h"

enum { WRITERS = 2, SCANNERS = 2, STEADY = 20000, OTHERS_MAX = 200000, BATCH = 16, MIB = 6 };
enum { COMPACTED_MIN = 30 };
enum { THREADS = WRITERS + SCANNERS + 1 };

struct world {
    struct store *store;
    uint64_t seed, walks;
    _Atomic uint32_t scanners_left;
    _Atomic uint64_t others; /* numbers of the others in use, per writer */
    _Atomic uint64_t met, deleted, refused;
};

struct actor {
    struct world *world;
    uint32_t id;
    uint8_t *met; /* scanners: how often, by number */
};

/* Number and padding make the key; steady ones come first. */
static struct store_key key_of(const struct kit *kit, uint64_t name[2], uint64_t number)
{
    name[0] = number;
    name[1] = ~number * 0x9e3779b97f4a7c15u;
    return kit_key(kit, bytes_of(name, 9 + number % 8));
}

static bool put(struct kit *kit, uint64_t number)
{
    uint64_t name[2];
    const struct store_key key = key_of(kit, name, number);
    const struct store_put how = {.value = key.key, .exp_s = number % 5 ? 0 : KIT_START_S + 9999};
    const enum store_rc rc = store_put(kit->thread, &key, &how, NULL);
    KIT_CHECK(rc == STORE_OK || rc == STORE_NO_MEMORY, "%s", kit_rc_name(rc));
    return rc == STORE_OK;
}

static void *writer_main(void *arg)
{
    const struct actor *actor = arg;
    struct world *world = actor->world;
    uint64_t random = world->seed * 10 + actor->id, deleted = 0, refused = 0;
    struct kit kit;
    kit_join(&kit, world->store, KIT_START_S);
    while (atomic_load(&world->scanners_left) > 0) {
        for (unsigned i = 0; i < BATCH; i++) {
            uint64_t name[2];
            const uint64_t other =
                STEADY + WRITERS * kit_random_below(&random, 1 + atomic_load(&world->others)) +
                actor->id;
            const struct store_key key = key_of(&kit, name, other);
            if (kit_random_below(&random, 8) == 0)
                refused += !put(&kit, kit_random_below(&random, STEADY));
            else if (kit_random_below(&random, 2) == 0)
                refused += !put(&kit, other);
            else
                deleted += store_delete(kit.thread, &key, &(struct store_delete){0}) == STORE_OK;
        }
        if (atomic_load(&world->others) < OTHERS_MAX / WRITERS - BATCH * WRITERS)
            atomic_fetch_add(&world->others, BATCH);
        kit_tick(&kit);
    }
    kit_close(&kit);
    atomic_fetch_add(&world->deleted, deleted);
    atomic_fetch_add(&world->refused, refused);
    return NULL;
}

static void meet(void *arg, const struct store_view *view)
{
    const struct actor *actor = arg;
    uint64_t number;
    memcpy(&number, view->key.ptr, sizeof(number));
    KIT_CHECK(number < STEADY + OTHERS_MAX, "no such key: %llu", (unsigned long long)number);
    KIT_CHECK(bytes_equal(view->value, view->key), "a value of another key");
    KIT_CHECK(actor->met[number] == 0, "%llu met twice", (unsigned long long)number);
    actor->met[number] = 1;
}

/* Has enough happened under our walks? */
static bool is_enough(const struct world *world, uint64_t walks)
{
    struct store_info info;
    store_info(world->store, &info);
    return walks >= world->walks && info.segments_compacted >= COMPACTED_MIN;
}

static void *scanner_main(void *arg)
{
    struct actor *actor = arg;
    struct world *world = actor->world;
    struct kit kit;
    kit_join(&kit, world->store, KIT_START_S);
    for (uint64_t i = 0; !is_enough(world, i); i++) {
        uint64_t met = 0;
        memset(actor->met, 0, STEADY + OTHERS_MAX);
        for (struct store_scan scan = {0}; !scan.done;) {
            for (unsigned n = 0; n < BATCH; n++)
                store_scan(kit.thread, &scan, meet, actor);
            kit_tick(&kit);
        }
        for (uint64_t n = 0; n < STEADY + OTHERS_MAX; n++) {
            KIT_CHECK(n >= STEADY || actor->met[n], "%llu missed", (unsigned long long)n);
            met += actor->met[n];
        }
        atomic_fetch_add(&world->met, met);
    }
    kit_close(&kit);
    atomic_fetch_sub(&world->scanners_left, 1);
    return NULL;
}

static void *maintainer_main(void *arg)
{
    const struct actor *actor = arg;
    struct world *world = actor->world;
    struct kit kit;
    kit_join(&kit, world->store, KIT_START_S);
    while (atomic_load(&world->scanners_left) > 0) {
        (void)!store_crawl(world->store, UINT64_MAX);
        store_maintain(kit.thread);
        store_thread_offline(kit.thread);
        store_maintain_wait(kit.store, 1);
        store_thread_online(kit.thread, KIT_START_S);
    }
    kit_close(&kit);
    return NULL;
}

static void run(struct world *world)
{
    pthread_t threads[THREADS];
    struct actor actors[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        actors[i] = (struct actor){world, i, malloc(STEADY + OTHERS_MAX)};
        pthread_create(&threads[i], NULL,
                       i < WRITERS              ? writer_main
                       : i < WRITERS + SCANNERS ? scanner_main
                                                : maintainer_main,
                       &actors[i]);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        free(actors[i].met);
    }
}

int main(int argc, char **argv)
{
    static struct world world;
    struct store_info before, after;
    struct kit kit;
    world.seed = kit_seed_init(argc, argv);
    world.walks = kit_env_u64("MATTE_SCAN_WALKS", KIT_SANITIZED ? 15 : 60);
    world.scanners_left = SCANNERS;
    kit_open(&kit, &(struct store_config){.memory_bytes = MIB * KIT_MIB,
                                          .item_bytes_max = KIT_MIB / 2,
                                          .no_evict = true});
    world.store = kit.store;
    for (uint64_t i = 0; i < STEADY; i++)
        KIT_CHECK(put(&kit, i), "no room for key %llu", (unsigned long long)i);
    store_info(kit.store, &before);
    store_thread_offline(kit.thread);
    run(&world);
    store_thread_online(kit.thread, KIT_START_S);
    store_info(kit.store, &after);
    printf("%llu items met, %llu deleted, %llu refused, %llu compacted, buckets %llu -> %llu\n",
           (unsigned long long)world.met, (unsigned long long)world.deleted,
           (unsigned long long)world.refused, (unsigned long long)after.segments_compacted,
           (unsigned long long)before.index_buckets, (unsigned long long)after.index_buckets);
    KIT_CHECK(after.evictions == 0, "%llu evictions", (unsigned long long)after.evictions);
    KIT_CHECK(after.index_buckets > before.index_buckets, "the table did not grow");
    kit_close(&kit);
    return 0;
}
