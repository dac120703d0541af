/* bench/floor.c — a responder that does nothing, on the server's own network layer.
 *
 * Each key of a get is answered with a value of zeros, a set is not understood. What it costs is
 * the floor below which no server on this event loop can come: kernel, loop and buffers.
 *
 * Threads:  one worker.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "args.h"

#include "base/clock.h"
#include "net/net.h"
#include "stat/stat.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct floor_opts {
    const char *host;
    uint64_t port, value_bytes;
};

#define AT(field) offsetof(struct floor_opts, field)
static const struct args_row rows[] = {
    {"host", ARGS_TEXT, AT(host), 0, 0, "address to listen on"},
    {"port", ARGS_COUNT, AT(port), 1, 65535, "its port"},
    {"value-bytes", ARGS_COUNT, AT(value_bytes), 1, 1 << 20, "size of every value"},
    {0},
};

/* What follows each key: flags and length, then the value. */
struct answer {
    uint8_t *bytes;
    size_t len;
};

static bool answer_make(struct answer *answer, size_t value_bytes)
{
    answer->bytes = calloc(1, value_bytes + 64);
    if (answer->bytes == NULL)
        return false;
    int head = snprintf((char *)answer->bytes, 64, " 0 %zu\r\n", value_bytes);
    answer->len = (size_t)head + value_bytes + 2;
    memcpy(answer->bytes + answer->len - 2, "\r\n", 2);
    return true;
}

/* A line "get key key ..." without its end. */
static void line_answer(const struct answer *answer, struct bytes line, struct out *out)
{
    while (line.len > 0) {
        const uint8_t *blank = memchr(line.ptr, ' ', line.len);
        if (blank == NULL)
            break;
        line = bytes_skip(line, (size_t)(blank + 1 - line.ptr));
        const uint8_t *end = memchr(line.ptr, ' ', line.len);
        out_put(out, "VALUE ", 6);
        out_put(out, line.ptr, end != NULL ? (size_t)(end - line.ptr) : line.len);
        out_put(out, answer->bytes, answer->len);
    }
    out_put(out, "END\r\n", 5);
}

static enum net_rc run(void *worker, void **session, struct net_io *io)
{
    (void)session;
    const uint8_t *end;
    while ((end = memchr(io->in.ptr + io->used, '\n', io->in.len - io->used)) != NULL) {
        struct bytes line = bytes_skip(io->in, io->used);
        line.len = (size_t)(end - line.ptr);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        line_answer(worker, line, io->out);
        io->used = (size_t)(end + 1 - io->in.ptr);
        io->requests++;
    }
    return NET_MORE;
}

static const struct net_ops ops = {.run = run};
static struct net *net;

static void stop(int number)
{
    (void)number;
    net_stop(net);
}

int main(int argc, char **argv)
{
    struct floor_opts opts = {.host = "127.0.0.1", .port = 11211, .value_bytes = 100};
    args_parse(rows, &opts, argc, argv);
    struct answer answer;
    struct stat_registry *stats;
    struct net_worker_config worker = {.arg = &answer};
    struct net_address address = {.host = opts.host, .port = (int32_t)opts.port};
    struct net_config config = {.ops = &ops,
                                .addresses = &address,
                                .address_count = 1,
                                .workers = &worker,
                                .worker_count = 1,
                                .conns_max = 2048,
                                .backlog = 1024,
                                .requests_per_event = 20};
    if (!answer_make(&answer, opts.value_bytes) || stat_registry_new(&stats) < 0 ||
        stat_block_new(stats, &worker.stats) < 0 || stat_block_new(stats, &config.stats) < 0)
        return 1;
    clock_init();
    char error[NET_ERROR_BYTES];
    if (net_new(&config, &net, error) < 0) {
        fprintf(stderr, "floor: %s\n", error);
        return 1;
    }
    (void)signal(SIGTERM, stop);
    int rc = net_run(net);
    net_free(net);
    stat_registry_free(stats);
    free(answer.bytes);
    return rc < 0;
}
