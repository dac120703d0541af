/* bench/load.c — a load generator for memcached's text protocol that measures the server.
 *
 *    preload (every key once) ──► warm-up ──► measured window ──► drain ──► one JSON line
 *
 * One thread, one epoll loop; the caller pins it (taskset) to another core than the server's.
 * Closed loop: a connection sends its next trip when its last one is answered. With --rate the loop
 * is open: trips are due at random times of that mean rate whether or not the server keeps up, and
 * latency counts from the due time, so that a stall is not hidden by the waiting client.
 *
 * With --server-pid the server's CPU time (user and system, all threads) over exactly the measured
 * window is reported per operation. An operation is one key got or set. Every value is compared
 * byte by byte unless --check-every says otherwise. A miss, a refused set or a wrong byte is an
 * error; --allow-misses 1 permits the first two.
 *
 * For stalls: the longest time between two answers in the window is printed, and beside it the
 * longest turn of our own loop, for what this program overslept is not the server's. --fresh and
 * --churn make the sets disturb the server while the gets are of keys that stay as they are;
 * --aside lets another client disturb it.
 *
 * Threads:  one.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "args.h"
#include "aside.h"
#include "conn.h"
#include "cpu.h"
#include "hist.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    NS_PER_S = 1000000000,
    EVENTS_MAX = 1024,
    ZIPF_RING = 1 << 22,           /* ranks are drawn before the run; the loop walks this ring */
    PRELOAD_TRIP_BYTES = 64 << 10, /* enough to amortise the calls, small enough for the caches */
    DRAIN_S = 10,                  /* a server that answers nothing for that long is stuck */
};

struct load_opts {
    const char *host;
    uint64_t port, connections, depth, keys, key_bytes, multiget;
    struct dist_sizes sizes;
    double get_percent, zipf, seconds, warmup_s, rate;
    uint64_t ops_max, preload, check_every, allow_misses, server_pid, seed, exptime_s, tls;
    uint64_t fresh, churn, incr;
    struct dist_sizes churn_sizes;
    const char *aside;
};

enum load_phase { PHASE_PRELOAD, PHASE_RUN, PHASE_DRAIN };

struct load {
    struct load_opts opts;
    struct conn *conns;
    struct conn **idle; /* connections without a trip under way */
    size_t idle_count;
    int epoll_fd;
    enum load_phase phase;
    uint64_t preload_next;
    uint64_t check_next;
    struct dist_rng rng;
    uint32_t *zipf_ring; /* NULL: uniform */
    size_t zipf_next;
    double due_ns; /* of the next trip, with --rate */
    uint64_t fresh_next;
    struct aside aside;
    /* when the last answer came; the longest time between two; the longest turn of the loop */
    uint64_t answer_ns, gap_ns, turn_ns;
    struct conn_counts counts;
    struct hist hist;
};

#define AT(field) offsetof(struct load_opts, field)
static const struct args_row rows[] = {
    {"host", ARGS_TEXT, AT(host), 0, 0, "numeric address of the server"},
    {"port", ARGS_COUNT, AT(port), 1, 65535, "its port"},
    {"connections", ARGS_COUNT, AT(connections), 1, 60000, "connections"},
    {"depth", ARGS_COUNT, AT(depth), 1, 10000, "requests per trip"},
    {"keys", ARGS_COUNT, AT(keys), 1, 2e9, "different keys"},
    {"key-bytes", ARGS_COUNT, AT(key_bytes), ITEM_KEY_BYTES_MIN, ITEM_KEY_BYTES_MAX, "key length"},
    {"value-bytes", ARGS_SIZES, AT(sizes), 0, 0,
     "N, uniform:MIN:MAX or lognormal:MEDIAN:SIGMA:MIN:MAX; a key keeps its size"},
    {"get-percent", ARGS_REAL, AT(get_percent), 0, 100, "share of gets; the rest are sets"},
    {"multiget", ARGS_COUNT, AT(multiget), 1, 10000, "keys per get"},
    {"zipf", ARGS_REAL, AT(zipf), 0, 10, "exponent of the keys' popularity; 0 is uniform"},
    {"seconds", ARGS_REAL, AT(seconds), 0, 1e6, "measured window; 0 only preloads"},
    {"warmup", ARGS_REAL, AT(warmup_s), 0, 1e6, "seconds before the window"},
    {"ops", ARGS_COUNT, AT(ops_max), 0, 1e15, "end the window after that many operations; 0: time"},
    {"rate", ARGS_REAL, AT(rate), 0, 1e9, "operations per second, open loop; 0: closed loop"},
    {"preload", ARGS_COUNT, AT(preload), 0, 1, "1: set every key once first"},
    {"check-every", ARGS_COUNT, AT(check_every), 0, 1e9, "compare every Nth value; 0: none"},
    {"allow-misses", ARGS_COUNT, AT(allow_misses), 0, 1, "1: misses and refused sets are no error"},
    {"server-pid", ARGS_COUNT, AT(server_pid), 0, 1e9, "whose CPU time to measure; 0: none"},
    {"seed", ARGS_COUNT, AT(seed), 0, 1e15, "of the random choices"},
    {"exptime", ARGS_COUNT, AT(exptime_s), 0, 4e9, "exptime of every set"},
    {"fresh", ARGS_COUNT, AT(fresh), 0, 1, "1: each set is of a new key beyond the keys"},
    {"churn", ARGS_COUNT, AT(churn), 0, 2e9, "sets are of so many keys beyond the keys; 0: off"},
    {"churn-bytes", ARGS_SIZES, AT(churn_sizes), 0, 0, "their sizes, drawn anew for each set"},
    {"incr", ARGS_COUNT, AT(incr), 0, 1, "1: incr instead of set; the values must be numbers"},
    {"aside", ARGS_TEXT, AT(aside), 0, 0,
     "commands of another client, parted by ';', spread over the window"},
    {"tls", ARGS_COUNT, AT(tls), 0, 1, "1: by TLS; the server's certificate is not checked"},
    {0},
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(2);
}

/* --- trips --- */

static struct item item_of(const struct load *load, uint64_t id)
{
    uint32_t bytes = dist_sizes_pick(&load->opts.sizes, dist_mix(id));
    return (struct item){.id = id, .value_bytes = bytes};
}

static struct item item_draw(struct load *load)
{
    if (load->zipf_ring == NULL)
        return item_of(load, dist_rng_below(&load->rng, load->opts.keys));
    return item_of(load, load->zipf_ring[load->zipf_next++ % ZIPF_RING]);
}

/* What a set is about. */
static struct item item_draw_set(struct load *load)
{
    const struct load_opts *opts = &load->opts;
    if (opts->fresh)
        return item_of(load, opts->keys + load->fresh_next++);
    if (opts->churn == 0)
        return item_draw(load);
    uint64_t id = opts->keys + dist_rng_below(&load->rng, opts->churn);
    uint32_t bytes = dist_sizes_pick(&opts->churn_sizes, dist_rng_next(&load->rng) >> 16);
    return (struct item){.id = id, .value_bytes = bytes};
}

static bool check_draw(struct load *load)
{
    return load->opts.check_every != 0 && load->check_next++ % load->opts.check_every == 0;
}

static void trip_build_preload(struct load *load, struct conn *conn)
{
    while (conn->send_len < PRELOAD_TRIP_BYTES && load->preload_next < load->opts.keys) {
        struct item item = item_of(load, load->preload_next++);
        conn_set(conn, &item, (uint32_t)load->opts.exptime_s);
    }
}

static void trip_build_run(struct load *load, struct conn *conn)
{
    const struct load_opts *opts = &load->opts;
    for (uint64_t i = 0; i < opts->depth; i++) {
        if (opts->get_percent < 100.0 && dist_rng_unit(&load->rng) * 100.0 >= opts->get_percent) {
            struct item item = item_draw_set(load);
            if (opts->incr)
                conn_incr(conn, &item);
            else
                conn_set(conn, &item, (uint32_t)opts->exptime_s);
            continue;
        }
        struct item item = item_draw(load);
        conn_get_begin(conn);
        conn_get_key(conn, &item, check_draw(load));
        for (uint64_t key = 1; key < opts->multiget; key++) {
            item = item_draw(load);
            conn_get_key(conn, &item, check_draw(load));
        }
        conn_get_end(conn);
    }
}

/* Begin the connection's next trip, or leave it idle when there is none in this phase. */
static void trip_start(struct load *load, struct conn *conn, uint64_t when_ns)
{
    conn_trip_begin(conn);
    if (load->phase == PHASE_PRELOAD)
        trip_build_preload(load, conn);
    if (load->phase == PHASE_RUN)
        trip_build_run(load, conn);
    if (conn->ask_count == 0) {
        load->idle[load->idle_count++] = conn;
        return;
    }
    conn->sent_ns = when_ns;
    if (!conn_send(conn))
        die("send", conn->error);
}

static void trips_start_idle(struct load *load)
{
    size_t count = load->idle_count;
    load->idle_count = 0; /* trip_start() puts back those without work */
    for (size_t i = 0; i < count; i++)
        trip_start(load, load->idle[i], cpu_clock_ns());
}

/* Open loop: start what is due while there are free connections. What finds none keeps its due
 * time and so its waiting is measured. */
static void trips_start_due(struct load *load, uint64_t now_ns)
{
    double trip_ops = (double)(load->opts.depth * load->opts.multiget);
    while (load->idle_count > 0 && load->due_ns <= (double)now_ns) {
        trip_start(load, load->idle[--load->idle_count], (uint64_t)load->due_ns);
        load->due_ns -=
            log(1.0 - dist_rng_unit(&load->rng)) * NS_PER_S * trip_ops / load->opts.rate;
    }
}

static bool open_loop(const struct load *load)
{
    return load->phase == PHASE_RUN && load->opts.rate > 0.0;
}

static void conn_event(struct load *load, struct conn *conn, uint32_t events)
{
    if ((events & EPOLLOUT) != 0 && conn_send_pending(conn) && !conn_send(conn))
        die("send", conn->error);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || conn->ask_next == conn->ask_count)
        return;
    switch (conn_recv(conn)) {
    case CONN_WAIT:
        return;
    case CONN_BROKEN:
        die("receive", conn->error);
        return;
    case CONN_DONE:
        break;
    }
    uint64_t now_ns = cpu_clock_ns();
    hist_add(&load->hist, now_ns > conn->sent_ns ? now_ns - conn->sent_ns : 0);
    if (now_ns - load->answer_ns > load->gap_ns)
        load->gap_ns = now_ns - load->answer_ns;
    load->answer_ns = now_ns;
    load->idle[load->idle_count++] = conn;
}

static uint64_t ops_done(const struct load *load)
{
    return load->counts.gets + load->counts.sets;
}

static void aside_event(struct load *load, uint64_t now_ns)
{
    if (!aside_recv(&load->aside, now_ns))
        die("aside", load->aside.error);
}

/* Serve until `end_ns`, `ops_max` operations (0: no limit) or, without new work, all idle. */
static void loop_run(struct load *load, uint64_t end_ns, uint64_t ops_max)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t last_ns = cpu_clock_ns();
    for (;;) {
        uint64_t now_ns = cpu_clock_ns();
        if (now_ns - last_ns > load->turn_ns)
            load->turn_ns = now_ns - last_ns;
        if (now_ns >= end_ns || (ops_max != 0 && ops_done(load) >= ops_max))
            return;
        if (load->phase != PHASE_RUN && load->idle_count == load->opts.connections)
            return;
        if (open_loop(load))
            trips_start_due(load, now_ns);
        if (!aside_step(&load->aside, now_ns))
            die("aside", load->aside.error);
        /* The open loop spins: a timer's slack would be counted as the server's latency. */
        int count = epoll_wait(load->epoll_fd, events, EVENTS_MAX, open_loop(load) ? 0 : 100);
        if (count < 0 && errno != EINTR)
            die("epoll_wait", strerror(errno));
        last_ns = open_loop(load) ? now_ns : cpu_clock_ns(); /* a closed loop sleeps in between */
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &load->aside)
                aside_event(load, now_ns);
            else
                conn_event(load, events[i].data.ptr, events[i].events);
        }
        /* First all answers were read, now all new trips are sent: a server that is faster than
         * this client finds many at once, as a busy one does, rather than waking for each. */
        if (!open_loop(load))
            trips_start_idle(load);
    }
}

/* --- set-up and phases --- */

static void *must_alloc(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    if (memory == NULL)
        die("memory", strerror(ENOMEM));
    return memory;
}

static void conns_open(struct load *load)
{
    const struct load_opts *opts = &load->opts;
    load->conns = must_alloc(opts->connections, sizeof(*load->conns));
    load->idle = must_alloc(opts->connections, sizeof(struct conn *));
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll_fd < 0)
        die("epoll", strerror(errno));
    for (uint64_t i = 0; i < opts->connections; i++) {
        struct conn *conn = &load->conns[i];
        conn->counts = &load->counts;
        conn->key_bytes = (uint32_t)opts->key_bytes;
        int rc = conn_open(conn, opts->host, (uint16_t)opts->port, opts->tls != 0);
        if (rc < 0)
            die("connect", strerror(-rc));
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = conn};
        if (epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) < 0)
            die("epoll_ctl", strerror(errno));
        load->idle[load->idle_count++] = conn;
    }
    int rc = aside_open(&load->aside, opts->host, (uint16_t)opts->port, opts->aside);
    if (rc < 0)
        die("connect", strerror(-rc));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &load->aside};
    if (load->aside.fd >= 0 && epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, load->aside.fd, &event) < 0)
        die("epoll_ctl", strerror(errno));
}

/* Popular keys are scattered over the key space by a prime factor, not adjacent. */
static void zipf_fill(struct load *load)
{
    struct dist_zipf zipf;
    dist_zipf_init(&zipf, load->opts.keys, load->opts.zipf);
    load->zipf_ring = must_alloc(ZIPF_RING, sizeof(*load->zipf_ring));
    for (size_t i = 0; i < ZIPF_RING; i++)
        load->zipf_ring[i] =
            (uint32_t)(dist_zipf_next(&zipf, &load->rng) * UINT64_C(2654435761) % load->opts.keys);
}

static void preload(struct load *load)
{
    load->phase = PHASE_PRELOAD;
    trips_start_idle(load);
    loop_run(load, UINT64_MAX, 0);
    if (load->counts.refused > 0 && !load->opts.allow_misses)
        die("preload", "the server refused sets");
}

static void drain(struct load *load)
{
    load->phase = PHASE_DRAIN;
    loop_run(load, cpu_clock_ns() + (uint64_t)DRAIN_S * NS_PER_S, 0);
    if (load->idle_count != load->opts.connections)
        die("drain", "answers are missing");
}

struct window {
    uint64_t begin_ns, end_ns;
    uint64_t client_ns, gap_ns, turn_ns;
    struct cpu_time server;
};

static uint64_t own_cpu_ns(void)
{
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    return (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * NS_PER_S +
           (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000;
}

/* Warm up, then measure: counters and histogram hold the window alone. */
static struct window measure(struct load *load)
{
    load->phase = PHASE_RUN;
    load->due_ns = (double)cpu_clock_ns();
    if (!open_loop(load))
        trips_start_idle(load);
    loop_run(load, cpu_clock_ns() + (uint64_t)(load->opts.warmup_s * NS_PER_S), 0);
    load->counts = (struct conn_counts){0};
    load->hist = (struct hist){0};
    int pid = (int)load->opts.server_pid;
    struct window window = {.client_ns = own_cpu_ns()};
    struct cpu_time before = cpu_time_read(pid);
    window.begin_ns = load->answer_ns = cpu_clock_ns();
    load->gap_ns = load->turn_ns = 0;
    aside_begin(&load->aside, window.begin_ns, load->opts.seconds * NS_PER_S);
    loop_run(load, window.begin_ns + (uint64_t)(load->opts.seconds * NS_PER_S), load->opts.ops_max);
    if (ops_done(load) == 0) /* starved by other programs: wait for one */
        loop_run(load, cpu_clock_ns() + (uint64_t)DRAIN_S * NS_PER_S, 1);
    if (ops_done(load) == 0)
        die("measure", "not one answer");
    window.server = cpu_time_read(pid);
    window.end_ns = cpu_clock_ns();
    window.gap_ns = load->gap_ns; /* the drain's do not count */
    window.turn_ns = load->turn_ns;
    window.client_ns = own_cpu_ns() - window.client_ns;
    window.server.run_ns -= before.run_ns;
    window.server.user_ticks -= before.user_ticks;
    window.server.system_ticks -= before.system_ticks;
    return window;
}

static void report(const struct load *load, const struct conn_counts *counts,
                   const struct window *window)
{
    double seconds = (double)(window->end_ns - window->begin_ns) / NS_PER_S;
    double ops = (double)(counts->gets + counts->sets);
    const struct hist *hist = &load->hist;
    const struct cpu_time *cpu = &window->server;
    uint64_t ticks = cpu->user_ticks + cpu->system_ticks;
    printf("{\"seconds\":%.3f,\"ops\":%.0f,\"ops_per_s\":%.0f,", seconds, ops, ops / seconds);
    printf("\"gets\":%" PRIu64 ",\"hits\":%" PRIu64 ",\"sets\":%" PRIu64 ",\"refused\":%" PRIu64,
           counts->gets, counts->hits, counts->sets, counts->refused);
    printf(",\"values_checked\":%" PRIu64 ",\"bytes_received\":%" PRIu64, counts->values_checked,
           counts->bytes_received);
    printf(",\"server_ns_per_op\":%.2f,\"server_busy\":%.3f,\"server_user_share\":%.2f",
           (double)cpu->run_ns / ops, (double)cpu->run_ns / seconds / NS_PER_S,
           ticks == 0 ? 0.0 : (double)cpu->user_ticks / (double)ticks);
    printf(",\"client_ns_per_op\":%.2f,\"trips\":%" PRIu64, (double)window->client_ns / ops,
           hist->count);
    printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f",
           (double)hist_quantile(hist, 0.5) / 1e3, (double)hist_quantile(hist, 0.99) / 1e3,
           (double)hist_quantile(hist, 0.999) / 1e3, (double)hist->max_ns / 1e3);
    printf(",\"gap_us\":%.1f,\"own_turn_us\":%.1f", (double)window->gap_ns / 1e3,
           (double)window->turn_ns / 1e3);
    printf(",\"aside_sent\":%" PRIu64 ",\"aside_bytes\":%" PRIu64 ",\"aside_last_s\":%.3f}\n",
           load->aside.sent, load->aside.bytes,
           load->aside.bytes == 0
               ? 0.0
               : ((double)load->aside.last_ns - (double)window->begin_ns) / NS_PER_S);
}

int main(int argc, char **argv)
{
    static struct load load = {
        .opts = {.host = "127.0.0.1",
                 .port = 11211,
                 .connections = 50,
                 .depth = 1,
                 .keys = 100000,
                 .key_bytes = 16,
                 .multiget = 1,
                 .get_percent = 100,
                 .seconds = 5,
                 .warmup_s = 1,
                 .preload = 1,
                 .check_every = 1,
                 .seed = 1},
    };
    if (!dist_sizes_parse(&load.opts.sizes, "100") ||
        !dist_sizes_parse(&load.opts.churn_sizes, "uniform:10:1000"))
        return 1;
    args_parse(rows, &load.opts, argc, argv);
    item_init();
    load.rng.state = load.opts.seed;
    conns_open(&load);
    if (load.opts.zipf > 0.0)
        zipf_fill(&load);
    if (load.opts.preload)
        preload(&load);
    if (load.opts.seconds <= 0.0)
        return 0;
    struct window window = measure(&load);
    struct conn_counts counts = load.counts; /* those of the drain do not count */
    drain(&load);
    report(&load, &counts, &window);
    for (uint64_t i = 0; i < load.opts.connections; i++)
        conn_close(&load.conns[i]);
    aside_close(&load.aside);
    if (!load.opts.allow_misses && (counts.hits != counts.gets || counts.refused > 0)) {
        fprintf(stderr, "load: misses or refused sets\n");
        return 3;
    }
    return 0;
}
