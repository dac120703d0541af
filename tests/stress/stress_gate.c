/* stress/stress_gate.c — logins while the users are read anew, again and again.
 *
 * Checkers ask for users of which some never change, some swap their passwords with every version
 * of the file, a hashed one is there in every other version, and some were never there. A user that
 * never changes must always come in, under the same id; the passwords of versions to come or long
 * gone must not open; nobody may touch a table that is freed (ThreadSanitizer and the sanitizers'
 * allocator look).
 *
 * Usage: stress_gate [SEED]; environment: MATTE_SEED, MATTE_GATE_SECONDS (3).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "gate/gate.h"
#include "support/kit.h"

enum { CHECKERS = 4, STEADY = 10, CHANGING = 10 };

struct race {
    struct gate *gate;
    uint64_t seed;
    _Atomic uint64_t begun, ended; /* versions: about to be read, read */
    _Atomic uint64_t checks, opened, hashed;
    _Atomic bool stop;
};

struct checker {
    struct race *race;
    unsigned slot;
    uint64_t random;
    uint16_t ids[STEADY];
};

static uint16_t check(struct checker *c, const char *kind, uint64_t user, uint64_t version)
{
    char name[32], password[32];
    const int name_len = snprintf(name, sizeof(name), "%s%llu", kind, (unsigned long long)user);
    const int len = snprintf(password, sizeof(password), "p%llu", (unsigned long long)version);
    return gate_check(c->race->gate, c->slot, bytes_of(name, (size_t)name_len),
                      bytes_of(password, (size_t)len));
}

static void check_steady(struct checker *c)
{
    const uint64_t user = kit_random_below(&c->random, STEADY);
    const uint16_t id = check(c, "steady", user, 0);
    KIT_CHECK(id != 0 && (c->ids[user] == 0 || c->ids[user] == id), "user %llu: %u, before %u",
              (unsigned long long)user, id, c->ids[user]);
    c->ids[user] = id;
    KIT_CHECK(check(c, "steady", user, 1) == 0, "wrong password");
    KIT_CHECK(check(c, "nobody", user, 0) == 0, "no such user");
}

/* Whatever version is in force now lies between the two that we saw around it. */
static void check_changing(struct checker *c)
{
    const uint64_t user = kit_random_below(&c->random, CHANGING);
    const uint64_t from = atomic_load(&c->race->ended);
    const uint64_t version = from + kit_random_below(&c->random, 3) - (from > 0);
    const uint16_t id = check(c, "changing", user, version);
    const uint64_t to = atomic_load(&c->race->begun);
    KIT_CHECK(id == 0 || (version >= from && version <= to), "version %llu opened",
              (unsigned long long)version);
    KIT_CHECK(id != 0 || version != from || to != from, "version %llu did not open",
              (unsigned long long)version);
    if (id != 0)
        atomic_fetch_add(&c->race->opened, 1);
}

/* A hashed user, the example of RFC 7677, who is confined: by his password, and by SCRAM, which
 * spans two messages and may see a reload between them. */
#define HASHED                                                                                     \
    "user:$scram-sha-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"                                           \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU= "   \
    "prefix=app1:\n"

static void check_hashed(struct checker *c)
{
    struct gate *gate = c->race->gate;
    struct bytes answer;
    uint8_t end[GATE_SCRAM_END_BYTES], name[GATE_USER_NAME_MAX];
    struct gate_exchange *exchange =
        gate_scram_begin(gate, c->slot, bytes_str("n,,n=user,r=abc"), &answer);
    KIT_CHECK(exchange != NULL && memmem(answer.ptr, answer.len, ",i=4096", 7) != NULL, "answer");
    const uint16_t id = gate_check(gate, c->slot, bytes_str("user"), bytes_str("pencil"));
    KIT_CHECK(!gate_scram_prove(gate, c->slot, exchange, bytes_str("c=biws,r=abc"), end) &&
                  gate_scram_end(gate, c->slot, exchange, bytes_of(NULL, 0)) == 0,
              "without a proof");
    gate_exchange_free(exchange);
    bool confined = false;
    const uint8_t classes = id != 0 ? gate_user_classes(gate, c->slot, id, &confined) : 0;
    KIT_CHECK(classes == 0 || (classes == (GATE_READ | GATE_WRITE) && confined), "what he may do");
    const size_t len = id != 0 ? gate_user_name(gate, c->slot, id, name) : 0;
    KIT_CHECK(len == 0 || (len == 4 && memcmp(name, "user", len) == 0), "his name");
    const struct proto_request outside = {.cmd = PROTO_CMD_GET, .key = bytes_str("app2:a")};
    KIT_CHECK(!gate_user_may_touch(gate, c->slot, id, &outside), "keys of others");
    if (id != 0)
        atomic_fetch_add(&c->race->hashed, 1);
}

static void *checker_main(void *arg)
{
    struct checker *c = arg;
    while (!atomic_load(&c->race->stop)) {
        if (kit_random_below(&c->random, 16) == 0)
            check_hashed(c);
        check_steady(c);
        check_changing(c);
        atomic_fetch_add(&c->race->checks, 1);
    }
    return NULL;
}

static void file_write(const char *path, uint64_t version)
{
    FILE *file = fopen(path, "w");
    KIT_CHECK(file != NULL, "%s", path);
    for (unsigned i = 0; i < STEADY; i++)
        fprintf(file, "steady%u:p0\n", i);
    if (version % 2 == 1)
        fputs(HASHED, file);
    for (unsigned i = 0; i < CHANGING; i++)
        fprintf(file, "changing%u:p%llu\n", i, (unsigned long long)version);
    KIT_CHECK(fclose(file) == 0, "%s", path);
}

int main(int argc, char **argv)
{
    static struct race race;
    static struct checker checkers[CHECKERS];
    pthread_t threads[CHECKERS];
    char path[] = "/tmp/matte-stress-users-XXXXXX", error[GATE_ERROR_BYTES];
    race.seed = kit_seed_init(argc, argv);
    close(mkstemp(path));
    file_write(path, 0);
    const struct gate_config config = {.files = {path}, .slots = CHECKERS};
    KIT_CHECK(gate_new(&config, &race.gate, error) == 0, "%s", error);
    for (unsigned i = 0; i < CHECKERS; i++) {
        checkers[i] = (struct checker){.race = &race, .slot = i, .random = race.seed + i};
        KIT_CHECK(pthread_create(&threads[i], NULL, checker_main, &checkers[i]) == 0, "thread");
    }
    const time_t end = time(NULL) + (time_t)kit_env_u64("MATTE_GATE_SECONDS", 3);
    uint64_t version = 0;
    while (time(NULL) < end) {
        file_write(path, ++version);
        atomic_store(&race.begun, version);
        KIT_CHECK(gate_reload(race.gate, error) == 0, "%s", error);
        atomic_store(&race.ended, version);
    }
    atomic_store(&race.stop, true);
    for (unsigned i = 0; i < CHECKERS; i++)
        (void)pthread_join(threads[i], NULL);
    gate_free(race.gate);
    (void)unlink(path);
    printf("%llu reloads, %llu checks, %llu of changing passwords opened\n",
           (unsigned long long)version, (unsigned long long)race.checks,
           (unsigned long long)race.opened);
    KIT_CHECK(race.checks > 0 && race.opened > 0 && race.hashed > 0, "nothing happened");
    return 0;
}
