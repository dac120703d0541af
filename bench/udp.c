/* bench/udp.c — a load generator for gets by UDP that measures the server.
 *
 *    preload (matte-bench-load, by TCP) ──► handshakes ──► warm-up ──► window ──► one JSON line
 *
 *    --mode legacy   gets in memcached's own frames
 *    --mode proven   gets by RR, each source with a cookie of its own
 *    --mode flood    gets in memcached's own frames as fast as they can be sent; answers are not
 *                    read. An operation is a datagram that the server took in: what it left in its
 *                    socket's buffer was dropped by the kernel for nothing
 *
 * One thread, one epoll loop. A source is a connected socket; it sends `depth` gets with one
 * sendmmsg, and the next ones when all are answered or 100 ms have passed: what is missing then is
 * lost, and counted. Every value is compared byte by byte. A value must fit in a datagram.
 *
 * Threads:  one.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "args.h"
#include "cpu.h"
#include "hist.h"
#include "item.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <matte/rr.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/num.h"

enum {
    NS_PER_S = 1000000000,
    DEPTH_MAX = 64,
    DATAGRAM_BYTES_MAX = 2048, /* of a request with the longest key, of an answer of one datagram */
    LOST_NS = 100 * 1000000,   /* an answer that takes longer is none */
    HELLO_TRIES = 5,
    EVENTS_MAX = 256,
};

enum mode { MODE_LEGACY, MODE_PROVEN, MODE_FLOOD };

struct udp_opts {
    const char *host, *mode_name;
    uint64_t port, sources, depth, keys, key_bytes;
    struct dist_sizes sizes;
    double seconds, warmup_s;
    uint64_t check, server_pid, seed;
};

struct source {
    int fd;
    struct matte_rr rr;
    uint16_t first; /* request id of the first get under way; the others follow */
    unsigned count, waiting;
    bool here[DEPTH_MAX]; /* answered */
    struct item item[DEPTH_MAX];
    uint64_t sent_ns;
};

struct counts {
    uint64_t answers, lost, values_checked, bytes_received, sent;
};

struct udp {
    struct udp_opts opts;
    enum mode mode;
    struct source *sources;
    int epoll_fd;
    struct dist_rng rng;
    struct counts counts;
    struct hist hist;
    /* One batch. */
    struct mmsghdr messages[DEPTH_MAX];
    struct iovec vectors[DEPTH_MAX];
    uint8_t datagrams[DEPTH_MAX][DATAGRAM_BYTES_MAX];
};

#define AT(field) offsetof(struct udp_opts, field)
static const struct args_row rows[] = {
    {"host", ARGS_TEXT, AT(host), 0, 0, "numeric IPv4 address of the server"},
    {"port", ARGS_COUNT, AT(port), 1, 65535, "its UDP port"},
    {"mode", ARGS_TEXT, AT(mode_name), 0, 0, "legacy, proven or flood"},
    {"sources", ARGS_COUNT, AT(sources), 1, 10000, "sockets"},
    {"depth", ARGS_COUNT, AT(depth), 1, DEPTH_MAX, "gets under way per socket"},
    {"keys", ARGS_COUNT, AT(keys), 1, 2e9, "different keys, as they were preloaded"},
    {"key-bytes", ARGS_COUNT, AT(key_bytes), ITEM_KEY_BYTES_MIN, ITEM_KEY_BYTES_MAX, "key length"},
    {"value-bytes", ARGS_SIZES, AT(sizes), 0, 0, "as of matte-bench-load; up to 1000"},
    {"seconds", ARGS_REAL, AT(seconds), 0, 1e6, "measured window"},
    {"warmup", ARGS_REAL, AT(warmup_s), 0, 1e6, "seconds before the window"},
    {"check", ARGS_COUNT, AT(check), 0, 1, "1: compare every value"},
    {"server-pid", ARGS_COUNT, AT(server_pid), 0, 1e9, "whose CPU time to measure; 0: none"},
    {"seed", ARGS_COUNT, AT(seed), 0, 1e15, "of the random choices"},
    {0},
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "udp: %s: %s\n", what, why);
    exit(2);
}

/* --- sources --- */

static int socket_open(const struct udp_opts *opts)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opts->port)};
    if (inet_pton(AF_INET, opts->host, &address.sin_addr) != 1)
        die("host", "not an IPv4 address");
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        die("socket", strerror(errno));
    return fd;
}

/* Get a cookie. A request is lost now and then while many sources ask at once. */
static void hello(struct source *source)
{
    uint8_t nonce[MATTE_RR_NONCE_BYTES], datagram[DATAGRAM_BYTES_MAX], room[MATTE_RR_PART_BYTES];
    if (getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce))
        die("random", strerror(errno));
    matte_rr_init(&source->rr, nonce);
    for (uint16_t try = 0; try < HELLO_TRIES; try++) {
        struct matte_rr_answer answer;
        struct pollfd poll_fd = {.fd = source->fd, .events = POLLIN};
        matte_rr_answer_init(&answer, try, room, sizeof(room));
        if (send(source->fd, datagram, matte_rr_hello(&source->rr, try, datagram), 0) < 0 ||
            poll(&poll_fd, 1, 200) <= 0)
            continue;
        const ssize_t len = recv(source->fd, datagram, sizeof(datagram), MSG_DONTWAIT);
        if (len > 0 &&
            matte_rr_take(&source->rr, &answer, datagram, (size_t)len, 0) == MATTE_RR_AGAIN)
            return;
    }
    die("hello", "no challenge came; are challenges limited?");
}

static void sources_open(struct udp *udp)
{
    udp->sources = calloc(udp->opts.sources, sizeof(*udp->sources));
    udp->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (udp->sources == NULL || udp->epoll_fd < 0)
        die("set-up", strerror(errno));
    for (uint64_t i = 0; i < udp->opts.sources; i++) {
        struct source *source = &udp->sources[i];
        source->fd = socket_open(&udp->opts);
        if (udp->mode == MODE_PROVEN)
            hello(source);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
        if (epoll_ctl(udp->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0)
            die("epoll_ctl", strerror(errno));
    }
}

/* --- gets --- */

/* Write a get of a random key. Returns its bytes. */
static size_t get_write(struct udp *udp, struct source *source, unsigned index, uint8_t *dst)
{
    char command[8 + ITEM_KEY_BYTES_MAX] = "get ";
    const uint64_t id = dist_rng_below(&udp->rng, udp->opts.keys);
    struct item *item = &source->item[index];
    *item = (struct item){.id = id, .value_bytes = dist_sizes_pick(&udp->opts.sizes, dist_mix(id))};
    item_key_write((uint8_t *)command + 4, (uint32_t)udp->opts.key_bytes, id);
    memcpy(command + 4 + udp->opts.key_bytes, "\r\n", 2);
    const size_t len = 4 + udp->opts.key_bytes + 2;
    const uint16_t request = (uint16_t)(source->first + index);
    if (udp->mode == MODE_PROVEN)
        return matte_rr_wrap(&source->rr, request, command, len, dst);
    memset(dst, 0, MATTE_RR_HEADER_BYTES);
    dst[0] = (uint8_t)(request >> 8);
    dst[1] = (uint8_t)request;
    dst[5] = 1;
    memcpy(dst + MATTE_RR_HEADER_BYTES, command, len);
    return MATTE_RR_HEADER_BYTES + len;
}

static void batch_send(struct udp *udp, struct source *source, uint64_t now_ns)
{
    source->first = (uint16_t)(source->first + source->count);
    source->count = (unsigned)udp->opts.depth;
    for (unsigned i = 0; i < source->count; i++) {
        udp->vectors[i] = (struct iovec){.iov_base = udp->datagrams[i]};
        udp->vectors[i].iov_len = get_write(udp, source, i, udp->datagrams[i]);
        udp->messages[i].msg_hdr = (struct msghdr){.msg_iov = &udp->vectors[i], .msg_iovlen = 1};
        source->here[i] = false;
    }
    source->sent_ns = now_ns;
    source->waiting = source->count;
    unsigned done = 0;
    while (done < source->count) { /* a refused one (ICMP) is an error of the next call */
        const int sent = sendmmsg(source->fd, udp->messages + done, source->count - done, 0);
        if (sent < 0 && errno != EINTR && errno != ENOBUFS)
            die("send", strerror(errno));
        done += sent > 0 ? (unsigned)sent : 0;
    }
    udp->counts.sent += source->count;
}

/* VALUE key flags bytes CR LF value CR LF END CR LF, whole. */
static bool answer_check(const struct udp *udp, const struct item *item, struct bytes text)
{
    uint8_t key[ITEM_KEY_BYTES_MAX];
    const uint8_t *end = text.len == 0 ? NULL : memchr(text.ptr, '\n', text.len);
    const size_t key_bytes = udp->opts.key_bytes, head = 6 + key_bytes + 3;
    if (end == NULL || end[-1] != '\r' || !bytes_starts(text, bytes_str("VALUE ")))
        return false;
    struct bytes line = bytes_of(text.ptr, (size_t)(end - 1 - text.ptr));
    uint64_t len;
    item_key_write(key, (uint32_t)key_bytes, item->id);
    if (line.len <= head || memcmp(line.ptr + 6, key, key_bytes) != 0 ||
        memcmp(line.ptr + 6 + key_bytes, " 0 ", 3) != 0 ||
        !num_parse_u64(bytes_skip(line, head), UINT32_MAX, &len) || len != item->value_bytes)
        return false;
    const struct bytes value = bytes_skip(text, line.len + 2);
    return value.len >= len && bytes_is(bytes_skip(value, (size_t)len), "\r\nEND\r\n") &&
           (udp->opts.check == 0 || item_value_check(value.ptr, item, 0, (size_t)len));
}

static void answer_take(struct udp *udp, struct source *source, struct bytes datagram)
{
    if (datagram.len < MATTE_RR_HEADER_BYTES)
        die("receive", "an answer without a header");
    const unsigned kind = matte_rr_get_16(datagram.ptr + 6);
    const unsigned index = (uint16_t)(matte_rr_get_16(datagram.ptr) - source->first);
    if (index >= source->count || source->here[index])
        return; /* a late one */
    size_t head = MATTE_RR_HEADER_BYTES;
    if (kind == MATTE_RR_KIND_FRESH && datagram.len >= MATTE_RR_FRAME_BYTES) {
        head = MATTE_RR_FRAME_BYTES;
        (void)matte_rr_keep(&source->rr, datagram.ptr + MATTE_RR_HEADER_BYTES, 0);
    } else if (kind != MATTE_RR_KIND_LEGACY) {
        die("receive", "an answer of a wrong kind");
    }
    if (!answer_check(udp, &source->item[index], bytes_skip(datagram, head)))
        die("receive", "a wrong answer, or a miss");
    source->here[index] = true;
    source->waiting--;
    udp->counts.answers++;
    udp->counts.values_checked += udp->opts.check;
    udp->counts.bytes_received += datagram.len;
}

static void batch_recv(struct udp *udp, struct source *source)
{
    for (unsigned i = 0; i < DEPTH_MAX; i++) {
        udp->vectors[i] =
            (struct iovec){.iov_base = udp->datagrams[i], .iov_len = sizeof(udp->datagrams[i])};
        udp->messages[i].msg_hdr = (struct msghdr){.msg_iov = &udp->vectors[i], .msg_iovlen = 1};
    }
    const int count = recvmmsg(source->fd, udp->messages, DEPTH_MAX, MSG_DONTWAIT, NULL);
    if (count < 0 && errno != EAGAIN && errno != EINTR)
        die("receive", strerror(errno));
    for (int i = 0; i < count; i++)
        answer_take(udp, source, bytes_of(udp->datagrams[i], udp->messages[i].msg_len));
}

/* Start what is answered or lost. */
static void batches_send(struct udp *udp, uint64_t now_ns)
{
    for (uint64_t i = 0; i < udp->opts.sources; i++) {
        struct source *source = &udp->sources[i];
        if (source->waiting > 0 && now_ns - source->sent_ns < LOST_NS)
            continue;
        if (source->count > 0 && source->waiting == 0)
            hist_add(&udp->hist, now_ns - source->sent_ns);
        udp->counts.lost += source->waiting;
        batch_send(udp, source, now_ns);
    }
}

static void loop_run(struct udp *udp, uint64_t end_ns)
{
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        const uint64_t now_ns = cpu_clock_ns();
        if (now_ns >= end_ns)
            return;
        if (udp->mode == MODE_FLOOD) {
            batch_send(udp, &udp->sources[udp->counts.sent / udp->opts.depth % udp->opts.sources],
                       now_ns);
            continue;
        }
        batches_send(udp, now_ns);
        const int count = epoll_wait(udp->epoll_fd, events, EVENTS_MAX, LOST_NS / 1000000);
        if (count < 0 && errno != EINTR)
            die("epoll_wait", strerror(errno));
        for (int i = 0; i < count; i++)
            batch_recv(udp, events[i].data.ptr);
    }
}

/* --- measuring --- */

/* Datagrams that programs of this machine took out of their sockets (InDatagrams of
 * /proc/net/snmp). In a flood that is the server. */
static uint64_t taken_in(void)
{
    char line[512];
    unsigned long long count = 0;
    FILE *file = fopen("/proc/net/snmp", "re");
    if (file == NULL)
        die("/proc/net/snmp", strerror(errno));
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "Udp: %llu", &count) == 1)
            break;
    (void)fclose(file);
    return count;
}

static uint64_t own_cpu_ns(void)
{
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    return (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * NS_PER_S +
           (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000;
}

static void measure(struct udp *udp)
{
    const int pid = (int)udp->opts.server_pid;
    loop_run(udp, cpu_clock_ns() + (uint64_t)(udp->opts.warmup_s * NS_PER_S));
    udp->counts = (struct counts){0};
    udp->hist = (struct hist){0};
    const uint64_t client_ns = own_cpu_ns(), taken = taken_in();
    const struct cpu_time before = cpu_time_read(pid);
    const uint64_t begin_ns = cpu_clock_ns();
    loop_run(udp, begin_ns + (uint64_t)(udp->opts.seconds * NS_PER_S));
    const struct cpu_time after = cpu_time_read(pid);
    const double seconds = (double)(cpu_clock_ns() - begin_ns) / NS_PER_S;
    const struct counts *counts = &udp->counts;
    const double ops = (double)(udp->mode == MODE_FLOOD ? taken_in() - taken : counts->answers);
    if (ops < 1)
        die("measure", "not one answer");
    const double run_ns = (double)(after.run_ns - before.run_ns);
    const double user = (double)(after.user_ticks - before.user_ticks);
    const double ticks = user + (double)(after.system_ticks - before.system_ticks);
    printf("{\"seconds\":%.3f,\"ops\":%.0f,\"ops_per_s\":%.0f,\"sent\":%" PRIu64
           ",\"lost\":%" PRIu64,
           seconds, ops, ops / seconds, counts->sent, counts->lost);
    printf(",\"values_checked\":%" PRIu64 ",\"bytes_received\":%" PRIu64, counts->values_checked,
           counts->bytes_received);
    printf(",\"server_ns_per_op\":%.2f,\"server_busy\":%.3f,\"server_user_share\":%.2f",
           run_ns / ops, run_ns / seconds / NS_PER_S, ticks > 0 ? user / ticks : 0.0);
    printf(",\"client_ns_per_op\":%.2f,\"trips\":%" PRIu64,
           (double)(own_cpu_ns() - client_ns) / ops, udp->hist.count);
    printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f}\n",
           (double)hist_quantile(&udp->hist, 0.5) / 1e3,
           (double)hist_quantile(&udp->hist, 0.99) / 1e3,
           (double)hist_quantile(&udp->hist, 0.999) / 1e3, (double)udp->hist.max_ns / 1e3);
}

static enum mode mode_of(const char *name)
{
    static const char *const names[] = {"legacy", "proven", "flood"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (enum mode)i;
    die("--mode", "legacy, proven or flood");
    return MODE_LEGACY;
}

int main(int argc, char **argv)
{
    static struct udp udp = {
        .opts = {.host = "127.0.0.1",
                 .mode_name = "legacy",
                 .port = 11211,
                 .sources = 8,
                 .depth = 16,
                 .keys = 100000,
                 .key_bytes = 16,
                 .seconds = 5,
                 .warmup_s = 1,
                 .check = 1,
                 .seed = 1},
    };
    if (!dist_sizes_parse(&udp.opts.sizes, "100"))
        return 1;
    args_parse(rows, &udp.opts, argc, argv);
    udp.mode = mode_of(udp.opts.mode_name);
    item_init();
    udp.rng.state = udp.opts.seed;
    sources_open(&udp);
    measure(&udp);
    for (uint64_t i = 0; i < udp.opts.sources; i++)
        close(udp.sources[i].fd);
    return 0;
}
