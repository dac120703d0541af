/* test_net_udp.c — datagrams against real sockets on loopback, with a protocol of a few words:
 *
 *     echo TEXT     answers TEXT
 *     give N P      answers N bytes, in pieces of P (0: in one)
 *     fail          its answer is too long for a datagram: the system refuses it
 *     who           answers where it came from, went to, and whether either is ours
 *     mute          answers nothing
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "event/event.h"
#include "net/net.h"
#include "stat/stat.h"
#include "support/kit.h"

enum { GIVE_MAX = 200000, WORKERS = 3, WAIT_S = 20 };

static uint8_t pattern[GIVE_MAX];

/* ── a kernel that does not cut datagrams up ──────────────────────────────────────────────── */

static atomic_bool gso_refused;
static _Atomic unsigned gso_refusals;

/* In place of the C library's. */
int sendmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags)
{
    for (unsigned i = 0; i < count && atomic_load(&gso_refused); i++)
        for (struct cmsghdr *head = CMSG_FIRSTHDR(&msgs[i].msg_hdr); head != NULL;
             head = CMSG_NXTHDR(&msgs[i].msg_hdr, head))
            if (head->cmsg_level == IPPROTO_UDP && head->cmsg_type == UDP_SEGMENT) {
                if (i > 0)
                    return (int)syscall(SYS_sendmmsg, fd, msgs, i, flags);
                atomic_fetch_add(&gso_refusals, 1);
                errno = EIO;
                return -1;
            }
    return (int)syscall(SYS_sendmmsg, fd, msgs, count, flags);
}

/* ── the protocol ─────────────────────────────────────────────────────────────────────────── */

static _Atomic unsigned batches, datagrams, not_to_us;
static _Atomic unsigned served[WORKERS]; /* by whom */

static void who(const struct net_datagram *item, struct out *out)
{
    char from[IP_TEXT_BYTES], to[IP_TEXT_BYTES];
    ip_format(&item->from.ip, from);
    ip_format(&item->to, to);
    out_printf(out, "%s %u %s %d %d", from, item->from.port, to, item->to_us, item->from_us);
}

static void datagram_run(struct net_datagram *item, struct out *out)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "%.*s", (int)item->in.len, (const char *)item->in.ptr);
    unsigned len = 0, piece = 0;
    item->answer_at = out->len;
    atomic_fetch_add(&not_to_us, !item->to_us);
    if (bytes_starts(item->in, bytes_str("echo ")))
        out_put(out, item->in.ptr + 5, item->in.len - 5);
    else if (bytes_starts(item->in, bytes_str("fail")))
        out_put(out, pattern, 70000);
    else if (bytes_starts(item->in, bytes_str("who")))
        who(item, out);
    else if (sscanf(text, "give %u %u", &len, &piece) == 2)
        out_put(out, pattern, len);
    item->piece_bytes = piece;
    item->answer_bytes = out->len - item->answer_at;
}

static void datagrams_run(void *worker, struct net_datagrams *batch)
{
    atomic_fetch_add(&batches, 1);
    atomic_fetch_add(&datagrams, (unsigned)batch->count);
    atomic_fetch_add((_Atomic unsigned *)worker, (unsigned)batch->count);
    KIT_CHECK(batch->out->len == 0, "the answers of the batch before are gone");
    for (size_t i = 0; i < batch->count; i++)
        datagram_run(&batch->item[i], batch->out);
}

static enum net_rc run(void *worker, void **session, struct net_io *io)
{
    (void)worker, (void)session, (void)io;
    return NET_CLOSE;
}

static const struct net_ops ops = {.run = run, .datagrams = datagrams_run};

/* ── a server and its clients ─────────────────────────────────────────────────────────────── */

struct fixture {
    struct net_config config;
    struct net_worker_config workers[WORKERS];
    struct net_address addresses[2];
    struct stat_registry *stats;
    struct events *events;
    struct net *net;
    pthread_t thread;
    int port;
};

static void *net_thread(void *arg)
{
    struct fixture *fix = arg;
    KIT_CHECK(net_run(fix->net) == 0, "net_run");
    return NULL;
}

static void prepare(struct fixture *fix, const char *host)
{
    *fix = (struct fixture){.addresses = {{.host = host}, {.host = host, .datagrams = true}}};
    assert_int_equal(stat_registry_new(&fix->stats), 0);
    const struct events_config none = {.sinks = NULL};
    char error[EVENTS_ERROR_BYTES];
    assert_int_equal(events_new(&none, &fix->events, error), 0);
    struct stat_block *stats;
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(stat_block_new(fix->stats, &stats), 0);
        struct event_source *source;
        assert_int_equal(event_source_new(fix->events, &source), 0);
        fix->workers[i] =
            (struct net_worker_config){.arg = &served[i], .stats = stats, .events = source};
        atomic_store(&served[i], 0);
    }
    assert_int_equal(stat_block_new(fix->stats, &stats), 0);
    atomic_store(&batches, 0);
    atomic_store(&datagrams, 0);
    atomic_store(&not_to_us, 0);
    fix->config = (struct net_config){.ops = &ops,
                                      .addresses = fix->addresses,
                                      .address_count = 2,
                                      .workers = fix->workers,
                                      .worker_count = WORKERS,
                                      .stats = stats,
                                      .conns_max = 100,
                                      .backlog = 16,
                                      .requests_per_event = 20};
}

static void open_only(struct fixture *fix)
{
    char error[NET_ERROR_BYTES];
    assert_int_equal(net_new(&fix->config, &fix->net, error), 0);
    struct net_listener_info info;
    for (size_t i = 0; net_listener_get(fix->net, i, &info); i++)
        if (info.datagrams)
            fix->port = info.port;
    assert_true(fix->port > 0);
}

static void start(struct fixture *fix)
{
    open_only(fix);
    assert_int_equal(pthread_create(&fix->thread, NULL, net_thread, fix), 0);
}

static void stop(struct fixture *fix)
{
    net_stop(fix->net);
    assert_int_equal(pthread_join(fix->thread, NULL), 0);
    net_free(fix->net);
    events_free(fix->events);
    stat_registry_free(fix->stats);
}

static uint64_t counted(const struct fixture *fix, enum stat_id id)
{
    uint64_t sum[STAT_ID_COUNT];
    stat_registry_sum(fix->stats, sum);
    return sum[id];
}

/* What was sent is counted behind the call that sends it. */
static void expect_count(const struct fixture *fix, enum stat_id id, uint64_t want)
{
    for (const uint64_t end_ns = clock_mono_ns() + WAIT_S * 1000000000ull;
         counted(fix, id) != want && clock_mono_ns() < end_ns;)
        (void)sched_yield();
    assert_int_equal(counted(fix, id), want);
}

/* A client of `host`, from any address, or from `from`. */
static int client_from(const struct fixture *fix, const char *host, const char *from)
{
    const bool v6 = strchr(host, ':') != NULL;
    const int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    const struct timeval wait = {.tv_sec = WAIT_S};
    const int bytes = 1 << 20;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    struct sockaddr_in v4_addr = {.sin_family = AF_INET};
    struct sockaddr_in6 v6_addr = {.sin6_family = AF_INET6};
    if (from != NULL) {
        assert_int_equal(inet_pton(AF_INET, from, &v4_addr.sin_addr), 1);
        assert_int_equal(bind(fd, (struct sockaddr *)&v4_addr, sizeof(v4_addr)), 0);
    }
    if (v6) {
        assert_int_equal(inet_pton(AF_INET6, host, &v6_addr.sin6_addr), 1);
        v6_addr.sin6_port = htons((uint16_t)fix->port);
        assert_int_equal(connect(fd, (struct sockaddr *)&v6_addr, sizeof(v6_addr)), 0);
    } else {
        assert_int_equal(inet_pton(AF_INET, host, &v4_addr.sin_addr), 1);
        v4_addr.sin_port = htons((uint16_t)fix->port);
        assert_int_equal(connect(fd, (struct sockaddr *)&v4_addr, sizeof(v4_addr)), 0);
    }
    return fd;
}

static int client(const struct fixture *fix, const char *host)
{
    return client_from(fix, host, NULL);
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

/* The socket is connected, so only what comes from the address that was asked gets here. */
static void expect(int fd, const char *text)
{
    char got[512];
    const ssize_t len = recv(fd, got, sizeof(got) - 1, 0);
    assert_true(len >= 0);
    got[len] = '\0';
    assert_string_equal(got, text);
}

static void ask(int fd, const char *text, const char *answer)
{
    say(fd, text);
    expect(fd, answer);
}

static int port_of(int fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    return ntohs(addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port
                                            : ((struct sockaddr_in *)&addr)->sin_port);
}

static bool has_v6(void)
{
    const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

/* ── tests ────────────────────────────────────────────────────────────────────────────────── */

static void test_answers(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, "127.0.0.1");
    start(&fix);
    const int fd = client(&fix, "127.0.0.1");
    ask(fd, "echo hello", "hello");
    say(fd, "mute");
    ask(fd, "echo again", "again");
    close(fd);
    expect_count(&fix, STAT_UDP_DATAGRAMS_IN, 3);
    expect_count(&fix, STAT_UDP_BYTES_IN, 24);
    expect_count(&fix, STAT_UDP_DATAGRAMS_OUT, 2);
    expect_count(&fix, STAT_UDP_BYTES_OUT, 10);
    expect_count(&fix, STAT_BYTES_READ, 24);
    expect_count(&fix, STAT_BYTES_WRITTEN, 10);
    expect_count(&fix, STAT_UDP_SEND_ERRORS, 0);
    stop(&fix);
}

/* The answer comes from the address that was asked, also where the socket is bound to all. */
static void test_addresses(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, NULL);
    start(&fix);
    const char *const hosts[] = {"127.0.0.1", "127.7.7.7", "::1"};
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        if (strchr(hosts[i], ':') != NULL && !has_v6())
            continue;
        const int fd = client(&fix, hosts[i]);
        char want[128];
        (void)snprintf(want, sizeof(want), "%s %d %s 1 1", i == 1 ? "127.0.0.1" : hosts[i],
                       port_of(fd), hosts[i]);
        ask(fd, "who", want);
        close(fd);
    }
    const int fd = client_from(&fix, "127.0.0.1", "127.3.2.1");
    char want[128];
    (void)snprintf(want, sizeof(want), "127.3.2.1 %d 127.0.0.1 1 1", port_of(fd));
    ask(fd, "who", want);
    close(fd);
    stop(&fix);
}

/* What was sent to everybody is told apart; it could not be answered anyway. */
static void test_broadcast(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, NULL);
    start(&fix);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)), 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)fix.port)};
    assert_int_equal(inet_pton(AF_INET, "127.255.255.255", &addr.sin_addr), 1);
    assert_int_equal(sendto(fd, "who", 3, 0, (struct sockaddr *)&addr, sizeof(addr)), 3);
    expect_count(&fix, STAT_UDP_SEND_ERRORS, WORKERS); /* each socket gets a copy */
    assert_int_equal(atomic_load(&not_to_us), WORKERS);
    close(fd);
    stop(&fix);
}

/* All pieces of an answer: right, in order, and none too large. */
static void expect_pieces(int fd, size_t len, size_t piece)
{
    static uint8_t got[70000];
    size_t at = 0;
    while (at < len) {
        const ssize_t bytes = recv(fd, got, sizeof(got), 0);
        assert_true(bytes > 0);
        const size_t want = piece == 0 || len - at < piece ? len - at : piece;
        assert_int_equal(bytes, want);
        assert_memory_equal(got, pattern + at, want);
        at += want;
    }
}

static void check_pieces(void)
{
    struct fixture fix;
    prepare(&fix, "127.0.0.1");
    start(&fix);
    const int fd = client(&fix, "127.0.0.1");
    static const struct {
        size_t len, piece;
    } rows[] = {
        {1, 0},        {1400, 1400},   {1401, 1400},  {2800, 1400},   {65000, 0},
        {64400, 1400}, {64401, 1400},  {65000, 1400}, {130000, 1400}, {3000, 7},
        {100000, 900}, {60000, 30000}, {100, 1},      {640, 10},      {641, 10},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "give %zu %zu", rows[i].len, rows[i].piece);
        say(fd, text);
        expect_pieces(fd, rows[i].len, rows[i].piece);
    }
    ask(fd, "echo end", "end");
    expect_count(&fix, STAT_UDP_SEND_ERRORS, 0);
    close(fd);
    stop(&fix);
}

static void test_pieces(void **state)
{
    (void)state;
    check_pieces();
    assert_int_equal(atomic_load(&gso_refusals), 0);
    atomic_store(&gso_refused, true);
    check_pieces();
    atomic_store(&gso_refused, false);
    assert_true(atomic_load(&gso_refusals) > 0);
}

/* An answer that cannot be sent is forgotten, and so is nothing else. */
static void test_send_error(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, "127.0.0.1");
    start(&fix);
    const int fd = client(&fix, "127.0.0.1");
    say(fd, "echo one");
    say(fd, "fail");
    say(fd, "echo two");
    expect(fd, "one");
    expect(fd, "two");
    expect_count(&fix, STAT_UDP_SEND_ERRORS, 1);
    uint64_t counts[EVENT_TYPE_COUNT];
    events_sum(fix.events, counts);
    assert_int_equal(counts[EVENT_UDP_SEND_FAILED], 1);
    close(fd);
    stop(&fix);
}

/* What came before the workers ran is more than a batch: all of it is answered, in order. */
static void test_burst(void **state)
{
    (void)state;
    enum { COUNT = 5 * NET_DATAGRAMS + 3 };
    struct fixture fix;
    prepare(&fix, "127.0.0.1");
    open_only(&fix);
    const int fd = client(&fix, "127.0.0.1");
    char text[32];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof(text), "echo %d", i);
        say(fd, text);
    }
    assert_int_equal(pthread_create(&fix.thread, NULL, net_thread, &fix), 0);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof(text), "%d", i);
        expect(fd, text);
    }
    assert_int_equal(atomic_load(&datagrams), COUNT);
    assert_true(atomic_load(&batches) <= COUNT / NET_DATAGRAMS + 1);
    close(fd);
    stop(&fix);
}

/* Each worker has a socket of its own, and a client stays with one of them. */
static void test_workers(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, "127.0.0.1");
    start(&fix);
    bool all = false;
    for (int i = 0; i < 2000 && !all; i++) {
        const int fd = client(&fix, "127.0.0.1");
        ask(fd, "echo a", "a");
        ask(fd, "echo b", "b");
        close(fd);
        all = true;
        for (int j = 0; j < WORKERS; j++) {
            assert_int_equal(atomic_load(&served[j]) % 2, 0);
            all &= atomic_load(&served[j]) > 0;
        }
    }
    assert_true(all);
    stop(&fix);
}

/* The port is ours alone, although our own sockets share it. */
static void test_port_taken(void **state)
{
    (void)state;
    struct fixture fix, other;
    prepare(&fix, "127.0.0.1");
    start(&fix);
    prepare(&other, "127.0.0.1");
    other.addresses[1].port = fix.port;
    char error[NET_ERROR_BYTES], want[NET_ERROR_BYTES];
    assert_int_equal(net_new(&other.config, &other.net, error), -EADDRINUSE);
    (void)snprintf(want, sizeof(want),
                   "failed to listen on 127.0.0.1, UDP port %d: Address already in use", fix.port);
    assert_string_equal(error, want);
    events_free(other.events);
    stat_registry_free(other.stats);
    stop(&fix);
}

static void info_keep(void *arg, const struct net_conn_info *info)
{
    unsigned *count = arg;
    if (!info->datagrams)
        return;
    assert_int_equal(info->state, NET_STATE_WAIT);
    assert_memory_equal(info->address, "udp:127.0.0.1:", 14);
    assert_string_equal(info->listen_address, "");
    ++*count;
}

/* Seen from outside: a row per socket, one listener; they count as memcached's. */
static void test_seen(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix, "127.0.0.1");
    start(&fix);
    unsigned count = 0;
    net_conn_each(fix.net, info_keep, &count);
    assert_int_equal(count, WORKERS);
    struct net_listener_info info;
    assert_true(net_listener_get(fix.net, 0, &info) && !info.datagrams);
    assert_true(net_listener_get(fix.net, 1, &info) && info.datagrams);
    assert_false(net_listener_get(fix.net, 2, &info));
    assert_memory_equal(info.address, "udp:127.0.0.1:", 14);
    expect_count(&fix, STAT_CURR_CONNECTIONS, WORKERS);
    expect_count(&fix, STAT_TOTAL_CONNECTIONS, WORKERS + 1);
    stop(&fix);
}

int main(void)
{
    clock_init();
    kit_pattern_fill(pattern, sizeof(pattern), 7);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),    cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_broadcast),  cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_send_error), cmocka_unit_test(test_burst),
        cmocka_unit_test(test_workers),    cmocka_unit_test(test_port_taken),
        cmocka_unit_test(test_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
