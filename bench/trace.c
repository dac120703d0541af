/* bench/trace.c — replay a generated workload as a cache-aside application does, and count misses.
 *
 *    trip:   [sets of what the last trip missed] [get k1 k2 ..] [set] [get k8 k9 ..] ..
 *
 * Requests keep their order on one connection, so both servers see the same stream. A get that
 * misses because its key's first miss is in the same trip counts as a hit: one request at a time,
 * it would have been. The program remembers the version and size that each object has by now: a
 * hit must be exactly that, and must not have expired. Counted is the second half of the stream,
 * when the cache is full.
 *
 * Threads:  one.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "args.h"
#include "conn.h"
#include "cpu.h"
#include "database.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    NS_PER_S = 1000000000,
    TRIP_REQUESTS = 256,
    EXPIRY_SLACK_S = 2, /* servers count whole seconds of their own clock */
    ANSWER_TIMEOUT_MS = 10000,
};

struct trace_opts {
    const char *host, *workload;
    uint64_t port, keys, requests, trip, dry;
    double rate;
};

struct trace {
    struct trace_opts opts;
    struct workload workload;
    struct database base;
    struct conn conn;
    struct conn_counts counts;
    uint64_t begin_ns;
    uint32_t trip;
    uint32_t fills[TRIP_REQUESTS];
    uint32_t fill_exptime_s[TRIP_REQUESTS];
    size_t fill_count;
};

#define AT(field) offsetof(struct trace_opts, field)
static const struct args_row rows[] = {
    {"host", ARGS_TEXT, AT(host), 0, 0, "numeric address of the server"},
    {"port", ARGS_COUNT, AT(port), 1, 65535, "its port"},
    {"workload", ARGS_TEXT, AT(workload), 0, 0, "its name; a wrong one lists them"},
    {"keys", ARGS_COUNT, AT(keys), 1000, 1e9, "popular keys"},
    {"requests", ARGS_COUNT, AT(requests), 1000, 1e9, "length of the stream"},
    {"trip", ARGS_COUNT, AT(trip), 1, TRIP_REQUESTS, "requests per trip"},
    {"rate", ARGS_REAL, AT(rate), 0, 1e9, "requests per second; 0: as fast as it goes"},
    {"dry", ARGS_COUNT, AT(dry), 0, 1, "1: only print the footprint, ask no server"},
    {0},
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "trace: %s: %s\n", what, why);
    exit(2);
}

static uint32_t now_s(const struct trace *trace)
{
    return (uint32_t)((cpu_clock_ns() - trace->begin_ns) / NS_PER_S);
}

static struct item item_of(const struct trace *trace, uint32_t id)
{
    const struct object *object = &trace->base.objects[id];
    return (struct item){.id = id, .version = object->version, .value_bytes = object->value_bytes};
}

static void set_append(struct trace *trace, uint32_t id, uint32_t exptime_s)
{
    struct item item = item_of(trace, id);
    trace->base.objects[id].expires_s = exptime_s == 0 ? 0 : now_s(trace) + exptime_s;
    conn_set(&trace->conn, &item, exptime_s);
}

/* Compose a trip: first the sets that the last one's misses ask for, then new requests. */
static void trip_build(struct trace *trace, struct workload_request *requests, size_t count)
{
    struct conn *conn = &trace->conn;
    conn_trip_begin(conn);
    for (size_t i = 0; i < trace->fill_count; i++)
        set_append(trace, trace->fills[i], trace->fill_exptime_s[i]);
    trace->fill_count = 0;
    bool in_get = false;
    for (size_t i = 0; i < count; i++) {
        (void)database_touch(&trace->base, &requests[i]);
        if (requests[i].update == in_get) { /* a get ends where a set begins, or the other way */
            if (in_get)
                conn_get_end(conn);
            else
                conn_get_begin(conn);
            in_get = !in_get;
        }
        struct item item = item_of(trace, requests[i].id);
        if (in_get)
            conn_get_key(conn, &item, true);
        else
            set_append(trace, requests[i].id, requests[i].exptime_s);
    }
    if (in_get)
        conn_get_end(conn);
}

static void trip_exchange(struct conn *conn)
{
    for (;;) {
        if (!conn_send(conn))
            die("send", conn->error);
        short events = (short)(POLLIN | (conn_send_pending(conn) ? POLLOUT : 0));
        struct pollfd poll_fd = {.fd = conn->fd, .events = events};
        int ready = poll(&poll_fd, 1, ANSWER_TIMEOUT_MS);
        if (ready == 0 || (ready < 0 && errno != EINTR))
            die("poll", "no answer");
        if ((poll_fd.revents & POLLIN) == 0)
            continue;
        switch (conn_recv(conn)) {
        case CONN_WAIT:
            break;
        case CONN_BROKEN:
            die("receive", conn->error);
            break;
        case CONN_DONE:
            return;
        }
    }
}

/* A get's answer: count it, and note a miss for the next trip. */
static void get_count(struct trace *trace, const struct workload_request *request,
                      const struct conn_ask *ask)
{
    struct object *object = &trace->base.objects[request->id];
    bool again = object->filled_trip == trace->trip;
    bool missed = !ask->hit && !again;
    if (ask->hit && object->expires_s != 0 && now_s(trace) > object->expires_s + EXPIRY_SLACK_S)
        die("receive", "a value that has expired");
    if (missed) {
        object->filled_trip = trace->trip;
        if (object->version == ask->item.version) { /* else this trip has set it after the get */
            trace->fills[trace->fill_count] = request->id;
            trace->fill_exptime_s[trace->fill_count++] = request->exptime_s;
        }
    }
    database_count(&trace->base, ask->item.value_bytes, missed);
}

/* Wait until the stream's clock reaches request number `done`. */
static void pace(const struct trace *trace, uint64_t done)
{
    if (trace->opts.rate <= 0.0)
        return;
    uint64_t due_ns = trace->begin_ns + (uint64_t)((double)done / trace->opts.rate * NS_PER_S);
    struct timespec due = {.tv_sec = (time_t)(due_ns / NS_PER_S),
                           .tv_nsec = (long)(due_ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR) {
    }
}

static void replay(struct trace *trace)
{
    struct workload_request requests[TRIP_REQUESTS];
    uint64_t left = trace->opts.requests;
    while (left > 0) {
        size_t count = left < trace->opts.trip ? left : trace->opts.trip;
        for (size_t i = 0; i < count; i++)
            requests[i] = workload_next(&trace->workload);
        left -= count;
        trace->trip++;
        trace->base.counting = left < trace->opts.requests / 2;
        if (trace->opts.dry) {
            for (size_t i = 0; i < count; i++)
                (void)database_touch(&trace->base, &requests[i]);
            continue;
        }
        pace(trace, trace->opts.requests - left);
        size_t fills = trace->fill_count; /* their answers come first */
        trip_build(trace, requests, count);
        trip_exchange(&trace->conn);
        for (size_t i = 0; i < count; i++)
            if (!requests[i].update)
                get_count(trace, &requests[i], &trace->conn.asks[fills + i]);
    }
}

static void report(const struct trace *trace)
{
    double seconds = (double)(cpu_clock_ns() - trace->begin_ns) / NS_PER_S;
    printf("{\"requests\":%" PRIu64 ",\"seconds\":%.2f,\"requests_per_s\":%.0f,\"refused\":%" PRIu64
           ",",
           trace->opts.requests, seconds, (double)trace->opts.requests / seconds,
           trace->counts.refused);
    database_print(&trace->base);
    printf("}\n");
}

int main(int argc, char **argv)
{
    static struct trace trace = {
        .opts = {.host = "127.0.0.1",
                 .workload = "zipf1.0",
                 .port = 11211,
                 .keys = 1000000,
                 .requests = 6000000,
                 .trip = TRIP_REQUESTS},
        .conn = {.key_bytes = DATABASE_KEY_BYTES},
    };
    args_parse(rows, &trace.opts, argc, argv);
    const struct workload_shape *shape = workload_find(trace.opts.workload);
    if (shape == NULL)
        die("no such workload; there are", workload_names());
    if (!workload_init(&trace.workload, shape, trace.opts.keys, trace.opts.requests) ||
        !database_init(&trace.base, &trace.workload))
        die("memory", strerror(ENOMEM));
    item_init();
    trace.conn.counts = &trace.counts;
    int rc = trace.opts.dry
                 ? 0
                 : conn_open(&trace.conn, trace.opts.host, (uint16_t)trace.opts.port, false);
    if (rc < 0)
        die("connect", strerror(-rc));
    trace.begin_ns = cpu_clock_ns();
    replay(&trace);
    report(&trace);
    if (!trace.opts.dry)
        conn_close(&trace.conn);
    workload_fini(&trace.workload);
    database_fini(&trace.base);
    return 0;
}
