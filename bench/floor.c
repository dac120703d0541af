/* bench/floor.c — a responder that does nothing, on the server's own network layer.
 *
 * Each key of a get is answered with a value of zeros, which is sent from where it lies when it is
 * large; the value of a set is swallowed and answered with STORED. What it costs is the floor below
 * which no server on this event loop can come: kernel, loop, buffers, and with TLS OpenSSL.
 *
 * Threads:  one worker.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "args.h"

#include "base/clock.h"
#include "base/num.h"
#include "net/net.h"
#include "stat/stat.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct floor_opts {
    const char *host;
    uint64_t port, value_bytes;
    const char *tls_cert, *tls_key;
};

enum {
    BATCH = 32,                /* requests, as the server's */
    COPY_BYTES_MAX = 16 << 10, /* larger values are sent from where they lie; the server's limit */
    TLS_GATHER_BYTES = 16 << 10,
};

#define AT(field) offsetof(struct floor_opts, field)
static const struct args_row rows[] = {
    {"host", ARGS_TEXT, AT(host), 0, 0, "address to listen on"},
    {"port", ARGS_COUNT, AT(port), 1, 65535, "its port"},
    {"value-bytes", ARGS_COUNT, AT(value_bytes), 1, 1 << 20, "size of every value"},
    {"tls-cert", ARGS_TEXT, AT(tls_cert), 0, 0, "certificate, PEM; serves by TLS alone"},
    {"tls-key", ARGS_TEXT, AT(tls_key), 0, 0, "its key, PEM"},
    {0},
};

/* What follows each key: flags and length, then the value and CR LF. */
struct answer {
    uint8_t *bytes;
    size_t head_bytes, len;
    struct bytes value; /* within `bytes` */
};

static bool answer_make(struct answer *answer, size_t value_bytes)
{
    answer->bytes = calloc(1, value_bytes + 64);
    if (answer->bytes == NULL)
        return false;
    answer->head_bytes = (size_t)snprintf((char *)answer->bytes, 64, " 0 %zu\r\n", value_bytes);
    answer->value = bytes_of(answer->bytes + answer->head_bytes, value_bytes);
    answer->len = answer->head_bytes + value_bytes + 2;
    memcpy(answer->bytes + answer->len - 2, "\r\n", 2);
    return true;
}

static void released(void *owner)
{
    (void)owner;
}

/* A line "get key key ..." without its end. */
static void line_get(struct answer *answer, struct bytes line, struct out *out)
{
    const bool large = answer->value.len > COPY_BYTES_MAX;
    while (line.len > 0) {
        const uint8_t *blank = memchr(line.ptr, ' ', line.len);
        if (blank == NULL)
            break;
        line = bytes_skip(line, (size_t)(blank + 1 - line.ptr));
        const uint8_t *end = memchr(line.ptr, ' ', line.len);
        out_put(out, "VALUE ", 6);
        out_put(out, line.ptr, end != NULL ? (size_t)(end - line.ptr) : line.len);
        out_put(out, answer->bytes, large ? answer->head_bytes : answer->len);
        if (!large)
            continue;
        out_blob(out, &answer->value, 1, released, NULL);
        out_put(out, "\r\n", 2);
    }
    out_put(out, "END\r\n", 5);
}

/* A line "set key flags exptime bytes": how much follows it, or 0: not understood. */
static uint32_t line_set(struct bytes line)
{
    uint64_t value_bytes;
    for (unsigned words = 0; words < 4; words++) {
        const uint8_t *blank = memchr(line.ptr, ' ', line.len);
        if (blank == NULL)
            return 0;
        line = bytes_skip(line, (size_t)(blank + 1 - line.ptr));
    }
    return num_parse_u64(line, 1 << 30, &value_bytes) ? (uint32_t)value_bytes + 2 : 0;
}

/* Drop what has come of a value; the connection's note says how much of it is to come. */
static void swallow(struct net_io *io)
{
    const size_t here = io->in.len - io->used;
    const uint32_t take = here < *io->note ? (uint32_t)here : *io->note;
    io->used += take;
    *io->note -= take;
    if (*io->note > 0)
        return;
    out_put(io->out, "STORED\r\n", 8);
    io->requests++;
}

static void line_answer(struct answer *answer, struct bytes line, struct net_io *io)
{
    if (line.len > 4 && memcmp(line.ptr, "set ", 4) == 0) {
        *io->note = line_set(line);
        if (*io->note > 0)
            return;
    }
    line_get(answer, line, io->out);
    io->requests++;
}

static enum net_rc run(void *worker, void **session, struct net_io *io)
{
    (void)session;
    const uint8_t *end;
    while (io->used < io->in.len) {
        if (io->requests >= BATCH)
            return NET_AGAIN;
        if (*io->note > 0) {
            swallow(io);
            continue;
        }
        end = memchr(io->in.ptr + io->used, '\n', io->in.len - io->used);
        if (end == NULL)
            break;
        struct bytes line = bytes_skip(io->in, io->used);
        line.len = (size_t)(end - line.ptr);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        io->used = (size_t)(end + 1 - io->in.ptr);
        line_answer(worker, line, io);
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

/* NULL without --tls-cert, and after an error. */
static struct net_tls *tls_open(const struct floor_opts *opts)
{
    struct net_tls *tls = NULL;
    char error[NET_TLS_ERROR_BYTES];
    const struct net_tls_config config = {
        .chain_path = opts->tls_cert,
        .key_path = opts->tls_key,
        .version_min = 2,
        .gather_bytes = TLS_GATHER_BYTES,
    };
    if (opts->tls_cert != NULL && net_tls_new(&config, &tls, error) < 0)
        fprintf(stderr, "floor: %s\n", error);
    return tls;
}

static int serve(const struct net_config *config)
{
    char error[NET_ERROR_BYTES];
    if (net_new(config, &net, error) < 0) {
        fprintf(stderr, "floor: %s\n", error);
        return -1;
    }
    (void)signal(SIGTERM, stop);
    const int rc = net_run(net);
    net_free(net);
    return rc;
}

int main(int argc, char **argv)
{
    struct floor_opts opts = {.host = "127.0.0.1", .port = 11211, .value_bytes = 100};
    args_parse(rows, &opts, argc, argv);
    struct answer answer;
    struct stat_registry *stats;
    struct net_worker_config worker = {.arg = &answer};
    struct net_address address = {.host = opts.host,
                                  .port = (int32_t)opts.port,
                                  .tls = opts.tls_cert != NULL ? NET_TLS_ON : NET_TLS_OFF};
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
    config.tls = tls_open(&opts);
    if (opts.tls_cert != NULL && config.tls == NULL)
        return 1;
    const int rc = serve(&config);
    net_tls_free(config.tls);
    stat_registry_free(stats);
    free(answer.bytes);
    return rc < 0;
}
