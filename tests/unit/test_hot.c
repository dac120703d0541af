/* test_hot.c — hot keys are found among random ones, age, and add up over workers.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <pthread.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/hash.h"
#include "hot/hot.h"

static uint64_t seed;

static uint64_t random_next(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static struct bytes key_of(char text[32], uint64_t number)
{
    return bytes_of(text, (size_t)snprintf(text, 32, "key:%llu", (unsigned long long)number));
}

/* ── the sketch ───────────────────────────────────────────────────────────────────────────── */

static void add(struct hot_sketch *sketch, uint64_t number, float weight, uint64_t *random)
{
    char text[32];
    const struct bytes key = key_of(text, number);
    hot_sketch_add(sketch, key, hash_bytes(key, 1), weight, (uint32_t)(random_next(random) >> 32));
}

static float count_of(const struct hot_sketch *sketch, uint64_t number)
{
    char text[32];
    return hot_sketch_count(sketch, hash_bytes(key_of(text, number), 1));
}

/* The place of a key in the list, by its count; SIZE_MAX: it is not there. */
static size_t rank_of(const struct hot_sketch *sketch, uint64_t number)
{
    char text[32];
    const struct bytes key = key_of(text, number);
    const struct hot_top *top = &sketch->top;
    for (uint32_t i = 0; i < top->used; i++) {
        if (!bytes_equal(key, bytes_of(top->text[i], top->len[i])))
            continue;
        size_t rank = 0;
        for (uint32_t j = 0; j < top->used; j++)
            rank += top->count[j] > top->count[i];
        return rank;
    }
    return SIZE_MAX;
}

static void sketch_exact_when_few(void **state)
{
    (void)state;
    static struct hot_sketch sketch;
    uint64_t random = seed;
    for (uint64_t i = 1; i <= 20; i++)
        for (uint64_t j = 0; j < i * 10; j++)
            add(&sketch, i, 1, &random);
    for (uint64_t i = 1; i <= 20; i++) {
        assert_true(count_of(&sketch, i) >= (float)i * 10 - 3); /* cells may be shared */
        assert_true(count_of(&sketch, i) <= (float)i * 10);
        assert_true(rank_of(&sketch, i) == 20 - i);
    }
    assert_true(count_of(&sketch, 99) == 0);
    hot_sketch_age(&sketch, 0.5f);
    assert_true(count_of(&sketch, 20) <= 100 && count_of(&sketch, 20) >= 97);
    hot_sketch_age(&sketch, 1e-9f);
    assert_true(count_of(&sketch, 20) == 0);
    add(&sketch, 5, 1, &random);
    assert_true(rank_of(&sketch, 5) == 0);
}

/* Five keys of 0.4 to 2 % each, all others random: 100000 additions of weight 64. */
static void sketch_among_random(void **state)
{
    (void)state;
    static struct hot_sketch sketch;
    memset(&sketch, 0, sizeof(sketch));
    uint64_t random = seed, counts[6] = {0};
    const uint64_t all = 100000;
    for (uint64_t i = 0; i < all; i++) {
        const uint64_t dice = random_next(&random) % 1000;
        const uint64_t limit[] = {20, 30, 38, 44, 48};
        uint64_t number = 0;
        while (number < 5 && dice >= limit[number])
            number++;
        counts[number]++;
        add(&sketch, number < 5 ? number : 1000 + random_next(&random) % 100000000, 64, &random);
    }
    for (uint64_t i = 0; i < 5; i++) {
        const float count = count_of(&sketch, i) / 64;
        assert_true(rank_of(&sketch, i) == i);
        assert_true(count <= (float)counts[i]);
        assert_true(count >= (float)counts[i] * 0.8f);
    }
    assert_true(count_of(&sketch, 0) > 0);
    for (uint32_t i = 0; i < sketch.top.used; i++) /* no random one looks hot */
        if (sketch.top.len[i] > 6)
            assert_true(sketch.top.count[i] < 64 * (float)all * 0.002f);
}

static void sketch_lengths(void **state)
{
    (void)state;
    static struct hot_sketch sketch;
    memset(&sketch, 0, sizeof(sketch));
    uint8_t text[HOT_KEY_BYTES_MAX + 1];
    memset(text, 0xff, sizeof(text));
    hot_sketch_add(&sketch, bytes_of(text, 0), 1, 1, 1);
    hot_sketch_add(&sketch, bytes_of(text, sizeof(text)), 2, 1, 1);
    assert_int_equal(sketch.top.used, 0);
    hot_sketch_add(&sketch, bytes_of(text, HOT_KEY_BYTES_MAX), 3, 1, 1);
    assert_int_equal(sketch.top.used, 1);
    assert_int_equal(sketch.top.len[0], HOT_KEY_BYTES_MAX);
    assert_int_equal(sizeof(sketch) <= 36 * 1024, 1);
}

static void powers(void **state)
{
    (void)state;
    assert_true(hot_power(0.5f, 0) == 1);
    assert_true(hot_power(0.5f, 1) == 0.5f);
    assert_true(hot_power(0.5f, 11) == 1.0f / 2048);
    assert_true(hot_power(0.9930925f, 100) > 0.4999f && hot_power(0.9930925f, 100) < 0.5001f);
}

/* ── sampling ─────────────────────────────────────────────────────────────────────────────── */

/* Ask for `count` keys in batches; every tenth is key:0, and every tenth of these is the first of
 * its batch. */
static void ask(struct hot *hot, uint64_t count, uint64_t *random)
{
    enum { BATCH = 20 };
    for (uint64_t at = 0; at < count; at += BATCH) {
        size_t i, last = SIZE_MAX;
        if (!hot_is_due(hot, BATCH))
            continue;
        while (hot_next(hot, BATCH, &i)) {
            assert_true(i < BATCH && (last == SIZE_MAX || i > last));
            last = i;
            char text[32];
            const bool is_hot = (at + i) % 10 == 0;
            const struct bytes key = key_of(text, is_hot ? 0 : 1 + random_next(random) % 10000000);
            hot_note(hot, key, hash_bytes(key, 2));
        }
    }
}

static void sampling(void **state)
{
    (void)state;
    struct hot_set *set;
    static struct hot_list list;
    uint64_t random = seed;
    assert_int_equal(hot_set_new(2, ':', &set), 0);
    struct hot *one = hot_set_worker(set, 0), *two = hot_set_worker(set, 1);
    assert_int_equal((uintptr_t)two % CACHE_LINE_BYTES, 0);
    assert_int_equal(hot_list_make(set, &list), 0);
    assert_int_equal(list.key_count + list.prefix_count, 0);
    hot_turn(one, 100);
    hot_turn(two, 100);
    ask(one, 1000, &random);
    assert_int_equal(one->every, 1); /* few: each is looked at */
    ask(one, 4000000, &random);
    assert_true(one->every >= 1000 && one->every <= 4096);
    ask(two, 1000000, &random);
    nanosleep(&(struct timespec){.tv_nsec = 120000000}, NULL); /* so that there is a window */
    assert_int_equal(hot_list_make(set, &list), 0);
    assert_true(list.key_count >= 1 && list.key_count <= HOT_LIST_MAX);
    assert_int_equal(list.keys[0].len, 5);
    assert_memory_equal(list.keys[0].text, "key:0", 5);
    assert_true(list.keys[0].share > 0.07 && list.keys[0].share < 0.13);
    assert_true(list.keys[0].ops_per_s > 0);
    assert_int_equal(list.prefix_count, 1);
    assert_memory_equal(list.prefixes[0].text, "key", 3);
    assert_true(list.prefixes[0].share > 0.99 && list.prefixes[0].share <= 1);
    for (size_t i = 1; i < list.key_count; i++)
        assert_true(list.keys[i].ops_per_s <= list.keys[i - 1].ops_per_s);
    /* The load falls: it looks at more, and the gap that was drawn does not last. */
    for (uint32_t now_s = 101; now_s < 130; now_s++)
        hot_turn(one, now_s);
    assert_int_equal(one->every, 1);
    assert_true(one->left <= 2);
    hot_set_free(set);
    hot_set_free(NULL);
}

static void steady(void **state)
{
    (void)state;
    struct hot_set *set;
    uint64_t random = seed;
    assert_int_equal(hot_set_new(1, ':', &set), 0);
    struct hot *hot = hot_set_worker(set, 0);
    uint32_t first = 0;
    for (uint32_t now_s = 1; now_s < 40; now_s++) { /* 100000 a second */
        hot_turn(hot, now_s);
        ask(hot, 100000, &random);
        if (now_s == 10)
            first = hot->every;
        if (now_s > 10)
            assert_int_equal(hot->every, first);
    }
    assert_true(first >= 32 && first <= 256);
    hot_turn(hot, 1000); /* after a long silence */
    assert_true(hot->every <= first);
    hot_set_free(set);
}

static void nothing_periodic(void **state)
{
    (void)state;
    struct hot_set *set;
    static struct hot_list list;
    assert_int_equal(hot_set_new(1, ':', &set), 0);
    struct hot *hot = hot_set_worker(set, 0);
    for (uint64_t at = 0; at < 4000000; at++) { /* 64 keys in turn: the sampling's own period */
        size_t i;
        if (!hot_is_due(hot, 1))
            continue;
        while (hot_next(hot, 1, &i)) {
            char text[32];
            const struct bytes key = key_of(text, at % 64);
            hot_note(hot, key, hash_bytes(key, 2));
        }
    }
    nanosleep(&(struct timespec){.tv_nsec = 120000000}, NULL);
    assert_int_equal(hot_list_make(set, &list), 0);
    assert_int_equal(list.key_count, HOT_LIST_MAX);
    assert_true(list.keys[0].share < 0.04);
    assert_true(list.keys[HOT_LIST_MAX - 1].share > 0.008);
    hot_set_free(set);
}

/* ── answers ──────────────────────────────────────────────────────────────────────────────── */

static void print(void **state)
{
    (void)state;
    static const struct hot_list list = {
        .key_count = 2,
        .prefix_count = 1,
        .keys = {{.ops_per_s = 1234.56, .share = 0.1236, .len = 4, .text = "a\r\n "},
                 {.ops_per_s = 1, .share = 0.001, .len = 2, .text = {0, 0xff}}},
        .prefixes = {{.ops_per_s = 9.99, .share = 1, .len = 3, .text = "a<b"}},
    };
    struct out out;
    out_init(&out);
    hot_print(&out, &list);
    out_put(&out, "", 1);
    assert_string_equal((const char *)out.buf,
                        "STAT hot_key:1:key a%0D%0A%20\r\nSTAT hot_key:1:ops_per_s 1234.6\r\n"
                        "STAT hot_key:1:share 0.124\r\nSTAT hot_key:2:key %00%FF\r\n"
                        "STAT hot_key:2:ops_per_s 1.0\r\nSTAT hot_key:2:share 0.001\r\n"
                        "STAT hot_prefix:1:prefix a%3Cb\r\nSTAT hot_prefix:1:ops_per_s 10.0\r\n"
                        "STAT hot_prefix:1:share 1.000\r\n");
    out_fini(&out);
}

int main(void)
{
    const char *text = getenv("MATTE_SEED");
    seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) | 1;
    print_message("MATTE_SEED=%llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(powers),
        cmocka_unit_test(sketch_exact_when_few),
        cmocka_unit_test(sketch_among_random),
        cmocka_unit_test(sketch_lengths),
        cmocka_unit_test(sampling),
        cmocka_unit_test(steady),
        cmocka_unit_test(nothing_periodic),
        cmocka_unit_test(print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
