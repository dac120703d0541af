/* stress/stress_lists.c — addresses are judged while the access list comes and goes.
 *
 * The lists change between one that lets 10.0.0.0/8 in, with protected mode, and none, without it:
 * whoever comes from there is welcome all the time, others are or are denied, and nobody ever meets
 * a mixture (protected mode without a list) for longer than a change takes, or a freed set.
 *
 * Usage: stress_lists; environment: MATTE_GATE_SECONDS (3).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "gate/gate.h"
#include "support/kit.h"

enum { ASKERS = 4 };

struct race {
    struct gate *gate;
    _Atomic uint64_t asked, denied;
    _Atomic bool stop;
};

struct asker {
    struct race *race;
    unsigned slot;
};

static void *asker_main(void *arg)
{
    const struct asker *asker = arg;
    struct gate *gate = asker->race->gate;
    const struct ip_peer inner = {.family = IP_V4, .ip = ip_of_v4((const uint8_t[4]){10, 1, 2, 3})};
    const struct ip_peer outer = {.family = IP_V4,
                                  .ip = ip_of_v4((const uint8_t[4]){192, 0, 2, 1})};
    while (!atomic_load(&asker->race->stop)) {
        KIT_CHECK(gate_admit(gate, asker->slot, 0, &inner) != GATE_DENIED, "inner");
        const enum gate_verdict verdict = gate_admit(gate, asker->slot, 0, &outer);
        if (verdict == GATE_DENIED)
            atomic_fetch_add(&asker->race->denied, 1);
        const uint8_t classes = gate_address_classes(gate, asker->slot, 0, &outer);
        KIT_CHECK(classes == 0 || classes == GATE_ALL, "classes");
        KIT_CHECK(gate_explain(gate, asker->slot, 0, &outer, GATE_ALL)[0] != '\0', "text");
        atomic_fetch_add(&asker->race->asked, 1);
    }
    return NULL;
}

int main(void)
{
    static const struct gate_lists lists[] = {
        {.allow = "10.0.0.0/8", .protect = true},
        {.protect = false},
    };
    char error[GATE_ERROR_BYTES];
    struct race race = {.gate = NULL};
    struct asker askers[ASKERS];
    pthread_t threads[ASKERS];
    const struct gate_config config = {.slots = ASKERS};
    const struct gate_listener listener = {.transport = GATE_TCP, .port = 1};
    KIT_CHECK(gate_new(&config, &race.gate, error) == 0, "%s", error);
    KIT_CHECK(gate_listeners_set(race.gate, &listener, 1, error) == 0, "%s", error);
    for (unsigned i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.race = &race, .slot = i};
        KIT_CHECK(pthread_create(&threads[i], NULL, asker_main, &askers[i]) == 0, "thread");
    }
    const time_t end = time(NULL) + (time_t)kit_env_u64("MATTE_GATE_SECONDS", 3);
    uint64_t changes = 0;
    while (time(NULL) < end || race.denied == 0) {
        struct gate_update *update;
        KIT_CHECK(gate_prepare(race.gate, &lists[changes++ % 2], &update, error) == 0, "%s", error);
        if (changes % 7 == 0)
            gate_discard(update);
        else
            gate_commit(race.gate, update);
    }
    atomic_store(&race.stop, true);
    for (unsigned i = 0; i < ASKERS; i++)
        (void)pthread_join(threads[i], NULL);
    gate_free(race.gate);
    printf("%llu changes, %llu rounds of questions\n", (unsigned long long)changes,
           (unsigned long long)race.asked);
    KIT_CHECK(race.asked > 0 && changes > 1, "nothing happened");
    return 0;
}
