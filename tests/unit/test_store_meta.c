/* unit/test_store_meta.c — lookups with effects, numbers, deletes: what the meta commands stand on.
 *
 * Spec: memcached doc/protocol.txt "Meta Commands".
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

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

static uint64_t set_ttl(struct kit *kit, const char *name, const char *value, uint32_t exp_s)
{
    const struct store_key key = kit_key_str(kit, name);
    const struct store_put put = {.value = bytes_str(value), .exp_s = exp_s, .client_flags = 12345};
    struct store_put_result result;
    assert_rc(store_put(kit->thread, &key, &put, &result), STORE_OK);
    return result.cas_unique;
}

static enum store_rc fetch(struct kit *kit, const char *name, struct store_fetch how,
                           struct store_view *ret_view)
{
    const struct store_key key = kit_key_str(kit, name);
    how.flags |= STORE_GET_CAS;
    return store_fetch(kit->thread, &key, &how, ret_view);
}

static const struct store_fetch lease = {.lease = true};

static void assert_lease(struct kit *kit, const char *name, bool won, bool stale, bool win_sent)
{
    struct store_view view;
    assert_rc(fetch(kit, name, lease, &view), STORE_OK);
    assert_int_equal(view.won, won);
    assert_int_equal(view.stale, stale);
    assert_int_equal(view.win_sent, win_sent);
}

static enum store_rc drop(struct kit *kit, const char *name, struct store_delete how)
{
    const struct store_key key = kit_key_str(kit, name);
    return store_delete(kit->thread, &key, &how);
}

/* ── fetch ────────────────────────────────────────────────────────────────────────────────── */

static void test_fetch_plain(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    assert_rc(fetch(kit, "k", lease, &view), STORE_MISS);
    const uint64_t cas = set_ttl(kit, "k", "value", 5000);
    assert_rc(fetch(kit, "k", lease, &view), STORE_OK);
    assert_true(bytes_is(view.value, "value"));
    assert_true(bytes_is(view.key, "k"));
    assert_true(view.cas_unique == cas);
    assert_int_equal(view.client_flags, 12345);
    assert_int_equal(view.exp_s, 5000);
    assert_false(view.created || view.won || view.stale || view.win_sent);
}

static void test_touch(void **state)
{
    /* From each TTL to each other one: never, seconds, hours, a month: other expiry classes. */
    static const uint32_t ttls_s[] = {0, 1, 30, 3600, 2592000, 100000000};
    struct kit *kit = *state;
    struct store_view view;
    for (size_t from = 0; from < COUNT_OF(ttls_s); from++)
        for (size_t to = 0; to < COUNT_OF(ttls_s); to++) {
            const uint32_t from_s = ttls_s[from] ? kit->now_s + ttls_s[from] : 0;
            const uint32_t to_s = ttls_s[to] ? kit->now_s + ttls_s[to] : 0;
            const uint64_t cas = set_ttl(kit, "k", "value", from_s);
            const struct store_fetch how = {.touch = true, .touch_exp_s = to_s};
            assert_rc(fetch(kit, "k", how, &view), STORE_OK);
            assert_int_equal(view.exp_s, from_s); /* the one before */
            assert_true(bytes_is(view.value, "value"));
            assert_rc(kit_get(kit, "k", &view), STORE_OK);
            assert_int_equal(view.exp_s, to_s);
            assert_int_equal(view.client_flags, 12345);
            assert_true(view.cas_unique == cas);
            assert_true(bytes_is(view.value, "value"));
        }
    assert_rc(fetch(kit, "none", (struct store_fetch){.touch = true}, &view), STORE_MISS);
}

static void test_touch_fragmented(void **state)
{
    struct kit *kit = *state;
    static uint8_t value[500000], copy[500000];
    const struct store_key key = kit_key_str(kit, "k");
    struct store_view view;
    kit_pattern_fill(value, sizeof(value), 1);
    for (uint32_t exp_s = 0; exp_s <= 100000; exp_s += 10000) {
        const struct store_fetch how = {.touch = true, .touch_exp_s = exp_s};
        if (exp_s == 0)
            assert_rc(kit_put(kit, STORE_SET, key.key, bytes_of(value, sizeof(value)), 0),
                      STORE_OK);
        assert_rc(fetch(kit, "k", how, &view), STORE_OK);
        assert_true(view.value_bytes == sizeof(value));
        assert_rc(kit_get(kit, "k", &view), STORE_OK);
        assert_int_equal(view.exp_s, exp_s);
        assert_true(kit_view_copy(kit, &view, copy));
        assert_memory_equal(copy, value, sizeof(value));
    }
}

/* A touch into the past ends the item; a touch forward saves it. */
static void test_touch_expires(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    set_ttl(kit, "gone", "v", 5000);
    set_ttl(kit, "kept", "v", kit->now_s + 10);
    set_ttl(kit, "gone late", "v", 0);
    const struct store_fetch now = {.touch = true, .touch_exp_s = 1};
    assert_rc(fetch(kit, "gone", now, &view), STORE_OK);
    assert_true(store_rc_is_miss(kit_get(kit, "gone", &view)));
    const struct store_fetch later = {.touch = true, .touch_exp_s = kit->now_s + 20};
    assert_rc(fetch(kit, "kept", later, &view), STORE_OK);
    assert_rc(fetch(kit, "gone late", later, &view), STORE_OK);
    kit_time_set(kit, kit->now_s + 19);
    assert_rc(kit_get(kit, "kept", &view), STORE_OK);
    assert_rc(kit_get(kit, "gone late", &view), STORE_OK);
    kit_time_set(kit, kit->now_s + 1);
    assert_rc(kit_get(kit, "kept", &view), STORE_EXPIRED);
    assert_rc(kit_get(kit, "gone late", &view), STORE_EXPIRED);
}

static void test_vivify(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    const struct store_fetch how = {
        .lease = true, .vivify = true, .vivify_exp_s = 5000, .explicit_cas = 77};
    assert_rc(fetch(kit, "k", how, &view), STORE_OK);
    assert_true(view.created && view.won);
    assert_false(view.stale || view.win_sent);
    assert_int_equal(view.value_bytes, 0);
    assert_int_equal(view.client_flags, 0);
    assert_int_equal(view.exp_s, 5000);
    assert_true(view.cas_unique == 77);
    assert_rc(fetch(kit, "k", how, &view), STORE_OK);
    assert_false(view.created || view.won);
    assert_true(view.win_sent); /* the second asker learns that somebody is at it */
    assert_rc(kit_set(kit, "k", "made"), STORE_OK);
    assert_lease(kit, "k", false, false, false);
    assert_rc(fetch(kit, "k2", (struct store_fetch){.lease = true, .vivify = true}, &view),
              STORE_OK);
    assert_true(view.cas_unique != 0);
}

/* Vivify on an item that has expired creates a new one. */
static void test_vivify_expired(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    set_ttl(kit, "k", "old", kit->now_s + 5);
    kit_time_set(kit, kit->now_s + 5);
    const struct store_fetch how = {.lease = true, .vivify = true};
    assert_rc(fetch(kit, "k", how, &view), STORE_OK);
    assert_true(view.created && view.won);
    assert_int_equal(view.value_bytes, 0);
}

static void test_recache(void **state)
{
    static const struct {
        uint32_t ttl_s, recache_ttl_s;
        bool won;
    } rows[] = {
        {30, 29, false}, {30, 30, false}, {30, 31, true}, {30, UINT32_MAX, true},
        {0, 30, false},  {30, 0, false},  {1, 2, true},
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct store_view view;
        const struct store_fetch how = {
            .lease = true, .recache = true, .recache_ttl_s = rows[i].recache_ttl_s};
        set_ttl(kit, "k", "v", rows[i].ttl_s ? kit->now_s + rows[i].ttl_s : 0);
        assert_rc(fetch(kit, "k", how, &view), STORE_OK);
        assert_int_equal(view.won, rows[i].won);
        assert_false(view.win_sent);
        assert_rc(fetch(kit, "k", how, &view), STORE_OK);
        assert_false(view.won); /* once only */
        assert_int_equal(view.win_sent, rows[i].won);
    }
}

static void test_stale_lease(void **state)
{
    struct kit *kit = *state;
    const uint64_t cas = set_ttl(kit, "k", "v", 5000);
    struct store_view view;
    assert_rc(drop(kit, "k", (struct store_delete){.invalidate = true}), STORE_OK);
    assert_rc(kit_get(kit, "k", &view), STORE_OK); /* a plain get takes no win */
    assert_true(bytes_is(view.value, "v"));
    assert_true(view.cas_unique > cas);
    assert_int_equal(view.exp_s, 5000);
    assert_int_equal(view.client_flags, 12345);
    assert_lease(kit, "k", true, true, false);
    assert_lease(kit, "k", false, true, true);
    /* Invalidated again: the win is given again. */
    const struct store_delete again = {.invalidate = true, .touch = true, .touch_exp_s = 6000};
    assert_rc(drop(kit, "k", again), STORE_OK);
    assert_lease(kit, "k", true, true, false);
    assert_lease(kit, "k", false, true, true);
    assert_rc(kit_get(kit, "k", &view), STORE_OK);
    assert_int_equal(view.exp_s, 6000);
    /* A late writer with the CAS from before the invalidation: stored, still stale, win kept. */
    const struct store_key key = kit_key_str(kit, "k");
    const struct store_put late = {
        .value = bytes_str("late"), .compare = true, .allow_stale = true, .compare_cas = cas};
    struct store_put_result result;
    assert_rc(store_put(kit->thread, &key, &late, &result), STORE_OK);
    assert_lease(kit, "k", false, true, true);
    assert_rc(kit_set(kit, "k", "fresh"), STORE_OK);
    assert_lease(kit, "k", false, false, false);
}

static void test_touch_keeps_lease(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    set_ttl(kit, "k", "v", 0);
    assert_rc(drop(kit, "k", (struct store_delete){.invalidate = true}), STORE_OK);
    const struct store_fetch touch = {.touch = true, .touch_exp_s = 90000};
    assert_rc(fetch(kit, "k", touch, &view), STORE_OK);
    assert_lease(kit, "k", true, true, false);
    const struct store_fetch back = {.touch = true, .touch_exp_s = 2000};
    assert_rc(fetch(kit, "k", back, &view), STORE_OK);
    assert_lease(kit, "k", false, true, true);
}

/* ── uses ─────────────────────────────────────────────────────────────────────────────────── */

static void get_at(struct kit *kit, uint32_t now_s, unsigned flags, bool want_fetched,
                   uint32_t want_access_s)
{
    struct store_view view;
    const struct store_key key = kit_key_str(kit, "k");
    kit_time_set(kit, now_s);
    assert_rc(store_get(kit->thread, &key, flags, &view), STORE_OK);
    assert_int_equal(view.fetched, want_fetched);
    assert_int_equal(view.last_access_s, want_access_s);
}

static void test_uses(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    const uint32_t start_s = kit->now_s;
    assert_rc(kit_set(kit, "k", "v"), STORE_OK);
    get_at(kit, start_s + 1, STORE_GET_NO_BUMP, false, start_s);
    get_at(kit, start_s + 2, STORE_GET_NO_BUMP, false, start_s);
    get_at(kit, start_s + 3, 0, false, start_s);
    get_at(kit, start_s + 4, STORE_GET_NO_BUMP, true, start_s + 3);
    get_at(kit, start_s + 9, 0, true, start_s + 3);
    get_at(kit, start_s + 10, 0, true, start_s + 9);
    kit_time_set(kit, start_s + 11);
    assert_rc(fetch(kit, "k", (struct store_fetch){.flags = STORE_GET_NO_BUMP}, &view), STORE_OK);
    assert_int_equal(view.last_access_s, start_s + 10);
    assert_rc(fetch(kit, "k", lease, &view), STORE_OK);
    assert_int_equal(view.last_access_s, start_s + 10);
    get_at(kit, start_s + 12, STORE_GET_NO_BUMP, true, start_s + 11);
    assert_rc(kit_set(kit, "k", "new"), STORE_OK); /* a new value has not been read */
    get_at(kit, start_s + 13, 0, false, start_s + 12);
}

/* Weeks later the last use is still known within 0.4 %. */
static void test_last_access_far(void **state)
{
    struct kit *kit = *state;
    const uint32_t start_s = kit->now_s;
    assert_rc(kit_set(kit, "k", "v"), STORE_OK);
    for (uint32_t gap_s = 1; gap_s < 700000; gap_s *= 3) {
        struct store_view view;
        kit_time_set(kit, start_s + gap_s);
        assert_rc(kit_get(kit, "k", &view), STORE_OK);
        assert_rc(kit_get(kit, "k", &view), STORE_OK);
        const uint32_t error_s = start_s + gap_s - view.last_access_s;
        assert_true(view.last_access_s <= kit->now_s);
        assert_true(error_s <= 1 + gap_s / 250);
    }
}

/* ── numbers ──────────────────────────────────────────────────────────────────────────────── */

static const struct {
    const char *name, *before;
    bool decr;
    uint64_t delta;
    enum store_rc rc;
    uint64_t value;
    const char *after;
} number_rows[] = {
    {"one", "1", 0, 1, STORE_OK, 2, "2"},
    {"zero", "5", 0, 0, STORE_OK, 5, "5"},
    {"grows", "99", 0, 1, STORE_OK, 100, "100"},
    {"grows a lot", "9", 0, UINT64_MAX - 9, STORE_OK, UINT64_MAX, "18446744073709551615"},
    {"wraps", "18446744073709551615", 0, 1, STORE_OK, 0, "0                   "},
    {"wraps by max", "10", 0, UINT64_MAX, STORE_OK, 9, "9 "},
    {"decr", "10", 1, 3, STORE_OK, 7, "7 "},
    {"floor", "10", 1, 11, STORE_OK, 0, "0 "},
    {"floor exact", "10", 1, 10, STORE_OK, 0, "0 "},
    {"floor max", "10", 1, UINT64_MAX, STORE_OK, 0, "0 "},
    {"leading zeros", "0012", 0, 1, STORE_OK, 13, "13  "},
    {"leading blanks", "  12", 0, 1, STORE_OK, 13, "13  "},
    {"leading tab", "\t\n12", 0, 1, STORE_OK, 13, "13  "},
    {"trailing blanks", "12   ", 0, 1, STORE_OK, 13, "13   "},
    {"trailing text", "12 monkeys", 0, 1, STORE_OK, 13, "13        "},
    {"trailing lines", "12\r\nmore", 1, 1, STORE_OK, 11, "11      "},
    {"plus", "+5", 0, 1, STORE_OK, 6, "6 "},
    {"wide growth", "  99", 0, 1, STORE_OK, 100, "100 "},
    {"wide", "7                             ", 0, 5, STORE_OK, 12,
     "12                            "},
    {"empty", "", 0, 1, STORE_NOT_NUMBER, 0, ""},
    {"blank", " ", 0, 1, STORE_NOT_NUMBER, 0, " "},
    {"text", "abc", 0, 1, STORE_NOT_NUMBER, 0, "abc"},
    {"text behind", "12abc", 0, 1, STORE_NOT_NUMBER, 0, "12abc"},
    {"hex", "0x10", 0, 1, STORE_NOT_NUMBER, 0, "0x10"},
    {"point", "1.5", 0, 1, STORE_NOT_NUMBER, 0, "1.5"},
    {"minus", "-1", 0, 1, STORE_NOT_NUMBER, 0, "-1"},
    {"2^64", "18446744073709551616", 0, 1, STORE_NOT_NUMBER, 0, "18446744073709551616"},
    {"too long", "99999999999999999999999999", 1, 1, STORE_NOT_NUMBER, 0,
     "99999999999999999999999999"},
    {"zeros", "00000000000000000000000000000007", 0, 1, STORE_OK, 8,
     "8                               "},
};

static enum store_rc arith(struct kit *kit, const char *name, struct store_arith how,
                           struct store_arith_result *ret_result)
{
    const struct store_key key = kit_key_str(kit, name);
    return store_arith(kit->thread, &key, &how, ret_result);
}

static void assert_text(struct kit *kit, const char *key, const char *want)
{
    struct store_view view;
    char text[300];
    assert_rc(kit_get(kit, key, &view), STORE_OK);
    assert_true(view.value_bytes < sizeof(text));
    snprintf(text, sizeof(text), "%.*s", (int)view.value.len, (const char *)view.value.ptr);
    assert_string_equal(text, want);
}

static void test_number_rows(void **state)
{
    struct kit *kit = *state;
    for (size_t i = 0; i < COUNT_OF(number_rows); i++) {
        struct store_arith_result result = {0};
        const struct store_arith how = {
            .decr = number_rows[i].decr, .delta = number_rows[i].delta, .flags = STORE_GET_CAS};
        print_message("row \"%s\"\n", number_rows[i].name);
        const uint64_t cas = set_ttl(kit, "n", number_rows[i].before, 5000);
        assert_rc(arith(kit, "n", how, &result), number_rows[i].rc);
        assert_text(kit, "n", number_rows[i].after);
        struct store_view view;
        assert_rc(kit_get(kit, "n", &view), STORE_OK);
        assert_int_equal(view.client_flags, 12345); /* flags and TTL stay */
        assert_int_equal(view.exp_s, 5000);
        if (number_rows[i].rc == STORE_OK) {
            assert_true(result.value == number_rows[i].value);
            assert_int_equal(result.exp_s, 5000);
            assert_false(result.created);
            assert_true(view.cas_unique > cas && view.cas_unique == result.cas_unique);
        } else {
            assert_true(view.cas_unique == cas);
        }
    }
}

/* A long series on one number, read in between: the representation must not show. */
static void test_number_series(void **state)
{
    struct kit *kit = *state;
    uint64_t random = 5, want = 17, last_cas = 0;
    size_t width = 2;
    struct store_arith_result result;
    set_ttl(kit, "n", "17", 0);
    for (int i = 0; i < 3000; i++) {
        char text[32];
        const bool decr = kit_random_below(&random, 2);
        const uint64_t delta = kit_random(&random) >> kit_random_below(&random, 64);
        want = decr ? (delta > want ? 0 : want - delta) : want + delta;
        assert_rc(arith(kit, "n", (struct store_arith){.decr = decr, .delta = delta}, &result),
                  STORE_OK);
        assert_true(result.value == want);
        const size_t digits =
            (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)want);
        width = digits > width ? digits : width;
        snprintf(text, sizeof(text), "%-*llu", (int)width, (unsigned long long)want);
        if (kit_random_below(&random, 3) == 0)
            assert_text(kit, "n", text);
        if (kit_random_below(&random, 8) == 0) {
            struct store_view view;
            assert_rc(kit_get(kit, "n", &view), STORE_OK);
            assert_true(view.cas_unique > last_cas);
            last_cas = view.cas_unique;
        }
        if (kit_random_below(&random, 50) == 0)
            kit_tick(kit);
    }
    assert_rc(kit_put(kit, STORE_APPEND, bytes_str("n"), bytes_str(" x"), 0), STORE_OK);
    assert_rc(arith(kit, "n", (struct store_arith){.delta = 1}, &result), STORE_OK);
    assert_true(result.value == want + 1);
}

static void test_number_large(void **state)
{
    struct kit *kit = *state;
    static uint8_t value[300000];
    struct store_arith_result result;
    memset(value, '1', sizeof(value));
    assert_rc(kit_put(kit, STORE_SET, bytes_str("n"), bytes_of(value, sizeof(value)), 0), STORE_OK);
    assert_rc(arith(kit, "n", (struct store_arith){.delta = 1}, &result), STORE_NOT_NUMBER);
    memset(value, ' ', 900);
    value[0] = '9'; /* long but a number: keeps its length */
    assert_rc(kit_put(kit, STORE_SET, bytes_str("n"), bytes_of(value, 900), 0), STORE_OK);
    assert_rc(arith(kit, "n", (struct store_arith){.delta = 1}, &result), STORE_OK);
    assert_true(result.value == 10);
    struct store_view view;
    assert_rc(kit_get(kit, "n", &view), STORE_OK);
    assert_int_equal(view.value_bytes, 900);
    value[0] = '1', value[1] = '0';
    assert_memory_equal(view.value.ptr, value, 900);
}

static void test_number_vivify(void **state)
{
    struct kit *kit = *state;
    struct store_arith_result result;
    struct store_view view;
    struct store_arith how = {.delta = 5};
    assert_rc(arith(kit, "n", how, &result), STORE_MISS);
    how = (struct store_arith){.delta = 5,
                               .vivify = true,
                               .initial = 40,
                               .vivify_exp_s = 5000,
                               .explicit_cas = 99,
                               .flags = STORE_GET_CAS};
    assert_rc(arith(kit, "n", how, &result), STORE_OK);
    assert_true(result.created);
    assert_true(result.value == 40);
    assert_true(result.cas_unique == 99);
    assert_int_equal(result.exp_s, 5000);
    assert_text(kit, "n", "40");
    how.explicit_cas = 0;
    assert_rc(arith(kit, "n", how, &result), STORE_OK);
    assert_false(result.created);
    assert_true(result.value == 45);
    assert_true(result.cas_unique > 99);
    how = (struct store_arith){.vivify = true, .initial = UINT64_MAX};
    assert_rc(arith(kit, "max", how, &result), STORE_OK);
    assert_text(kit, "max", "18446744073709551615");
    assert_rc(kit_get(kit, "n", &view), STORE_OK);
    assert_int_equal(view.client_flags, 0);
}

static void test_number_compare_touch_explicit(void **state)
{
    struct kit *kit = *state;
    struct store_arith_result result;
    const uint64_t cas = set_ttl(kit, "n", "10", 5000);
    struct store_arith how = {
        .delta = 1, .compare = true, .compare_cas = cas + 1, .flags = STORE_GET_CAS};
    assert_rc(arith(kit, "n", how, &result), STORE_EXISTS);
    assert_text(kit, "n", "10");
    how.compare_cas = cas;
    how.touch = true;
    how.touch_exp_s = 70000;
    assert_rc(arith(kit, "n", how, &result), STORE_OK);
    assert_int_equal(result.exp_s, 70000);
    assert_true(result.cas_unique > cas);
    assert_rc(arith(kit, "n", how, &result), STORE_EXISTS); /* that CAS is used up */
    how = (struct store_arith){.delta = 1, .explicit_cas = 3, .flags = STORE_GET_CAS};
    assert_rc(arith(kit, "n", how, &result), STORE_OK);
    assert_true(result.cas_unique == 3);
    struct store_view view;
    assert_rc(kit_get(kit, "n", &view), STORE_OK);
    assert_true(view.cas_unique == 3);
    assert_int_equal(view.exp_s, 70000);
    assert_text(kit, "n", "12");
    how = (struct store_arith){.delta = 1, .compare = true, .compare_cas = 1};
    assert_true(store_rc_is_miss(arith(kit, "none", how, &result)));
}

/* A delta after somebody saw the CAS must be seen in the CAS. */
static void test_number_cas_moves(void **state)
{
    struct kit *kit = *state;
    uint64_t cas = set_ttl(kit, "n", "1", 0);
    for (int i = 0; i < 100; i++) {
        struct store_arith_result result;
        struct store_view view;
        assert_rc(arith(kit, "n", (struct store_arith){.delta = 1}, &result), STORE_OK);
        if (i % 3 == 0)
            assert_rc(arith(kit, "n", (struct store_arith){.delta = 1}, &result), STORE_OK);
        assert_rc(kit_get(kit, "n", &view), STORE_OK);
        assert_true(view.cas_unique > cas);
        cas = view.cas_unique;
        assert_rc(kit_get(kit, "n", &view), STORE_OK);
        assert_true(view.cas_unique == cas);
    }
}

/* ── delete ───────────────────────────────────────────────────────────────────────────────── */

static void test_delete(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    assert_rc(drop(kit, "k", (struct store_delete){0}), STORE_MISS);
    const uint64_t cas = set_ttl(kit, "k", "v", 0);
    struct store_delete how = {.compare = true, .compare_cas = cas + 1};
    assert_rc(drop(kit, "k", how), STORE_EXISTS);
    assert_rc(kit_get(kit, "k", &view), STORE_OK);
    how.compare_cas = cas;
    assert_rc(drop(kit, "k", how), STORE_OK);
    assert_rc(kit_get(kit, "k", &view), STORE_MISS);
    assert_rc(drop(kit, "k", how), STORE_MISS);
    assert_rc(drop(kit, "k", (struct store_delete){.invalidate = true}), STORE_MISS);
    assert_rc(drop(kit, "k", (struct store_delete){.clear_value = true}), STORE_MISS);
    set_ttl(kit, "e", "v", kit->now_s + 1);
    kit_time_set(kit, kit->now_s + 1);
    assert_true(store_rc_is_miss(drop(kit, "e", (struct store_delete){0})));
}

static void test_delete_clear(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    const uint64_t cas = set_ttl(kit, "k", "value", 5000);
    struct store_delete how = {.clear_value = true, .touch = true, .touch_exp_s = 6000};
    assert_rc(drop(kit, "k", how), STORE_OK);
    assert_rc(kit_get(kit, "k", &view), STORE_OK);
    assert_int_equal(view.value_bytes, 0);
    assert_int_equal(view.client_flags, 0);
    assert_int_equal(view.exp_s, 6000);
    assert_false(view.stale);
    assert_true(view.cas_unique > cas);
    /* With invalidate: a tombstone. */
    set_ttl(kit, "k", "value", 5000);
    how = (struct store_delete){.clear_value = true,
                                .invalidate = true,
                                .touch = true,
                                .touch_exp_s = 7000,
                                .explicit_cas = 1ull << 50};
    assert_rc(drop(kit, "k", how), STORE_OK);
    assert_rc(kit_get(kit, "k", &view), STORE_OK);
    assert_int_equal(view.value_bytes, 0);
    assert_int_equal(view.exp_s, 7000);
    assert_true(view.cas_unique == 1ull << 50);
    assert_lease(kit, "k", true, true, false);
    assert_lease(kit, "k", false, true, true);
}

/* Invalidating and clearing work on numbers and on fragmented values, too. */
static void test_delete_odd_items(void **state)
{
    struct kit *kit = *state;
    static uint8_t value[300000], copy[300000];
    struct store_view view;
    struct store_arith_result result;
    set_ttl(kit, "n", "41", 0);
    assert_rc(arith(kit, "n", (struct store_arith){.delta = 1}, &result), STORE_OK);
    assert_rc(drop(kit, "n", (struct store_delete){.invalidate = true}), STORE_OK);
    assert_text(kit, "n", "42");
    assert_lease(kit, "n", true, true, false);
    const struct store_delete clear = {.clear_value = true, .touch = true};
    assert_rc(drop(kit, "n", clear), STORE_OK);
    assert_text(kit, "n", "");
    kit_pattern_fill(value, sizeof(value), 4);
    const struct bytes bytes = bytes_of(value, sizeof(value));
    assert_rc(kit_put(kit, STORE_SET, bytes_str("f"), bytes, 0), STORE_OK);
    assert_rc(drop(kit, "f", (struct store_delete){.invalidate = true}), STORE_OK);
    assert_rc(kit_get(kit, "f", &view), STORE_OK);
    assert_true(kit_view_copy(kit, &view, copy));
    assert_memory_equal(copy, value, sizeof(value));
    assert_lease(kit, "f", true, true, false);
    assert_rc(drop(kit, "f", clear), STORE_OK);
    assert_rc(kit_get(kit, "f", &view), STORE_OK);
    assert_int_equal(view.value_bytes, 0);
    assert_rc(drop(kit, "f", (struct store_delete){0}), STORE_OK);
    assert_rc(kit_get(kit, "f", &view), STORE_MISS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_fetch_plain),
        TEST(test_touch),
        TEST(test_touch_fragmented),
        TEST(test_touch_expires),
        TEST(test_vivify),
        TEST(test_vivify_expired),
        TEST(test_recache),
        TEST(test_stale_lease),
        TEST(test_touch_keeps_lease),
        TEST(test_uses),
        TEST(test_last_access_far),
        TEST(test_number_rows),
        TEST(test_number_series),
        TEST(test_number_large),
        TEST(test_number_vivify),
        TEST(test_number_compare_touch_explicit),
        TEST(test_number_cas_moves),
        TEST(test_delete),
        TEST(test_delete_clear),
        TEST(test_delete_odd_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
