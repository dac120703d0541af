/* stress/stress_access.c — addresses are judged while the rules are read anew, again and again.
 *
 * Askers ask for addresses of which some are allowed in every version of the file, some in none,
 * and some in every second one. What a version says must come as a whole: nobody may see half of
 * one, nor touch rules that are freed (ThreadSanitizer and the sanitizers' allocator look). One
 * more thread prints the rules all the while, as `stats access` does.
 *
 * Usage: stress_access [SEED]; environment: MATTE_SEED, MATTE_GATE_SECONDS (3).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "gate/gate.h"
#include "support/kit.h"

enum { ASKERS = 4, RULES = 200 };

struct race {
    struct gate *gate;
    uint64_t seed;
    _Atomic uint64_t begun, ended; /* versions: about to be read, read */
    _Atomic uint64_t asked, prints;
    _Atomic bool stop;
};

struct asker {
    struct race *race;
    unsigned slot;
    uint64_t random;
};

static unsigned ask(const struct asker *a, uint8_t net, uint64_t host)
{
    const uint8_t v4[4] = {10, net, 0, (uint8_t)host};
    const struct ip_peer peer = {.ip = ip_of_v4(v4), .family = IP_V4};
    if (host % 2 == 0)
        return gate_address_classes(a->race->gate, a->slot, 0, &peer);
    return gate_admit(a->race->gate, a->slot, 0, &peer) == GATE_WELCOME ? GATE_ALL : 0;
}

static void *asker_main(void *arg)
{
    struct asker *a = arg;
    while (!atomic_load(&a->race->stop)) {
        const uint64_t host = kit_random_below(&a->random, RULES);
        KIT_CHECK(ask(a, 1, host) == GATE_ALL, "always allowed: %llu", (unsigned long long)host);
        KIT_CHECK(ask(a, 3, host) == 0, "never allowed: %llu", (unsigned long long)host);
        const uint64_t from = atomic_load(&a->race->ended);
        const bool allowed = ask(a, 2, host) != 0;
        const uint64_t to = atomic_load(&a->race->begun);
        /* Between the two that we saw around it lies the version that was in force. */
        KIT_CHECK(from != to || allowed == (from % 2 == 0), "version %llu", (unsigned long long)to);
        const struct ip_peer peer = {.family = IP_V6};
        KIT_CHECK(strcmp(gate_explain(a->race->gate, a->slot, 0, &peer, GATE_ALL), "deny ::") == 0,
                  "explanation");
        atomic_fetch_add(&a->race->asked, 1);
    }
    return NULL;
}

static void *printer_main(void *arg)
{
    struct race *race = arg;
    struct out out;
    out_init(&out);
    while (!atomic_load(&race->stop)) {
        gate_print(race->gate, &out);
        KIT_CHECK(!out.failed && out.len > RULES, "%zu bytes", out.len);
        out_reset(&out);
        atomic_fetch_add(&race->prints, 1);
        (void)usleep(500); /* a reload waits for prints, and shall not wait all the time */
    }
    out_fini(&out);
    return NULL;
}

/* A new file in the place of the old one: the gate never reads half of it. */
static void file_write(const char *path, uint64_t version)
{
    char temporary[64];
    (void)snprintf(temporary, sizeof(temporary), "%s.new", path);
    FILE *file = fopen(temporary, "w");
    KIT_CHECK(file != NULL, "%s", temporary);
    fprintf(file, "deny ::\n");
    for (unsigned i = 0; i < RULES; i++)
        fprintf(file, "allow 10.1.0.%u\n%s 10.2.0.%u\n", i, version % 2 == 0 ? "allow" : "deny", i);
    KIT_CHECK(fclose(file) == 0 && rename(temporary, path) == 0, "%s", path);
}

int main(int argc, char **argv)
{
    static struct race race;
    static struct asker askers[ASKERS];
    pthread_t threads[ASKERS], printer;
    char path[] = "/tmp/matte-stress-access-XXXXXX", error[GATE_ERROR_BYTES];
    race.seed = kit_seed_init(argc, argv);
    close(mkstemp(path));
    file_write(path, 0);
    const struct gate_config config = {.access_file = path, .slots = ASKERS};
    const struct gate_listener listener = {.transport = GATE_TCP, .port = 1};
    KIT_CHECK(gate_new(&config, &race.gate, error) == 0, "%s", error);
    KIT_CHECK(gate_listeners_set(race.gate, &listener, 1, error) == 0, "%s", error);
    for (unsigned i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.race = &race, .slot = i, .random = race.seed + i};
        KIT_CHECK(pthread_create(&threads[i], NULL, asker_main, &askers[i]) == 0, "thread");
    }
    KIT_CHECK(pthread_create(&printer, NULL, printer_main, &race) == 0, "thread");
    const time_t end = time(NULL) + (time_t)kit_env_u64("MATTE_GATE_SECONDS", 3);
    uint64_t version = 0;
    while (time(NULL) < end || race.prints == 0) {
        file_write(path, ++version);
        atomic_store(&race.begun, version);
        KIT_CHECK(gate_reload(race.gate, error) == 0, "%s", error);
        atomic_store(&race.ended, version);
    }
    atomic_store(&race.stop, true);
    for (unsigned i = 0; i < ASKERS; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_join(printer, NULL);
    gate_free(race.gate);
    (void)unlink(path);
    printf("%llu reloads, %llu rounds of questions, %llu prints\n", (unsigned long long)version,
           (unsigned long long)race.asked, (unsigned long long)race.prints);
    KIT_CHECK(race.asked > 0 && version > 1, "nothing happened");
    return 0;
}
