/* What the admin listener tells and whom it lets in: names, tokens, JSON, history.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include "support/cm.h"
#include "support/exact.h"
#include "web/door.h"
#include "web/history.h"
#include "web/json.h"
#include "web/metrics.h"

#define TOKEN "0123456789abcdef"
#define X256                                                                                       \
    TOKEN TOKEN TOKEN TOKEN TOKEN TOKEN TOKEN TOKEN TOKEN TOKEN TOKEN TOKEN TOKEN TOKEN TOKEN TOKEN

/* ── the door ─────────────────────────────────────────────────────────────────────────────── */

static void test_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host, *names;
        bool ours;
    } rows[] = {
        {"localhost", NULL, true},
        {"LocalHost:11280", NULL, true},
        {"127.0.0.1:1", NULL, true},
        {"[::1]:11280", NULL, true},
        {"[::1]", NULL, true},
        {"", NULL, true},
        {"evil.example", NULL, false},
        {"evil.example:11280", NULL, false},
        {"localhost.evil", NULL, false},
        {"127.0.0.1.evil.example", NULL, false},
        {"localhost:", NULL, false},
        {"localhost:x", NULL, false},
        {"localhost:80:80", NULL, false},
        {"::1", NULL, false},
        {"127.0.0.2", NULL, false},
        {"cache1", "cache1", true},
        {"cache1:80", "a+cache1", true},
        {"CACHE1", "a+cache1+b", true},
        {"cache", "a+cache1+b", false},
        {"a+cache1", "a+cache1", false},
        {":80", "a", false},
        {":80", "", false},
        {"localhost", "a", true},
        {"80", NULL, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct bytes host = exact(rows[i].host, strlen(rows[i].host));
        if (door_host_is_ours(host, rows[i].names) != rows[i].ours)
            fail_msg("%s, with %s", rows[i].host, rows[i].names ? rows[i].names : "none");
        exact_free(host);
    }
}

static void test_token_files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t count; /* 0: refused */
    } rows[] = {
        {TOKEN, 1},
        {TOKEN "\n", 1},
        {"# new\n" TOKEN "x\r\n\n# old\n" TOKEN "y\n", 2},
        {X256, 1},
        {X256 "x", 0},
        {"0123456789abcde\n", 0},
        {TOKEN " x\n", 0},
        {TOKEN "\tx\n", 0},
        {TOKEN "\xc3\xa4\n", 0},
        {"", 0},
        {"\n# only this\n", 0},
        {TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN
               "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN
               "\n" TOKEN "\n",
         16},
        {TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN
               "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN "\n" TOKEN
               "\n" TOKEN "\n" TOKEN "\n",
         0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct door_tokens tokens = {.count = 0};
        const struct bytes text = exact(rows[i].text, strlen(rows[i].text));
        const char *fault = door_tokens_parse(text, &tokens);
        if ((fault == NULL) != (rows[i].count > 0) || tokens.count != rows[i].count)
            fail_msg("row %zu: %s, %zu tokens", i, fault ? fault : "fine", tokens.count);
        exact_free(text);
    }
}

static void test_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        enum door_rc rc;
    } rows[] = {
        {"", DOOR_ABSENT},
        {"Bearer " TOKEN, DOOR_OPEN},
        {"bearer  " TOKEN, DOOR_OPEN},
        {"Bearer fedcba9876543210", DOOR_OPEN},
        {"Bearer " TOKEN "x", DOOR_REFUSED},
        {"Bearer 0123456789abcde", DOOR_REFUSED},
        {"Bearer ", DOOR_REFUSED},
        {"Bearer", DOOR_REFUSED},
        {TOKEN, DOOR_REFUSED},
        {"Basic dXNlcjowMTIzNDU2Nzg5YWJjZGVm", DOOR_OPEN}, /* user:TOKEN */
        {"BASIC OjAxMjM0NTY3ODlhYmNkZWY=", DOOR_OPEN},     /* :TOKEN */
        {"Basic MDEyMzQ1Njc4OWFiY2RlZg==", DOOR_REFUSED},  /* TOKEN */
        {"Basic dXNlcjo=", DOOR_REFUSED},                  /* user: */
        {"Basic ====", DOOR_REFUSED},
        {"Basic", DOOR_REFUSED},
        {"Basic " X256 X256 X256, DOOR_REFUSED},
        {"Digest " TOKEN, DOOR_REFUSED},
    };
    struct door_tokens tokens;
    assert_null(door_tokens_parse(bytes_str("fedcba9876543210\n" TOKEN), &tokens));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct bytes value = exact(rows[i].value, strlen(rows[i].value));
        const enum door_rc rc = door_token_check(&tokens, value);
        if (rc != rows[i].rc)
            fail_msg("%s: %d", rows[i].value, (int)rc);
        exact_free(value);
    }
}

/* ── JSON ─────────────────────────────────────────────────────────────────────────────────── */

static void out_check(struct out *out, const char *want)
{
    if (!bytes_is(bytes_of(out->buf, out->len), want))
        fail_msg("%.*s\nwant %s", (int)out->len, (const char *)out->buf, want);
    out_reset(out);
}

static void test_json(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } rows[] = {
        {"", "{}"},
        {"STAT a 1\r\nSTAT b x y\r\nEND\r\n", "{\"a\":1,\"b\":\"x y\"}"},
        {"STAT a -1\nSTAT b 0\nSTAT c 1.50\n", "{\"a\":-1,\"b\":0,\"c\":1.50}"},
        {"STAT a 01\nSTAT b 1.\nSTAT c .5\nSTAT d 1e5\nSTAT e -\nSTAT f 1.2.3\n",
         "{\"a\":\"01\",\"b\":\"1.\",\"c\":\".5\",\"d\":\"1e5\",\"e\":\"-\",\"f\":\"1.2.3\"}"},
        {"STAT a 123456789012345\nSTAT b 1234567890123456\n",
         "{\"a\":123456789012345,\"b\":\"1234567890123456\"}"},
        {"STAT a\nSTAT\nSTAT b \n", "{\"a\":\"\",\"\":\"\",\"b\":\"\"}"},
        {"STAT k <img/src=x/onerror=alert(1)>&\n",
         "{\"k\":\"\\u003cimg/src=x/onerror=alert(1)\\u003e\\u0026\"}"},
        {"STAT k \"\\\x01\x7f\n", "{\"k\":\"\\\"\\\\\\u0001\\u007f\"}"},
        {"STAT k \xc3\xa4\xff\xe2\x82\n", "{\"k\":\"\xc3\xa4\\u00ff\\u00e2\\u0082\"}"},
    };
    struct out out;
    out_init(&out);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct bytes in = exact(rows[i].in, strlen(rows[i].in));
        json_rows(&out, in);
        out_check(&out, rows[i].want);
        exact_free(in);
    }
    json_reachable(&out, bytes_str("tcp:1.2.3.4:5\tplain\teverywhere\tany\"body\tall\nx\n"));
    out_check(&out, "[{\"address\":\"tcp:1.2.3.4:5\",\"how\":\"plain\",\"where\":\"everywhere\","
                    "\"who\":\"any\\\"body\",\"what\":\"all\"},"
                    "{\"address\":\"x\",\"how\":\"\",\"where\":\"\",\"who\":\"\",\"what\":\"\"}]");
    out_fini(&out);
}

/* ── history ──────────────────────────────────────────────────────────────────────────────── */

struct tape {
    struct history history;
    struct web_facts facts;
    uint64_t now_ms;
    struct out out;
};

static void tape_init(struct tape *tape)
{
    *tape = (struct tape){.now_ms = 5000};
    out_init(&tape->out);
}

static void tape_fini(struct tape *tape)
{
    history_fini(&tape->history);
    out_fini(&tape->out);
}

/* `ms` later; wall time is 1000000 ms ahead of the other clock. */
static void step(struct tape *tape, uint64_t ms)
{
    tape->now_ms += ms;
    history_add(&tape->history, &tape->facts, tape->now_ms, tape->now_ms + 1000000);
}

static size_t count_of(struct tape *tape, const char *needle)
{
    size_t count = 0;
    for (size_t at = 0; at + strlen(needle) <= tape->out.len; at++)
        count += memcmp(tape->out.buf + at, needle, strlen(needle)) == 0;
    return count;
}

/* How many samples there are. */
static size_t samples_of(struct tape *tape, uint64_t step_s, uint64_t since_ms)
{
    out_reset(&tape->out);
    history_write(&tape->history, &tape->out, step_s, since_ms);
    return count_of(tape, ",\n") + (count_of(tape, "\"samples\":[[") > 0);
}

static void test_history_rates(void **state)
{
    (void)state;
    struct tape tape;
    tape_init(&tape);
    step(&tape, 0);
    assert_int_equal(samples_of(&tape, 1, 0), 0); /* nothing to compare with */
    tape.facts.stat[STAT_GET_HITS] = 500;
    tape.facts.event[EVENT_CONN_DENIED] = 3;
    step(&tape, 1000);
    assert_int_equal(samples_of(&tape, 1, 0), 1);
    assert_int_equal(count_of(&tape, "[1006000,500,0,"), 1);
    assert_int_equal(count_of(&tape, "\"events\":[[1006000,\"conn_denied\",3]]"), 1);
    tape.facts.stat[STAT_GET_HITS] = 1100;
    step(&tape, 1200); /* per second, however late it is */
    assert_int_equal(samples_of(&tape, 1, 1006000), 1);
    assert_int_equal(count_of(&tape, "[1007200,500,0,"), 1);
    tape.facts.stat[STAT_GET_HITS] = 7; /* stats reset */
    step(&tape, 1000);
    assert_int_equal(samples_of(&tape, 1, 1007200), 1);
    assert_int_equal(count_of(&tape, "[1008200,7,0,"), 1);
    tape_fini(&tape);
}

static void test_history_quantiles(void **state)
{
    (void)state;
    struct tape tape;
    tape_init(&tape);
    struct stat_hist_sum *get = &tape.facts.hist[STAT_HIST_GET];
    get->count = get->bucket[10] = 100; /* before the first sample: in none */
    get->max = 10;
    step(&tape, 0);
    step(&tape, 1000);
    assert_int_equal(samples_of(&tape, 1, 0), 1);
    assert_int_equal(count_of(&tape, ",null,null,null,null,null,null]"), 1);
    get->bucket[5] += 10;
    get->count += 10;
    step(&tape, 1000);
    assert_int_equal(samples_of(&tape, 1, 1006000), 1);
    assert_int_equal(count_of(&tape, ",5,5,5,5,5,null]"), 1);
    tape_fini(&tape);
}

static void test_history_gaps(void **state)
{
    (void)state;
    struct tape tape;
    tape_init(&tape);
    for (unsigned i = 0; i < 25; i++)
        step(&tape, 1000);
    assert_int_equal(samples_of(&tape, 1, 0), 24);
    assert_int_equal(samples_of(&tape, 10, 0), 2);
    tape.facts.stat[STAT_GET_HITS] = 1000000;
    step(&tape, 60000); /* asleep: what was counted meanwhile is in no sample */
    assert_int_equal(samples_of(&tape, 1, 0), 24);
    assert_int_equal(samples_of(&tape, 10, 0), 2);
    step(&tape, 1000);
    assert_int_equal(samples_of(&tape, 1, 0), 25);
    assert_int_equal(count_of(&tape, "1000000,"), 0);
    step(&tape, 300); /* too early */
    assert_int_equal(samples_of(&tape, 1, 0), 25);
    tape_fini(&tape);
}

static void test_history_wraps(void **state)
{
    (void)state;
    struct tape tape;
    tape_init(&tape);
    for (unsigned i = 0; i < HISTORY_COARSE * 10 + 500; i++)
        step(&tape, i % 7 == 0 ? 950 : 1000);
    assert_int_equal(samples_of(&tape, 1, 0), HISTORY_FINE);
    assert_int_equal(samples_of(&tape, 10, 0), HISTORY_COARSE);
    assert_int_equal(samples_of(&tape, 1, tape.now_ms + 1000000 - 3500), 4);
    assert_int_equal(samples_of(&tape, 1, tape.now_ms + 1000000), 0);
    assert_int_equal(samples_of(&tape, 77, tape.now_ms + 1000000 - 3500), 4); /* means 1 */
    tape_fini(&tape);
}

/* ── metrics ──────────────────────────────────────────────────────────────────────────────── */

static void test_metrics(void **state)
{
    (void)state;
    struct tape tape;
    tape_init(&tape);
    tape.facts.stat[STAT_CMD_SET] = 10;
    tape.facts.stat[STAT_CAS_HITS] = 3;
    tape.facts.stat[STAT_CAS_BADVAL] = 1;
    tape.facts.stat[STAT_TIME_IN_LISTEN_DISABLED_US] = 1500000;
    tape.facts.user_us = 2250000;
    tape.facts.hist[STAT_HIST_GET].count = 3;
    tape.facts.hist[STAT_HIST_GET].sum = 2500000000;
    tape.facts.hist[STAT_HIST_GET].bucket[stat_hist_bucket(1000)] = 2;
    tape.facts.hist[STAT_HIST_GET].bucket[stat_hist_bucket(1500000000)] = 1;
    tape.facts.sink_count = 1;
    tape.facts.sinks[0] = (struct events_sink_info){.name = "file:a\\\"\n", .lines = 4, .lost = 5};
    metrics_write(&tape.out, &tape.facts);
    static const char *const once[] = {
        "\nmemcached_commands_total{command=\"set\",status=\"hit\"} 6\n",
        "\nmatte_commands_total{command=\"set\"} 10\n",
        "\nmatte_accept_pauses_seconds_total 1.5\n",
        "\nmatte_cpu_seconds_total{mode=\"user\"} 2.25\n",
        "\nmatte_event_lines_lost_total{sink=\"file:a\\\\\\\"\\n\"} 5\n",
        "\n# TYPE memcached_commands_total counter\n",
        "\n# TYPE matte_udp_bytes_total counter\n",
        "\n# TYPE matte_connections_current gauge\n",
        "\nmatte_request_duration_seconds_bucket{command=\"get\",le=\"1.024e-06\"} 2\n",
        "\nmatte_request_duration_seconds_bucket{command=\"get\",le=\"+Inf\"} 3\n",
        "\nmatte_request_duration_seconds_sum{command=\"get\"} 2.5\n",
        "\nmatte_request_duration_seconds_count{command=\"get\"} 3\n",
        "\nmatte_value_bytes_bucket{le=\"+Inf\"} 0\n",
        "\nmatte_value_bytes_count 0\n",
        "\nmatte_security_events_total{event=\"conn_denied\"} 0\n",
    };
    for (size_t i = 0; i < COUNT_OF(once); i++)
        if (count_of(&tape, once[i]) != 1)
            fail_msg("%zu times%s", count_of(&tape, once[i]), once[i]);
    tape_fini(&tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),         cmocka_unit_test(test_token_files),
        cmocka_unit_test(test_tokens),        cmocka_unit_test(test_json),
        cmocka_unit_test(test_history_rates), cmocka_unit_test(test_history_quantiles),
        cmocka_unit_test(test_history_gaps),  cmocka_unit_test(test_history_wraps),
        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
