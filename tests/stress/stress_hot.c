/* stress/stress_hot.c — all threads write the same few keys: ids of CAS never come twice, nothing
 * is lost.
 *
 * Each thread sets, deletes, looks at and counts up a handful of keys. While a key
 * lives its ids grow, and a set is told an id that no other set of that key has been told, before
 * or after a deletion. Compared sets of a key that is never deleted all count, as do
 * increments. Values prove themselves (kit.h).
 *
 * Usage: stress_hot [SEED]; environment: MATTE_SEED, MATTE_HOT_ROUNDS (1000000 per thread, under
 *        sanitizers 150000).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>

#include "support/kit.h"

enum { THREADS = 4, KEYS = 3, BATCH = 24, VALUE_BYTES_MAX = 12000 };

struct hot {
    struct store *store;
    uint64_t seed, rounds;
    _Atomic uint64_t counted, swapped;
};

struct actor {
    struct hot *hot;
    struct kit kit;
    uint64_t random, version;
    uint64_t *ids; /* key, id of each set */
    size_t id_count;
    uint64_t counted, swapped;
    uint32_t number;
};

/* Mostly small ones, which lie in pieces; some that get places of their own. */
static size_t value_bytes(struct actor *actor)
{
    const uint64_t most = kit_random_below(&actor->random, 16) == 0 ? VALUE_BYTES_MAX : 200;
    return sizeof(struct kit_stamp) + kit_random_below(&actor->random, most);
}

static struct store_key key_of(const struct actor *actor, uint64_t key_id)
{
    static const char *const names[KEYS] = {"hot", "hotter", "hottest"};
    return kit_key_str(&actor->kit, names[key_id]);
}

static void do_set(struct actor *actor, uint64_t key_id)
{
    uint8_t value[sizeof(struct kit_stamp) + VALUE_BYTES_MAX];
    const size_t len = value_bytes(actor);
    const struct store_key key = key_of(actor, key_id);
    const struct store_put put = {.value = bytes_of(value, len)};
    struct store_put_result result;
    kit_stamp_write(value, len, key_id, actor->number, actor->version++);
    const bool tell = kit_random_below(&actor->random, 4) == 0;
    const enum store_rc rc = store_put(actor->kit.thread, &key, &put, tell ? &result : NULL);
    KIT_CHECK(rc == STORE_OK, "set: %s", kit_rc_name(rc));
    if (!tell)
        return;
    actor->ids[2 * actor->id_count] = key_id;
    actor->ids[2 * actor->id_count++ + 1] = result.cas_unique;
}

static void do_delete(struct actor *actor, uint64_t key_id)
{
    const struct store_key key = key_of(actor, key_id);
    const enum store_rc rc = store_delete(actor->kit.thread, &key, &(struct store_delete){0});
    KIT_CHECK(rc == STORE_OK || rc == STORE_MISS, "delete: %s", kit_rc_name(rc));
}

static void do_get(struct actor *actor, uint64_t key_id)
{
    const struct store_key key = key_of(actor, key_id);
    struct store_view view;
    struct kit_stamp stamp;
    const unsigned flags = kit_random_below(&actor->random, 2) == 0 ? 0 : STORE_GET_CAS;
    const enum store_rc rc = store_get(actor->kit.thread, &key, flags, &view);
    if (rc == STORE_MISS)
        return;
    KIT_CHECK(rc == STORE_OK, "get: %s", kit_rc_name(rc));
    uint8_t value[sizeof(struct kit_stamp) + VALUE_BYTES_MAX]; /* longer ones are in fragments */
    if (!kit_view_copy(&actor->kit, &view, value))
        return;
    KIT_CHECK(kit_stamp_read(value, view.value_bytes, &stamp), "a torn value");
    KIT_CHECK(stamp.key_id == key_id, "a value of another key");
}

static void do_count(struct actor *actor)
{
    const struct store_key key = kit_key_str(&actor->kit, "number");
    const struct store_arith arith = {
        .delta = 1, .flags = kit_random_below(&actor->random, 2) == 0 ? 0 : STORE_GET_CAS};
    struct store_arith_result result;
    const enum store_rc rc = store_arith(actor->kit.thread, &key, &arith, &result);
    KIT_CHECK(rc == STORE_OK, "incr: %s", kit_rc_name(rc));
    actor->counted++;
}

/* One more than what is there, if nobody else is quicker; its id has to be above. */
static void do_swap(struct actor *actor)
{
    const struct store_key key = kit_key_str(&actor->kit, "swapped");
    struct store_view view;
    KIT_CHECK(store_get(actor->kit.thread, &key, STORE_GET_CAS, &view) == STORE_OK, "it is gone");
    uint64_t number;
    memcpy(&number, view.value.ptr, sizeof(number));
    number++;
    const struct store_put put = {.value = bytes_of(&number, sizeof(number)),
                                  .compare = true,
                                  .compare_cas = view.cas_unique};
    struct store_put_result result;
    const enum store_rc rc = store_put(actor->kit.thread, &key, &put, &result);
    KIT_CHECK(rc == STORE_OK || rc == STORE_EXISTS, "cas: %s", kit_rc_name(rc));
    if (rc != STORE_OK)
        return;
    KIT_CHECK(result.cas_unique > view.cas_unique, "the id fell");
    actor->swapped++;
}

static void *actor_main(void *arg)
{
    struct actor *actor = arg;
    struct hot *hot = actor->hot;
    kit_join(&actor->kit, hot->store, KIT_START_S);
    for (uint64_t i = 0; i < hot->rounds; i++) {
        const uint64_t key_id = kit_random_below(&actor->random, KEYS);
        const uint64_t what = kit_random_below(&actor->random, 64);
        if (what == 0)
            do_delete(actor, key_id);
        else if (what < 8)
            do_get(actor, key_id);
        else if (what < 16)
            do_count(actor);
        else if (what < 24)
            do_swap(actor);
        else
            do_set(actor, key_id);
        if (i % BATCH == 0)
            kit_tick(&actor->kit);
    }
    kit_close(&actor->kit);
    atomic_fetch_add(&hot->counted, actor->counted);
    atomic_fetch_add(&hot->swapped, actor->swapped);
    return NULL;
}

static int id_compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    if (x[0] != y[0])
        return x[0] < y[0] ? -1 : 1;
    return x[1] < y[1] ? -1 : x[1] > y[1];
}

static void ids_check(const struct actor *actors)
{
    size_t count = 0, at = 0;
    for (unsigned i = 0; i < THREADS; i++)
        count += actors[i].id_count;
    uint64_t *all = malloc((count + 1) * 2 * sizeof(*all));
    KIT_CHECK(all != NULL, "no memory");
    for (unsigned i = 0; i < THREADS; i++) {
        memcpy(&all[2 * at], actors[i].ids, actors[i].id_count * 2 * sizeof(*all));
        at += actors[i].id_count;
    }
    qsort(all, count, 2 * sizeof(*all), id_compare);
    for (size_t i = 1; i < count; i++)
        KIT_CHECK(id_compare(&all[2 * i - 2], &all[2 * i]) != 0, "key %llu had id %llx twice",
                  (unsigned long long)all[2 * i], (unsigned long long)all[2 * i + 1]);
    free(all);
    printf("%zu ids\n", count);
}

static void sums_check(struct hot *hot)
{
    struct kit kit;
    struct store_view view;
    uint64_t number = 0;
    kit_join(&kit, hot->store, KIT_START_S);
    KIT_CHECK(kit_get(&kit, "swapped", &view) == STORE_OK, "it is gone");
    memcpy(&number, view.value.ptr, sizeof(number));
    KIT_CHECK(number == hot->swapped, "%llu swaps", (unsigned long long)number);
    KIT_CHECK(kit_get(&kit, "number", &view) == STORE_OK, "it is gone");
    number = strtoull((const char *)view.value.ptr, NULL, 10);
    KIT_CHECK(number == hot->counted, "counted %llu", (unsigned long long)number);
    const struct store_info info = kit_info(&kit);
    KIT_CHECK(info.items <= KEYS + 2, "%llu items", (unsigned long long)info.items);
    printf("%llu swaps, %llu increments, %llu items\n", (unsigned long long)hot->swapped,
           (unsigned long long)hot->counted, (unsigned long long)info.items);
    kit_close(&kit);
}

int main(int argc, char **argv)
{
    static struct hot hot;
    static struct actor actors[THREADS];
    pthread_t threads[THREADS];
    struct kit kit;
    hot.seed = kit_seed_init(argc, argv);
    hot.rounds = kit_env_u64("MATTE_HOT_ROUNDS", KIT_SANITIZED ? 150000 : 1000000);
    kit_open_default(&kit);
    hot.store = kit.store;
    const uint64_t none = 0;
    KIT_CHECK(kit_set(&kit, "number", "0") == STORE_OK, "no number");
    KIT_CHECK(kit_put(&kit, STORE_SET, bytes_str("swapped"), bytes_of(&none, sizeof(none)), 0) ==
                  STORE_OK,
              "no item");
    store_thread_offline(kit.thread);
    for (uint32_t i = 0; i < THREADS; i++) {
        actors[i].hot = &hot;
        actors[i].number = i;
        actors[i].random = hot.seed * 10 + i;
        actors[i].ids = malloc(hot.rounds * 2 * sizeof(uint64_t));
        KIT_CHECK(actors[i].ids != NULL, "no memory");
        pthread_create(&threads[i], NULL, actor_main, &actors[i]);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ids_check(actors);
    sums_check(&hot);
    for (uint32_t i = 0; i < THREADS; i++)
        free(actors[i].ids);
    kit_close(&kit);
    return 0;
}
