/* stress/stress_growth.c — the index grows from its smallest table under readers: no miss is false.
 *
 * Writers add keys and never take one away; memory is plenty. Readers ask for keys that have been
 * stored already, so every miss and every other value is an error. Buckets split all the time,
 * and overflow lines come and go.
 *
 * Usage: stress_growth [SEED]; environment: MATTE_SEED, MATTE_GROWTH_KEYS (1000000, under
 *        sanitizers 200000).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>

#include "support/kit.h"

enum { WRITERS = 2, READERS = 2, BATCH = 16 };

struct growth {
    struct store *store;
    uint64_t seed, keys_per_writer;
    _Atomic uint64_t stored[WRITERS];
    _Atomic uint64_t reads;
    _Atomic uint32_t writers_left;
};

struct actor {
    struct growth *growth;
    uint32_t id;
};

/* Writer and number make the key; it is its own value. */
static struct store_key key_of(const struct kit *kit, uint64_t name[2], uint64_t writer,
                               uint64_t number)
{
    name[0] = number * WRITERS + writer;
    name[1] = ~name[0] * 0x9e3779b97f4a7c15u;
    return kit_key(kit, bytes_of(name, 9 + name[0] % 8));
}

static void *writer_main(void *arg)
{
    const struct actor *actor = arg;
    struct growth *growth = actor->growth;
    struct kit kit;
    kit_join(&kit, growth->store, KIT_START_S);
    for (uint64_t i = 0; i < growth->keys_per_writer; i++) {
        uint64_t name[2];
        const struct store_key key = key_of(&kit, name, actor->id, i);
        const struct store_put put = {.mode = i % 2 ? STORE_ADD : STORE_SET, .value = key.key};
        const enum store_rc rc = store_put(kit.thread, &key, &put, NULL);
        KIT_CHECK(rc == STORE_OK, "key %llu: %s", (unsigned long long)i, kit_rc_name(rc));
        atomic_store_explicit(&growth->stored[actor->id], i + 1, memory_order_release);
        if (i % BATCH == 0)
            kit_tick(&kit);
    }
    atomic_fetch_sub(&growth->writers_left, 1);
    kit_close(&kit);
    return NULL;
}

static void key_check(struct growth *growth, struct kit *kit, uint64_t *random)
{
    uint64_t name[2];
    const uint64_t writer = kit_random_below(random, WRITERS);
    const uint64_t stored = atomic_load_explicit(&growth->stored[writer], memory_order_acquire);
    if (stored == 0)
        return;
    const struct store_key key = key_of(kit, name, writer, kit_random_below(random, stored));
    struct store_view view;
    const enum store_rc rc = store_get(kit->thread, &key, 0, &view);
    KIT_CHECK(rc == STORE_OK, "%s, though it was stored", kit_rc_name(rc));
    KIT_CHECK(bytes_equal(view.value, key.key), "a value of another key");
}

static void *reader_main(void *arg)
{
    const struct actor *actor = arg;
    struct growth *growth = actor->growth;
    uint64_t random = growth->seed * 10 + actor->id, reads = 0;
    struct kit kit;
    kit_join(&kit, growth->store, KIT_START_S);
    while (atomic_load(&growth->writers_left) > 0) {
        for (unsigned i = 0; i < BATCH; i++)
            key_check(growth, &kit, &random);
        reads += BATCH;
        kit_tick(&kit);
    }
    for (uint64_t i = 0; i < growth->keys_per_writer; i++)
        key_check(growth, &kit, &random);
    kit_close(&kit);
    atomic_fetch_add(&growth->reads, reads);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct growth growth;
    pthread_t threads[WRITERS + READERS];
    struct actor actors[WRITERS + READERS];
    struct store_info before, after;
    growth.seed = kit_seed_init(argc, argv);
    growth.keys_per_writer =
        kit_env_u64("MATTE_GROWTH_KEYS", KIT_SANITIZED ? 200000 : 1000000) / WRITERS;
    growth.writers_left = WRITERS;
    /* the smallest table is 1/128 of the memory: take as little memory as holds the keys */
    const struct store_config config = {.memory_bytes =
                                            4 * KIT_MIB + growth.keys_per_writer * WRITERS * 80,
                                        .item_bytes_max = KIT_MIB};
    KIT_CHECK(store_new(&config, &growth.store) == 0, "no store");
    store_info(growth.store, &before);
    for (uint32_t i = 0; i < WRITERS + READERS; i++) {
        actors[i] = (struct actor){&growth, i};
        pthread_create(&threads[i], NULL, i < WRITERS ? writer_main : reader_main, &actors[i]);
    }
    for (uint32_t i = 0; i < WRITERS + READERS; i++)
        pthread_join(threads[i], NULL);
    store_info(growth.store, &after);
    printf("%llu items, %llu reads, buckets %llu -> %llu\n", (unsigned long long)after.items,
           (unsigned long long)growth.reads, (unsigned long long)before.index_buckets,
           (unsigned long long)after.index_buckets);
    KIT_CHECK(after.evictions == 0, "%llu evictions", (unsigned long long)after.evictions);
    KIT_CHECK(after.items == growth.keys_per_writer * WRITERS, "%llu items",
              (unsigned long long)after.items);
    KIT_CHECK(after.index_buckets >= 2 * before.index_buckets, "the table did not grow");
    store_free(growth.store);
    return 0;
}
