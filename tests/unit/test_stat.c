/* test_stat.c — blocks are summed, a reset touches counters alone, rows come in order.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <pthread.h>

#include <cmocka.h>

#include "stat/stat.h"

static void count(void **state)
{
    (void)state;
    struct stat_registry *registry;
    struct stat_block *one, *two;
    uint64_t sum[STAT_ID_COUNT];
    assert_int_equal(stat_registry_new(&registry), 0);
    assert_int_equal(stat_block_new(registry, &one), 0);
    assert_int_equal(stat_block_new(registry, &two), 0);
    assert_int_equal((uintptr_t)one % CACHE_LINE_BYTES, 0);

    stat_inc(one, STAT_CMD_GET);
    stat_add(two, STAT_CMD_GET, 4);
    stat_inc(one, STAT_CURR_CONNECTIONS); /* opened here, closed there */
    stat_inc(one, STAT_CURR_CONNECTIONS);
    stat_sub(two, STAT_CURR_CONNECTIONS, 1);
    stat_registry_sum(registry, sum);
    assert_int_equal(sum[STAT_CMD_GET], 5);
    assert_int_equal(sum[STAT_CURR_CONNECTIONS], 1);
    assert_int_equal(sum[STAT_CMD_SET], 0);

    stat_registry_reset(registry);
    stat_registry_sum(registry, sum);
    assert_int_equal(sum[STAT_CMD_GET], 0);
    assert_int_equal(sum[STAT_CURR_CONNECTIONS], 1);

    stat_add(one, STAT_CMD_GET, 2);
    stat_registry_reset(registry);
    stat_add(two, STAT_CMD_GET, 3);
    stat_registry_sum(registry, sum);
    assert_int_equal(sum[STAT_CMD_GET], 3);
    stat_registry_free(registry);
    stat_registry_free(NULL);
}

enum { THREADS = 4, ADDS = 20000 };

static void *adder(void *arg)
{
    struct stat_block *block;
    if (stat_block_new(arg, &block) != 0)
        return NULL;
    for (unsigned i = 0; i < ADDS; i++) {
        stat_inc(block, STAT_BYTES_READ);
        stat_add(block, STAT_BYTES_WRITTEN, i % 3);
    }
    return block;
}

/* Sums taken while others count never go backwards, and nothing is lost when they are done. */
static void count_in_threads(void **state)
{
    (void)state;
    struct stat_registry *registry;
    pthread_t threads[THREADS];
    uint64_t sum[STAT_ID_COUNT], before = 0;
    assert_int_equal(stat_registry_new(&registry), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, adder, registry), 0);
    for (size_t i = 0; i < 1000; i++) {
        stat_registry_sum(registry, sum);
        assert_true(sum[STAT_BYTES_READ] >= before);
        before = sum[STAT_BYTES_READ];
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    stat_registry_sum(registry, sum);
    assert_int_equal(sum[STAT_BYTES_READ], THREADS * ADDS);
    stat_registry_free(registry);
}

/* ── answers ──────────────────────────────────────────────────────────────────────────────── */

static void computed_value(void *arg, enum stat_id id, struct out *out)
{
    (void)arg;
    if (id == STAT_PID)
        out_put_str(out, "1234");
    else if (id == STAT_RUSAGE_USER)
        out_put_str(out, "0.000001");
}

/* Print `stats` with these options and count its rows. */
static size_t rows_count(const struct opts *opts, struct out *out)
{
    const struct stat_provider provider = {.value = computed_value,
                                           .lru_crawler = opts->lru_crawler,
                                           .idle_timeout = opts->idle_timeout_s > 0};
    uint64_t sum[STAT_ID_COUNT] = {[STAT_CMD_GET] = 42, [STAT_REJECTED_CONNECTIONS] = 7};
    size_t count = 0;
    out_reset(out);
    stat_print(out, opts, sum, &provider);
    assert_false(out->failed);
    for (size_t i = 0; i < out->len; i++)
        count += out->buf[i] == '\n';
    out_put(out, "", 1); /* so that strstr works */
    return count;
}

static bool contains(const struct out *out, const char *text)
{
    return strstr((const char *)out->buf, text) != NULL;
}

/* Spec: "84 keys with crawler and maintainer off, 93 by default". */
static void general(void **state)
{
    (void)state;
    struct opts opts;
    struct out out;
    out_init(&out);
    assert_int_equal(opt_init(&opts), 0);

    assert_int_equal(rows_count(&opts, &out), 93);
    assert_memory_equal(out.buf, "STAT pid 1234\r\nSTAT uptime 0\r\n", 30);
    assert_true(contains(&out, "\r\nSTAT rusage_user 0.000001\r\n"));
    assert_true(contains(&out, "\r\nSTAT cmd_get 42\r\nSTAT cmd_set 0\r\n"));
    assert_true(contains(&out, "STAT total_connections 0\r\nSTAT rejected_connections 7\r\n"));
    assert_true(contains(&out, "STAT direct_reclaims 0\r\nSTAT lru_bumps_dropped 0\r\n"));
    assert_false(contains(&out, "idle_kicks"));

    opts.lru_crawler = opts.lru_maintainer = false;
    assert_int_equal(rows_count(&opts, &out), 84);
    opts.idle_timeout_s = 5;
    opts.maxconns_fast = false;
    assert_int_equal(rows_count(&opts, &out), 84);
    assert_true(contains(&out, "STAT auth_errors 0\r\nSTAT idle_kicks 0\r\nSTAT bytes_read"));
    assert_false(contains(&out, "rejected_connections"));

    assert_string_equal(stat_name(STAT_CAS_BADVAL), "cas_badval");
    opt_fini(&opts);
    out_fini(&out);
}

static void settings(void **state)
{
    (void)state;
    struct opts opts;
    struct out out;
    out_init(&out);
    assert_int_equal(opt_init(&opts), 0);
    const struct stat_settings live = {
        .memory_limit_bytes = 8 << 20,
        .verbose = 2,
        .conn_limit = 1024,
        .max_reqs_per_event = 20,
        .oldest_s = 9,
        .port = 4321,
        .slab_automove = 1,
        .slab_automove_window_s = 10,
        .slab_automove_ratio = 0.8,
        .hot_max_factor = 0.2,
        .warm_max_factor = 2,
    };
    stat_print_settings(&out, &opts, &live);
    out_put(&out, "", 1);
    static const char *const wants[] = {
        "STAT maxbytes 8388608\r\nSTAT maxconns 1024\r\nSTAT tcpport 4321\r\nSTAT udpport 0\r\n",
        "STAT inter 127.0.0.1,::1\r\nSTAT verbosity 2\r\nSTAT oldest 9\r\nSTAT evictions on\r\n",
        "STAT domain_socket NULL\r\nSTAT umask 700\r\nSTAT shutdown_command no\r\n",
        "STAT growth_factor 1.25\r\nSTAT chunk_size 48\r\nSTAT num_threads 4\r\n",
        "STAT stat_key_prefix :\r\nSTAT detail_enabled no\r\nSTAT reqs_per_event 20\r\n",
        "STAT cas_enabled yes\r\nSTAT tcp_backlog 1024\r\nSTAT binding_protocol auto-negotiate\r\n",
        "STAT item_size_max 1048576\r\nSTAT maxconns_fast yes\r\nSTAT hashpower_init 0\r\n",
        "STAT slab_automove 1\r\nSTAT slab_automove_ratio 0.80\r\nSTAT slab_automove_window 10\r\n",
        "STAT slab_chunk_max 524288\r\n",
        "STAT hash_algorithm murmur3\r\n",
        "STAT hot_max_factor 0.20\r\nSTAT warm_max_factor 2.00\r\nSTAT temp_lru no\r\n",
        "STAT watcher_logbuf_size 262144\r\nSTAT worker_logbuf_size 65536\r\n",
        "STAT memory_file (null)\r\nSTAT client_flags_size 4\r\n"
        "STAT latency_stats yes\r\nSTAT hotkeys yes\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(wants); i++)
        if (!contains(&out, wants[i]))
            fail_msg("missing: %s", wants[i]);
    opt_fini(&opts);
    out_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(count),
        cmocka_unit_test(count_in_threads),
        cmocka_unit_test(general),
        cmocka_unit_test(settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
