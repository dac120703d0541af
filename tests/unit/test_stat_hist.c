/* test_stat_hist.c — buckets without gaps, quantiles near the truth, sums of threads, times.
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
#include "stat/stat.h"

/* ── buckets ──────────────────────────────────────────────────────────────────────────────── */

static void buckets(void **state)
{
    (void)state;
    assert_int_equal(stat_hist_least(0), 0);
    for (unsigned i = 0; i < STAT_HIST_BUCKETS; i++) {
        const uint64_t least = stat_hist_least(i), greatest = stat_hist_greatest(i);
        assert_true(least <= greatest);
        assert_int_equal(stat_hist_bucket(least), i);
        assert_int_equal(stat_hist_bucket(greatest), i);
        assert_int_equal(stat_hist_bucket(least + (greatest - least) / 2), i);
        if (i + 1 == STAT_HIST_BUCKETS) {
            assert_true(greatest == UINT64_MAX);
            continue;
        }
        assert_int_equal(stat_hist_least(i + 1), greatest + 1);
        assert_true((greatest - least + 1) * 8 <= least || least < 16);
        if (least < 16)
            assert_int_equal(least, greatest);
    }
    assert_int_equal(stat_hist_bucket(1ull << STAT_HIST_BITS), STAT_HIST_BUCKETS - 1);
}

/* ── quantiles ────────────────────────────────────────────────────────────────────────────── */

static uint64_t random_next(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum { VALUES = 5000 };

/* Of numbers of up to `bits` bits, every length as frequent. */
static void quantiles_of(unsigned bits, uint64_t seed)
{
    static struct stat_hists hists;
    static uint64_t values[VALUES];
    static struct stat_hist_sum sum;
    memset(&hists, 0, sizeof(hists));
    memset(&sum, 0, sizeof(sum));
    uint64_t total = 0;
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = random_next(&seed) >> (63 - random_next(&seed) % bits);
        total += values[i];
        stat_hist_add(&hists, STAT_HIST_VALUE_BYTES, values[i]);
    }
    qsort(values, VALUES, sizeof(values[0]), compare);
    stat_hist_collect(&sum, &hists.of[STAT_HIST_VALUE_BYTES]);
    assert_int_equal(sum.count, VALUES);
    assert_int_equal(sum.sum, total);
    assert_int_equal(sum.max, values[VALUES - 1]);
    const double parts[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const size_t rank = (size_t)(parts[i] * (VALUES - 1));
        const double truth = (double)values[rank];
        const double told = stat_hist_quantile(&sum, parts[i]);
        const double next = (double)values[rank + 1 < VALUES ? rank + 1 : rank];
        if (told > next * 1.13 + 1 || told < truth * 0.88 - 1)
            fail_msg("%u bits, %g: %g for %g", bits, parts[i], told, truth);
    }
    assert_int_equal(stat_hist_at_most(&sum, UINT64_MAX), VALUES);
    const unsigned middle = stat_hist_bucket(values[VALUES / 2]);
    uint64_t below = 0;
    while (below < VALUES && values[below] <= stat_hist_greatest(middle))
        below++;
    assert_int_equal(stat_hist_at_most(&sum, stat_hist_greatest(middle)), below);
}

static void quantiles(void **state)
{
    (void)state;
    const char *text = getenv("MATTE_SEED");
    const uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) | 1;
    print_message("MATTE_SEED=%llu\n", (unsigned long long)seed);
    for (unsigned bits = 1; bits <= STAT_HIST_BITS; bits++)
        quantiles_of(bits, seed + 2 * bits);
}

static void quantiles_small(void **state)
{
    (void)state;
    static struct stat_hist_sum none;
    assert_true(stat_hist_quantile(&none, 0.5) == 0);
    static struct stat_hists hists;
    static struct stat_hist_sum sum;
    for (uint64_t value = 1; value <= 10; value++)
        stat_hist_add(&hists, STAT_HIST_TTL_S, value);
    stat_hist_add(NULL, STAT_HIST_TTL_S, 3);
    stat_hist_collect(&sum, &hists.of[STAT_HIST_TTL_S]);
    assert_true(stat_hist_quantile(&sum, 0.5) == 5);
    assert_true(stat_hist_quantile(&sum, 0.9) == 9);
    assert_true(stat_hist_quantile(&sum, 0.91) == 10);
    assert_true(stat_hist_quantile(&sum, 1) == 10);
}

/* ── threads, resets ──────────────────────────────────────────────────────────────────────── */

enum { THREADS = 4, ADDS = 20000 };

static void *adder(void *arg)
{
    struct stat_hists *hists;
    if (stat_hists_new(arg, &hists) != 0)
        return NULL;
    for (uint64_t i = 0; i < ADDS; i++)
        stat_hist_add(hists, STAT_HIST_GET, i % 1000);
    return hists;
}

static void threads(void **state)
{
    (void)state;
    struct stat_registry *registry;
    static struct stat_hist_sum sum[STAT_HIST_COUNT];
    assert_int_equal(stat_registry_new(&registry), 0);
    pthread_t thread[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, adder, registry), 0);
    stat_registry_hists(registry, sum); /* while they count */
    for (size_t i = 0; i < THREADS; i++) {
        void *hists = NULL;
        assert_int_equal(pthread_join(thread[i], &hists), 0);
        assert_non_null(hists);
    }
    stat_registry_hists(registry, sum);
    assert_int_equal(sum[STAT_HIST_GET].count, THREADS * ADDS);
    assert_int_equal(sum[STAT_HIST_GET].sum, (uint64_t)THREADS * ADDS * 999 / 2);
    assert_int_equal(sum[STAT_HIST_GET].max, 999);
    assert_int_equal(sum[STAT_HIST_STORE].count, 0);
    stat_registry_free(registry);
}

static void reset(void **state)
{
    (void)state;
    struct stat_registry *registry;
    struct stat_hists *one, *two;
    static struct stat_hist_sum sum[STAT_HIST_COUNT];
    assert_int_equal(stat_registry_new(&registry), 0);
    assert_int_equal(stat_hists_new(registry, &one), 0);
    assert_int_equal(stat_hists_new(registry, &two), 0);
    assert_int_equal((uintptr_t)one % CACHE_LINE_BYTES, 0);
    stat_hist_add(one, STAT_HIST_GET, 100);
    stat_hist_add(two, STAT_HIST_GET, 70000);
    stat_registry_reset(registry);
    stat_registry_hists(registry, sum);
    assert_int_equal(sum[STAT_HIST_GET].count, 0);
    assert_int_equal(sum[STAT_HIST_GET].sum, 0);
    assert_int_equal(sum[STAT_HIST_GET].max, 0);
    assert_true(stat_hist_quantile(&sum[STAT_HIST_GET], 0.99) == 0);
    stat_hist_add(one, STAT_HIST_GET, 90);
    stat_registry_hists(registry, sum);
    assert_int_equal(sum[STAT_HIST_GET].count, 1);
    assert_int_equal(sum[STAT_HIST_GET].sum, 90);
    assert_int_equal(sum[STAT_HIST_GET].max, 95); /* its bucket's greatest: 70000 is known */
    stat_hist_add(two, STAT_HIST_GET, 80000);
    stat_registry_hists(registry, sum);
    assert_int_equal(sum[STAT_HIST_GET].max, 80000);
    stat_registry_free(registry);
}

/* ── times ────────────────────────────────────────────────────────────────────────────────── */

static void ticks(void **state)
{
    (void)state;
    for (int counter = 0; counter < 2; counter++) {
        const uint64_t ns = clock_mono_ns();
        const uint64_t from = clock_ticks();
        nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
        const uint64_t took = clock_ticks_ns(clock_ticks() - from);
        const uint64_t all = clock_mono_ns() - ns;
        assert_true(took >= 2990000 && took <= all + 3000 + all / 1000);
        assert_int_equal(clock_ticks_ns((uint64_t)-5), 0);
        clock_ticks_init(); /* before, a tick is a nanosecond */
        clock_ticks_adjust();
    }
}

static void timing(void **state)
{
    (void)state;
    struct stat_registry *registry;
    static struct stat_hist_sum sum[STAT_HIST_COUNT];
    struct stat_timing timing = {0};
    assert_int_equal(stat_registry_new(&registry), 0);
    assert_int_equal(stat_hists_new(registry, &timing.hists), 0);
    const uint64_t first = stat_timing_read(&timing);
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    for (int i = 0; i < 3; i++)
        stat_timing_count(&timing, STAT_CLASS_GET);
    stat_timing_count(&timing, STAT_CLASS_TOUCH);
    stat_timing_sent(&timing);
    stat_timing_sent(&timing); /* nothing in between */
    stat_registry_hists(registry, sum);
    for (size_t id = 0; id < STAT_HIST_COUNT; id++)
        assert_int_equal(sum[id].count, id == STAT_HIST_GET ? 3 : id == STAT_HIST_TOUCH ? 1 : 0);
    assert_true(sum[STAT_HIST_GET].max >= 1990000);
    assert_int_equal(sum[STAT_HIST_GET].max, sum[STAT_HIST_TOUCH].max);
    assert_int_equal(sum[STAT_HIST_GET].sum, 3 * sum[STAT_HIST_TOUCH].max);

    (void)stat_timing_read(&timing); /* of another connection; then it goes on with the first */
    stat_timing_resume(&timing, first);
    stat_timing_count(&timing, STAT_CLASS_OTHER);
    stat_timing_sent(&timing);
    stat_registry_hists(registry, sum);
    assert_true(sum[STAT_HIST_OTHER].max >= sum[STAT_HIST_GET].max);

    timing.hists = NULL; /* switched off */
    (void)stat_timing_read(&timing);
    stat_timing_count(&timing, STAT_CLASS_GET);
    stat_timing_sent(&timing);
    stat_registry_free(registry);
}

/* ── answers ──────────────────────────────────────────────────────────────────────────────── */

static void print(void **state)
{
    (void)state;
    static struct stat_hists hists;
    static struct stat_hist_sum sum[STAT_HIST_COUNT];
    stat_hist_add(&hists, STAT_HIST_GET, 12340);
    stat_hist_add(&hists, STAT_HIST_TTL_S, 10);
    stat_hist_add(&hists, STAT_HIST_TTL_S, 15);
    for (size_t id = 0; id < STAT_HIST_COUNT; id++)
        stat_hist_collect(&sum[id], &hists.of[id]);
    struct out out;
    out_init(&out);
    stat_print_hists(&out, sum);
    out_put(&out, "", 1);
    const char *text = (const char *)out.buf;
    const char *get = "STAT get:count 1\r\nSTAT get:mean_us 12.3\r\nSTAT get:p50_us 12.3\r\n"
                      "STAT get:p90_us 12.3\r\nSTAT get:p99_us 12.3\r\nSTAT get:p999_us 12.3\r\n"
                      "STAT get:max_us 12.3\r\nSTAT store:count 0\r\nSTAT store:mean_us 0.0\r\n";
    assert_int_equal(strncmp(text, get, strlen(get)), 0);
    const char *ttl = "STAT ttl_s:count 2\r\nSTAT ttl_s:mean 12\r\nSTAT ttl_s:p50 10\r\n"
                      "STAT ttl_s:p90 15\r\nSTAT ttl_s:p99 15\r\nSTAT ttl_s:p999 15\r\n"
                      "STAT ttl_s:max 15\r\n";
    assert_non_null(strstr(text, ttl));
    out_fini(&out);
    for (size_t id = 0; id < STAT_HIST_COUNT; id++) {
        assert_true(stat_hist_rows[id].metric[0] != '\0' && stat_hist_rows[id].help[0] != '\0');
        assert_non_null(stat_hist_rows[id].labels);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets), cmocka_unit_test(quantiles), cmocka_unit_test(quantiles_small),
        cmocka_unit_test(threads), cmocka_unit_test(reset),     cmocka_unit_test(ticks),
        cmocka_unit_test(timing),  cmocka_unit_test(print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
