/* unit/test_store_prefix.c — deleted key prefixes: what is older is gone at once, for every call;
 * what is younger stays; the memory comes back behind.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <stdio.h>

#include "support/depot.h"
#include "support/model.h"

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

static void set(struct kit *kit, const char *key, const char *value)
{
    assert_rc(kit_set(kit, key, value), STORE_OK);
}

static bool there(struct kit *kit, const char *key)
{
    struct store_view view;
    const enum store_rc rc = kit_get(kit, key, &view);
    assert_true(rc == STORE_OK || store_rc_is_miss(rc));
    return rc == STORE_OK;
}

static void value_is(struct kit *kit, const char *key, const char *value)
{
    struct store_view view;
    assert_rc(kit_get(kit, key, &view), STORE_OK);
    assert_int_equal(view.value.len, strlen(value));
    assert_memory_equal(view.value.ptr, value, view.value.len);
}

static void delete (struct kit *kit, const char *prefix)
{
    assert_true(store_delete_prefix(kit->thread, bytes_str(prefix)));
}

/* Let the sweeps come to their end. */
static void sweep(struct kit *kit)
{
    for (unsigned i = 0; i < 100 && kit_info(kit).prefixes_pending > 0; i++) {
        kit_time_set(kit, kit->now_s + 1);
        store_maintain(kit->thread);
    }
    assert_int_equal(kit_info(kit).prefixes_pending, 0);
}

/* ── what is hidden ───────────────────────────────────────────────────────────────────────── */

static void test_simple(void **state)
{
    struct kit *kit = *state;
    set(kit, "app:1", "a");
    set(kit, "app:2", "b");
    set(kit, "app", "c");
    set(kit, "apq:1", "d");
    delete (kit, "app:");
    assert_false(there(kit, "app:1"));
    assert_false(there(kit, "app:2"));
    assert_true(there(kit, "app"));
    assert_true(there(kit, "apq:1"));
    assert_int_equal(kit_info(kit).prefixes_pending, 1);
    set(kit, "app:1", "new");
    value_is(kit, "app:1", "new");
    sweep(kit);
    assert_false(there(kit, "app:2"));
    value_is(kit, "app:1", "new");
    set(kit, "app:2", "new");
    value_is(kit, "app:2", "new");
    assert_int_equal(kit_info(kit).items, 4);
}

/* A prefix that is a whole key, one byte, or as long as a key may be; any bytes. */
static void test_lengths(void **state)
{
    struct kit *kit = *state;
    uint8_t key[STORE_KEY_BYTES_MAX];
    struct store_view view;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(i * 7);
    for (size_t len = 1; len <= sizeof(key); len++) {
        for (size_t of = 1; of <= sizeof(key); of += of < 4 || of > 246 ? 1 : 9) {
            const struct bytes name = bytes_of(key, of);
            assert_rc(kit_put(kit, STORE_SET, name, bytes_str("v"), 0), STORE_OK);
        }
        assert_true(store_delete_prefix(kit->thread, bytes_of(key, len)));
        for (size_t of = 1; of <= sizeof(key); of += of < 4 || of > 246 ? 1 : 9) {
            const struct store_key name = kit_key(kit, bytes_of(key, of));
            const enum store_rc rc = store_get(kit->thread, &name, 0, &view);
            assert_rc(rc, of >= len ? STORE_FLUSHED : STORE_OK);
        }
        if (len % 60 == 0)
            sweep(kit);
    }
}

static void test_nested(void **state)
{
    struct kit *kit = *state;
    set(kit, "a:b:1", "1");
    set(kit, "a:c:1", "1");
    delete (kit, "a:b:");
    set(kit, "a:b:2", "2");
    delete (kit, "a:");
    assert_false(there(kit, "a:b:1"));
    assert_false(there(kit, "a:b:2"));
    assert_false(there(kit, "a:c:1"));
    set(kit, "a:b:3", "3");
    set(kit, "a:c:3", "3");
    delete (kit, "a:b:");
    assert_int_equal(kit_info(kit).prefixes_pending, 2);
    assert_false(there(kit, "a:b:3"));
    assert_true(there(kit, "a:c:3"));
    set(kit, "a:b:4", "4");
    value_is(kit, "a:b:4", "4");
    sweep(kit);
    value_is(kit, "a:b:4", "4");
    value_is(kit, "a:c:3", "3");
    assert_int_equal(kit_info(kit).items, 2);
}

static enum store_rc change(struct kit *kit, enum store_mode mode, const char *key)
{
    return kit_put(kit, mode, bytes_str(key), bytes_str("5"), 0);
}

/* Each call finds what is hidden as missing as what never was. */
static void test_every_call(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    struct store_arith_result number;
    struct store_put_result result;
    static const char *const keys[] = {"p:add",  "p:replace", "p:append", "p:prepend", "p:cas",
                                       "p:incr", "p:touch",   "p:delete", "p:stale",   "p:vivify"};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        set(kit, keys[i], "7");
    struct store_key key = kit_key_str(kit, "p:cas");
    assert_rc(store_get(kit->thread, &key, STORE_GET_CAS, &view), STORE_OK);
    const uint64_t cas = view.cas_unique;
    delete (kit, "p:");
    assert_rc(change(kit, STORE_ADD, "p:add"), STORE_OK);
    value_is(kit, "p:add", "5");
    assert_rc(change(kit, STORE_REPLACE, "p:replace"), STORE_NOT_STORED);
    assert_rc(change(kit, STORE_APPEND, "p:append"), STORE_NOT_STORED);
    assert_rc(change(kit, STORE_PREPEND, "p:prepend"), STORE_NOT_STORED);
    const struct store_put put = {.compare = true, .compare_cas = cas, .value = bytes_str("8")};
    assert_true(store_rc_is_miss(store_put(kit->thread, &key, &put, &result)));
    key = kit_key_str(kit, "p:incr");
    const struct store_arith arith = {.delta = 1};
    assert_true(store_rc_is_miss(store_arith(kit->thread, &key, &arith, &number)));
    key = kit_key_str(kit, "p:touch");
    const struct store_fetch touch = {.touch = true, .touch_exp_s = kit->now_s + 9};
    assert_true(store_rc_is_miss(store_fetch(kit->thread, &key, &touch, &view)));
    key = kit_key_str(kit, "p:delete");
    assert_true(store_rc_is_miss(store_delete(kit->thread, &key, &(struct store_delete){0})));
    key = kit_key_str(kit, "p:stale");
    const struct store_delete stale = {.invalidate = true};
    assert_true(store_rc_is_miss(store_delete(kit->thread, &key, &stale)));
    key = kit_key_str(kit, "p:vivify");
    const struct store_fetch vivify = {.vivify = true, .lease = true};
    assert_rc(store_fetch(kit->thread, &key, &vivify, &view), STORE_OK);
    assert_true(view.created && view.won);
    assert_true(there(kit, "p:vivify"));
    sweep(kit);
    assert_int_equal(kit_info(kit).items, 2);
}

static void count_item(void *arg, const struct store_view *view)
{
    (void)view;
    ++*(unsigned *)arg;
}

static unsigned shown(struct kit *kit)
{
    struct store_scan scan = {0};
    unsigned count = 0;
    while (!scan.done)
        store_scan(kit->thread, &scan, count_item, &count);
    return count;
}

static void test_walk(void **state)
{
    struct kit *kit = *state;
    char key[16];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "%c:%u", i % 4 == 0 ? 'x' : 'y', i);
        set(kit, key, "v");
    }
    delete (kit, "x:");
    assert_int_equal(shown(kit), 750);
    sweep(kit);
    assert_int_equal(shown(kit), 750);
    assert_int_equal(kit_info(kit).items, 750);
    assert_int_equal(kit_info(kit).prefix_deleted, 250);
    assert_true(kit_info(kit).prefix_sweeps > 0);
}

/* ── what is younger ──────────────────────────────────────────────────────────────────────── */

/* Change an item in each way that writes its record again, so that the stamp has to move along. */
static void rewrite(struct kit *kit, const char *name, unsigned way)
{
    struct store_view view;
    struct store_arith_result number;
    const struct store_key key = kit_key_str(kit, name);
    const struct store_fetch touch = {.touch = true, .touch_exp_s = kit->now_s + 5000 * (way + 1)};
    const struct store_arith arith = {.delta = 1, .flags = STORE_GET_CAS};
    const struct store_delete stale = {.invalidate = true};
    const struct store_delete clear = {.clear_value = true};
    switch (way) {
    case 0:
        assert_rc(store_fetch(kit->thread, &key, &touch, &view), STORE_OK);
        break;
    case 1:
        assert_rc(store_arith(kit->thread, &key, &arith, &number), STORE_OK);
        assert_rc(store_arith(kit->thread, &key, &arith, &number), STORE_OK);
        break;
    case 2:
        assert_rc(kit_put(kit, STORE_APPEND, bytes_str(name), bytes_str("1"), 0), STORE_OK);
        break;
    case 3:
        assert_rc(kit_put(kit, STORE_PREPEND, bytes_str(name), bytes_str("1"), 0), STORE_OK);
        break;
    case 4:
        assert_rc(store_get(kit->thread, &key, STORE_GET_CAS, &view), STORE_OK);
        assert_rc(store_fetch(kit->thread, &key, &touch, &view), STORE_OK);
        break;
    case 5:
        assert_rc(store_delete(kit->thread, &key, &stale), STORE_OK);
        break;
    case 6:
        assert_rc(store_delete(kit->thread, &key, &clear), STORE_OK);
        break;
    default:
        break;
    }
}

enum { WAYS = 8 };

static void test_rewritten(void **state)
{
    struct kit *kit = *state;
    set(kit, "k", "7");
    delete (kit, "k");
    for (unsigned first = 0; first < WAYS; first++)
        for (unsigned second = 0; second < WAYS; second++) {
            assert_false(there(kit, "k"));
            set(kit, "k", "7");
            rewrite(kit, "k", first == 6 ? 7 : first);
            rewrite(kit, "k", second);
            assert_true(there(kit, "k"));
            if (first % 2 == 0) { /* the stamp outlives its barrier */
                sweep(kit);
                assert_true(there(kit, "k"));
                rewrite(kit, "k", second == 6 ? 7 : second == 5 ? 0 : second);
            }
            delete (kit, "k");
        }
}

/* A large item, joined to another one while the deletion is pending. */
static void test_large(void **state)
{
    struct kit *kit = *state;
    static uint8_t value[700000], copy[800000];
    struct store_view view;
    const struct bytes key = bytes_str("big:1");
    kit_pattern_fill(value, sizeof(value), 3);
    for (unsigned round = 0; round < 4; round++) {
        assert_rc(kit_put(kit, STORE_SET, key, bytes_of(value, 600000), 0), STORE_OK);
        assert_rc(kit_put(kit, STORE_APPEND, key, bytes_of(value + 600000, 100000), 0), STORE_OK);
        assert_rc(kit_get(kit, "big:1", &view), STORE_OK);
        assert_int_equal(view.value_bytes, sizeof(value));
        assert_true(kit_view_copy(kit, &view, copy));
        assert_true(kit_pattern_is(copy, sizeof(value), 3));
        if (round == 2)
            sweep(kit);
        delete (kit, "big:");
        assert_false(there(kit, "big:1"));
        assert_rc(kit_put(kit, STORE_APPEND, key, bytes_of(value, 10), 0), STORE_NOT_STORED);
    }
    sweep(kit);
    assert_int_equal(kit_info(kit).items, 0);
}

/* Compaction moves what is left, while a deletion is pending and afterwards. */
static void test_moved(void **state)
{
    struct kit own, *kit = &own;
    (void)state;
    kit_open(kit, &(struct store_config){.memory_bytes = 4 * KIT_MIB,
                                         .item_bytes_max = KIT_MIB,
                                         .no_evict = true,
                                         .hash_seed = 7});
    enum { KEYS = 3000 };
    static uint8_t value[500];
    static bool alive[KEYS];
    uint64_t random = 5;
    char key[32];
    kit_pattern_fill(value, sizeof(value), 1);
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < KEYS; i++) {
            const uint64_t n = kit_random_below(&random, KEYS);
            snprintf(key, sizeof(key), "%c%u", n % 2 ? 't' : 's', (unsigned)n);
            assert_rc(kit_put(kit, STORE_SET, bytes_str(key), bytes_of(value, sizeof(value)), 0),
                      STORE_OK);
            alive[n] = true;
            if (i != KEYS / 2)
                continue;
            delete (kit, "t");
            for (unsigned odd = 1; odd < KEYS; odd += 2)
                alive[odd] = false;
        }
        for (unsigned i = 0; i < KEYS; i++) {
            snprintf(key, sizeof(key), "%c%u", i % 2 ? 't' : 's', i);
            if (there(kit, key) != alive[i])
                fail_msg("round %u: %s", round, key);
        }
        if (round % 3 == 0)
            sweep(kit);
    }
    assert_true(kit_info(kit).bytes_copied > 0);
    kit_close(kit);
}

/* ── the table ────────────────────────────────────────────────────────────────────────────── */

static void test_many(void **state)
{
    struct kit *kit = *state;
    char key[32];
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < STORE_PREFIXES_MAX + 10; i++) {
            snprintf(key, sizeof(key), "%0*u:", 4 + (int)(i % 7), i);
            set(kit, key, "v");
            const bool taken = store_delete_prefix(kit->thread, bytes_str(key));
            assert_int_equal(taken, i < STORE_PREFIXES_MAX);
            assert_int_equal(there(kit, key), !taken);
        }
        set(kit, "0000:", "v");
        delete (kit, "0000:"); /* one that is there already needs no room */
        assert_false(there(kit, "0000:"));
        assert_int_equal(kit_info(kit).prefixes_pending, STORE_PREFIXES_MAX);
        sweep(kit);
        assert_int_equal(kit_info(kit).items, 10);
    }
}

/* A flush and a deletion are pending at once: neither ends the other. */
static void test_with_flush(void **state)
{
    struct kit *kit = *state;
    set(kit, "a", "1");
    set(kit, "b", "1");
    delete (kit, "a");
    store_flush(kit->thread, 0);
    assert_false(there(kit, "a") || there(kit, "b"));
    set(kit, "a", "2");
    set(kit, "b", "2");
    assert_true(there(kit, "a") && there(kit, "b"));
    delete (kit, "a");
    assert_false(there(kit, "a"));
    assert_true(there(kit, "b"));
    set(kit, "a", "3");
    store_flush(kit->thread, 0);
    assert_false(there(kit, "a") || there(kit, "b"));
    sweep(kit);
    set(kit, "a", "4");
    assert_true(there(kit, "a"));
    assert_int_equal(kit_info(kit).items, 1);
}

/* ── a warm restart ───────────────────────────────────────────────────────────────────────── */

static void test_restart(void **state)
{
    (void)state;
    struct depot depot;
    static uint8_t value[300000];
    char key[16];
    depot_init(&depot);
    depot_start(&depot);
    struct kit *kit = &depot.kit;
    for (unsigned i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "%c:%u", i % 2 ? 'g' : 's', i);
        set(kit, key, "v");
    }
    assert_rc(kit_put(kit, STORE_SET, bytes_str("g:big"), bytes_of(value, sizeof(value)), 0),
              STORE_OK);
    delete (kit, "g:");
    delete (kit, "none:");
    set(kit, "g:1", "young");
    assert_rc(kit_put(kit, STORE_SET, bytes_str("g:more"), bytes_of(value, sizeof(value)), 0),
              STORE_OK);
    for (unsigned i = 0; i < 3; i++) {
        depot_restart(&depot);
        assert_true(depot.restart.restored);
        assert_int_equal(depot.restart.items, 102);
        value_is(kit, "g:1", "young");
        assert_true(there(kit, "g:more") && there(kit, "s:2"));
        assert_false(there(kit, "g:3") || there(kit, "g:big"));
        if (i == 1)
            sweep(kit);
    }
    delete (kit, "g:"); /* its stamp is above those that are in the records */
    assert_false(there(kit, "g:1") || there(kit, "g:more"));
    assert_true(there(kit, "s:2"));
    depot_restart(&depot);
    assert_int_equal(depot.restart.items, 100);
    depot_free(&depot);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_simple),
        TEST(test_lengths),
        TEST(test_nested),
        TEST(test_every_call),
        TEST(test_walk),
        TEST(test_rewritten),
        TEST(test_large),
        TEST(test_moved),
        TEST(test_many),
        TEST(test_with_flush),
        cmocka_unit_test(test_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
