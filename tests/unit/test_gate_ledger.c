/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/ledger.h"

#include <errno.h>

#include "support/cm.h"
#include "support/kit.h"

static struct ip ip_from(const char *text)
{
    struct ip ip = {{0}};
    assert_true(ip_parse(bytes_str(text), &ip));
    return ip;
}

static struct gate_ledger *ledger_open(struct gate_rate address, struct gate_rate prefix)
{
    const struct gate_ledger_scope_config config[GATE_LEDGER_SCOPES] = {
        [GATE_LEDGER_ADDRESS] = {.rate = address, .v4_bits = 32, .v6_bits = 128},
        [GATE_LEDGER_PREFIX] = {.rate = prefix, .v4_bits = 24, .v6_bits = 56},
    };
    struct gate_ledger *ledger = NULL;
    assert_int_equal(gate_ledger_new(config, &ledger), 0);
    return ledger;
}

static bool take(struct gate_ledger *ledger, const char *source, uint32_t cost, uint64_t now_ms)
{
    const struct ip ip = ip_from(source);
    return gate_ledger_take(ledger, &ip, cost, now_ms) == GATE_LEDGER_FITS;
}

/* How often `source` may take 1. */
static unsigned taken(struct gate_ledger *ledger, const char *source, uint64_t now_ms)
{
    unsigned count = 0;
    while (count < 100000 && take(ledger, source, 1, now_ms))
        count++;
    return count;
}

/* ── the bucket ───────────────────────────────────────────────────────────────────────────── */

static void a_charge_is_the_time_it_takes_to_drain(void **state)
{
    (void)state;
    assert_int_equal(gate_bucket_ticks(1000, 1), 1 << GATE_BUCKET_MS_SHIFT);
    assert_int_equal(gate_bucket_ticks(1, 1), UINT64_C(1000) << GATE_BUCKET_MS_SHIFT);
    assert_int_equal(gate_bucket_ticks(UINT32_MAX, 1), 1); /* nothing is free */
    assert_int_equal(gate_bucket_ticks(UINT32_MAX, 0), 0);
    assert_int_equal(gate_bucket_ticks(UINT32_MAX, UINT32_MAX), UINT64_C(1000)
                                                                    << GATE_BUCKET_MS_SHIFT);
    assert_true(gate_bucket_ticks(1, UINT32_MAX) < UINT64_C(1) << 56);
}

static void a_level_decays_and_ends(void **state)
{
    (void)state;
    const uint64_t now = gate_bucket_now(5000);
    const uint64_t empty_at = gate_bucket_charge(0, 10 << GATE_BUCKET_MS_SHIFT, now);
    assert_int_equal(gate_bucket_level(empty_at, now), 10 << GATE_BUCKET_MS_SHIFT);
    assert_int_equal(gate_bucket_level(empty_at, gate_bucket_now(5009)), 1 << GATE_BUCKET_MS_SHIFT);
    assert_int_equal(gate_bucket_level(empty_at, gate_bucket_now(5010)), 0);
    assert_int_equal(gate_bucket_level(empty_at, gate_bucket_now(5011)), 0);
    assert_int_equal(gate_bucket_level(empty_at, gate_bucket_now(5000 + 86400000ull)), 0);
}

static void ticks_wrap_around_unnoticed(void **state)
{
    (void)state;
    const uint64_t last_ms = UINT64_C(1) << (GATE_BUCKET_TICK_BITS - GATE_BUCKET_MS_SHIFT);
    const uint64_t empty_at =
        gate_bucket_charge(0, UINT64_C(7) << GATE_BUCKET_MS_SHIFT, gate_bucket_now(last_ms - 2));
    assert_int_equal(gate_bucket_level(empty_at, gate_bucket_now(last_ms - 2)),
                     7 << GATE_BUCKET_MS_SHIFT);
    assert_int_equal(gate_bucket_level(empty_at, gate_bucket_now(last_ms + 4)),
                     1 << GATE_BUCKET_MS_SHIFT);
    assert_int_equal(gate_bucket_level(empty_at, gate_bucket_now(last_ms + 5)), 0);
}

static void a_level_has_an_end(void **state)
{
    (void)state;
    const uint64_t now = gate_bucket_now(1);
    const uint64_t empty_at = gate_bucket_charge(GATE_BUCKET_LEVEL_MAX, UINT64_C(1) << 56, now);
    assert_int_equal(gate_bucket_level(empty_at, now), GATE_BUCKET_LEVEL_MAX);
}

static void a_wait_ends_when_the_burst_is_reached(void **state)
{
    (void)state;
    assert_int_equal(gate_bucket_wait_ms(100, 100), 0);
    assert_int_equal(gate_bucket_wait_ms(101, 100), 1);
    assert_int_equal(gate_bucket_wait_ms((1 << GATE_BUCKET_MS_SHIFT) + 100, 100), 1);
    assert_int_equal(gate_bucket_wait_ms((1 << GATE_BUCKET_MS_SHIFT) + 101, 100), 2);
}

/* ── the ledger ───────────────────────────────────────────────────────────────────────────── */

static void a_burst_then_the_rate(void **state)
{
    (void)state;
    struct gate_ledger *ledger = ledger_open((struct gate_rate){10, 20}, (struct gate_rate){0, 0});
    assert_int_equal(taken(ledger, "192.0.2.1", 1000), 20);
    assert_int_equal(taken(ledger, "192.0.2.1", 1099), 0);
    assert_int_equal(taken(ledger, "192.0.2.1", 1100), 1);
    assert_int_equal(taken(ledger, "192.0.2.1", 1500), 4);
    assert_int_equal(taken(ledger, "192.0.2.1", 60000), 20);
    assert_int_equal(taken(ledger, "192.0.2.2", 60000), 20); /* another source, another bucket */
    gate_ledger_free(ledger);
}

static void more_than_a_burst_at_once_never_fits(void **state)
{
    (void)state;
    struct gate_ledger *ledger = ledger_open((struct gate_rate){10, 20}, (struct gate_rate){0, 0});
    assert_false(take(ledger, "192.0.2.1", 21, 1000));
    assert_false(take(ledger, "192.0.2.1", UINT32_MAX, 1000));
    assert_true(take(ledger, "192.0.2.1", 20, 1000));
    gate_ledger_free(ledger);
}

static void what_is_refused_is_not_charged(void **state)
{
    (void)state;
    struct gate_ledger *ledger =
        ledger_open((struct gate_rate){10, 20}, (struct gate_rate){10, 25});
    assert_int_equal(taken(ledger, "192.0.2.1", 1000), 20);
    assert_int_equal(taken(ledger, "192.0.2.2", 1000), 5); /* the prefix has no more */
    /* Its address was charged for those five alone, its prefix for nothing of the first's. */
    assert_int_equal(taken(ledger, "192.0.2.2", 1500), 5);
    assert_int_equal(taken(ledger, "192.0.2.1", 2500), 10);
    assert_int_equal(taken(ledger, "192.0.3.1", 2500), 20); /* another prefix */
    gate_ledger_free(ledger);
}

static void prefixes_of_both_families(void **state)
{
    (void)state;
    struct gate_ledger *ledger = ledger_open((struct gate_rate){0, 0}, (struct gate_rate){1, 3});
    assert_true(take(ledger, "10.0.0.1", 1, 0));
    assert_true(take(ledger, "10.0.0.255", 1, 0));
    assert_int_equal(taken(ledger, "10.0.0.7", 0), 1);
    assert_int_equal(taken(ledger, "10.0.1.0", 0), 3);
    assert_true(take(ledger, "2001:db8:0:0100::1", 1, 0));
    assert_true(take(ledger, "2001:db8:0:01ff::1", 1, 0));
    assert_int_equal(taken(ledger, "2001:db8:0:0177:1:2:3:4", 0), 1);
    assert_int_equal(taken(ledger, "2001:db8:0:0200::", 0), 3);
    gate_ledger_free(ledger);
}

static void looking_changes_nothing(void **state)
{
    (void)state;
    struct gate_ledger *ledger = ledger_open((struct gate_rate){10, 2}, (struct gate_rate){0, 0});
    const struct ip ip = ip_from("2001:db8::1");
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(gate_ledger_look(ledger, &ip, 2, 5), GATE_LEDGER_FITS);
    assert_int_equal(gate_ledger_look(ledger, &ip, 3, 5), GATE_LEDGER_ADDRESS_OVER);
    assert_int_equal(gate_ledger_cells(ledger, GATE_LEDGER_ADDRESS, 5), 0);
    assert_int_equal(gate_ledger_take(ledger, &ip, 1, 5), GATE_LEDGER_FITS);
    assert_int_equal(gate_ledger_look(ledger, &ip, 1, 5), GATE_LEDGER_FITS);
    assert_int_equal(gate_ledger_look(ledger, &ip, 2, 5), GATE_LEDGER_ADDRESS_OVER);
    gate_ledger_free(ledger);
}

static void a_debt_is_waited_for(void **state)
{
    (void)state;
    struct gate_ledger *ledger =
        ledger_open((struct gate_rate){1000, 500}, (struct gate_rate){2000, 1000});
    const struct ip ip = ip_from("192.0.2.9");
    enum gate_ledger_scope scope = GATE_LEDGER_SCOPES;
    gate_ledger_charge(ledger, &ip, 500, 0);
    assert_int_equal(gate_ledger_wait_ms(ledger, &ip, 0, &scope), 0);
    gate_ledger_charge(ledger, &ip, 3000, 0);
    assert_int_equal(gate_ledger_wait_ms(ledger, &ip, 0, &scope), 3000);
    assert_int_equal(scope, GATE_LEDGER_ADDRESS);
    assert_int_equal(gate_ledger_wait_ms(ledger, &ip, 2999, &scope), 1);
    assert_int_equal(gate_ledger_wait_ms(ledger, &ip, 3000, &scope), 0);
    assert_int_equal(gate_ledger_look(ledger, &ip, 1, 3000), GATE_LEDGER_ADDRESS_OVER);
    assert_int_equal(gate_ledger_look(ledger, &ip, 1, 3001), GATE_LEDGER_FITS);
    const struct ip near = ip_from("192.0.2.10"); /* waits for its prefix: 3500 - 1000 at 2000/s */
    assert_int_equal(gate_ledger_wait_ms(ledger, &near, 0, &scope), 1250);
    assert_int_equal(scope, GATE_LEDGER_PREFIX);
    for (unsigned i = 0; i < 10; i++)
        gate_ledger_charge(ledger, &ip, UINT32_MAX, 4000); /* a debt has an end */
    assert_int_equal(gate_ledger_wait_ms(ledger, &ip, 4000, &scope),
                     GATE_BUCKET_BURST_S_MAX * 2 * 1000 - 500);
    gate_ledger_free(ledger);
}

static void no_rate_is_no_limit(void **state)
{
    (void)state;
    struct gate_ledger *ledger = ledger_open((struct gate_rate){0, 0}, (struct gate_rate){0, 0});
    assert_true(take(ledger, "192.0.2.1", UINT32_MAX, 0));
    assert_true(take(ledger, "192.0.2.1", UINT32_MAX, 0));
    gate_ledger_free(ledger);
}

static void rates_are_checked(void **state)
{
    (void)state;
    static const struct gate_rate bad[] = {{1, 0}, {1, GATE_BUCKET_BURST_S_MAX + 1}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const struct gate_ledger_scope_config config[GATE_LEDGER_SCOPES] = {{.rate = bad[i]}};
        struct gate_ledger *ledger = NULL;
        assert_int_equal(gate_ledger_new(config, &ledger), -EINVAL);
        assert_null(ledger);
    }
}

/* ── a flood of forged sources ────────────────────────────────────────────────────────────── */

static struct ip random_ip(uint64_t *random)
{
    struct ip ip;
    const uint64_t bits = kit_random(random);
    const uint8_t v4[4] = {(uint8_t)(bits | 1), (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                           (uint8_t)(bits >> 24)};
    if (bits >> 63 != 0)
        return ip_of_v4(v4);
    const uint64_t more[2] = {bits | 0x20, kit_random(random)};
    memcpy(ip.byte, more, sizeof(ip.byte));
    return ip;
}

/* A million sources, each once, 250 in a millisecond. Between them one that asks 50 times in a
 * millisecond, and one that asks as often as it may and no oftener. */
static void flood(struct gate_rate rate, uint64_t light_every_ms)
{
    enum { FLOOD = 1000 * 1000, PER_MS = 250, HEAVY_PER_MS = 50 };
    struct gate_ledger *ledger =
        ledger_open(rate, (struct gate_rate){10 * rate.per_s, 10 * rate.burst});
    const struct ip heavy = ip_from("198.51.100.7"), light = ip_from("203.0.113.7");
    uint64_t random = kit_env_u64("MATTE_SEED", 20261123);
    const uint64_t rss_before = kit_rss_bytes();
    uint64_t heavy_taken = 0, light_refused = 0, flood_refused = 0;
    const uint64_t end_ms = FLOOD / PER_MS;
    for (uint64_t now_ms = 0; now_ms < end_ms; now_ms++) {
        for (unsigned i = 0; i < PER_MS; i++) {
            const struct ip forged = random_ip(&random);
            flood_refused += gate_ledger_take(ledger, &forged, 1, now_ms) != GATE_LEDGER_FITS;
        }
        for (unsigned i = 0; i < HEAVY_PER_MS; i++)
            heavy_taken += gate_ledger_take(ledger, &heavy, 1, now_ms) == GATE_LEDGER_FITS;
        if (now_ms % light_every_ms == 0)
            light_refused += gate_ledger_take(ledger, &light, 1, now_ms) != GATE_LEDGER_FITS;
    }
    assert_int_equal(light_refused, 0);
    assert_int_equal(heavy_taken, rate.burst + (end_ms - 1) * rate.per_s / 1000);
    assert_true(flood_refused < FLOOD / 100000);
    assert_true(gate_ledger_cells(ledger, GATE_LEDGER_ADDRESS, end_ms) <=
                GATE_LEDGER_SETS * GATE_LEDGER_SET_CELLS);
    if (!KIT_SANITIZED)
        assert_true(kit_rss_bytes() - rss_before <= GATE_LEDGER_BYTES + KIT_MIB);
    gate_ledger_free(ledger);
}

static void a_flood_hides_nobody_and_harms_nobody(void **state)
{
    (void)state;
    flood((struct gate_rate){100, 200}, 10);
    flood((struct gate_rate){1, 10}, 1000); /* a second each: four times more than cells */
}

/* However many sources there are, a cell holds one: the tables never say that there are more. */
static void cells_are_counted(void **state)
{
    (void)state;
    struct gate_ledger *ledger =
        ledger_open((struct gate_rate){10, 20}, (struct gate_rate){10, 20});
    assert_true(take(ledger, "192.0.2.1", 1, 1000));
    assert_true(take(ledger, "192.0.2.2", 2, 1000));
    assert_int_equal(gate_ledger_cells(ledger, GATE_LEDGER_ADDRESS, 1000), 2);
    assert_int_equal(gate_ledger_cells(ledger, GATE_LEDGER_PREFIX, 1000), 1);
    assert_int_equal(gate_ledger_cells(ledger, GATE_LEDGER_ADDRESS, 1100), 1);
    assert_int_equal(gate_ledger_cells(ledger, GATE_LEDGER_PREFIX, 1299), 1);
    assert_int_equal(gate_ledger_cells(ledger, GATE_LEDGER_PREFIX, 1300), 0);
    gate_ledger_free(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_charge_is_the_time_it_takes_to_drain),
        cmocka_unit_test(a_level_decays_and_ends),
        cmocka_unit_test(ticks_wrap_around_unnoticed),
        cmocka_unit_test(a_level_has_an_end),
        cmocka_unit_test(a_wait_ends_when_the_burst_is_reached),
        cmocka_unit_test(a_burst_then_the_rate),
        cmocka_unit_test(more_than_a_burst_at_once_never_fits),
        cmocka_unit_test(what_is_refused_is_not_charged),
        cmocka_unit_test(prefixes_of_both_families),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(a_debt_is_waited_for),
        cmocka_unit_test(no_rate_is_no_limit),
        cmocka_unit_test(rates_are_checked),
        cmocka_unit_test(a_flood_hides_nobody_and_harms_nobody),
        cmocka_unit_test(cells_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
