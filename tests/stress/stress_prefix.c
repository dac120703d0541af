/* stress/stress_prefix.c — deleted key prefixes against everybody: what is older is gone, what is
 * younger stays, and nothing comes back.
 *
 * Some threads delete, mostly their own groups, at times all groups at once. Others store and read
 * keys of their own in these groups, some with operations that copy an item or keep a part of it,
 * and compare with when deletions of the key's group began and ended: a value stored before one
 * that is over must not be seen again; a value stored when none was under way must be there as long
 * as none has begun. A value tells its first and its last version, so that one that was joined to a
 * deleted one would be seen. Memory is so little that segments are compacted all the time, and the
 * index grows; another thread sweeps.
 *
 * Usage: stress_prefix [SEED]; environment: MATTE_SEED, MATTE_PREFIX_SECONDS (5).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "support/kit.h"

enum { WORKERS = 3, DELETERS = 2, GROUPS = 40, KEYS = 6000, NAME_BYTES = 24 };

/* Deletions of a group, also those that take all groups; equal: none is under way. */
struct group {
    _Alignas(64) _Atomic uint64_t begun, ended;
};

struct race {
    struct store *store;
    uint64_t seed;
    struct group groups[GROUPS];
    _Atomic uint64_t deletions, refused, hits, misses, joins;
    _Atomic uint32_t now_s;
    _Atomic bool stop;
};

struct own {              /* what a worker knows of a key */
    uint64_t first, last; /* versions that the value has; first 0: nothing */
    uint64_t begun;       /* deletions begun before it was stored first; UINT64_MAX: unclear */
    uint64_t ended;       /* deletions begun when the store of `first` was done */
};

struct worker {
    struct race *race;
    struct kit kit;
    uint64_t id, random, version;
    struct own own[KEYS];
};

static struct group *group_of(struct race *race, uint64_t number)
{
    return &race->groups[number % GROUPS];
}

static size_t group_name(char text[NAME_BYTES], uint64_t group)
{
    return (size_t)snprintf(text, NAME_BYTES, "g%0*u:", 1 + (int)(group % 5), (unsigned)group);
}

static struct store_key key_of(const struct worker *w, char text[2 * NAME_BYTES], uint64_t number)
{
    const size_t len = group_name(text, number % GROUPS);
    const int rest = snprintf(text + len, NAME_BYTES, "%u:%u", (unsigned)w->id, (unsigned)number);
    return kit_key(&w->kit, bytes_of(text, len + (size_t)rest));
}

/* ── workers ──────────────────────────────────────────────────────────────────────────────── */

static void value_store(struct worker *w, uint64_t number, enum store_mode mode)
{
    char text[2 * NAME_BYTES];
    uint64_t value[40];
    const struct store_key key = key_of(w, text, number);
    struct group *group = group_of(w->race, number);
    struct own *own = &w->own[number];
    const uint64_t version = ++w->version;
    const size_t words = mode == STORE_APPEND ? 1 : 1 + kit_random_below(&w->random, 40);
    for (size_t i = 0; i < words; i++)
        value[i] = version;
    const uint64_t begun = atomic_load(&group->begun);
    const bool quiet = begun == atomic_load(&group->ended);
    const struct store_put put = {.mode = mode, .value = bytes_of(value, words * 8)};
    const enum store_rc rc = store_put(w->kit.thread, &key, &put, NULL);
    const uint64_t after = atomic_load(&group->begun);
    if (rc == STORE_NO_MEMORY)
        return; /* nothing has changed */
    if (mode == STORE_APPEND) {
        KIT_CHECK(rc == STORE_OK || rc == STORE_NOT_STORED, "append: %s", kit_rc_name(rc));
        if (rc == STORE_OK) {
            own->last = version;
            atomic_fetch_add_explicit(&w->race->joins, 1, memory_order_relaxed);
        }
        return; /* it is as old as its first part */
    }
    KIT_CHECK(rc == STORE_OK, "%s", kit_rc_name(rc));
    *own = (struct own){version, version, quiet ? begun : UINT64_MAX, after};
}

/* Copies the item to another place, in most cases. */
static void value_touch(struct worker *w, uint64_t number)
{
    char text[2 * NAME_BYTES];
    const struct store_key key = key_of(w, text, number);
    struct store_view view;
    const bool touch = kit_random_below(&w->random, 2);
    const struct store_fetch fetch = {
        .flags = kit_random_below(&w->random, 2) ? STORE_GET_CAS : 0,
        .touch = true,
        .touch_exp_s =
            touch ? w->kit.now_s + 100000 + (uint32_t)kit_random_below(&w->random, 99999) : 0};
    (void)!store_fetch(w->kit.thread, &key, &fetch, &view);
}

static void value_check(struct worker *w, uint64_t number)
{
    char text[2 * NAME_BYTES];
    uint64_t first, last;
    const struct store_key key = key_of(w, text, number);
    struct group *group = group_of(w->race, number);
    struct own *own = &w->own[number];
    struct store_view view;
    const uint64_t over = atomic_load(&group->ended); /* deletions over before we look */
    const enum store_rc rc = store_get(w->kit.thread, &key, 0, &view);
    const uint64_t begun = atomic_load(&group->begun); /* and begun when we have looked */
    if (rc != STORE_OK) {
        KIT_CHECK(own->first == 0 || begun != own->begun, "key %llu: %s, but nothing was deleted",
                  (unsigned long long)number, kit_rc_name(rc));
        own->first = 0; /* it must not come back */
        atomic_fetch_add_explicit(&w->race->misses, 1, memory_order_relaxed);
        return;
    }
    memcpy(&first, view.value.ptr, sizeof(first));
    memcpy(&last, view.value.ptr + view.value.len - sizeof(last), sizeof(last));
    KIT_CHECK(own->first != 0, "key %llu has come back", (unsigned long long)number);
    KIT_CHECK(first == own->first && last == own->last, "version %llu to %llu, was %llu to %llu",
              (unsigned long long)first, (unsigned long long)last, (unsigned long long)own->first,
              (unsigned long long)own->last);
    KIT_CHECK(over <= own->ended, "key %llu: seen after deletion %llu, stored before %llu",
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
            const uint64_t kind = kit_random_below(&w->random, 10);
            if (kind < 3)
                value_store(w, number, STORE_SET);
            else if (kind < 5)
                value_store(w, number, STORE_APPEND);
            else if (kind < 7)
                value_touch(w, number);
            value_check(w, number);
        }
        kit_time_set(&w->kit, atomic_load_explicit(&w->race->now_s, memory_order_relaxed));
    }
    kit_close(&w->kit);
    return NULL;
}

/* ── the others ───────────────────────────────────────────────────────────────────────────── */

static void *maintainer_main(void *arg)
{
    struct race *race = arg;
    struct kit kit;
    kit_join(&kit, race->store, KIT_START_S);
    while (!atomic_load(&race->stop)) {
        store_maintain(kit.thread);
        store_thread_offline(kit.thread);
        store_maintain_wait(race->store, 1);
        /* a second passes, so that a new sweep may begin */
        store_thread_online(kit.thread, atomic_fetch_add(&race->now_s, 1) + 1);
    }
    kit_close(&kit);
    return NULL;
}

static void group_delete(struct race *race, struct kit *kit, uint64_t group)
{
    char text[NAME_BYTES];
    const bool all = group == GROUPS;
    for (uint64_t i = all ? 0 : group; i <= (all ? GROUPS - 1 : group); i++)
        atomic_fetch_add(&race->groups[i].begun, 1);
    const struct bytes prefix = all ? bytes_str("g") : bytes_of(text, group_name(text, group));
    KIT_CHECK(store_delete_prefix(kit->thread, prefix), "too many are pending");
    for (uint64_t i = all ? 0 : group; i <= (all ? GROUPS - 1 : group); i++)
        atomic_fetch_add(&race->groups[i].ended, 1);
    atomic_fetch_add_explicit(&race->deletions, 1, memory_order_relaxed);
}

struct deleter {
    struct race *race;
    uint64_t id, random;
};

static void *deleter_main(void *arg)
{
    struct deleter *d = arg;
    struct race *race = d->race;
    struct kit kit;
    kit_join(&kit, race->store, KIT_START_S);
    while (!atomic_load(&race->stop)) {
        const uint64_t kind = kit_random_below(&d->random, 100);
        /* the deleters share no group, but for `all`: a group's count would not tell whose */
        const uint64_t group = kit_random_below(&d->random, GROUPS / DELETERS) * DELETERS + d->id;
        char other[NAME_BYTES];
        if (kind < 40) { /* of nothing, to fill the table */
            snprintf(other, sizeof(other), "x%llu",
                     (unsigned long long)kit_random_below(&d->random, 2000));
            if (!store_delete_prefix(kit.thread, bytes_str(other)))
                atomic_fetch_add_explicit(&race->refused, 1, memory_order_relaxed);
        } else {
            group_delete(race, &kit, kind == 99 && d->id == 0 ? GROUPS : group);
        }
        store_thread_offline(kit.thread);
        if (kind % 2 == 0)
            nanosleep(&(struct timespec){.tv_nsec = (long)kit_random_below(&d->random, 20000000)},
                      NULL);
        store_thread_online(kit.thread, atomic_load(&race->now_s));
    }
    kit_close(&kit);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct race race;
    static struct worker workers[WORKERS];
    static struct deleter deleters[DELETERS];
    pthread_t threads[WORKERS + DELETERS + 1];
    struct store_info info;
    race.seed = kit_seed_init(argc, argv);
    atomic_init(&race.now_s, KIT_START_S);
    const struct store_config config = {
        .memory_bytes = 2 * KIT_MIB, .item_bytes_max = KIT_MIB, .no_evict = true};
    KIT_CHECK(store_new(&config, &race.store) == 0, "no store");
    for (uint64_t i = 0; i < WORKERS; i++) {
        workers[i].race = &race;
        workers[i].id = i;
        workers[i].random = race.seed * 10 + i;
        pthread_create(&threads[i], NULL, worker_main, &workers[i]);
    }
    for (uint64_t i = 0; i < DELETERS; i++) {
        deleters[i] = (struct deleter){&race, i, race.seed * 20 + i};
        pthread_create(&threads[WORKERS + i], NULL, deleter_main, &deleters[i]);
    }
    pthread_create(&threads[WORKERS + DELETERS], NULL, maintainer_main, &race);
    const uint64_t seconds = kit_env_u64("MATTE_PREFIX_SECONDS", 5);
    nanosleep(&(struct timespec){.tv_sec = (time_t)seconds}, NULL);
    atomic_store(&race.stop, true);
    store_maintain_wake(race.store);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    store_info(race.store, &info);
    printf("%llu deletions, %llu refused, %llu hits, %llu misses, %llu joins, %llu items removed, "
           "%llu sweeps, %llu compacted\n",
           (unsigned long long)race.deletions, (unsigned long long)race.refused,
           (unsigned long long)race.hits, (unsigned long long)race.misses,
           (unsigned long long)race.joins, (unsigned long long)info.prefix_deleted,
           (unsigned long long)info.prefix_sweeps, (unsigned long long)info.segments_compacted);
    KIT_CHECK(race.hits > 0 && race.misses > 0 && race.joins > 0, "nothing happened");
    KIT_CHECK(info.prefix_sweeps > 1 && info.prefix_deleted > 0, "nothing was swept");
    store_free(race.store);
    return 0;
}
