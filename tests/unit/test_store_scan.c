/* unit/test_store_scan.c — walks over all items: complete, exact, each item once, whatever happens
 * between two steps; and the crawl that takes dead items out.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <stdio.h>

#include "support/kit.h"
#include "support/model.h"

enum { NUMBERS_MAX = 300000 };

/* What a walk over numbered keys has met. */
struct met {
    uint8_t times[NUMBERS_MAX];
    uint64_t items;
};

static struct bytes key_of(char text[32], uint64_t number)
{
    return bytes_of(text, (size_t)snprintf(text, 32, "key %llu", (unsigned long long)number));
}

static void put(struct kit *kit, uint64_t number, uint32_t exp_s)
{
    char text[32];
    const struct bytes key = key_of(text, number);
    assert_rc(kit_put(kit, STORE_SET, key, key, exp_s), STORE_OK);
}

static void take(struct kit *kit, uint64_t number)
{
    char text[32];
    const struct store_key key = kit_key(kit, key_of(text, number));
    assert_rc(store_delete(kit->thread, &key, &(struct store_delete){0}), STORE_OK);
}

static void meet(void *arg, const struct store_view *view)
{
    struct met *met = arg;
    char text[32] = "";
    unsigned long long number = 0;
    assert_true(view->key.len < sizeof(text));
    memcpy(text, view->key.ptr, view->key.len);
    assert_int_equal(sscanf(text, "key %llu", &number), 1);
    assert_true(number < NUMBERS_MAX && bytes_equal(view->value, view->key));
    met->times[number]++;
    met->items++;
}

static struct met *walk(struct kit *kit)
{
    static struct met met;
    struct store_scan scan = {0};
    met = (struct met){0};
    while (!scan.done) {
        store_scan(kit->thread, &scan, meet, &met);
        kit_tick(kit);
    }
    store_scan(kit->thread, &scan, meet, &met); /* beyond the end: nothing */
    return &met;
}

static void open_mib(struct kit *kit, uint64_t mib)
{
    kit_open(kit, &(struct store_config){.memory_bytes = mib * KIT_MIB,
                                         .item_bytes_max = KIT_MIB / 2,
                                         .hash_seed = 7});
}

static void test_empty(void **state)
{
    struct kit kit;
    (void)state;
    kit_open_default(&kit);
    assert_int_equal(walk(&kit)->items, 0);
    kit_close(&kit);
}

static void test_live_ones_only(void **state)
{
    struct kit kit;
    (void)state;
    kit_open_default(&kit);
    for (uint64_t i = 0; i < 1000; i++)
        put(&kit, i, i % 3 == 0 ? KIT_START_S + 10 : 0);
    for (uint64_t i = 0; i < 1000; i += 5)
        take(&kit, i);
    const struct met *met = walk(&kit);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(met->times[i], i % 5 != 0);
    kit_time_set(&kit, KIT_START_S + 10);
    met = walk(&kit);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(met->times[i], i % 5 != 0 && i % 3 != 0);
    store_flush(kit.thread, 0);
    put(&kit, 1, 0);
    met = walk(&kit);
    assert_int_equal(met->items, 1);
    assert_int_equal(met->times[1], 1);
    kit_close(&kit);
}

/* ── what a view tells ────────────────────────────────────────────────────────────────────── */

static void keep_view(void *arg, const struct store_view *view)
{
    memcpy(arg, view, sizeof(*view)); /* `value` is not looked at */
}

static void test_view(void **state)
{
    static uint8_t value[200000];
    struct kit kit;
    (void)state;
    for (size_t len = 3; len <= sizeof(value); len = len == 3 ? sizeof(value) : len + 1) {
        kit_open_default(&kit);
        struct store_key key = kit_key_str(&kit, "a key");
        key.binary = true;
        const struct store_put how = {
            .value = bytes_of(value, len), .client_flags = 70000, .exp_s = KIT_START_S + 99};
        struct store_view got, shown;
        struct store_scan scan = {0};
        assert_rc(store_put(kit.thread, &key, &how, NULL), STORE_OK);
        kit_time_set(&kit, KIT_START_S + 5);
        assert_rc(store_get(kit.thread, &key, 0, &got), STORE_OK);
        shown.key.len = 0;
        while (!scan.done)
            store_scan(kit.thread, &scan, keep_view, &shown);
        assert_true(bytes_is(shown.key, "a key"));
        assert_true(shown.key_binary && shown.fetched);
        assert_int_equal(shown.value_bytes, len);
        assert_int_equal(shown.fragmented, len > 3);
        assert_int_equal(shown.client_flags, 70000);
        assert_int_equal(shown.exp_s, KIT_START_S + 99);
        assert_int_equal(shown.last_access_s, KIT_START_S + 5);
        assert_int_equal(shown.memory_bytes, got.memory_bytes);
        assert_int_not_equal(shown.cas_unique, 0);
        assert_rc(store_get(kit.thread, &key, STORE_GET_CAS, &got), STORE_OK);
        assert_int_equal(shown.cas_unique, got.cas_unique);
        kit_close(&kit);
    }
}

static void test_no_use(void **state)
{
    struct kit kit;
    struct store_view view;
    (void)state;
    kit_open_default(&kit);
    put(&kit, 1, 0);
    kit_time_set(&kit, KIT_START_S + 50);
    assert_int_equal(walk(&kit)->items, 1);
    assert_rc(kit_get(&kit, "key 1", &view), STORE_OK);
    assert_false(view.fetched);
    assert_int_equal(view.last_access_s, KIT_START_S);
    kit_close(&kit);
}

/* ── while others write ───────────────────────────────────────────────────────────────────── */

/* The table doubles several times between the steps; what was there before is met once, what
 * comes and goes at most once. */
static void test_growth(void **state)
{
    enum { OLD = 2000, NEW = 100000 };
    static struct met met;
    (void)state;
    for (uint64_t burst = 1; burst <= 4096; burst *= 8) {
        struct kit kit;
        struct store_scan scan = {0};
        uint64_t number = OLD, steps = 0;
        open_mib(&kit, 8);
        for (uint64_t i = 0; i < OLD; i++)
            put(&kit, i, 0);
        const uint64_t before = kit_info(&kit).index_buckets;
        met = (struct met){0};
        for (; !scan.done; steps++) {
            store_scan(kit.thread, &scan, meet, &met);
            for (uint64_t i = 0; i < burst && number < NEW; i++)
                put(&kit, number++, 0);
            if (steps % 7 == 0 && number > OLD && number < NEW)
                take(&kit, number - 1);
            kit_tick(&kit);
        }
        const struct store_info info = kit_info(&kit);
        print_message("%llu at a time: buckets %llu -> %llu, %llu steps\n",
                      (unsigned long long)burst, (unsigned long long)before,
                      (unsigned long long)info.index_buckets, (unsigned long long)steps);
        assert_true(burst < 64 || info.index_buckets > 2 * before);
        assert_int_equal(info.evictions, 0);
        for (uint64_t i = 0; i < NUMBERS_MAX; i++)
            assert_true(i < OLD ? met.times[i] == 1 : met.times[i] <= 1);
        assert_true(info.scanned >= OLD && info.scanned == met.items);
        kit_close(&kit);
    }
}

/* ── against the model ────────────────────────────────────────────────────────────────────── */

struct compare {
    struct model *model;
    uint64_t items;
};

static void compare_item(void *arg, const struct store_view *view)
{
    struct compare *compare = arg;
    const struct model_item *item = model_find(compare->model, view->key, NULL);
    assert_non_null(item);
    assert_int_equal(view->value_bytes, item->value_bytes);
    assert_int_equal(view->exp_s, item->exp_s);
    assert_int_equal(view->client_flags, item->client_flags);
    assert_int_equal(view->fetched, item->fetched);
    assert_int_equal(view->key_binary, item->key_binary);
    compare->items++;
}

/* Why it is not there may differ: the model forgets a dead item once it has been counted. */
static void assert_same(enum store_rc got, enum store_rc want)
{
    if (!store_rc_is_miss(got) || !store_rc_is_miss(want))
        assert_rc(got, want);
}

static void mutate(struct kit *kit, struct model *model, uint64_t *random)
{
    static uint8_t value[90000];
    char text[32];
    struct store_view view, model_view;
    struct store_key key = kit_key(kit, key_of(text, kit_random_below(random, 3000)));
    const size_t len =
        kit_random_below(random, kit_random_below(random, 100) == 0 ? sizeof(value) : 100);
    const uint32_t exp_s =
        kit_random_below(random, 3) ? 0 : kit->now_s + 1 + (uint32_t)kit_random_below(random, 30);
    key.binary = kit_random_below(random, 2);
    switch (kit_random_below(random, 4)) {
    case 0:
    case 1: {
        const struct store_put how = {.value = bytes_of(value, len),
                                      .client_flags = (uint32_t)kit_random_below(random, 1 << 18),
                                      .exp_s = exp_s};
        assert_same(store_put(kit->thread, &key, &how, NULL), model_put(model, &key, &how, NULL));
        break;
    }
    case 2:
        assert_same(store_get(kit->thread, &key, 0, &view), model_get(model, &key, 0, &model_view));
        break;
    default:
        assert_same(store_delete(kit->thread, &key, &(struct store_delete){0}),
                    model_delete(model, &key, &(struct store_delete){0}));
    }
}

static void count_item(void *arg, const struct model_item *item)
{
    (void)item;
    ++*(uint64_t *)arg;
}

static void test_model(void **state)
{
    struct kit kit;
    uint64_t random = kit_seed_init(0, NULL);
    (void)state;
    open_mib(&kit, 64);
    struct model *model = model_new(KIT_MIB / 2, false);
    model_time_set(model, kit.now_s);
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < 500; i++)
            mutate(&kit, model, &random);
        struct compare compare = {.model = model};
        uint64_t want = 0;
        for (struct store_scan scan = {0}; !scan.done;)
            store_scan(kit.thread, &scan, compare_item, &compare);
        model_each(model, count_item, &want);
        assert_int_equal(compare.items, want);
        assert_int_equal(kit_info(&kit).evictions, 0);
        kit_time_set(&kit, kit.now_s + 1);
        model_time_set(model, kit.now_s);
        if (round % 20 == 19) {
            store_flush(kit.thread, 0);
            model_flush(model, 0);
        }
        store_maintain(kit.thread);
    }
    model_free(model);
    kit_close(&kit);
}

/* ── crawling ─────────────────────────────────────────────────────────────────────────────── */

static void test_crawl(void **state)
{
    enum { ITEMS = 30000 };
    struct kit kit;
    (void)state;
    open_mib(&kit, 32);
    for (uint64_t i = 0; i < ITEMS; i++)
        put(&kit, i, i % 2 ? KIT_START_S + 1000 + (uint32_t)(i % 3) : 0);
    kit_time_set(&kit, KIT_START_S + 1001);
    assert_int_equal(kit_info(&kit).items, ITEMS); /* nobody has looked yet */
    assert_false(store_is_crawling(kit.store));
    assert_true(store_crawl(kit.store, UINT64_MAX));
    assert_true(store_is_crawling(kit.store));
    assert_false(store_crawl(kit.store, UINT64_MAX));
    store_maintain(kit.thread);
    while (store_is_crawling(kit.store))
        store_maintain(kit.thread);
    struct store_info info = kit_info(&kit);
    uint64_t dead = 0;
    for (uint64_t i = 0; i < ITEMS; i++)
        dead += i % 2 && i % 3 <= 1;
    assert_int_equal(info.items, ITEMS - dead);
    assert_int_equal(info.reclaimed, dead);
    assert_int_equal(info.expired_unfetched, dead);
    assert_int_equal(info.scanned, ITEMS);
    assert_int_equal(walk(&kit)->items, ITEMS - dead);
    /* a limited one looks at little more than it should, and a flushed store becomes empty */
    store_flush(kit.thread, 0);
    store_info_reset(kit.store);
    assert_true(store_crawl(kit.store, 100));
    store_maintain(kit.thread);
    assert_false(store_is_crawling(kit.store));
    info = kit_info(&kit);
    assert_true(info.scanned <= 100 + 60);
    kit_close(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),  cmocka_unit_test(test_live_ones_only),
        cmocka_unit_test(test_view),   cmocka_unit_test(test_no_use),
        cmocka_unit_test(test_growth), cmocka_unit_test(test_model),
        cmocka_unit_test(test_crawl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
