/* stress/stress_sparse.c — threads overwrite and delete keys in a memory that is never short, so
 * that their segments are told to be sparse, by several at once, and are used again at once.
 *
 * Each key belongs to one writer, so that it knows what has to be there; others read it meanwhile.
 * Values prove themselves (kit.h). In the end all keys are there, nothing has been evicted, and
 * the keys take a small part of the memory.
 *
 * Usage: stress_sparse [SEED]; environment: MATTE_SEED, MATTE_SPARSE_ROUNDS (1000000 per thread,
 *        under sanitizers 150000).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "support/kit.h"

enum {
    WRITERS = 3,
    KEYS_EACH = 700,
    BATCH = 16,
    MEMORY_MIB = 64,
    MEMORY_PART = 2, /* that they may take: what is read or written just then waits */
    VALUE_BYTES_MAX = 1000,
};

struct overwriting {
    struct store *store;
    uint64_t seed, rounds;
    _Atomic bool stop;
};

struct writer {
    struct overwriting *all;
    struct kit kit;
    uint32_t number;
    bool there[KEYS_EACH];
};

static size_t key_print(char text[24], uint64_t key_id)
{
    return (size_t)snprintf(text, 24, "key:%llu", (unsigned long long)key_id);
}

static void set(struct writer *writer, uint64_t own, uint64_t *random)
{
    char text[24];
    uint8_t value[VALUE_BYTES_MAX];
    const uint64_t key_id = own * WRITERS + writer->number;
    const size_t len = sizeof(struct kit_stamp) +
                       kit_random_below(random, sizeof(value) - sizeof(struct kit_stamp));
    kit_stamp_write(value, len, key_id, writer->number, 1);
    const enum store_rc rc = kit_put(
        &writer->kit, STORE_SET, bytes_of(text, key_print(text, key_id)), bytes_of(value, len), 0);
    KIT_CHECK(rc == STORE_OK, "set: %s", kit_rc_name(rc));
    writer->there[own] = true;
}

static void delete (struct writer *writer, uint64_t own)
{
    char text[24];
    const size_t len = key_print(text, own * WRITERS + writer->number);
    const struct store_key key = kit_key(&writer->kit, bytes_of(text, len));
    const enum store_rc rc = store_delete(writer->kit.thread, &key, &(struct store_delete){0});
    KIT_CHECK(rc == (writer->there[own] ? STORE_OK : STORE_MISS), "delete: %s", kit_rc_name(rc));
    writer->there[own] = false;
}

static void get(struct writer *writer, uint64_t key_id)
{
    char text[24];
    struct store_view view;
    struct kit_stamp stamp;
    (void)key_print(text, key_id);
    const enum store_rc rc = kit_get(&writer->kit, text, &view);
    if (key_id % WRITERS == writer->number)
        KIT_CHECK(rc == (writer->there[key_id / WRITERS] ? STORE_OK : STORE_MISS), "get: %s",
                  kit_rc_name(rc));
    if (rc != STORE_OK)
        return;
    KIT_CHECK(kit_stamp_read(view.value.ptr, view.value_bytes, &stamp), "a torn value");
    KIT_CHECK(stamp.key_id == key_id, "a value of another key");
}

static void *write_all(void *arg)
{
    struct writer *writer = arg;
    uint64_t random = writer->all->seed * 10 + writer->number;
    kit_join(&writer->kit, writer->all->store, KIT_START_S);
    for (uint64_t i = 0; i < writer->all->rounds; i++) {
        const uint64_t what = kit_random_below(&random, 16);
        const uint64_t own = kit_random_below(&random, KEYS_EACH);
        if (what == 0)
            delete (writer, own);
        else if (what < 8)
            get(writer, kit_random_below(&random, KEYS_EACH * WRITERS));
        else
            set(writer, own, &random);
        if (i % BATCH == 0)
            kit_tick(&writer->kit);
    }
    for (uint64_t own = 0; own < KEYS_EACH; own++)
        get(writer, own * WRITERS + writer->number);
    kit_close(&writer->kit);
    return NULL;
}

static void *keep_house(void *arg)
{
    struct overwriting *all = arg;
    kit_keep_house(all->store, &all->stop, 20);
    return NULL;
}

static void check(struct kit *kit)
{
    const struct store_info info = kit_info(kit);
    printf("%llu segments used again, %llu KiB of items in %llu KiB\n",
           (unsigned long long)info.segments_compacted, (unsigned long long)info.item_bytes >> 10,
           (unsigned long long)info.memory_used_bytes >> 10);
    KIT_CHECK(info.evictions == 0, "%llu evictions", (unsigned long long)info.evictions);
    KIT_CHECK(info.segments_compacted > 10, "none was used again");
    KIT_CHECK(info.memory_used_bytes < info.memory_bytes / MEMORY_PART, "%llu KiB used",
              (unsigned long long)info.memory_used_bytes >> 10);
}

int main(int argc, char **argv)
{
    static struct overwriting all;
    static struct writer writers[WRITERS];
    pthread_t threads[WRITERS], house;
    struct kit kit;
    all.seed = kit_seed_init(argc, argv);
    all.rounds = kit_env_u64("MATTE_SPARSE_ROUNDS", KIT_SANITIZED ? 150000 : 1000000);
    kit_open(&kit, &(struct store_config){.memory_bytes = MEMORY_MIB * KIT_MIB,
                                          .item_bytes_max = KIT_MIB,
                                          .hash_seed = 7});
    all.store = kit.store;
    store_thread_offline(kit.thread);
    pthread_create(&house, NULL, keep_house, &all);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i].all = &all;
        writers[i].number = i;
        pthread_create(&threads[i], NULL, write_all, &writers[i]);
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&all.stop, true);
    store_maintain_wake(all.store);
    pthread_join(house, NULL);
    check(&kit);
    kit_close(&kit);
    return 0;
}
