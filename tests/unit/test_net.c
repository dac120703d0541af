/* test_net.c — listeners, workers and connections against real sockets, with a protocol of a few
 * words:
 *
 *     echo TEXT     answers TEXT
 *     fill N        N bytes follow; answers whether they are right
 *     give N        answers N bytes, a blob
 *     quit          closes
 *     watch         from now on only listens; is sent a line for each of `ticks`
 *     paus N        answers "paused", N ms later
 *     stay N        a review lets it stay
 *     stall         keeps the worker until stall_end is posted
 *
 * Nothing here waits for time to pass, but for what must happen.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "net/net.h"
#include "stat/stat.h"
#include "support/kit.h"

enum { GIVE_MAX = 4 << 20, FILL_MAX = 1 << 20, PIECE = 5000 };

static uint8_t pattern[GIVE_MAX];

/* ── the protocol ─────────────────────────────────────────────────────────────────────────── */

struct filling {
    size_t len, at;
    bool bare; /* no line end behind the bytes: the answer follows at once */
    uint8_t *bytes;
};

static _Atomic int filling_count, pinned_count, requests_run;

static sem_t stall_begun, stall_end;
static _Atomic int ticks;
static _Atomic bool strict; /* only who said "stay" may */

static bool may_stay(void *worker, const struct net_io *io)
{
    (void)worker;
    return !atomic_load(&strict) || *io->note == 2;
}

static void unpin(void *owner)
{
    free(owner);
    atomic_fetch_sub(&pinned_count, 1);
}

static void give(struct out *out, size_t len)
{
    struct bytes *spans = malloc(2 * sizeof(*spans));
    KIT_CHECK(spans != NULL, "memory");
    spans[0] = bytes_of(pattern, len / 2);
    spans[1] = bytes_of(pattern + len / 2, len - len / 2);
    atomic_fetch_add(&pinned_count, 1);
    out_blob(out, spans, 2, unpin, spans);
}

static enum net_rc fill_begin(void **session, size_t len, bool bare)
{
    struct filling *filling = calloc(1, sizeof(*filling));
    KIT_CHECK(filling != NULL, "memory");
    atomic_fetch_add(&filling_count, 1);
    filling->len = len;
    filling->bare = bare;
    filling->bytes = malloc(len + 1);
    *session = filling;
    return NET_AGAIN;
}

static void fill_gone(void *worker, void *session)
{
    (void)worker;
    struct filling *filling = session;
    free(filling->bytes);
    free(filling);
    atomic_fetch_sub(&filling_count, 1);
}

static uint8_t *fill_space(void *worker, void *session, size_t *ret_len, bool *ret_last)
{
    (void)worker;
    struct filling *filling = session;
    const size_t left = filling->len - filling->at;
    *ret_len = left < PIECE ? left : PIECE;
    *ret_last = left <= PIECE;
    return filling->bytes + filling->at;
}

static enum net_rc fill_filled(void *worker, void *session, size_t len)
{
    (void)worker;
    struct filling *filling = session;
    filling->at += len;
    if (filling->at < filling->len)
        return NET_FILL;
    return filling->bare ? NET_AGAIN : NET_MORE;
}

/* What is in the input goes first; then, with the line end behind the bytes, the answer. */
static enum net_rc fill_run(void **session, struct net_io *io)
{
    struct filling *filling = *session;
    while (filling->at < filling->len && io->used < io->in.len)
        filling->bytes[filling->at++] = io->in.ptr[io->used++];
    if (filling->at < filling->len)
        return NET_FILL;
    if (!filling->bare && io->used == io->in.len)
        return NET_MORE;
    const bool right = memcmp(filling->bytes, pattern, filling->len) == 0;
    const bool ended = filling->bare || io->in.ptr[io->used] == '\n';
    out_put_str(io->out, right && ended ? "right\n" : "wrong\n");
    io->used += !filling->bare;
    fill_gone(NULL, filling);
    *session = NULL;
    return NET_AGAIN;
}

static enum net_rc watch_begin(void **session)
{
    struct filling *filling = calloc(1, sizeof(*filling)); /* without bytes: it listens */
    KIT_CHECK(filling != NULL, "memory");
    atomic_fetch_add(&filling_count, 1);
    *session = filling;
    return NET_HOLD;
}

static enum net_rc watch_run(struct net_io *io)
{
    for (int due = atomic_exchange(&ticks, 0); due > 0; due--)
        out_put_str(io->out, "tick\n");
    return NET_HOLD;
}

static void stall(void)
{
    (void)sem_post(&stall_begun);
    (void)sem_wait(&stall_end);
}

/* The note remembers that the client has waited. */
static enum net_rc pause_run(struct net_io *io, size_t line_bytes, uint32_t pause_ms)
{
    if (*io->note == 0) {
        *io->note = 1;
        io->used -= line_bytes;
        io->requests--;
        io->pause_ms = pause_ms;
        return NET_PAUSE;
    }
    *io->note = 0;
    out_put_str(io->out, "paused\n");
    return NET_AGAIN;
}

static enum net_rc line_run(void **session, struct net_io *io, struct bytes line)
{
    const struct bytes word = bytes_of(line.ptr, line.len < 5 ? line.len : 5);
    uint64_t number = 0;
    if (bytes_is(word, "echo ")) {
        out_put(io->out, line.ptr + 5, line.len - 5);
        out_put_str(io->out, "\n");
        return NET_AGAIN;
    }
    if (bytes_is(line, "watch"))
        return watch_begin(session);
    if (bytes_is(line, "stall")) {
        stall();
        return NET_AGAIN;
    }
    if (line.len > 5 && !num_parse_u64(bytes_skip(line, 5), GIVE_MAX, &number))
        return NET_CLOSE;
    if (bytes_is(word, "paus "))
        return pause_run(io, line.len + 1, (uint32_t)number);
    if (bytes_is(word, "stay "))
        *io->note = 2;
    else if (bytes_is(word, "give "))
        give(io->out, (size_t)number);
    else if (bytes_is(word, "fill "))
        return fill_begin(session, (size_t)number, false);
    else if (bytes_is(word, "bare "))
        return fill_begin(session, (size_t)number, true);
    else
        return NET_CLOSE;
    return NET_AGAIN;
}

static enum net_rc run(void *worker, void **session, struct net_io *io)
{
    (void)worker;
    if (*session != NULL)
        return ((struct filling *)*session)->bytes == NULL ? watch_run(io) : fill_run(session, io);
    const uint8_t *end = memchr(io->in.ptr, '\n', io->in.len);
    if (end == NULL)
        return NET_MORE;
    const struct bytes line = bytes_of(io->in.ptr, (size_t)(end - io->in.ptr));
    io->used = line.len + 1;
    io->requests = 1;
    atomic_fetch_add(&requests_run, 1);
    return line_run(session, io, line);
}

static const struct net_ops ops = {.run = run,
                                   .space = fill_space,
                                   .filled = fill_filled,
                                   .gone = fill_gone,
                                   .may_stay = may_stay};

/* ── a server ─────────────────────────────────────────────────────────────────────────────── */

enum { WORKERS = 2 };

struct fixture {
    struct net_config config;
    struct net_worker_config workers[WORKERS];
    struct net_address address;
    struct stat_registry *stats;
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

static void prepare(struct fixture *fix)
{
    *fix = (struct fixture){.address = {.host = "127.0.0.1", .port = 0}};
    assert_int_equal(stat_registry_new(&fix->stats), 0);
    struct stat_block *stats;
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(stat_block_new(fix->stats, &stats), 0);
        fix->workers[i] = (struct net_worker_config){.stats = stats};
    }
    assert_int_equal(stat_block_new(fix->stats, &stats), 0);
    fix->config = (struct net_config){.ops = &ops,
                                      .addresses = &fix->address,
                                      .address_count = 1,
                                      .workers = fix->workers,
                                      .worker_count = WORKERS,
                                      .stats = stats,
                                      .conns_max = 100,
                                      .conns_max_refuse = true,
                                      .refusal = "full\n",
                                      .backlog = 16,
                                      .requests_per_event = 20};
}

static void start(struct fixture *fix)
{
    char error[NET_ERROR_BYTES];
    assert_int_equal(net_new(&fix->config, &fix->net, error), 0);
    assert_string_equal(error, "");
    struct net_listener_info info;
    assert_true(net_listener_get(fix->net, 0, &info));
    assert_false(net_listener_get(fix->net, 1, &info));
    fix->port = info.port;
    assert_int_equal(pthread_create(&fix->thread, NULL, net_thread, fix), 0);
}

static void stop(struct fixture *fix)
{
    net_stop(fix->net);
    assert_int_equal(pthread_join(fix->thread, NULL), 0);
    net_free(fix->net);
    stat_registry_free(fix->stats);
    assert_int_equal(atomic_load(&filling_count), 0);
    assert_int_equal(atomic_load(&pinned_count), 0);
}

static uint64_t stat_of(struct fixture *fix, enum stat_id id)
{
    uint64_t sum[STAT_ID_COUNT];
    stat_registry_sum(fix->stats, sum);
    return sum[id];
}

/* ── a client ─────────────────────────────────────────────────────────────────────────────── */

/* Nothing in these tests takes that long; whoever waits longer has found a fault. */
static int with_patience(int fd)
{
    const struct timeval patience = {.tv_sec = 20};
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return fd;
}

static int dial(const struct fixture *fix)
{
    const struct sockaddr_in addr = {.sin_family = AF_INET,
                                     .sin_port = htons((uint16_t)fix->port),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = with_patience(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static void say(int fd, const void *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        const ssize_t sent = send(fd, (const uint8_t *)text + at, len - at, MSG_NOSIGNAL);
        assert_true(sent > 0);
        at += (size_t)sent;
    }
}

static void say_str(int fd, const char *text)
{
    say(fd, text, strlen(text));
}

static void expect(int fd, const void *text, size_t len)
{
    uint8_t *got = malloc(len + 1);
    assert_non_null(got);
    for (size_t at = 0; at < len;) {
        const ssize_t more = recv(fd, got + at, len - at, 0);
        assert_true(more > 0);
        at += (size_t)more;
    }
    assert_memory_equal(got, text, len);
    free(got);
}

static void expect_str(int fd, const char *text)
{
    expect(fd, text, strlen(text));
}

static void expect_end(int fd)
{
    char byte;
    const ssize_t got = recv(fd, &byte, 1, 0);
    assert_true(got == 0 || (got < 0 && errno == ECONNRESET));
}

/* ── tests ────────────────────────────────────────────────────────────────────────────────── */

static void lines_in_pieces(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    start(&fix);
    const int fd = dial(&fix);
    static const char text[] = "echo one\necho \necho three\n";
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        say(fd, text, cut);
        say(fd, text + cut, sizeof(text) - 1 - cut);
        expect_str(fd, "one\n\nthree\n");
    }
    say_str(fd, "echo last\nquit\necho never\n");
    expect_str(fd, "last\n");
    expect_end(fd);
    close(fd);
    stop(&fix);
}

/* More than a read brings, so that batches, yields and several sends happen. */
static void deep_pipeline(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    fix.config.requests_per_event = 3;
    fix.config.worker_count = 1;
    start(&fix);
    enum { LINES = 5000 };
    const int fds[2] = {dial(&fix), dial(&fix)};
    char *text[2], *want[2];
    size_t text_len[2] = {0}, want_len[2] = {0};
    for (int j = 0; j < 2; j++) {
        assert_non_null(text[j] = malloc(LINES * 32));
        assert_non_null(want[j] = malloc(LINES * 32));
        for (int i = 0; i < LINES; i++) {
            text_len[j] += (size_t)sprintf(text[j] + text_len[j], "echo %d of %d\n", i, j);
            want_len[j] += (size_t)sprintf(want[j] + want_len[j], "%d of %d\n", i, j);
        }
        say(fds[j], text[j], text_len[j]);
    }
    for (int j = 0; j < 2; j++) {
        expect(fds[j], want[j], want_len[j]);
        free(text[j]);
        free(want[j]);
    }
    assert_true(stat_of(&fix, STAT_CONN_YIELDS) > 0);
    close(fds[0]);
    close(fds[1]);
    stop(&fix);
}

/* Answers before the pause are sent, what comes behind it is run after it, others are served
 * meanwhile. */
static void a_pause(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    fix.config.worker_count = 1;
    start(&fix);
    enum { CLIENTS = 20, PAUSE_MS = 50 };
    int fds[CLIENTS];
    const uint64_t begun_ns = kit_mono_ns();
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = dial(&fix);
        say_str(fds[i], "echo before\npaus 50\necho after\n");
    }
    for (int i = 0; i < CLIENTS; i++)
        expect_str(fds[i], "before\n");
    const int other = dial(&fix);
    say_str(other, "echo meanwhile\n");
    expect_str(other, "meanwhile\n");
    for (int i = 0; i < CLIENTS; i++) {
        say_str(fds[i], "echo more\n");
        expect_str(fds[i], "paused\nafter\nmore\n");
        close(fds[i]);
    }
    assert_true(kit_mono_ns() - begun_ns >= PAUSE_MS * UINT64_C(1000000));
    close(other);
    stop(&fix);
}

/* The pause only begins when the client has read: behind the first answer its socket is full. */
static void a_pause_behind_answers_that_wait(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    start(&fix);
    const int fd = dial(&fix);
    say_str(fd, "give 4000000\ngive 250000\npaus 20\necho after\n");
    while (stat_of(&fix, STAT_RESPONSE_OBJ_COUNT) == 0)
        (void)usleep(1000);
    say_str(fd, "echo more\n");
    expect(fd, pattern, 4000000);
    expect(fd, pattern, 250000);
    expect_str(fd, "paused\nafter\nmore\n");
    close(fd);
    stop(&fix);
}

/* A client that hangs up in a pause is closed behind it, and one may end the server in it. */
static void a_pause_without_an_end(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    start(&fix);
    const int gone = dial(&fix), half = dial(&fix), waits = dial(&fix);
    say_str(waits, "paus 60000\n");
    say_str(half, "echo before\npaus 5\n");
    (void)shutdown(half, SHUT_WR);
    expect_str(half, "before\n");
    expect_end(half);
    say_str(gone, "paus 5\n");
    close(gone);
    while (stat_of(&fix, STAT_CURR_CONNECTIONS) > 1)
        (void)usleep(1000);
    close(half);
    stop(&fix);
    expect_end(waits);
    close(waits);
}

static const size_t fill_lens[] = {1, 100, PIECE, PIECE + 1, NET_IN_BYTES, 3 * PIECE, FILL_MAX};

/* Announce a value by a word, and send it in two pieces. */
static void say_value(int fd, const char *word, size_t len)
{
    char line[32];
    say(fd, line, (size_t)snprintf(line, sizeof(line), "%s %zu\n", word, len));
    say(fd, pattern, len / 2);
    say(fd, pattern + len / 2, len - len / 2);
}

static void values_are_filled(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    start(&fix);
    const int fd = dial(&fix);
    for (size_t i = 0; i < COUNT_OF(fill_lens); i++) {
        say_value(fd, "fill", fill_lens[i]);
        say_str(fd, "\necho next\n"); /* likely to be read together with the value's end */
        expect_str(fd, "right\nnext\n");
    }
    say_str(fd, "fill 100000\nabc");
    close(fd); /* in the middle of a value */
    stop(&fix);
}

/* Nothing follows a value: what is answered to it does not wait for more. */
static void values_end_with_a_read(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    start(&fix);
    const int fd = dial(&fix);
    for (size_t i = 0; i < COUNT_OF(fill_lens); i++) {
        say_value(fd, "bare", fill_lens[i]);
        expect_str(fd, "right\n");
        say_str(fd, "echo next\n");
        expect_str(fd, "next\n");
    }
    stop(&fix);
}

/* A client that does not read is not served on, and gets everything when it does. */
static void slow_reader(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    start(&fix);
    const int fd = dial(&fix);
    const int before = atomic_load(&requests_run);
    enum { GIVES = 50, BYTES = GIVE_MAX };
    char line[32];
    const int len = snprintf(line, sizeof(line), "give %d\n", BYTES);
    for (int i = 0; i < GIVES; i++)
        say(fd, line, (size_t)len);
    const int other = dial(&fix);
    say_str(other, "echo served\n");
    expect_str(other, "served\n");
    /* Each answer is beyond the high-water mark, so what is taken is what sockets can hold. */
    assert_true(atomic_load(&requests_run) - before < GIVES);
    assert_true(atomic_load(&pinned_count) <= 2);
    for (int i = 0; i < GIVES; i++)
        expect(fd, pattern, BYTES);
    say(fd, line, (size_t)len);
    close(fd); /* with an answer under way */
    close(other);
    stop(&fix);
}

static void half_closed(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    start(&fix);
    for (int i = 0; i < 50; i++) {
        const int fd = dial(&fix);
        say_str(fd, "echo a\ngive 1000000\necho b\necho cut");
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        expect_str(fd, "a\n");
        expect(fd, pattern, 1000000);
        expect_str(fd, "b\n");
        expect_end(fd);
        close(fd);
    }
    stop(&fix);
}

static void endless_line(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    start(&fix);
    const int fd = dial(&fix);
    char *text = malloc(NET_IN_BYTES_MAX);
    assert_non_null(text);
    memset(text, 'x', NET_IN_BYTES_MAX);
    memcpy(text, "echo ", 5);
    say(fd, text, NET_IN_BYTES_MAX - 1);
    say_str(fd, "\n");
    expect(fd, text + 5, NET_IN_BYTES_MAX - 6);
    expect_str(fd, "\n");
    (void)send(fd, text, NET_IN_BYTES_MAX, MSG_NOSIGNAL);
    expect_end(fd);
    close(fd);
    free(text);
    const int again = dial(&fix);
    say_str(again, "echo x\n");
    expect_str(again, "x\n");
    assert_true(stat_of(&fix, STAT_READ_BUF_BYTES) <= 4ull * NET_IN_BYTES);
    close(again);
    stop(&fix);
}

static void limit_refuses(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    fix.config.conns_max = 2;
    start(&fix);
    const int fds[2] = {dial(&fix), dial(&fix)};
    for (int i = 0; i < 2; i++) {
        say_str(fds[i], "echo in\n");
        expect_str(fds[i], "in\n");
    }
    const int refused = dial(&fix);
    expect_str(refused, "full\n");
    expect_end(refused);
    close(refused);
    assert_int_equal(stat_of(&fix, STAT_REJECTED_CONNECTIONS), 1);
    say_str(fds[0], "quit\n");
    expect_end(fds[0]);
    close(fds[0]);
    const int fresh = dial(&fix);
    say_str(fresh, "echo in\n");
    expect_str(fresh, "in\n");
    assert_int_equal(stat_of(&fix, STAT_CURR_CONNECTIONS), 2);
    assert_int_equal(stat_of(&fix, STAT_TOTAL_CONNECTIONS), 3 + 1); /* and a listener */
    close(fresh);
    close(fds[1]);
    stop(&fix);
}

static void limit_waits(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    fix.config.conns_max = 2;
    fix.config.conns_max_refuse = false;
    start(&fix);
    int fds[6];
    for (int i = 0; i < 6; i++) {
        fds[i] = dial(&fix);
        say_str(fds[i], "echo in\n");
    }
    for (int i = 0; i < 6; i++) {
        expect_str(fds[i], "in\n"); /* the kernel hands out waiting ones in their order */
        if (i > 0)
            close(fds[i - 1]);
    }
    close(fds[5]);
    assert_true(stat_of(&fix, STAT_LISTEN_DISABLED_NUM) > 0);
    assert_int_equal(stat_of(&fix, STAT_REJECTED_CONNECTIONS), 0);
    stop(&fix);
}

/* A server of its own process, for it shall run out of fds: room for `fds` connections. */
static pid_t start_apart(struct fixture *fix, int fds)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char error[NET_ERROR_BYTES];
        struct net_listener_info info;
        KIT_CHECK(net_new(&fix->config, &fix->net, error) == 0, "%s", error);
        KIT_CHECK(net_listener_get(fix->net, 0, &info), "no listener");
        const int next_fd = dup(pipe_fds[1]);
        close(next_fd);
        const struct rlimit limit = {.rlim_cur = (rlim_t)(next_fd + fds),
                                     .rlim_max = (rlim_t)(next_fd + fds)};
        KIT_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
        KIT_CHECK(write(pipe_fds[1], &info.port, sizeof(int)) == sizeof(int), "pipe");
        _exit(net_run(fix->net) == 0 ? 0 : 1);
    }
    assert_int_equal(read(pipe_fds[0], &fix->port, sizeof(int)), sizeof(int));
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return pid;
}

static void fds_run_out(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    const pid_t pid = start_apart(&fix, 3);
    int fds[8];
    for (int i = 0; i < 8; i++) {
        fds[i] = dial(&fix); /* the kernel accepts for the server */
        say_str(fds[i], "echo in\n");
    }
    for (int i = 0; i < 8; i++) {
        expect_str(fds[i], "in\n");
        close(fds[i]); /* makes room for the next one */
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    stat_registry_free(fix.stats);
}

static void idle_is_closed(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    fix.config.idle_timeout_s = 32; /* swept whole in four seconds */
    start(&fix);
    const int silent = dial(&fix), half = dial(&fix), active = dial(&fix);
    /* an answer from each: the workers have seen all three before the clock moves */
    say_str(silent, "echo x\n");
    expect_str(silent, "x\n");
    say_str(half, "echo x\necho ha");
    expect_str(half, "x\n");
    say_str(active, "echo x\n");
    expect_str(active, "x\n");
    clock_shift_s(20);
    say_str(active, "echo x\n");
    expect_str(active, "x\n");
    clock_shift_s(20);
    expect_end(silent);
    expect_end(half);
    say_str(active, "echo x\n");
    expect_str(active, "x\n");
    assert_int_equal(stat_of(&fix, STAT_IDLE_KICKS), 2);
    assert_int_equal(stat_of(&fix, STAT_CURR_CONNECTIONS), 1);
    close(silent);
    close(half);
    close(active);
    stop(&fix);
}

/* A connection that the listener accepts while a worker is in its turn is younger than that
 * worker's clock: it must not seem to be silent since the beginning of time. */
static void younger_than_the_clock(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    fix.config.idle_timeout_s = 32; /* swept whole in four seconds */
    fix.config.worker_count = 1;
    start(&fix);
    const int silent = dial(&fix), active = dial(&fix);
    say_str(silent, "echo x\n");
    expect_str(silent, "x\n");
    clock_shift_s(-10);
    for (int i = 0; i < 8; i++) {
        clock_shift_s(1);
        say_str(active, "echo x\n");
        expect_str(active, "x\n");
    }
    assert_int_equal(stat_of(&fix, STAT_IDLE_KICKS), 0);
    say_str(silent, "echo x\n");
    expect_str(silent, "x\n");
    close(silent);
    close(active);
    stop(&fix);
}

/* ── those who only listen ────────────────────────────────────────────────────────────────── */

static void stall_worker(int fd)
{
    say_str(fd, "stall\n");
    (void)sem_wait(&stall_begun);
}

static void listeners_are_woken(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    fix.config.worker_count = 1;
    start(&fix);
    const int watcher = dial(&fix), other = dial(&fix);
    say_str(watcher, "watch\necho dropped\n");
    for (int i = 0; i < 100; i++) {
        say_str(watcher, "echo dropped\n");
        say_str(other, "echo x\n");
        expect_str(other, "x\n");
        atomic_fetch_add(&ticks, 2);
        net_worker_wake(fix.net, 0);
        expect_str(watcher, "tick\ntick\n");
    }
    close(watcher);
    close(other);
    stop(&fix);
}

/* In whatever state they are: nothing said yet, between requests, in a value, listening. */
static void review_closes_the_silent(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    start(&fix);
    int fds[40];
    const int stays = dial(&fix);
    say_str(stays, "stay 1\necho x\n");
    expect_str(stays, "x\n");
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        static const char *const words[] = {"", "echo x\n", "echo x\nfill 100\nabc",
                                            "echo x\nwatch\n"};
        fds[i] = dial(&fix);
        say_str(fds[i], words[i % 4]);
        if (i % 4 != 0)
            expect_str(fds[i], "x\n");
    }
    net_review(fix.net); /* all may stay */
    say_str(fds[1], "echo y\n");
    expect_str(fds[1], "y\n");
    atomic_store(&strict, true);
    net_review(fix.net);
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        expect_end(fds[i]);
        close(fds[i]);
    }
    say_str(stays, "echo z\n");
    expect_str(stays, "z\n");
    close(stays);
    atomic_store(&strict, false);
    stop(&fix);
}

/* The worker learns in one turn, in this order, that it has something for a client that listens and
 * that the client has gone: sending closes the connection, whose own event comes behind. */
static void listener_leaves_when_woken(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    fix.config.worker_count = 1;
    start(&fix);
    const int other = dial(&fix);
    for (int i = 0; i < 20; i++) {
        const int watcher = dial(&fix);
        say_str(watcher, "watch\n");
        atomic_store(&ticks, 1);
        net_worker_wake(fix.net, 0);
        say_str(other, "echo x\n");
        expect_str(other, "x\n");
        stall_worker(other);
        atomic_store(&ticks, 1);
        net_worker_wake(fix.net, 0);
        const struct linger hard = {.l_onoff = 1, .l_linger = 0};
        assert_int_equal(setsockopt(watcher, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
        close(watcher);
        (void)sem_post(&stall_end);
        say_str(other, "echo x\n");
        expect_str(other, "x\n");
        atomic_store(&ticks, 0);
    }
    assert_int_equal(stat_of(&fix, STAT_CURR_CONNECTIONS), 1);
    assert_int_equal(atomic_load(&filling_count), 0);
    close(other);
    stop(&fix);
}

struct seen {
    int count, listeners;
    int last_fd;
    char address[NET_ADDR_TEXT_BYTES], listen_address[NET_ADDR_TEXT_BYTES];
};

static void see(void *arg, const struct net_conn_info *info)
{
    struct seen *seen = arg;
    assert_true(info->fd > seen->last_fd);
    seen->last_fd = info->fd;
    seen->count++;
    seen->listeners += info->state == NET_STATE_LISTEN;
    if (info->state != NET_STATE_LISTEN)
        memcpy(seen->listen_address, info->listen_address, NET_ADDR_TEXT_BYTES);
    else
        memcpy(seen->address, info->address, NET_ADDR_TEXT_BYTES);
}

static void connections_are_listed(void **state)
{
    (void)state;
    struct fixture fix;
    prepare(&fix);
    start(&fix);
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = dial(&fix);
        say_str(fds[i], "echo x\n");
        expect_str(fds[i], "x\n");
    }
    struct seen seen = {.last_fd = -1};
    net_conn_each(fix.net, see, &seen);
    assert_int_equal(seen.count, 6);
    assert_int_equal(seen.listeners, 1);
    char want[64];
    (void)snprintf(want, sizeof(want), "tcp:127.0.0.1:%d", fix.port);
    assert_string_equal(seen.address, want);
    assert_string_equal(seen.listen_address, want);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    stop(&fix);
}

static void unix_socket(void **state)
{
    (void)state;
    char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/test_net.%d", (int)getpid());
    for (int round = 0; round < 2; round++) { /* the second finds the socket of the first */
        struct fixture fix;
        prepare(&fix);
        fix.config.address_count = 0;
        fix.config.unix_path = path;
        fix.config.unix_mask = 0640;
        start(&fix);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0640);
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
        const int fd = with_patience(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
        say_str(fd, "echo a\ngive 2000000\n");
        expect_str(fd, "a\n");
        expect(fd, pattern, 2000000);
        close(fd);
        stop(&fix);
    }
    assert_int_equal(unlink(path), 0);
}

static void refused_addresses(void **state)
{
    (void)state;
    struct fixture fix, other;
    char error[NET_ERROR_BYTES];
    prepare(&fix);
    start(&fix);
    prepare(&other);
    other.address.port = fix.port;
    assert_int_equal(net_new(&other.config, &other.net, error), -EADDRINUSE);
    assert_non_null(strstr(error, "127.0.0.1"));
    other.address.host = "no such name";
    assert_int_equal(net_new(&other.config, &other.net, error), -ENXIO);
    assert_non_null(strstr(error, "no such name"));
    other.config.address_count = 0;
    other.config.unix_path = "/no/such/folder/socket";
    assert_int_equal(net_new(&other.config, &other.net, error), -ENOENT);
    assert_non_null(strstr(error, "/no/such/folder/socket"));
    stat_registry_free(other.stats);
    stop(&fix);
}

int main(void)
{
    clock_init();
    (void)sem_init(&stall_begun, 0, 0);
    (void)sem_init(&stall_end, 0, 0);
    kit_pattern_fill(pattern, sizeof(pattern), 7);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_in_pieces),
        cmocka_unit_test(deep_pipeline),
        cmocka_unit_test(a_pause),
        cmocka_unit_test(a_pause_behind_answers_that_wait),
        cmocka_unit_test(a_pause_without_an_end),
        cmocka_unit_test(values_are_filled),
        cmocka_unit_test(values_end_with_a_read),
        cmocka_unit_test(slow_reader),
        cmocka_unit_test(half_closed),
        cmocka_unit_test(endless_line),
        cmocka_unit_test(limit_refuses),
        cmocka_unit_test(limit_waits),
        cmocka_unit_test(fds_run_out),
        cmocka_unit_test(idle_is_closed),
        cmocka_unit_test(younger_than_the_clock),
        cmocka_unit_test(listeners_are_woken),
        cmocka_unit_test(review_closes_the_silent),
        cmocka_unit_test(listener_leaves_when_woken),
        cmocka_unit_test(connections_are_listed),
        cmocka_unit_test(unix_socket),
        cmocka_unit_test(refused_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
