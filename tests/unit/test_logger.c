/* test_logger.c — from an event to the line that a watcher takes: forms, order, what does not fit.
 *
 * The logger thread runs only while logger_start() to logger_stop(), so what the rings hold at
 * first is certain.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "logger/logger.h"
#include "support/kit.h"

struct fixture {
    struct stat_registry *stats;
    struct stat_block *block;
    struct logger *logger;
    struct logger_ring *rings[2];
    struct out out;
    sem_t woken;
};

static void wake(void *arg)
{
    struct fixture *fix = arg;
    (void)sem_post(&fix->woken);
}

static void prepare(struct fixture *fix, size_t ring_bytes, size_t watcher_bytes)
{
    memset(fix, 0, sizeof(*fix));
    assert_int_equal(stat_registry_new(&fix->stats), 0);
    assert_int_equal(stat_block_new(fix->stats, &fix->block), 0);
    struct logger_config config = {.ring_bytes = ring_bytes, .watcher_bytes = watcher_bytes};
    assert_int_equal(stat_block_new(fix->stats, &config.stats), 0);
    assert_int_equal(logger_new(&config, &fix->logger), 0);
    for (size_t i = 0; i < COUNT_OF(fix->rings); i++)
        assert_int_equal(logger_ring_new(fix->logger, fix->block, wake, fix, &fix->rings[i]), 0);
    out_init(&fix->out);
    assert_int_equal(sem_init(&fix->woken, 0, 0), 0);
}

static void finish(struct fixture *fix)
{
    logger_free(fix->logger);
    out_fini(&fix->out);
    stat_registry_free(fix->stats);
    (void)sem_destroy(&fix->woken);
}

static uint64_t stat_of(struct fixture *fix, enum stat_id id)
{
    uint64_t sum[STAT_ID_COUNT];
    stat_registry_sum(fix->stats, sum);
    return sum[id];
}

static struct logger_watcher *watch(struct fixture *fix, uint32_t streams)
{
    struct logger_watcher *watcher;
    assert_int_equal(logger_watcher_new(fix->rings[0], streams, &watcher), LOGGER_OK);
    return watcher;
}

static void key_got(struct fixture *fix, unsigned ring, const char *key)
{
    logger_write(fix->rings[ring],
                 &(const struct logger_event){.type = LOGGER_ITEM_GET, .text = bytes_str(key)});
}

/* Deliver what the rings hold, all of it. */
static void deliver(struct fixture *fix)
{
    const uint64_t written = stat_of(fix, STAT_LOG_WORKER_WRITTEN);
    assert_int_equal(logger_start(fix->logger), 0);
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 20;
    while (stat_of(fix, STAT_LOG_WATCHER_SENT) + stat_of(fix, STAT_LOG_WATCHER_SKIPPED) < written) {
        const struct timespec soon = {.tv_nsec = 1000000};
        nanosleep(&soon, NULL);
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        assert_true(now.tv_sec < end.tv_sec);
    }
    logger_stop(fix->logger);
}

/* Everything that the watcher has, as text. */
static const char *taken(struct fixture *fix, struct logger_watcher *watcher)
{
    out_reset(&fix->out);
    while (logger_watcher_take(watcher, &fix->out, 37) > 0)
        ;
    out_put(&fix->out, "", 1);
    return (const char *)fix->out.buf;
}

/* ── lines ────────────────────────────────────────────────────────────────────────────────── */

static const struct {
    struct logger_event event;
    const char *key, *line;
} lines[] = {
    {{.type = LOGGER_ITEM_GET, .status = LOGGER_FOUND, .fd = 17, .value_bytes = 3},
     "a",
     "type=item_get key=a status=found clsid=1 cfd=17 size=3"},
    {{.type = LOGGER_ITEM_GET, .status = LOGGER_NOT_FOUND, .fd = 17},
     "-._~\x01\xff %/\r\nZz09",
     "type=item_get key=-._~%01%FF%20%25%2F%0D%0AZz09 status=not_found clsid=0 cfd=17 size=0"},
    {{.type = LOGGER_ITEM_GET, .status = LOGGER_FLUSHED, .fd = 1},
     "f",
     "type=item_get key=f status=flushed clsid=0 cfd=1 size=0"},
    {{.type = LOGGER_ITEM_GET, .status = LOGGER_EXPIRED, .fd = 1},
     "e",
     "type=item_get key=e status=expired clsid=0 cfd=1 size=0"},
    {{.type = LOGGER_ITEM_STORE,
      .status = LOGGER_STORED,
      .verb = LOGGER_SET,
      .ttl_s = 30,
      .fd = 9,
      .value_bytes = 1ull << 32},
     "k",
     "type=item_store key=k status=stored cmd=set ttl=30 clsid=1 cfd=9 size=4294967296"},
    {{.type = LOGGER_ITEM_STORE, .status = LOGGER_EXISTS, .verb = LOGGER_CAS, .ttl_s = -1, .fd = 9},
     "k",
     "type=item_store key=k status=exists cmd=cas ttl=4294967295 clsid=1 cfd=9 size=0"},
    {{.type = LOGGER_ITEM_STORE, .status = LOGGER_TOO_LARGE, .verb = LOGGER_ADD, .fd = 9},
     "k",
     "type=item_store key=k status=too_large cmd=add ttl=0 clsid=0 cfd=9 size=0"},
    {{.type = LOGGER_DELETED, .verb = LOGGER_META_DELETE, .value_bytes = 5},
     "d",
     "type=deleted key=d cmd=md clsid=1 size=5"},
    {{.type = LOGGER_PREFIX_DELETED, .verb = LOGGER_DELETE_PREFIX, .fd = 9},
     "a b:",
     "type=prefix_deleted prefix=a%20b%3A cmd=delete_prefix cfd=9"},
    {{.type = LOGGER_PREFIX_DELETED, .verb = LOGGER_META_DELETE_PREFIX, .fd = 9},
     "a",
     "type=prefix_deleted prefix=a cmd=mdp cfd=9"},
    {{.type = LOGGER_EVICTION, .fetched = true, .ttl_s = -1, .idle_s = 7, .value_bytes = 10},
     "v",
     "type=eviction key=v fetch=yes ttl=-1 la=7 clsid=1 size=10"},
    {{.type = LOGGER_CONN_ERROR, .fd = 4}, "one\ntwo", "type=connerr fd=4 msg=one two"},
    {{.type = LOGGER_CONN_TLS_ERROR, .fd = 4}, "", "type=conntlserr fd=4 msg="},
};

/* "ts=SECONDS.MICROSECONDS gid=GID " in front, without which `line` is to be found. */
static void expect_line(const char *text, uint64_t gid, const char *line)
{
    char want[1100];
    const char *space = strchr(text, ' ');
    assert_non_null(space);
    (void)snprintf(want, sizeof(want), "gid=%llu %s\n", (unsigned long long)gid, line);
    assert_string_equal(space + 1, want);
    char *end;
    assert_memory_equal(text, "ts=", 3);
    const long long seconds = strtoll(text + 3, &end, 10);
    assert_true(seconds > 1700000000 && *end == '.');
    const char *digits = end + 1;
    assert_true(strtol(digits, &end, 10) < 1000000 && end == space);
    assert_true(digits[0] != '0' || end == digits + 1); /* not padded */
}

static void every_event_has_its_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct fixture fix;
        prepare(&fix, 4096, 4096);
        struct logger_watcher *watcher = watch(&fix, UINT32_MAX >> (32 - LOGGER_STREAMS));
        struct logger_event event = lines[i].event;
        event.text = bytes_str(lines[i].key);
        logger_write(fix.rings[0], &event);
        deliver(&fix);
        expect_line(taken(&fix, watcher), 1, lines[i].line);
        logger_watcher_free(watcher);
        finish(&fix);
    }
}

static void connections_have_addresses(void **state)
{
    (void)state;
    static const struct {
        struct ip_peer peer;
        const char *text;
    } peers[] = {
        {{.ip = {{[10] = 0xff, 0xff, 127, 0, 0, 1}}, .port = 4711, .family = 4},
         "rip=127.0.0.1 rport=4711 transport=tcp"},
        {{.ip = {{[15] = 1}}, .port = 65535, .family = 6}, "rip=::1 rport=65535 transport=tcp"},
        {{.family = 0}, "rip=unix rport=0 transport=local"},
    };
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        struct fixture fix;
        prepare(&fix, 4096, 4096);
        struct logger_watcher *watcher = watch(&fix, LOGGER_CONNEVENTS);
        const struct bytes peer = bytes_of(&peers[i].peer, sizeof(peers[i].peer));
        logger_write(fix.rings[0], &(const struct logger_event){
                                       .type = LOGGER_CONN_CLOSE,
                                       .status = LOGGER_IDLE_TIMEOUT,
                                       .fd = 5,
                                       .text = peer,
                                   });
        deliver(&fix);
        char want[200];
        (void)snprintf(want, sizeof(want), "type=conn_close %s reason=idle_timeout cfd=5",
                       peers[i].text);
        expect_line(taken(&fix, watcher), 1, want);
        logger_watcher_free(watcher);
        finish(&fix);
    }
}

/* A key of the greatest length in which every byte is escaped, and one that is too long. */
static void longest_line(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, 4096, 4096);
    struct logger_watcher *watcher = watch(&fix, LOGGER_FETCHERS);
    uint8_t key[300];
    memset(key, ' ', sizeof(key));
    const struct logger_event event = {.type = LOGGER_ITEM_GET,
                                       .status = LOGGER_NOT_FOUND,
                                       .fd = INT32_MIN,
                                       .value_bytes = UINT64_MAX,
                                       .text = bytes_of(key, sizeof(key))};
    logger_write(fix.rings[0], &event);
    deliver(&fix);
    char line[1000] = "type=item_get key=";
    for (int i = 0; i < LOGGER_TEXT_BYTES_MAX; i++)
        strcat(line, "%20");
    strcat(line, " status=not_found clsid=0 cfd=-2147483648 size=18446744073709551615");
    expect_line(taken(&fix, watcher), 1, line);
    logger_watcher_free(watcher);
    finish(&fix);
}

static void streams_have_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "fetchers", "mutations", "evictions", "connevents",  "sysevents",
        "rawcmds",  "deletions", "proxyreqs", "proxyevents", "proxyuser",
    };
    uint32_t all = 0;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        all |= logger_stream_find(bytes_str(names[i]));
    assert_int_equal(all, (1u << LOGGER_STREAMS) - 1);
    assert_int_equal(logger_stream_find(bytes_str("fetcher")), 0);
    assert_int_equal(logger_stream_find(bytes_str("FETCHERS")), 0);
    assert_int_equal(logger_stream_find(bytes_of(NULL, 0)), 0);
}

/* ── rings ────────────────────────────────────────────────────────────────────────────────── */

/* Through the ring's end again and again, with entries of all sizes. */
static void ring_goes_round(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, 1032, 1 << 20);
    struct logger_watcher *watcher = watch(&fix, LOGGER_FETCHERS);
    char key[LOGGER_TEXT_BYTES_MAX + 1];
    uint64_t random = 1, got = 0;
    for (int round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 3; i++) {
            const size_t len = (size_t)kit_random_below(&random, LOGGER_TEXT_BYTES_MAX) + 1;
            memset(key, 'k', len);
            key[len] = '\0';
            key_got(&fix, 0, key);
        }
        deliver(&fix);
        for (const char *at = taken(&fix, watcher); *at != '\0'; at = strchr(at, '\n') + 1) {
            assert_non_null(strstr(at, "type=item_get key=k"));
            got++;
        }
    }
    assert_int_equal(got, stat_of(&fix, STAT_LOG_WORKER_WRITTEN));
    assert_true(got >= 600); /* the end of the ring may cost one of three */
    logger_watcher_free(watcher);
    finish(&fix);
}

static void full_ring_drops(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, 1024, 1 << 20);
    struct logger_watcher *watcher = watch(&fix, LOGGER_FETCHERS);
    for (int i = 0; i < 100; i++)
        key_got(&fix, 0, "key");
    const uint64_t written = stat_of(&fix, STAT_LOG_WORKER_WRITTEN);
    assert_true(written >= 10 && written < 20);
    assert_int_equal(stat_of(&fix, STAT_LOG_WORKER_DROPPED), 100 - written);
    deliver(&fix);
    assert_int_equal(stat_of(&fix, STAT_LOG_WATCHER_SENT), written);
    key_got(&fix, 0, "again"); /* there is room again */
    assert_int_equal(stat_of(&fix, STAT_LOG_WORKER_WRITTEN), written + 1);
    logger_watcher_free(watcher);
    finish(&fix);
}

static void rings_are_merged(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, 1 << 16, 1 << 20);
    struct logger_watcher *watcher = watch(&fix, LOGGER_FETCHERS);
    uint64_t random = 1;
    for (int i = 0; i < 300; i++)
        key_got(&fix, (unsigned)kit_random_below(&random, 2), "key");
    deliver(&fix);
    const char *at = taken(&fix, watcher);
    for (uint64_t gid = 1; gid <= 300; gid++) {
        char want[40];
        (void)snprintf(want, sizeof(want), " gid=%llu ", (unsigned long long)gid);
        assert_memory_equal(strchr(at, ' '), want, strlen(want));
        at = strchr(at, '\n') + 1;
    }
    assert_int_equal(*at, '\0');
    logger_watcher_free(watcher);
    finish(&fix);
}

/* ── watchers ─────────────────────────────────────────────────────────────────────────────── */

static void mask_follows_watchers(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, 4096, 4096);
    assert_int_equal(logger_watched(fix.rings[1]), 0);
    struct logger_watcher *a = watch(&fix, LOGGER_FETCHERS | LOGGER_EVICTIONS);
    struct logger_watcher *b = watch(&fix, LOGGER_FETCHERS | LOGGER_CONNEVENTS);
    const uint32_t all = LOGGER_FETCHERS | LOGGER_EVICTIONS | LOGGER_CONNEVENTS;
    assert_int_equal(logger_watched(fix.rings[1]), all);
    assert_true(atomic_load(logger_evictions_watched(fix.logger)));
    assert_int_equal(stat_of(&fix, STAT_LOG_WATCHERS), 2);
    logger_watcher_free(a);
    assert_int_equal(logger_watched(fix.rings[0]), LOGGER_FETCHERS | LOGGER_CONNEVENTS);
    assert_false(atomic_load(logger_evictions_watched(fix.logger)));
    logger_watcher_free(b);
    assert_int_equal(logger_watched(fix.rings[0]), 0);
    assert_int_equal(stat_of(&fix, STAT_LOG_WATCHERS), 0);
    finish(&fix);
}

static void each_gets_its_streams_from_its_beginning(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, 4096, 4096);
    struct logger_watcher *early = watch(&fix, LOGGER_FETCHERS);
    key_got(&fix, 0, "before");
    struct logger_watcher *late = watch(&fix, LOGGER_FETCHERS);
    struct logger_watcher *other = watch(&fix, LOGGER_MUTATIONS);
    key_got(&fix, 0, "after");
    deliver(&fix);
    const char *text = taken(&fix, early);
    assert_true(strstr(text, "key=before") != NULL && strstr(text, "key=after") != NULL);
    text = taken(&fix, late);
    assert_true(strstr(text, "key=before") == NULL && strstr(text, "key=after") != NULL);
    assert_string_equal(taken(&fix, other), "");
    logger_watcher_free(early);
    logger_watcher_free(late);
    logger_watcher_free(other);
    finish(&fix);
}

static void slow_reader_is_told_what_it_missed(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, 1 << 16, 1024);
    struct logger_watcher *watcher = watch(&fix, LOGGER_FETCHERS);
    for (int i = 0; i < 100; i++)
        key_got(&fix, 0, "key");
    deliver(&fix);
    const uint64_t sent = stat_of(&fix, STAT_LOG_WATCHER_SENT);
    assert_int_equal(stat_of(&fix, STAT_LOG_WATCHER_SKIPPED), 100 - sent);
    assert_true(sent >= 8 && sent < 30);
    assert_null(strstr(taken(&fix, watcher), "skipped"));
    key_got(&fix, 0, "last");
    deliver(&fix);
    char want[40];
    (void)snprintf(want, sizeof(want), "skipped=%llu\nts=", (unsigned long long)(100 - sent));
    const char *text = taken(&fix, watcher);
    assert_memory_equal(text, want, strlen(want));
    assert_non_null(strstr(text, "key=last"));
    key_got(&fix, 0, "more"); /* told once */
    deliver(&fix);
    assert_null(strstr(taken(&fix, watcher), "skipped"));
    logger_watcher_free(watcher);
    finish(&fix);
}

static void watchers_are_limited(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, 4096, 4096);
    struct logger_watcher *watchers[LOGGER_WATCHERS_MAX], *extra;
    for (size_t i = 0; i < LOGGER_WATCHERS_MAX; i++)
        watchers[i] = watch(&fix, LOGGER_FETCHERS);
    assert_int_equal(logger_watcher_new(fix.rings[0], LOGGER_FETCHERS, &extra), LOGGER_TOO_MANY);
    assert_int_equal(logger_watched(fix.rings[0]), LOGGER_FETCHERS);
    logger_watcher_free(watchers[3]);
    watchers[3] = watch(&fix, LOGGER_FETCHERS);
    assert_int_equal(stat_of(&fix, STAT_LOG_WATCHERS), LOGGER_WATCHERS_MAX);
    for (size_t i = 0; i < LOGGER_WATCHERS_MAX; i++)
        logger_watcher_free(watchers[i]);
    finish(&fix);
}

/* The thread sleeps between events, and its owner is woken for each of them. */
static void sleepers_are_woken(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, 4096, 4096);
    assert_int_equal(logger_start(fix.logger), 0);
    struct logger_watcher *watcher = watch(&fix, LOGGER_FETCHERS);
    for (int i = 0; i < 50; i++) {
        const struct timespec pause = {.tv_nsec = i % 5 * 700000};
        nanosleep(&pause, NULL);
        key_got(&fix, (unsigned)i % 2, "key");
        out_reset(&fix.out);
        while (logger_watcher_take(watcher, &fix.out, 4096) == 0)
            assert_int_equal(sem_wait(&fix.woken), 0);
    }
    logger_watcher_free(watcher);
    logger_free(NULL);
    finish(&fix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_has_its_line),
        cmocka_unit_test(connections_have_addresses),
        cmocka_unit_test(longest_line),
        cmocka_unit_test(streams_have_names),
        cmocka_unit_test(ring_goes_round),
        cmocka_unit_test(full_ring_drops),
        cmocka_unit_test(rings_are_merged),
        cmocka_unit_test(mask_follows_watchers),
        cmocka_unit_test(each_gets_its_streams_from_its_beginning),
        cmocka_unit_test(slow_reader_is_told_what_it_missed),
        cmocka_unit_test(watchers_are_limited),
        cmocka_unit_test(sleepers_are_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
