/* stress/stress_events.c — threads that note while tables are exchanged, counts are summed and
 * reset, files rotate and readers come and go.
 *
 * The thread of the events runs with a window of a second; besides, sinks die all the time: a
 * socket that reads a little and closes, and one that never reads. In the end the file (all that it
 * was renamed to) must tell exactly as many events as were noted, line for line.
 *
 * Usage: stress_events [SEED]; environment: MATTE_SEED, MATTE_EVENTS_SECONDS (5).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "event/event.h"
#include "support/kit.h"

enum { WRITERS = 3, FILES_MAX = 4096 };

static struct events *events;
static char folder[] = "/tmp/matte-stress-events-XXXXXX";
static _Atomic bool stop, readers_stop;

struct writer {
    struct event_source *source;
    uint64_t random;
    uint64_t noted[EVENT_TYPE_COUNT];
};

static void nap(long ns)
{
    const struct timespec pause = {.tv_nsec = ns};
    (void)nanosleep(&pause, NULL);
}

static void *write_main(void *arg)
{
    struct writer *writer = arg;
    static const char *const verbs[] = {"get", "set", NULL};
    while (!atomic_load(&stop)) {
        const uint64_t value = kit_random(&writer->random);
        const struct ip_peer from = {
            .ip = ip_of_v4((const uint8_t[]){10, 0, (uint8_t)value, (uint8_t)(value >> 8)}),
            .port = (uint16_t)(value >> 16),
            .family = IP_V4};
        const struct event event = {
            .type = (enum event_type)((value >> 32) % EVENT_TYPE_COUNT),
            .from = value % 31 == 0 ? NULL : &from,
            .rule = bytes_of("rules", (value >> 40) % 5),
            .user = bytes_of("user", (value >> 44) % 4),
            .verb = verbs[(value >> 48) % 3],
            .bytes_in = 1,
        };
        event_note(writer->source, &event);
        writer->noted[event.type]++;
        if (value % 64 == 0)
            nap(100000);
    }
    return NULL;
}

static int listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", folder, name);
    (void)unlink(address.sun_path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    KIT_CHECK(fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
                  listen(fd, 4) == 0,
              "%s", address.sun_path);
    return fd;
}

/* Listens, reads a little, goes away, listens again. */
static void *read_main(void *arg)
{
    uint64_t random = *(const uint64_t *)arg;
    while (!atomic_load(&readers_stop)) {
        const int listener = listen_at("dying");
        int fd = -1;
        for (unsigned i = 0; i < 200 && fd < 0 && !atomic_load(&readers_stop); i++) {
            fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            nap(10000000);
        }
        char some[4096];
        if (fd >= 0) {
            (void)!recv(fd, some, 1 + kit_random_below(&random, sizeof(some) - 1), MSG_DONTWAIT);
            nap((long)kit_random_below(&random, 200000000));
            close(fd);
        }
        close(listener);
    }
    return NULL;
}

static void *ask_main(void *arg)
{
    (void)arg;
    uint64_t counts[EVENT_TYPE_COUNT];
    struct events_sink_info info;
    while (!atomic_load(&readers_stop)) {
        events_sum(events, counts);
        for (unsigned i = 0; events_sink_get(events, i, &info); i++)
            KIT_CHECK(info.name[0] != '\0', "sink %u", i);
        nap(1000000);
    }
    return NULL;
}

/* Add up what the lines of a file tell. */
static void file_count(const char *path, uint64_t told[EVENT_TYPE_COUNT])
{
    static char line[8192];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    while (fgets(line, sizeof(line), file) != NULL) {
        KIT_CHECK(line[0] == '{' && strcmp(line + strlen(line) - 3, "}}\n") == 0, "%s", line);
        const char *type = strstr(line, "\"mc\":{\"type\":\"") + 14;
        const char *count = strstr(line, "\"count\":");
        KIT_CHECK(count != NULL, "%s", line);
        for (unsigned i = 0; i < EVENT_TYPE_COUNT; i++) {
            const char *name = event_name((enum event_type)i);
            if (strncmp(type, name, strlen(name)) == 0 && type[strlen(name)] == '"')
                told[i] += strtoull(count + 8, NULL, 10);
        }
    }
    (void)fclose(file);
    (void)unlink(path);
}

static unsigned rotate_for(uint64_t seconds)
{
    char path[128], to[160];
    unsigned turns = 0;
    const time_t end = time(NULL) + (time_t)seconds;
    (void)snprintf(path, sizeof(path), "%s/log", folder);
    while (time(NULL) < end && turns < FILES_MAX) {
        nap(300000000);
        (void)snprintf(to, sizeof(to), "%s.%u", path, turns++);
        (void)rename(path, to);
        events_reopen(events);
    }
    return turns;
}

int main(int argc, char **argv)
{
    uint64_t seed = kit_seed_init(argc, argv);
    (void)signal(SIGPIPE, SIG_IGN);
    KIT_CHECK(mkdtemp(folder) != NULL, "%s", folder);
    const int silent = listen_at("silent");
    char sinks[512], error[EVENTS_ERROR_BYTES];
    (void)snprintf(sinks, sizeof(sinks), "file:%s/log+unix:%s/silent+unix:%s/dying", folder, folder,
                   folder);
    const struct events_config config = {.sinks = sinks, .window_s = 1, .all = true};
    KIT_CHECK(events_new(&config, &events, error) == 0, "%s", error);
    struct writer writers[WRITERS] = {0};
    pthread_t threads[WRITERS], reader, asker;
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].random = seed + i;
        KIT_CHECK(event_source_new(events, &writers[i].source) == 0, "source");
    }
    KIT_CHECK(events_start(events) == 0, "thread");
    for (unsigned i = 0; i < WRITERS; i++)
        KIT_CHECK(pthread_create(&threads[i], NULL, write_main, &writers[i]) == 0, "writer");
    KIT_CHECK(pthread_create(&reader, NULL, read_main, &seed) == 0, "reader");
    KIT_CHECK(pthread_create(&asker, NULL, ask_main, NULL) == 0, "asker");
    const unsigned turns = rotate_for(kit_env_u64("MATTE_EVENTS_SECONDS", 5));
    atomic_store(&stop, true);
    uint64_t noted = 0, sums[EVENT_TYPE_COUNT], told[EVENT_TYPE_COUNT] = {0};
    for (unsigned i = 0; i < WRITERS; i++)
        (void)pthread_join(threads[i], NULL);
    atomic_store(&readers_stop, true);
    (void)pthread_join(reader, NULL);
    (void)pthread_join(asker, NULL);
    events_sum(events, sums);
    struct events_sink_info info;
    KIT_CHECK(events_sink_get(events, 0, &info), "the file");
    KIT_CHECK(info.lost == 0, "%llu", (unsigned long long)info.lost);
    events_free(events);
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/log", folder);
    file_count(path, told);
    for (unsigned i = 0; i < turns; i++) {
        (void)snprintf(path, sizeof(path), "%s/log.%u", folder, i);
        file_count(path, told);
    }
    for (unsigned type = 0; type < EVENT_TYPE_COUNT; type++) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < WRITERS; i++)
            sum += writers[i].noted[type];
        noted += sum;
        KIT_CHECK(sums[type] == sum, "%s: %llu counted", event_name((enum event_type)type),
                  (unsigned long long)sums[type]);
        KIT_CHECK(told[type] == sum, "%s: %llu noted, %llu told", event_name((enum event_type)type),
                  (unsigned long long)sum, (unsigned long long)told[type]);
    }
    close(silent);
    (void)snprintf(path, sizeof(path), "%s/silent", folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/dying", folder);
    (void)unlink(path);
    KIT_CHECK(rmdir(folder) == 0, "%s", folder);
    printf("%llu events, %u rotations\n", (unsigned long long)noted, turns);
    return 0;
}
