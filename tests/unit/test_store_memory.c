/* unit/test_store_memory.c — the memory limit kept, from 1 MiB to gibibytes, and used well.
 *
 * The process may use RSS_SLACK_BYTES beyond memory_bytes for all that is not counted: segment
 * headers, thread handles, the allocator, the test itself. Sanitizers add more than that: their
 * builds skip the weighing.
 *
 * Usage: test_store_memory; MATTE_MEMORY_FULL_GIB=N also fills N GiB.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <malloc.h>
#include <stdio.h>

#include "support/kit.h"

#define RSS_SLACK_BYTES (6 * KIT_MIB)

/* Sanitizers make these fills ten times slower, and what they weigh is not weighed there. */
#define FILL_MIB (KIT_SANITIZED ? 16ull : 64ull)

static uint64_t rss_before;

static void rss_check(uint64_t memory_bytes)
{
    const uint64_t rss = kit_rss_bytes();
    if (KIT_SANITIZED || rss <= rss_before + memory_bytes + RSS_SLACK_BYTES)
        return;
    fail_msg("RSS grew by %llu KiB with a limit of %llu KiB",
             (unsigned long long)((rss - rss_before) >> 10),
             (unsigned long long)(memory_bytes >> 10));
}

static void open_mib(struct kit *kit, uint64_t memory_mib, uint64_t item_bytes_max)
{
    rss_before = kit_rss_bytes();
    kit_open(kit, &(struct store_config){.memory_bytes = memory_mib * KIT_MIB,
                                         .item_bytes_max = item_bytes_max,
                                         .hash_seed = 11});
}

/* Keys of 16 bytes. */
static enum store_rc set_number(struct kit *kit, uint64_t number, struct bytes value)
{
    char text[24];
    const int len = snprintf(text, sizeof(text), "key:%012llu", (unsigned long long)number);
    return kit_put(kit, STORE_SET, bytes_of(text, (size_t)len), value, 0);
}

static enum store_rc get_number(struct kit *kit, uint64_t number, struct store_view *view)
{
    char text[24];
    snprintf(text, sizeof(text), "key:%012llu", (unsigned long long)number);
    return kit_get(kit, text, view);
}

/* Store `count` values of `len` bytes; a quiescent point every 32. */
static void fill(struct kit *kit, uint64_t first, uint64_t count, size_t len, bool maintain)
{
    uint8_t *value = test_malloc(len + 1);
    const uint64_t memory_bytes = kit_info(kit).memory_bytes;
    kit_pattern_fill(value, len, len);
    for (uint64_t i = first; i < first + count; i++) {
        const enum store_rc rc = set_number(kit, i, bytes_of(value, len));
        if (rc != STORE_OK)
            fail_msg("value %llu of %zu bytes: %s", (unsigned long long)i, len, kit_rc_name(rc));
        if (i % 32 == 0)
            kit_tick(kit);
        if (maintain && i % 128 == 0)
            store_maintain(kit->thread);
        if (i % 4096 == 0)
            rss_check(memory_bytes + len);
    }
    rss_check(memory_bytes + len);
    test_free(value);
}

static void assert_reads(struct kit *kit, uint64_t number, size_t len)
{
    struct store_view view;
    uint8_t *copy = test_malloc(len + 1);
    assert_rc(get_number(kit, number, &view), STORE_OK);
    assert_true(view.value_bytes == len);
    assert_true(kit_view_copy(kit, &view, copy));
    assert_true(kit_pattern_is(copy, len, len));
    test_free(copy);
}

/* The smallest store takes values of every size up to half of it, in any order. */
static void test_smallest(void **state)
{
    struct kit kit;
    uint64_t random = 5, number = 0;
    const size_t largest = KIT_MIB / 2 - STORE_ITEM_BYTES_EXTRA - 16;
    (void)state;
    for (int maintain = 0; maintain < 2; maintain++) {
        open_mib(&kit, 1, KIT_MIB / 2);
        for (size_t len = 0; len <= largest; len += 1 + len / 7, number++) {
            fill(&kit, number, 1, len, maintain);
            assert_reads(&kit, number, len);
        }
        for (int i = 0; i < 3000; i++, number++) {
            const size_t len = kit_random_below(&random, largest >> kit_random_below(&random, 16));
            fill(&kit, number, 1, len, maintain);
            assert_reads(&kit, number, len);
        }
        fill(&kit, number++, 1, largest, maintain);
        assert_reads(&kit, number - 1, largest);
        fill(&kit, number, 20000, 0, maintain);
        const struct store_info info = kit_info(&kit);
        assert_true(info.memory_used_bytes <= info.memory_bytes);
        kit_close(&kit);
    }
}

/* A value of a tenth of the memory is there after it was stored, although it made others go. */
static void test_much_of_the_memory(void **state)
{
    struct kit kit;
    (void)state;
    open_mib(&kit, 1, KIT_MIB / 2);
    for (uint64_t number = 0; number < 30000; number += 101) {
        fill(&kit, number, 100, 1000, false);
        fill(&kit, number + 100, 1, 100000, false);
        store_maintain(kit.thread);
        assert_reads(&kit, number + 100, 100000);
    }
    kit_close(&kit);
}

/* Five times the memory in items of 300 bytes: the process stays within the limit. */
static void test_process_stays_in_limit(void **state)
{
    (void)state;
    for (int maintain = 0; maintain < 2; maintain++) {
        struct kit kit;
        open_mib(&kit, FILL_MIB, KIT_MIB);
        fill(&kit, 0, 5 * FILL_MIB * KIT_MIB / 332, 300, maintain);
        const struct store_info info = kit_info(&kit);
        print_message("%llu items, %llu KiB used, process +%llu KiB\n",
                      (unsigned long long)info.items,
                      (unsigned long long)info.memory_used_bytes >> 10,
                      (unsigned long long)(kit_rss_bytes() - rss_before) >> 10);
        assert_true(info.memory_used_bytes <= info.memory_bytes);
        kit_close(&kit);
    }
}

/* Sizes that change over time: what small items took must serve large ones and back again. */
static void test_sizes_change(void **state)
{
    static const size_t sizes[] = {20, 1000, 100000, 20, 500000, 5000, 20};
    struct kit kit;
    uint64_t number = 0;
    (void)state;
    open_mib(&kit, 16, KIT_MIB);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const uint64_t count = 3 * 16 * KIT_MIB / (sizes[i] + 48);
        fill(&kit, number, count, sizes[i], i % 2);
        number += count;
        const struct store_info info = kit_info(&kit);
        print_message("%zu bytes: %llu items, index %llu KiB\n", sizes[i],
                      (unsigned long long)info.items, (unsigned long long)info.index_bytes >> 10);
        assert_true(info.memory_used_bytes <= info.memory_bytes);
    }
    kit_close(&kit);
}

/* All memory over all items, minus key and value: at most 33 bytes each in a full cache. */
static void test_overhead(void **state)
{
    struct kit kit;
    enum { KEY_BYTES = 16, VALUE_BYTES = 64 };
    (void)state;
    open_mib(&kit, FILL_MIB, KIT_MIB);
    fill(&kit, 0, FILL_MIB * KIT_MIB / 45, VALUE_BYTES, true);
    const struct store_info info = kit_info(&kit);
    const double overhead =
        (double)info.memory_bytes / (double)info.items - KEY_BYTES - VALUE_BYTES;
    print_message("%llu items, %.1f bytes of overhead each (index %.1f, records %.1f)\n",
                  (unsigned long long)info.items, overhead,
                  (double)info.index_bytes / (double)info.items,
                  (double)info.item_bytes / (double)info.items - KEY_BYTES - VALUE_BYTES);
    assert_true(overhead <= 33.0);
    kit_close(&kit);
}

/* A few keys that are overwritten for ever do not take all of the memory: what they were is used
 * again long before it is short. Within one second, so not by the sweep that comes once in each. */
static void test_overwriting_takes_little(void **state)
{
    struct kit kit;
    enum { KEYS = 1000, VALUE_BYTES = 1000, ALIVE_PART = 8 };
    uint64_t random = 17;
    (void)state;
    open_mib(&kit, FILL_MIB, KIT_MIB);
    for (int i = 0; i < 100 * KEYS; i++) {
        fill(&kit, kit_random_below(&random, KEYS), 1, VALUE_BYTES, false);
        if (i % 64 == 0)
            store_maintain(kit.thread);
    }
    const struct store_info info = kit_info(&kit);
    print_message("%llu KiB of items take %llu KiB, process +%llu KiB\n",
                  (unsigned long long)info.item_bytes >> 10,
                  (unsigned long long)info.memory_used_bytes >> 10,
                  (unsigned long long)(kit_rss_bytes() - rss_before) >> 10);
    assert_int_equal(info.items, KEYS);
    assert_int_equal(info.evictions, 0);
    assert_true(info.memory_used_bytes <= ALIVE_PART * KEYS * VALUE_BYTES);
    rss_check(ALIVE_PART * KEYS * VALUE_BYTES);
    kit_close(&kit);
}

/* What is given back to the system when the limit falls. */
static void test_limit_falls(void **state)
{
    struct kit kit;
    (void)state;
    open_mib(&kit, 64, KIT_MIB);
    fill(&kit, 0, 180000, 300, true);
    assert_int_equal(store_memory_set(kit.store, 16 * KIT_MIB), 0);
    for (int i = 0; i < 2000; i++) {
        store_maintain(kit.thread);
        kit_tick(&kit);
    }
    print_message("process +%llu KiB\n", (unsigned long long)(kit_rss_bytes() - rss_before) >> 10);
    rss_check(16 * KIT_MIB);
    fill(&kit, 1000000, 100000, 300, true);
    assert_int_equal(store_memory_set(kit.store, 64 * KIT_MIB), 0);
    fill(&kit, 2000000, 200000, 300, true);
    assert_true(kit_info(&kit).items > 150000);
    kit_close(&kit);
}

/* Values far larger than a segment. */
static void test_huge_values(void **state)
{
    static const size_t sizes[] = {31 * KIT_MIB, 5 * KIT_MIB + 1, 17 * KIT_MIB, KIT_MIB};
    struct kit kit;
    (void)state;
    open_mib(&kit, 64, 32 * KIT_MIB);
    for (uint64_t i = 0; i < 12; i++) {
        const size_t len = sizes[i % COUNT_OF(sizes)];
        fill(&kit, i, 1, len, true);
        struct store_view view;
        assert_rc(get_number(&kit, i, &view), STORE_OK);
        assert_true(view.value_bytes == len);
        struct store_ref *ref = store_ref_new(kit.thread, &view);
        if (ref != NULL) { /* more than may be pinned is refused */
            size_t count, sum = 0;
            const struct bytes *spans = store_ref_spans(ref, &count);
            for (size_t j = 0; j < count; j++)
                sum += spans[j].len;
            assert_int_equal(sum, len);
        }
        store_ref_free(ref);
    }
    kit_close(&kit);
}

/* A limit of gibibytes costs what is used of it. */
static void test_gibibytes_reserved(void **state)
{
    struct kit kit;
    (void)state;
    open_mib(&kit, 3 * 1024, KIT_MIB);
    fill(&kit, 0, 100000, 300, true);
    for (uint64_t i = 0; i < 100000; i += 999)
        assert_reads(&kit, i, 300);
    const struct store_info info = kit_info(&kit);
    assert_int_equal(info.items, 100000);
    rss_check(100 * KIT_MIB);
    kit_close(&kit);
}

/* ── single calls ─────────────────────────────────────────────────────────────────────────── */

/* A worker that is alone frees memory for large values by steps: no call looks at more than a few
 * of them, while a segment has ten times as many items. */
static void test_large_values_by_steps(void **state)
{
    /* with -m 64 the rest of a segment, which is small there, may come on top */
    enum { VALUE = 400000, ITEMS_MAX = KIT_SANITIZED ? 12 * 280 : 6 * 280, SMALL = 40 };
    const uint64_t memory_mib = KIT_SANITIZED ? 64 : 256;
    struct kit kit;
    uint64_t most = 0, calls = 0;
    (void)state;
    open_mib(&kit, memory_mib, KIT_MIB);
    fill(&kit, 0, memory_mib * KIT_MIB / 64, SMALL, false);
    for (unsigned i = 0; i < 100; i++) {
        char text[16];
        snprintf(text, sizeof(text), "large:%u", i);
        const struct store_key key = kit_key_str(&kit, text);
        struct store_put put = {.mode = STORE_SET};
        uint64_t evicted = kit_info(&kit).evictions;
        assert_rc(store_upload_new(kit.thread, &key, VALUE, &put.upload), STORE_OK);
        for (size_t at = 0, len; at < VALUE; at += len) {
            uint8_t *space = store_upload_space(put.upload, &len);
            assert_true(len > 0 && len <= 64 << 10);
            memset(space, 'v', len);
            assert_rc(store_upload_fill(kit.thread, put.upload, len), STORE_OK);
            const uint64_t now = kit_info(&kit).evictions;
            most = now - evicted > most ? now - evicted : most;
            evicted = now;
            calls++;
            kit_tick(&kit);
        }
        assert_rc(store_put(kit.thread, &key, &put, NULL), STORE_OK);
    }
    print_message("%llu calls, at most %llu items evicted in one\n", (unsigned long long)calls,
                  (unsigned long long)most);
    assert_true(most > 0 && most <= ITEMS_MAX);
    kit_close(&kit);
}

static void test_gibibytes_full(void **state)
{
    const uint64_t gib = kit_env_u64("MATTE_MEMORY_FULL_GIB", 0);
    struct kit kit;
    (void)state;
    if (gib == 0)
        skip();
    open_mib(&kit, gib * 1024, 512 * KIT_MIB);
    fill(&kit, 0, gib * 1024 * KIT_MIB / 250, 200, true);
    fill(&kit, 1ull << 32, 8, 500 * KIT_MIB, true);
    fill(&kit, 1ull << 33, gib * 1024 * KIT_MIB / 2050, 2000, true);
    kit_close(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smallest),
        cmocka_unit_test(test_much_of_the_memory),
        cmocka_unit_test(test_process_stays_in_limit),
        cmocka_unit_test(test_sizes_change),
        cmocka_unit_test(test_overhead),
        cmocka_unit_test(test_overwriting_takes_little),
        cmocka_unit_test(test_limit_falls),
        cmocka_unit_test(test_huge_values),
        cmocka_unit_test(test_gibibytes_reserved),
        cmocka_unit_test(test_gibibytes_full),
        cmocka_unit_test(test_large_values_by_steps),
    };
    mallopt(M_MMAP_THRESHOLD, 1 << 16); /* what this test frees goes back to the system at once */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
