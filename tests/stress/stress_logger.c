/* stress/stress_logger.c — writers, the logger thread and watchers that come, read slowly and go.
 *
 * Each writer numbers its events in the key; a watcher must see the numbers of each writer grow,
 * with gaps only where events were dropped or lines skipped. Watchers live in threads of their own
 * with a ring each, as connections do with their workers; some read little, some leave with lines
 * unread. In the end the statistics must add up to what was written and read.
 *
 * Usage: stress_logger [SEED]; environment: MATTE_SEED, MATTE_LOGGER_SECONDS (5).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "logger/logger.h"
#include "support/kit.h"

enum { WRITERS = 3, WATCHERS = 4 };

struct watching {
    struct logger_ring *ring;
    sem_t woken;
    uint64_t random;
    uint64_t lines, skipped;
};

struct writing {
    struct logger_ring *ring;
    unsigned id;
    uint64_t events;
};

static _Atomic bool writers_stop, watchers_stop;

static void wake(void *arg)
{
    struct watching *watching = arg;
    (void)sem_post(&watching->woken);
}

static void *write_main(void *arg)
{
    struct writing *writing = arg;
    while (!atomic_load(&writers_stop)) {
        if ((logger_watched(writing->ring) & LOGGER_FETCHERS) == 0) {
            const struct timespec soon = {.tv_nsec = 10000};
            nanosleep(&soon, NULL);
            continue;
        }
        char key[32];
        const int len = snprintf(key, sizeof(key), "%u.%llu", writing->id,
                                 (unsigned long long)++writing->events);
        const struct logger_event event = {.type = LOGGER_ITEM_GET,
                                           .text = bytes_of(key, (size_t)len)};
        logger_write(writing->ring, &event);
    }
    return NULL;
}

/* Check the whole lines in `out`; what is left of one is moved to its front. */
static void lines_check(struct watching *watching, struct out *out, uint64_t last[WRITERS])
{
    out_put(out, "", 1); /* for the functions of C */
    char *at = (char *)out->buf, *end;
    while ((end = strchr(at, '\n')) != NULL) {
        *end = '\0';
        unsigned long long skipped, number;
        unsigned id;
        const char *key = strstr(at, "key=");
        if (sscanf(at, "skipped=%llu", &skipped) == 1) {
            watching->skipped += skipped;
        } else {
            KIT_CHECK(key != NULL && sscanf(key, "key=%u.%llu ", &id, &number) == 2, "%s", at);
            KIT_CHECK(id < WRITERS && number > last[id], "%s after %llu", at,
                      (unsigned long long)last[id]);
            last[id] = number;
            watching->lines++;
        }
        at = end + 1;
    }
    const size_t rest = strlen(at);
    memmove(out->buf, at, rest);
    out->len = rest;
}

/* One life of a watcher. */
static void watch_once(struct watching *watching, struct logger_watcher *watcher)
{
    uint64_t last[WRITERS] = {0};
    struct out out;
    out_init(&out);
    const uint64_t takes = kit_random_below(&watching->random, 500);
    for (uint64_t i = 0; i < takes && !atomic_load(&watchers_stop); i++) {
        const size_t max = (size_t)kit_random_below(&watching->random, 20000) + 1;
        if (logger_watcher_take(watcher, &out, max) == 0) {
            struct timespec until; /* bounded: when nobody writes any more, nobody wakes us */
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_sec++;
            (void)sem_timedwait(&watching->woken, &until);
        }
        lines_check(watching, &out, last);
        if (kit_random_below(&watching->random, 50) == 0) {
            const struct timespec pause = {.tv_nsec = 3000000};
            nanosleep(&pause, NULL);
        }
    }
    out_fini(&out);
}

static void *watch_main(void *arg)
{
    struct watching *watching = arg;
    while (!atomic_load(&watchers_stop)) {
        struct logger_watcher *watcher;
        const enum logger_rc rc = logger_watcher_new(watching->ring, LOGGER_FETCHERS, &watcher);
        KIT_CHECK(rc == LOGGER_OK, "%d", (int)rc);
        watch_once(watching, watcher);
        logger_watcher_free(watcher);
    }
    return NULL;
}

static unsigned seconds(void)
{
    const char *text = getenv("MATTE_LOGGER_SECONDS");
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : 5;
}

static struct stat_block *block_new(struct stat_registry *stats)
{
    struct stat_block *block;
    KIT_CHECK(stat_block_new(stats, &block) == 0, "memory");
    return block;
}

static void totals_check(struct stat_registry *stats, const struct writing *writing,
                         const struct watching *watching)
{
    uint64_t sum[STAT_ID_COUNT], events = 0, lines = 0, skipped = 0;
    stat_registry_sum(stats, sum);
    for (unsigned i = 0; i < WRITERS; i++)
        events += writing[i].events;
    for (unsigned i = 0; i < WATCHERS; i++) {
        lines += watching[i].lines;
        skipped += watching[i].skipped;
    }
    printf("%llu events, %llu dropped; %llu lines sent, %llu skipped; %llu read, told of %llu\n",
           (unsigned long long)events, (unsigned long long)sum[STAT_LOG_WORKER_DROPPED],
           (unsigned long long)sum[STAT_LOG_WATCHER_SENT],
           (unsigned long long)sum[STAT_LOG_WATCHER_SKIPPED], (unsigned long long)lines,
           (unsigned long long)skipped);
    KIT_CHECK(events == sum[STAT_LOG_WORKER_WRITTEN] + sum[STAT_LOG_WORKER_DROPPED], "events");
    KIT_CHECK(sum[STAT_LOG_WATCHERS] == 0, "watchers are left");
    KIT_CHECK(lines > 0 && lines <= sum[STAT_LOG_WATCHER_SENT], "lines");
    KIT_CHECK(skipped <= sum[STAT_LOG_WATCHER_SKIPPED], "skipped");
}

int main(int argc, char **argv)
{
    const uint64_t seed = kit_seed_init(argc, argv);
    struct stat_registry *stats;
    struct logger *logger;
    KIT_CHECK(stat_registry_new(&stats) == 0, "memory");
    const struct logger_config config = {
        .ring_bytes = 8192, .watcher_bytes = 16384, .stats = block_new(stats)};
    KIT_CHECK(logger_new(&config, &logger) == 0, "memory");
    struct writing writing[WRITERS] = {0};
    struct watching watching[WATCHERS] = {0};
    pthread_t writers[WRITERS], watchers[WATCHERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        writing[i].id = i;
        KIT_CHECK(logger_ring_new(logger, block_new(stats), NULL, NULL, &writing[i].ring) == 0,
                  "memory");
    }
    for (unsigned i = 0; i < WATCHERS; i++) {
        watching[i].random = seed + i;
        (void)sem_init(&watching[i].woken, 0, 0);
        KIT_CHECK(
            logger_ring_new(logger, block_new(stats), wake, &watching[i], &watching[i].ring) == 0,
            "memory");
    }
    KIT_CHECK(logger_start(logger) == 0, "thread");
    for (unsigned i = 0; i < WATCHERS; i++)
        KIT_CHECK(pthread_create(&watchers[i], NULL, watch_main, &watching[i]) == 0, "thread");
    for (unsigned i = 0; i < WRITERS; i++)
        KIT_CHECK(pthread_create(&writers[i], NULL, write_main, &writing[i]) == 0, "thread");
    const struct timespec time = {.tv_sec = seconds()};
    nanosleep(&time, NULL);
    atomic_store(&watchers_stop, true); /* first: whoever sleeps is woken by a writer */
    for (unsigned i = 0; i < WATCHERS; i++)
        (void)pthread_join(watchers[i], NULL);
    atomic_store(&writers_stop, true);
    for (unsigned i = 0; i < WRITERS; i++)
        (void)pthread_join(writers[i], NULL);
    logger_stop(logger);
    totals_check(stats, writing, watching);
    logger_free(logger);
    stat_registry_free(stats);
    return 0;
}
