/* stress/stress_udp.c — what the listener's thread gives the workers for datagrams, while it
 * changes: keys of cookies, and addresses that TCP vouches for.
 *
 * Of version n of the file the current key is n and the previous one n - 1. A worker's copy must
 * always be of one version, and never go back; who was vouched for stays so, and nobody else is.
 * ThreadSanitizer looks at the rest.
 *
 * Usage: stress_udp [SEED]; environment: MATTE_SEED, MATTE_UDP_SECONDS (3).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "gate/keyring.h"
#include "gate/vouch.h"
#include "support/kit.h"

enum { WORKERS = 4, VOUCHED = 1000, NOW_S = 5000 };

struct race {
    struct gate_keyring ring;
    struct gate_vouch *vouch;
    _Atomic uint32_t vouched; /* addresses below this are in the table */
    _Atomic uint64_t checks, renewals;
    _Atomic bool stop;
};

struct worker {
    struct race *race;
    uint64_t random;
    struct gate_keyring_copy copy;
};

static struct ip address(uint64_t n)
{
    const uint8_t v4[4] = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    return ip_of_v4(v4);
}

static void keys_check(struct worker *w)
{
    const uint64_t before = w->copy.keys.current.word[0];
    gate_keyring_copy(&w->race->ring, &w->copy);
    const struct gate_cookie_keys *keys = &w->copy.keys;
    KIT_CHECK(keys->current.word[0] == keys->previous.word[0] + 1, "of two versions");
    KIT_CHECK(keys->current.word[0] >= before, "went back");
    if (keys->current.word[0] != before)
        atomic_fetch_add(&w->race->renewals, 1);
}

static void vouchers_check(struct worker *w)
{
    const uint32_t count = atomic_load(&w->race->vouched);
    struct ip ip = address(kit_random_below(&w->random, VOUCHED));
    if (count > 0) {
        ip = address(kit_random_below(&w->random, count));
        KIT_CHECK(gate_vouch_has(w->race->vouch, &ip, NOW_S), "somebody is lost");
    }
    ip = address(VOUCHED + kit_random_below(&w->random, VOUCHED));
    KIT_CHECK(!gate_vouch_has(w->race->vouch, &ip, NOW_S), "a stranger");
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    while (!atomic_load(&w->race->stop)) {
        keys_check(w);
        vouchers_check(w);
        atomic_fetch_add(&w->race->checks, 1);
    }
    return NULL;
}

static void key_write(FILE *file, uint64_t n)
{
    for (int i = 0; i < 8; i++) /* the lowest byte first: the key's first word is n */
        fprintf(file, "%02x", (unsigned)(n >> (8 * i) & 0xff));
    fprintf(file, "5a5a5a5a5a5a5a5a\n");
}

static void file_write(const char *path, uint64_t version)
{
    FILE *file = fopen(path, "w");
    KIT_CHECK(file != NULL, "%s", path);
    key_write(file, version);
    key_write(file, version - 1);
    KIT_CHECK(fclose(file) == 0, "%s", path);
}

static void race_run(struct race *race, const char *path)
{
    char error[GATE_KEYRING_ERROR_BYTES];
    const time_t end = time(NULL) + (time_t)kit_env_u64("MATTE_UDP_SECONDS", 3);
    for (uint64_t version = 2; time(NULL) < end; version++) {
        file_write(path, version);
        KIT_CHECK(gate_keyring_reload(&race->ring, error) == 0, "%s", error);
        const uint32_t count = atomic_load(&race->vouched);
        const struct ip ip = address(count % VOUCHED);
        gate_vouch_put(race->vouch, &ip, NOW_S);
        if (count < VOUCHED)
            atomic_store(&race->vouched, count + 1);
    }
}

int main(int argc, char **argv)
{
    static struct race race;
    static struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    char path[] = "/tmp/matte-stress-keys-XXXXXX", error[GATE_KEYRING_ERROR_BYTES];
    const uint64_t seed = kit_seed_init(argc, argv);
    close(mkstemp(path));
    file_write(path, 1);
    KIT_CHECK(gate_keyring_init(&race.ring, path, 0, error) == 0, "%s", error);
    KIT_CHECK(gate_vouch_new(&race.vouch) == 0, "memory");
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.race = &race, .random = seed + i};
        KIT_CHECK(pthread_create(&threads[i], NULL, worker_main, &workers[i]) == 0, "thread");
    }
    race_run(&race, path);
    atomic_store(&race.stop, true);
    for (unsigned i = 0; i < WORKERS; i++)
        (void)pthread_join(threads[i], NULL);
    gate_keyring_fini(&race.ring);
    gate_vouch_free(race.vouch);
    (void)unlink(path);
    printf("%llu checks, %llu renewals of keys, %u vouched for\n", (unsigned long long)race.checks,
           (unsigned long long)race.renewals, race.vouched);
    KIT_CHECK(race.checks > 0 && race.renewals > WORKERS, "nothing happened");
    return 0;
}
