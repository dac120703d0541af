/* stress/stress_drain.c — a server that is drained and put back again and again while clients come,
 * ask and are closed, and while somebody has all loops prove that they turn.
 *
 * A client gets a whole answer or none. While nobody hangs, every beat is answered. The end comes
 * when the last connection has fallen idle, or in time. ThreadSanitizer looks at the rest.
 *
 * Usage: stress_drain [SEED]; environment: MATTE_SEED, MATTE_DRAIN_SECONDS (3).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/net.h"
#include "stat/stat.h"
#include "support/kit.h"

enum { WORKERS = 3, CLIENTS = 4, DRAIN_S = 20 };

struct race {
    struct net *net;
    int port;
    _Atomic uint64_t answers, closings, beats;
    _Atomic bool stop, ending;
};

/* Answers each line; "stay" has its connection stay while the server is drained. */
static enum net_rc run(void *worker, void **session, struct net_io *io)
{
    struct net *const *net = worker;
    (void)session;
    const uint8_t *end;
    while ((end = memchr(io->in.ptr + io->used, '\n', io->in.len - io->used)) != NULL) {
        const struct bytes line =
            bytes_of(io->in.ptr + io->used, (size_t)(end - io->in.ptr) - io->used);
        if (bytes_is(line, "stay"))
            net_late_set(*net, io->fd, NET_LATE_STAY);
        else if (net_late_get(*net, io->fd) == NET_LATE_NEW)
            net_late_set(*net, io->fd, NET_LATE_REFUSED);
        io->used += line.len + 1;
        io->requests++;
        out_put_str(io->out, "answer\n");
    }
    return NET_MORE;
}

static int dial(const struct race *race)
{
    const struct sockaddr_in addr = {.sin_family = AF_INET,
                                     .sin_port = htons((uint16_t)race->port),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = {.tv_sec = DRAIN_S};
    KIT_CHECK(fd >= 0, "socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Ask once. Returns false when the server has closed instead. */
static bool ask(struct race *race, int fd, const char *line)
{
    static const char want[] = "answer\n";
    char got[sizeof(want) - 1];
    if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
        return false;
    const ssize_t len = recv(fd, got, sizeof(got), MSG_WAITALL);
    KIT_CHECK(len >= 0 || errno == ECONNRESET, "no answer and no end: %d", errno);
    if (len <= 0)
        return false;
    KIT_CHECK(len == (ssize_t)sizeof(got) && memcmp(got, want, sizeof(got)) == 0, "half an answer");
    atomic_fetch_add(&race->answers, 1);
    return true;
}

static void *client(void *arg)
{
    struct race *race = arg;
    uint64_t random = (uint64_t)(uintptr_t)&random;
    while (!atomic_load(&race->stop)) {
        const int fd = dial(race);
        if (fd < 0) {
            KIT_CHECK(atomic_load(&race->ending), "refused");
            continue;
        }
        const char *line = kit_random_below(&random, 8) == 0 ? "stay\n" : "ask\n";
        for (uint64_t left = kit_random_below(&random, 200); left > 0; left--)
            if (!ask(race, fd, line)) {
                atomic_fetch_add(&race->closings, 1);
                break;
            }
        close(fd);
    }
    return NULL;
}

static void *toggler(void *arg)
{
    struct race *race = arg;
    uint64_t random = 1;
    while (!atomic_load(&race->stop)) {
        net_drain(race->net, NET_DRAIN_ON);
        (void)usleep((useconds_t)kit_random_below(&random, 120000));
        net_drain(race->net, NET_DRAIN_OFF);
        (void)usleep((useconds_t)kit_random_below(&random, 20000));
    }
    return NULL;
}

static void *watcher(void *arg)
{
    struct race *race = arg;
    while (!atomic_load(&race->stop)) {
        net_beat(race->net);
        const uint64_t until_ns = clock_mono_ns() + DRAIN_S * 1000000000ull;
        while (!net_beats(race->net)) {
            KIT_CHECK(clock_mono_ns() < until_ns, "a loop does not turn");
            (void)usleep(100);
        }
        atomic_fetch_add(&race->beats, 1);
    }
    return NULL;
}

static void *serve(void *arg)
{
    struct race *race = arg;
    KIT_CHECK(net_run(race->net) == 0, "net_run");
    return NULL;
}

static void open_all(struct race *race, struct stat_registry *stats)
{
    static const struct net_ops ops = {.run = run};
    static const struct net_address address = {.host = "127.0.0.1"};
    struct net_worker_config workers[WORKERS];
    struct stat_block *block;
    for (int i = 0; i < WORKERS; i++) {
        KIT_CHECK(stat_block_new(stats, &block) == 0, "memory");
        workers[i] = (struct net_worker_config){.arg = &race->net, .stats = block};
    }
    KIT_CHECK(stat_block_new(stats, &block) == 0, "memory");
    const struct net_config config = {.ops = &ops,
                                      .addresses = &address,
                                      .address_count = 1,
                                      .workers = workers,
                                      .worker_count = WORKERS,
                                      .stats = block,
                                      .conns_max = 1000,
                                      .backlog = 64,
                                      .drain_s = DRAIN_S,
                                      .requests_per_event = 20};
    char error[NET_ERROR_BYTES];
    struct net_listener_info info;
    KIT_CHECK(net_new(&config, &race->net, error) == 0, "%s", error);
    KIT_CHECK(net_listener_get(race->net, 0, &info), "no listener");
    race->port = info.port;
}

int main(int argc, char **argv)
{
    (void)kit_seed_init(argc, argv);
    (void)signal(SIGPIPE, SIG_IGN);
    clock_init();
    struct race race = {0};
    struct stat_registry *stats;
    KIT_CHECK(stat_registry_new(&stats) == 0, "memory");
    open_all(&race, stats);
    pthread_t server, clients[CLIENTS], others[2];
    KIT_CHECK(pthread_create(&server, NULL, serve, &race) == 0, "thread");
    for (int i = 0; i < CLIENTS; i++)
        KIT_CHECK(pthread_create(&clients[i], NULL, client, &race) == 0, "thread");
    KIT_CHECK(pthread_create(&others[0], NULL, toggler, &race) == 0, "thread");
    KIT_CHECK(pthread_create(&others[1], NULL, watcher, &race) == 0, "thread");
    const struct timespec length = {.tv_sec = (time_t)kit_env_u64("MATTE_DRAIN_SECONDS", 3)};
    (void)nanosleep(&length, NULL);
    atomic_store(&race.ending, true);
    atomic_store(&race.stop, true);
    for (int i = 0; i < 2; i++)
        (void)pthread_join(others[i], NULL);
    const uint64_t start_ns = clock_mono_ns();
    net_drain(race.net, NET_DRAIN_END); /* while clients are still at it */
    (void)pthread_join(server, NULL);
    KIT_CHECK(clock_mono_ns() - start_ns < DRAIN_S * 1000000000ull, "the end was not in order");
    for (int i = 0; i < CLIENTS; i++)
        (void)pthread_join(clients[i], NULL);
    net_free(race.net);
    stat_registry_free(stats);
    printf("%llu answers, %llu connections closed meanwhile, %llu beats\n",
           (unsigned long long)race.answers, (unsigned long long)race.closings,
           (unsigned long long)race.beats);
    KIT_CHECK(race.answers > 0 && race.closings > 0 && race.beats > 0, "nothing was tried");
    return 0;
}
