/* unit/test_store_keep.c — what eviction keeps, by size and use.
 *
 * Streams of values that are never asked for again pass through a full store; among them are keys
 * that are asked for now and then. No clock, one thread: the same every time.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <stdio.h>

#include "support/kit.h"

enum {
    MEMORY_MIB = 16,
    STREAM_BYTES = 4000,
    PER_FILLING = MEMORY_MIB * 1024 * 1024 / STREAM_BYTES,
    WANTED = 500,
    RETURNS = 8, /* fillings until a wanted key is asked for again */
    FILLINGS = 10 * RETURNS,
    WARM = 2 * RETURNS, /* before hits count */
    GHOST_VALUE_BYTES = 16000,
};

static const uint8_t zeros[64 * 1024];

static void put(struct kit *kit, const char *kind, uint64_t number, size_t len)
{
    char key[32];
    snprintf(key, sizeof(key), "%s:%012llu", kind, (unsigned long long)number);
    assert_int_equal(kit_put(kit, STORE_SET, bytes_of(key, strlen(key)), bytes_of(zeros, len), 0),
                     STORE_OK);
    if (number % 16 == 0) {
        kit_tick(kit);
        store_maintain(kit->thread);
    }
}

static bool get(struct kit *kit, const char *kind, uint64_t number)
{
    char key[32];
    struct store_view view;
    snprintf(key, sizeof(key), "%s:%012llu", kind, (unsigned long long)number);
    return kit_get(kit, key, &view) == STORE_OK;
}

static void open_full(struct kit *kit, bool evict_by_bytes)
{
    kit_open(kit, &(struct store_config){.memory_bytes = MEMORY_MIB * KIT_MIB,
                                         .item_bytes_max = KIT_MIB,
                                         .evict_by_bytes = evict_by_bytes,
                                         .hash_seed = 11});
    for (uint64_t i = 0; i < 2 * PER_FILLING; i++)
        put(kit, "fill", i, STREAM_BYTES);
}

/* Each wanted key is asked for (and stored when it is not there) once in so many fillings of the
 * memory; returns the share of hits. */
static double hits_of(struct kit *kit, size_t len)
{
    const uint64_t every = RETURNS * PER_FILLING / WANTED;
    uint64_t asked = 0, hits = 0;
    for (uint64_t i = 0; i < FILLINGS * PER_FILLING; i++) {
        put(kit, "once", i, STREAM_BYTES);
        if (i % every != 0)
            continue;
        const uint64_t number = i / every % WANTED;
        const bool hit = get(kit, "wanted", number);
        if (!hit)
            put(kit, "wanted", number, len);
        if (i >= WARM * PER_FILLING) {
            asked++;
            hits += hit;
        }
    }
    return (double)hits / (double)asked;
}

/* Tiny ones take 0.4 % of the memory: they are kept, although each is asked for but every eighth
 * filling of it. Where bytes count, not objects, size is no reason. */
static void test_tiny_stay(void **state)
{
    struct kit kit;
    (void)state;
    open_full(&kit, false);
    const double tiny = hits_of(&kit, 60);
    kit_close(&kit);
    open_full(&kit, false);
    const double equal = hits_of(&kit, STREAM_BYTES);
    kit_close(&kit);
    open_full(&kit, true);
    const double by_bytes = hits_of(&kit, 60);
    kit_close(&kit);
    if (tiny < 0.95 || equal > 0.6 || by_bytes > 0.6)
        fail_msg("tiny: %.3f, as large as others: %.3f, by bytes: %.3f", tiny, equal, by_bytes);
}

static uint64_t returns(struct kit *kit, uint64_t first, uint64_t count)
{
    const uint64_t before = kit_info(kit).ghost_hits;
    for (uint64_t i = first; i < first + count; i++)
        put(kit, "wanted", i, GHOST_VALUE_BYTES);
    return kit_info(kit).ghost_hits - before;
}

/* A key that comes back soon after it was evicted is known; one that comes back after the memory
 * has been filled several times is a new one, however much room the index has to remember it. */
static void test_ghosts_age(void **state)
{
    enum { FILLING = MEMORY_MIB * 1024 * 1024 / GHOST_VALUE_BYTES, KEYS = 50 };
    struct kit kit;
    uint64_t number = 0;
    (void)state;
    open_full(&kit, false);
    for (uint64_t i = 0; i < 2 * KEYS; i++)
        put(&kit, "wanted", i, GHOST_VALUE_BYTES);
    for (; number < FILLING * 5 / 4; number++)
        put(&kit, "once", number, GHOST_VALUE_BYTES);
    const uint64_t soon = returns(&kit, 0, KEYS);
    for (; number < FILLING * 5; number++)
        put(&kit, "once", number, GHOST_VALUE_BYTES);
    const uint64_t late = returns(&kit, KEYS, KEYS);
    kit_close(&kit);
    if (soon < KEYS * 9 / 10 || late > 0)
        fail_msg("known soon: %llu, late: %llu", (unsigned long long)soon,
                 (unsigned long long)late);
}

/* Values that leave much of a segment's end unused: what they do not fill is not what died, and
 * copying them would not gain it. */
static void test_ends_are_not_holes(void **state)
{
    enum { VALUE_BYTES = 30000, VALUES = 4 * MEMORY_MIB * 1024 * 1024 / VALUE_BYTES };
    struct kit kit;
    (void)state;
    kit_open_default(&kit);
    for (uint64_t i = 0; i < VALUES; i++)
        put(&kit, "odd", i * 16, VALUE_BYTES);
    const struct store_info info = kit_info(&kit);
    kit_close(&kit);
    assert_true(info.evictions > 0);
    assert_true(info.bytes_copied < (uint64_t)VALUES * VALUE_BYTES / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny_stay),
        cmocka_unit_test(test_ghosts_age),
        cmocka_unit_test(test_ends_are_not_holes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
