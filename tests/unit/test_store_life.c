/* unit/test_store_life.c — how items end and how the store lives: expiry, flush, eviction,
 * limits, counts.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <errno.h>
#include <stdio.h>

#include "support/kit.h"

static int setup(void **state)
{
    static struct kit kit;
    kit_open_default(&kit);
    *state = &kit;
    return 0;
}

static int teardown(void **state)
{
    kit_close(*state);
    return 0;
}

static struct bytes key_of(char text[32], uint64_t number)
{
    return bytes_of(text, (size_t)snprintf(text, 32, "key %llu", (unsigned long long)number));
}

static enum store_rc set_number(struct kit *kit, uint64_t number, size_t value_bytes,
                                uint32_t exp_s)
{
    static uint8_t value[1 << 20];
    char text[32];
    kit_pattern_fill(value, value_bytes, number);
    return kit_put(kit, STORE_SET, key_of(text, number), bytes_of(value, value_bytes), exp_s);
}

static enum store_rc get_number(struct kit *kit, uint64_t number, struct store_view *ret_view)
{
    char text[32];
    const struct store_key key = kit_key(kit, key_of(text, number));
    return store_get(kit->thread, &key, STORE_GET_CAS, ret_view);
}

/* ── configuration ────────────────────────────────────────────────────────────────────────── */

static void test_config_limits(void **state)
{
    struct store *store = NULL;
    struct store_config config = {.memory_bytes = KIT_MIB - 1, .item_bytes_max = 1024};
    (void)state;
    assert_int_equal(store_new(&config, &store), -EINVAL);
    config.memory_bytes = 0;
    assert_int_equal(store_new(&config, &store), -EINVAL);
    config.memory_bytes = KIT_MIB;
    config.item_bytes_max = KIT_MIB / 2 + 1;
    assert_int_equal(store_new(&config, &store), -EINVAL);
    assert_null(store);
    config.item_bytes_max = KIT_MIB / 2;
    assert_int_equal(store_new(&config, &store), 0);
    store_free(store);
    store_free(NULL);
    store_thread_free(NULL);
}

static void test_hash_seed(void **state)
{
    struct kit *kit = *state, drawn[2];
    const struct store_config config = {.memory_bytes = KIT_MIB, .item_bytes_max = 1024};
    kit_open(&drawn[0], &config);
    kit_open(&drawn[1], &config);
    const struct bytes key = bytes_str("key");
    assert_true(store_hash(kit->store, key) == store_hash(kit->store, key));
    assert_true(store_hash(drawn[0].store, key) != store_hash(drawn[1].store, key));
    kit_close(&drawn[0]);
    kit_close(&drawn[1]);
}

static void test_no_cas(void **state)
{
    struct kit kit;
    struct store_view view;
    struct store_put_result result;
    (void)state;
    kit_open(&kit, &(struct store_config){
                       .memory_bytes = 4 * KIT_MIB, .item_bytes_max = KIT_MIB, .no_cas = true});
    const struct store_key key = kit_key_str(&kit, "k");
    struct store_put put = {.value = bytes_str("10")};
    assert_rc(store_put(kit.thread, &key, &put, &result), STORE_OK);
    assert_true(result.cas_unique == 0);
    struct store_arith_result number;
    const struct store_arith arith = {.delta = 1, .flags = STORE_GET_CAS};
    assert_rc(store_arith(kit.thread, &key, &arith, &number), STORE_OK);
    assert_true(number.cas_unique == 0);
    assert_rc(kit_get(&kit, "k", &view), STORE_OK);
    assert_true(view.cas_unique == 0);
    kit_close(&kit);
}

/* ── expiry ───────────────────────────────────────────────────────────────────────────────── */

/* Every TTL from seconds to years is exact to the second, whatever class it shares. */
static void test_expiry_exact(void **state)
{
    struct kit *kit = *state;
    const uint32_t start_s = kit->now_s;
    enum { COUNT = 60 };
    uint32_t ttls_s[COUNT];
    struct store_view view;
    for (uint32_t i = 0, ttl_s = 1; i < COUNT; i++, ttl_s += 1 + ttl_s / 3) {
        ttls_s[i] = ttl_s;
        assert_rc(set_number(kit, i, 100, start_s + ttl_s), STORE_OK);
    }
    assert_rc(set_number(kit, COUNT, 100, 0), STORE_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        kit_time_set(kit, start_s + ttls_s[i] - 1);
        assert_rc(get_number(kit, i, &view), STORE_OK);
        assert_int_equal(view.exp_s, start_s + ttls_s[i]);
        kit_time_set(kit, start_s + ttls_s[i]);
        assert_rc(get_number(kit, i, &view), STORE_EXPIRED);
        assert_true(store_rc_is_miss(get_number(kit, i, &view)));
        if (i % 2 == 0)
            store_maintain(kit->thread);
    }
    assert_rc(get_number(kit, COUNT, &view), STORE_OK);
}

static void test_expired_on_arrival(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    assert_rc(set_number(kit, 1, 100, 0), STORE_OK);
    assert_rc(set_number(kit, 1, 100, 1), STORE_OK); /* replaces the old one nevertheless */
    assert_true(store_rc_is_miss(get_number(kit, 1, &view)));
    assert_rc(set_number(kit, 2, 100, kit->now_s), STORE_OK);
    assert_true(store_rc_is_miss(get_number(kit, 2, &view)));
    assert_rc(kit_put(kit, STORE_ADD, bytes_str("key 2"), bytes_str("v"), 0), STORE_OK);
    assert_rc(get_number(kit, 2, &view), STORE_OK);
}

/* An expired item is as good as absent to every mode. */
static void test_expired_is_absent(void **state)
{
    static const enum store_rc want[] = {STORE_OK, STORE_OK, STORE_NOT_STORED, STORE_NOT_STORED,
                                         STORE_NOT_STORED};
    struct kit *kit = *state;
    for (enum store_mode mode = STORE_SET; mode <= STORE_PREPEND; mode++) {
        assert_rc(set_number(kit, 1, 100, kit->now_s + 1), STORE_OK);
        kit_time_set(kit, kit->now_s + 1);
        assert_rc(kit_put(kit, mode, bytes_str("key 1"), bytes_str("v"), 0), want[mode]);
    }
    const struct store_key key = kit_key_str(kit, "key 1");
    struct store_arith_result number;
    assert_rc(kit_put(kit, STORE_SET, key.key, bytes_str("1"), kit->now_s + 1), STORE_OK);
    kit_time_set(kit, kit->now_s + 1);
    const struct store_arith arith = {.delta = 1};
    assert_true(store_rc_is_miss(store_arith(kit->thread, &key, &arith, &number)));
}

/* Short-lived data leaves by itself: the memory comes back without a single lookup. */
static void test_expiry_frees_memory(void **state)
{
    struct kit *kit = *state;
    for (uint64_t i = 0; i < 8000; i++) {
        assert_rc(set_number(kit, i, 1000, kit->now_s + 30), STORE_OK);
        if (i % 16 == 0)
            kit_tick(kit);
    }
    const struct store_info full = kit_info(kit);
    assert_int_equal(full.items, 8000);
    kit_time_set(kit, kit->now_s + 60);
    for (int i = 0; i < 50; i++) {
        store_maintain(kit->thread);
        kit_tick(kit);
    }
    const struct store_info after = kit_info(kit);
    assert_true(after.items < 800); /* an open segment may keep some */
    assert_true(after.segments_expired > 0);
    assert_true(after.memory_used_bytes < full.memory_used_bytes / 2);
    assert_true(after.evictions == 0);
}

/* ── flush ────────────────────────────────────────────────────────────────────────────────── */

static void test_flush_now(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    for (uint64_t i = 0; i < 1000; i++)
        assert_rc(set_number(kit, i, 50 + i * 7, i % 2 ? 0 : 5000), STORE_OK);
    store_flush(kit->thread, kit->now_s);
    assert_rc(set_number(kit, 1000, 100, 0), STORE_OK); /* the same second, later */
    for (uint64_t i = 0; i < 1000; i += 3)
        assert_rc(get_number(kit, i, &view), STORE_FLUSHED);
    assert_rc(get_number(kit, 1000, &view), STORE_OK);
    assert_rc(kit_put(kit, STORE_ADD, bytes_str("key 1"), bytes_str("v"), 0), STORE_OK);
    assert_rc(kit_put(kit, STORE_REPLACE, bytes_str("key 2"), bytes_str("v"), 0), STORE_NOT_STORED);
    for (int i = 0; i < 50; i++) {
        store_maintain(kit->thread);
        kit_tick(kit);
    }
    for (uint64_t i = 2; i < 1000; i++)
        assert_true(store_rc_is_miss(get_number(kit, i, &view)));
    assert_rc(get_number(kit, 1000, &view), STORE_OK);
    assert_rc(get_number(kit, 1, &view), STORE_OK);
    assert_int_equal(kit_info(kit).items, 2);
    store_flush(kit->thread, 0); /* any time up to now is now */
    assert_true(store_rc_is_miss(get_number(kit, 1, &view)));
}

/* Many flushes in a row, items in between, never a maintenance run. */
static void test_flush_often(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    for (uint64_t round = 0; round < 300; round++) {
        assert_rc(set_number(kit, round % 7, 100, 0), STORE_OK);
        assert_rc(set_number(kit, 100 + round, 100, 0), STORE_OK);
        assert_rc(get_number(kit, round % 7, &view), STORE_OK);
        store_flush(kit->thread, kit->now_s);
        assert_true(store_rc_is_miss(get_number(kit, round % 7, &view)));
        assert_true(store_rc_is_miss(get_number(kit, 100 + round, &view)));
        kit_tick(kit);
    }
}

static void test_flush_delayed(void **state)
{
    struct kit *kit = *state;
    const uint32_t start_s = kit->now_s;
    struct store_view view;
    assert_rc(set_number(kit, 1, 100, 0), STORE_OK);
    assert_rc(set_number(kit, 2, 100, 0), STORE_OK);
    store_flush(kit->thread, start_s + 10);
    assert_rc(get_number(kit, 1, &view), STORE_OK);
    kit_time_set(kit, start_s + 9);
    assert_rc(get_number(kit, 1, &view), STORE_OK);
    assert_rc(set_number(kit, 2, 100, 0), STORE_OK); /* still before the flush */
    assert_rc(set_number(kit, 3, 100, 0), STORE_OK);
    kit_time_set(kit, start_s + 10);
    assert_rc(set_number(kit, 4, 100, 0), STORE_OK); /* at its second: stays */
    assert_rc(get_number(kit, 1, &view), STORE_FLUSHED);
    assert_rc(get_number(kit, 2, &view), STORE_FLUSHED);
    assert_true(store_rc_is_miss(get_number(kit, 3, &view)));
    assert_rc(get_number(kit, 4, &view), STORE_OK);
    kit_time_set(kit, start_s + 20);
    assert_rc(get_number(kit, 4, &view), STORE_OK);
}

/* A later flush replaces one that is still to come. */
static void test_flush_replaced(void **state)
{
    struct kit *kit = *state;
    const uint32_t start_s = kit->now_s;
    struct store_view view;
    assert_rc(set_number(kit, 1, 100, 0), STORE_OK);
    store_flush(kit->thread, start_s + 10);
    store_flush(kit->thread, start_s + 100);
    kit_time_set(kit, start_s + 50);
    assert_rc(get_number(kit, 1, &view), STORE_OK);
    store_flush(kit->thread, start_s + 60);
    kit_time_set(kit, start_s + 60);
    assert_true(store_rc_is_miss(get_number(kit, 1, &view)));
    assert_rc(set_number(kit, 2, 100, 0), STORE_OK);
    kit_time_set(kit, start_s + 100);
    assert_rc(get_number(kit, 2, &view), STORE_OK); /* the one at 100 was replaced */
    store_flush(kit->thread, start_s + 200);
    store_flush(kit->thread, kit->now_s); /* now instead of then */
    assert_rc(set_number(kit, 3, 100, 0), STORE_OK);
    kit_time_set(kit, start_s + 201);
    assert_rc(get_number(kit, 3, &view), STORE_OK);
}

/* A delayed flush long overdue when the next call comes: what was stored at or after it stays. */
static void test_flush_overdue(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    assert_rc(set_number(kit, 1, 100, 0), STORE_OK);
    store_flush(kit->thread, kit->now_s + 10);
    store_thread_offline(kit->thread);
    kit->now_s += 1000;
    store_thread_online(kit->thread, kit->now_s);
    assert_rc(set_number(kit, 2, 100, 0), STORE_OK);
    assert_true(store_rc_is_miss(get_number(kit, 1, &view)));
    assert_rc(get_number(kit, 2, &view), STORE_OK);
}

/* ── eviction ─────────────────────────────────────────────────────────────────────────────── */

/* Fill several times over, with and without a maintenance thread's help: newest items are there,
 * every hit is right, nothing is refused. */
static void fill_over(struct kit *kit, uint64_t count, size_t value_bytes, bool maintain)
{
    uint8_t *copy = test_malloc(value_bytes + 1);
    for (uint64_t i = 0; i < count; i++) {
        struct store_view view;
        assert_rc(set_number(kit, i, value_bytes, 0), STORE_OK);
        assert_rc(get_number(kit, i, &view), STORE_OK);
        if (i % 64 == 63)
            kit_tick(kit);
        if (maintain && i % 256 == 255)
            store_maintain(kit->thread);
        if (i % 97 != 96 || get_number(kit, i / 2, &view) != STORE_OK)
            continue;
        if (kit_view_copy(kit, &view, copy))
            assert_true(kit_pattern_is(copy, value_bytes, i / 2));
    }
    const struct store_info info = kit_info(kit);
    assert_true(info.evictions > 0);
    assert_true(info.memory_used_bytes <= info.memory_bytes);
    assert_true(info.items + info.evictions <= count);
    assert_true(info.item_bytes > info.memory_bytes / 3);
    assert_int_equal(info.out_of_memory, 0);
    test_free(copy);
}

static void test_evict_sizes(void **state)
{
    static const size_t sizes[] = {0, 300, 5000, 60000, 250000, 500000};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int maintain = 0; maintain < 2; maintain++) {
            struct kit kit;
            print_message("values of %zu bytes\n", sizes[i]);
            kit_open(&kit, &(struct store_config){.memory_bytes = 4 * KIT_MIB,
                                                  .item_bytes_max = KIT_MIB,
                                                  .hash_seed = 1});
            fill_over(&kit, 5 * 4 * KIT_MIB / (sizes[i] + 40), sizes[i], maintain);
            kit_close(&kit);
        }
}

/* What is used again and again survives a scan of things used once. */
static void test_evict_keeps_used(void **state)
{
    struct kit kit;
    struct store_view view;
    size_t kept = 0;
    (void)state;
    kit_open(&kit, &(struct store_config){
                       .memory_bytes = 8 * KIT_MIB, .item_bytes_max = KIT_MIB, .hash_seed = 1});
    for (uint64_t i = 0; i < 1000; i++)
        assert_rc(set_number(&kit, i, 1000, 0), STORE_OK);
    for (uint64_t i = 0; i < 80000; i++) {
        (void)!get_number(&kit, i % 1000, &view);
        assert_rc(set_number(&kit, 10000 + i, 1000, 0), STORE_OK);
        if (i % 32 == 0)
            kit_tick(&kit);
    }
    for (uint64_t i = 0; i < 1000; i++)
        kept += get_number(&kit, i, &view) == STORE_OK;
    print_message("%zu of 1000 kept\n", kept);
    assert_true(kept > 990);
    kit_close(&kit);
}

/* -M: full is full; what is in stays, also the value that could not be replaced. */
static void test_no_evict(void **state)
{
    struct kit kit;
    struct store_view view;
    uint64_t count = 0;
    (void)state;
    kit_open(&kit, &(struct store_config){.memory_bytes = 4 * KIT_MIB,
                                          .item_bytes_max = KIT_MIB,
                                          .no_evict = true,
                                          .hash_seed = 1});
    while (count < 10000 && set_number(&kit, count, 1000, 0) == STORE_OK)
        if (++count % 64 == 0)
            kit_tick(&kit);
    print_message("%llu items of 1000 bytes\n", (unsigned long long)count);
    assert_true(count > 2600 && count < 4200);
    for (int i = 0; i < 2000; i++) /* again and again, bigger ones too */
        (void)!set_number(&kit, count + (uint64_t)i % 10, 5000, 0);
    for (uint64_t i = 0; i < count; i++) {
        assert_rc(get_number(&kit, i, &view), STORE_OK);
        assert_true(kit_pattern_is(view.value.ptr, view.value.len, i));
    }
    struct store_info info = kit_info(&kit);
    assert_int_equal(info.evictions, 0);
    assert_true(info.out_of_memory > 0);
    /* Space comes back from what is deleted here and there, too. */
    for (uint64_t i = 0; i < count; i++) {
        char text[32];
        const struct store_key key = kit_key(&kit, key_of(text, i));
        if (i % 4 != 0)
            assert_rc(store_delete(kit.thread, &key, &(struct store_delete){0}), STORE_OK);
    }
    for (int i = 0; i < 20; i++) {
        store_maintain(kit.thread);
        kit_tick(&kit);
    }
    for (uint64_t i = 0; i < count / 2; i++) {
        assert_rc(set_number(&kit, 100000 + i, 1000, 0), STORE_OK);
        if (i % 64 == 0)
            kit_tick(&kit);
    }
    for (uint64_t i = 0; i < count; i += 4)
        assert_rc(get_number(&kit, i, &view), STORE_OK);
    assert_int_equal(kit_info(&kit).evictions, 0);
    kit_close(&kit);
}

/* Overwriting a small set for ever needs no eviction: compaction reclaims. */
static void test_overwrite_compacts(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    uint64_t random = 3;
    for (uint64_t i = 0; i < 100000; i++) {
        assert_rc(set_number(kit, kit_random_below(&random, 5000), 1000, 0), STORE_OK);
        if (i % 32 == 0)
            kit_tick(kit);
        if (i % 1024 == 0)
            store_maintain(kit->thread);
    }
    for (uint64_t i = 0; i < 5000; i++)
        assert_rc(get_number(kit, i, &view), STORE_OK);
    const struct store_info info = kit_info(kit);
    assert_int_equal(info.items, 5000);
    assert_int_equal(info.evictions, 0);
    assert_true(info.segments_compacted > 0);
}

/* ── CAS uniques over time ────────────────────────────────────────────────────────────────── */

/* Seen CAS uniques do not move with the item when it is relocated. */
static void test_cas_stable(void **state)
{
    struct kit *kit = *state;
    enum { COUNT = 400 };
    static uint64_t cas[COUNT];
    struct store_view view;
    uint64_t random = 9, found = 0;
    for (uint64_t i = 0; i < COUNT; i++)
        for (uint64_t j = 0; j < 10; j++) { /* among items that will be garbage */
            assert_rc(set_number(kit, 1000 + i * 10 + j, 500, 0), STORE_OK);
            if (j > 0)
                continue;
            assert_rc(set_number(kit, i, 500, i % 3 ? 0 : 100000), STORE_OK);
            assert_rc(get_number(kit, i, &view), STORE_OK);
            cas[i] = view.cas_unique;
        }
    for (uint64_t i = 0; i < 100000; i++) {
        assert_rc(set_number(kit, 1000 + kit_random_below(&random, 4000), 500, 0), STORE_OK);
        (void)!get_number(kit, i % COUNT, &view);
        if (i % 32 == 0)
            kit_tick(kit);
        if (i % 512 == 0)
            store_maintain(kit->thread);
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        if (get_number(kit, i, &view) != STORE_OK)
            continue;
        assert_true(view.cas_unique == cas[i]);
        assert_true(kit_pattern_is(view.value.ptr, view.value.len, i));
        found++;
    }
    const struct store_info info = kit_info(kit);
    assert_true(info.segments_compacted + info.segments_evicted > 0);
    assert_int_equal(found, COUNT);
}

static int cas_order(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return x[0] != y[0] ? (x[0] > y[0]) - (x[0] < y[0]) : (x[1] > y[1]) - (x[1] < y[1]);
}

/* Each store over a key has a higher unique than the one before; none is ever given twice, also
 * when the key was deleted in between. */
static void test_cas_grows(void **state)
{
    struct kit *kit = *state;
    enum { ROUNDS = 40000, KEYS = 20 };
    static uint64_t seen[ROUNDS][2]; /* key, unique */
    uint64_t random = 4, last[KEYS] = {0};
    size_t count = 0;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        const uint64_t number = kit_random_below(&random, KEYS);
        struct store_view view;
        assert_rc(set_number(kit, number, kit_random_below(&random, 3000), 0), STORE_OK);
        if (i % 5 != 0) {
            assert_rc(get_number(kit, number, &view), STORE_OK);
            assert_true(view.cas_unique > last[number]);
            seen[count][0] = number;
            seen[count++][1] = last[number] = view.cas_unique;
        }
        if (i % 50 == 0) {
            char text[32];
            const struct store_key key = kit_key(kit, key_of(text, number));
            const struct store_delete how = {0};
            assert_rc(store_delete(kit->thread, &key, &how), STORE_OK);
            last[number] = 0;
        }
        kit_tick(kit);
    }
    qsort(seen, count, sizeof(seen[0]), cas_order);
    for (size_t i = 1; i < count; i++)
        assert_true(cas_order(seen[i - 1], seen[i]) < 0);
}

/* ── counts and limits ────────────────────────────────────────────────────────────────────── */

static void test_info_counts(void **state)
{
    struct kit *kit = *state;
    const struct store_info empty = kit_info(kit);
    assert_int_equal(empty.items, 0);
    assert_int_equal(empty.item_bytes, 0);
    assert_int_equal(empty.memory_bytes, 16 * KIT_MIB);
    uint64_t random = 6;
    enum { COUNT = 3000 };
    static bool present[COUNT];
    uint64_t stored = 0, items = 0, bytes = 0;
    for (uint64_t i = 0; i < 5 * COUNT; i++) {
        char text[32];
        const uint64_t number = kit_random_below(&random, COUNT);
        const struct store_key key = kit_key(kit, key_of(text, number));
        const struct store_delete how = {0};
        if (kit_random_below(&random, 3) == 0) {
            assert_rc(store_delete(kit->thread, &key, &how),
                      present[number] ? STORE_OK : STORE_MISS);
            present[number] = false;
            continue;
        }
        const size_t len = kit_random_below(&random, 100) == 0 ? 40000 : 100;
        assert_rc(set_number(kit, number, len, number % 2 ? 0 : 100000), STORE_OK);
        present[number] = true;
        stored++;
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        struct store_view view;
        if (!present[i])
            continue;
        assert_rc(get_number(kit, i, &view), STORE_OK);
        bytes += view.memory_bytes;
        items++;
    }
    const struct store_info info = kit_info(kit);
    assert_int_equal(info.items, items);
    assert_int_equal(info.items_total, stored);
    assert_int_equal(info.item_bytes, bytes);
    assert_int_equal(info.evictions, 0);
    assert_true(info.memory_used_bytes >= info.item_bytes + info.index_bytes);
    assert_true(info.memory_used_bytes <= info.memory_bytes);
    store_info_reset(kit->store);
    const struct store_info reset = kit_info(kit);
    assert_int_equal(reset.items, items);
    assert_int_equal(reset.items_total, 0);
}

static void test_segment_sum(void **state)
{
    struct kit *kit = *state;
    for (uint64_t i = 0; i < 30000; i++) {
        assert_rc(set_number(kit, i, i % 2000, i % 3 ? 0 : kit->now_s + 1000), STORE_OK);
        kit_tick(kit);
        if (i % 1000 != 0)
            continue;
        const struct store_info info = kit_info(kit);
        assert_true(info.segments_free <= info.segments_max);
        assert_true((uint64_t)info.segments_max * info.segment_bytes <= info.memory_bytes);
        assert_true(info.segments_small + info.segments_main + info.segments_index <=
                    info.segments_max);
        assert_true(info.index_buckets >> info.index_level == 1);
    }
}

static void test_memory_set(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    assert_int_equal(store_memory_set(kit->store, 0), -EINVAL);
    assert_int_equal(store_memory_set(kit->store, KIT_MIB - 1), -EINVAL);
    assert_int_equal(store_memory_set(kit->store, UINT64_MAX), -EINVAL);
    assert_int_equal(store_memory_set(kit->store, 1ull << 62), -EINVAL);
    static const uint64_t steps_mib[] = {16, 12, 6, 16, 4, 8, 3, 16};
    uint64_t next = 0;
    for (size_t step = 0; step < COUNT_OF(steps_mib); step++) {
        const uint64_t limit = steps_mib[step] * KIT_MIB;
        assert_int_equal(store_memory_set(kit->store, limit), 0);
        for (uint64_t i = 0; i < 25000; i++, next++) {
            assert_rc(set_number(kit, next, 1000, 0), STORE_OK);
            assert_rc(get_number(kit, next, &view), STORE_OK);
            if (i % 32 == 0)
                kit_tick(kit);
            if (i % 256 == 0)
                store_maintain(kit->thread);
        }
        const struct store_info info = kit_info(kit);
        print_message("%llu MiB: %llu items, %llu bytes used\n",
                      (unsigned long long)steps_mib[step], (unsigned long long)info.items,
                      (unsigned long long)info.memory_used_bytes);
        assert_true(info.memory_bytes == limit);
        assert_true(info.memory_used_bytes <= limit);
        assert_true(info.items * 1000 > limit / 2);
    }
}

/* Lowering the limit alone brings memory down; nobody needs to write for that. */
static void test_memory_set_idle(void **state)
{
    struct kit *kit = *state;
    for (uint64_t i = 0; i < 14000; i++) {
        assert_rc(set_number(kit, i, 1000, 0), STORE_OK);
        if (i % 32 == 0)
            kit_tick(kit);
    }
    assert_int_equal(store_memory_set(kit->store, 4 * KIT_MIB), 0);
    for (int i = 0; i < 1000; i++) {
        store_maintain(kit->thread);
        kit_tick(kit);
    }
    const struct store_info info = kit_info(kit);
    assert_true(info.memory_used_bytes <= 4 * KIT_MIB);
    assert_true(info.items > 1000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_config_limits),       TEST(test_hash_seed),          TEST(test_no_cas),
        TEST(test_expiry_exact),        TEST(test_expired_on_arrival), TEST(test_expired_is_absent),
        TEST(test_expiry_frees_memory), TEST(test_flush_now),          TEST(test_flush_often),
        TEST(test_flush_delayed),       TEST(test_flush_replaced),     TEST(test_flush_overdue),
        TEST(test_evict_sizes),         TEST(test_evict_keeps_used),   TEST(test_no_evict),
        TEST(test_overwrite_compacts),  TEST(test_cas_stable),         TEST(test_cas_grows),
        TEST(test_info_counts),         TEST(test_segment_sum),        TEST(test_memory_set),
        TEST(test_memory_set_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
