/* stress/stress_restart.c — threads that write, a stop, threads that build the index again: under
 * ThreadSanitizer, several times.
 *
 * Every key has one writer, which knows what it stored last; nothing is evicted. So after each
 * start every key reads what was stored last, and what was removed is not there.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>

#include "support/depot.h"

enum { WRITERS = 4, KEYS = 3000, ROUNDS = 6, OPERATIONS = 6000, VALUE_BYTES_MAX = 60000 };

struct writer {
    struct depot *depot;
    uint32_t id;
    uint64_t random;
    uint64_t versions[KEYS]; /* 0: not there */
    uint64_t version;
    uint8_t value[VALUE_BYTES_MAX];
};

static struct writer writers[WRITERS];

static struct store_key key_of(const struct kit *kit, uint32_t id, uint64_t i, char text[32])
{
    const int len = snprintf(text, 32, "%u/%u", id, (unsigned)i);
    return kit_key(kit, bytes_of(text, (size_t)len));
}

static void write_one(struct writer *w, struct kit *kit)
{
    char text[32];
    const uint64_t i = kit_random_below(&w->random, KEYS);
    const struct store_key key = key_of(kit, w->id, i, text);
    if (kit_random_below(&w->random, 5) == 0) {
        (void)!store_delete(kit->thread, &key, &(struct store_delete){0});
        w->versions[i] = 0;
        return;
    }
    const bool large = kit_random_below(&w->random, 50) == 0;
    const size_t len =
        sizeof(struct kit_stamp) + kit_random_below(&w->random, large ? VALUE_BYTES_MAX - 64 : 500);
    kit_stamp_write(w->value, len, i, w->id, ++w->version);
    const enum store_rc rc = kit_put(kit, STORE_SET, key.key, bytes_of(w->value, len), 0);
    KIT_CHECK(rc == STORE_OK, "set: %s", kit_rc_name(rc));
    w->versions[i] = w->version;
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    struct kit kit;
    kit_join(&kit, w->depot->kit.store, w->depot->kit.now_s);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        write_one(w, &kit);
        kit_tick(&kit);
    }
    kit_close(&kit);
    return NULL;
}

static void check_all(struct depot *depot)
{
    static uint8_t copy[VALUE_BYTES_MAX];
    for (uint32_t id = 0; id < WRITERS; id++)
        for (uint64_t i = 0; i < KEYS; i++) {
            char text[32];
            struct store_view view;
            struct kit_stamp stamp;
            const struct store_key key = key_of(&depot->kit, id, i, text);
            const enum store_rc rc = store_get(depot->kit.thread, &key, 0, &view);
            const uint64_t want = writers[id].versions[i];
            KIT_CHECK((rc == STORE_OK) == (want != 0), "%s: %s", text, kit_rc_name(rc));
            if (want == 0)
                continue;
            KIT_CHECK(view.value_bytes <= sizeof(copy) && kit_view_copy(&depot->kit, &view, copy),
                      "%s cannot be read", text);
            KIT_CHECK(kit_stamp_read(copy, view.value_bytes, &stamp) && stamp.key_id == i &&
                          stamp.writer == id && stamp.version == want,
                      "%s has another value", text);
            kit_tick(&depot->kit);
        }
}

int main(int argc, char **argv)
{
    struct depot depot;
    const uint64_t seed = kit_seed_init(argc, argv);
    depot_init(&depot);
    depot.config.memory_bytes = 128 * KIT_MIB;
    depot.threads = 6;
    depot_start(&depot);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_t threads[WRITERS];
        store_thread_offline(depot.kit.thread);
        for (uint32_t id = 0; id < WRITERS; id++) {
            writers[id].depot = &depot;
            writers[id].id = id;
            writers[id].random += seed + id;
            pthread_create(&threads[id], NULL, writer_main, &writers[id]);
        }
        for (uint32_t id = 0; id < WRITERS; id++)
            pthread_join(threads[id], NULL);
        store_thread_online(depot.kit.thread, depot.kit.now_s);
        depot_restart(&depot);
        KIT_CHECK(depot.restart.restored, "%s", depot.restart.text);
        check_all(&depot);
    }
    depot_free(&depot);
    return 0;
}
