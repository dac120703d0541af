/* stress/stress_ledger.c — many threads charge the same few sources in one ledger.
 *
 * The clock is the test's own and advances while they ask without pause, so each source gets what
 * its limit allows over that time: not less, and not more than the charges that give up after lost
 * races can add (gate/ledger.h). Other sources come and go in all sets meanwhile.
 *
 * Usage: stress_ledger [SEED]; environment: MATTE_SEED, MATTE_LEDGER_STEPS (2000).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "gate/ledger.h"
#include "support/kit.h"

enum { THREADS = 4, SOURCES = 3, RATE = 1000, BURST = 2000, CALLS_PER_STEP = 64 };

struct race {
    struct gate_ledger *ledger;
    struct ip source[SOURCES];
    _Atomic uint64_t now_ms;
    _Atomic uint64_t taken[SOURCES], calls;
    _Atomic bool stop;
};

struct taker {
    struct race *race;
    uint64_t random;
};

static void *taker_main(void *arg)
{
    struct taker *taker = arg;
    struct race *race = taker->race;
    while (!atomic_load(&race->stop)) {
        const uint64_t now_ms = atomic_load(&race->now_ms);
        const uint64_t bits = kit_random(&taker->random);
        const size_t which = bits % SOURCES;
        if (gate_ledger_take(race->ledger, &race->source[which], 1, now_ms) == GATE_LEDGER_FITS)
            atomic_fetch_add(&race->taken[which], 1);
        const uint8_t v4[4] = {1, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                               (uint8_t)(bits >> 24)};
        const struct ip other = ip_of_v4(v4);
        KIT_CHECK(gate_ledger_take(race->ledger, &other, 1, now_ms) == GATE_LEDGER_FITS ||
                      gate_ledger_look(race->ledger, &other, BURST, now_ms) != GATE_LEDGER_FITS,
                  "refused, and yet its bucket is empty");
        atomic_fetch_add(&race->calls, 1);
    }
    return NULL;
}

/* A reload takes the limits anew, which are the same ones. */
static void *setter_main(void *arg)
{
    struct race *race = arg;
    while (!atomic_load(&race->stop)) {
        gate_ledger_rate_set(race->ledger, GATE_LEDGER_ADDRESS, (struct gate_rate){RATE, BURST});
        gate_ledger_rate_set(race->ledger, GATE_LEDGER_PREFIX,
                             (struct gate_rate){10 * RATE, 10 * BURST});
        sched_yield();
    }
    return NULL;
}

/* Let the threads ask for a while at each millisecond. */
static void clock_advance(struct race *race, uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++) {
        const uint64_t until = atomic_load(&race->calls) + CALLS_PER_STEP;
        while (atomic_load(&race->calls) < until)
            ;
        if (i + 1 < steps)
            atomic_fetch_add(&race->now_ms, 1);
    }
    const uint64_t until = atomic_load(&race->calls) + UINT64_C(20) * BURST;
    while (atomic_load(&race->calls) < until)
        ; /* whatever is left is taken */
}

int main(int argc, char **argv)
{
    static struct race race;
    static struct taker takers[THREADS];
    pthread_t threads[THREADS], setter;
    const uint64_t seed = kit_seed_init(argc, argv);
    const uint64_t steps = kit_env_u64("MATTE_LEDGER_STEPS", 2000);
    const struct gate_ledger_scope_config config[GATE_LEDGER_SCOPES] = {
        [GATE_LEDGER_ADDRESS] = {.rate = {RATE, BURST}, .v4_bits = 32, .v6_bits = 128},
        [GATE_LEDGER_PREFIX] = {.rate = {10 * RATE, 10 * BURST}, .v4_bits = 24, .v6_bits = 56},
    };
    KIT_CHECK(gate_ledger_new(config, &race.ledger) == 0, "ledger");
    KIT_CHECK(pthread_create(&setter, NULL, setter_main, &race) == 0, "thread");
    for (uint8_t i = 0; i < SOURCES; i++)
        race.source[i] = ip_of_v4((const uint8_t[4]){192, 0, 2, i});
    for (unsigned i = 0; i < THREADS; i++) {
        takers[i] = (struct taker){.race = &race, .random = seed + i};
        KIT_CHECK(pthread_create(&threads[i], NULL, taker_main, &takers[i]) == 0, "thread");
    }
    clock_advance(&race, steps);
    atomic_store(&race.stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_join(setter, NULL);
    const uint64_t allowed = BURST + (steps - 1) * RATE / 1000;
    for (unsigned i = 0; i < SOURCES; i++) {
        printf("source %u: %llu taken, %llu allowed\n", i, (unsigned long long)race.taken[i],
               (unsigned long long)allowed);
        KIT_CHECK(race.taken[i] >= allowed, "source %u got less than its share", i);
        KIT_CHECK(race.taken[i] <= allowed + allowed / GATE_LEDGER_TRIES, "source %u got more", i);
    }
    gate_ledger_free(race.ledger);
    return 0;
}
