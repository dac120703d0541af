/* A worker's event loop.
 *
 *     ┌─► ops.sleep ─► epoll_wait ─► ops.turn ─► events ─► ready list ─► sweep ─┐
 *     └─────────────────────────────────────────────────────────────────────────┘
 *
 * Edge-triggered: epoll tells once that something came. Who had to stop before all of it was
 * served, because others wait (-R), is in the ready list.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/net_priv.h"

enum { REVIEWS_PER_TURN = 1024 };

static bool tls_gather_init(struct net_worker *worker)
{
    worker->tls_gather_cap = net_tls_gather_bytes(worker->net->config.tls);
    worker->tls_gather = malloc(worker->tls_gather_cap);
    return worker->tls_gather != NULL;
}

int net_worker_init(struct net_worker *worker, struct net *net, unsigned index)
{
    worker->net = net;
    worker->index = index;
    worker->arg = net->config.workers[index].arg;
    worker->stats = net->config.workers[index].stats;
    worker->timing = net->config.workers[index].timing;
    if (worker->timing == NULL)
        worker->timing = &worker->untimed;
    worker->log = net->config.workers[index].log;
    worker->events = net->config.workers[index].events;
    worker->pool.stats = worker->stats;
    worker->pool.bytes_max = net->config.in_bytes_max;
    out_init(&worker->out);
    if (net->config.tls != NULL && !tls_gather_init(worker))
        return -ENOMEM;
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = NET_EVENT_WAKE};
    if (worker->epoll_fd < 0 || worker->wake_fd < 0 ||
        epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, worker->wake_fd, &event) != 0)
        return -errno;
    return 0;
}

void net_worker_fini(struct net_worker *worker)
{
    if (worker->started) {
        net_wake(worker->wake_fd);
        (void)pthread_join(worker->thread, NULL);
    }
    if (worker->epoll_fd >= 0)
        close(worker->epoll_fd);
    if (worker->wake_fd >= 0)
        close(worker->wake_fd);
    if (worker->stats != NULL)
        net_pool_fini(&worker->pool);
    net_udp_fini(worker);
    free(worker->tls_gather);
    free(worker->held);
    free(worker->pauses.all);
    out_fini(&worker->out);
}

/* ── ready list ───────────────────────────────────────────────────────────────────────────── */

void net_worker_queue(struct net_worker *worker, struct net_conn *conn)
{
    conn->queued = true;
    conn->ready_next = NULL;
    if (worker->ready_first == NULL)
        worker->ready_first = conn;
    else
        worker->ready_last->ready_next = conn;
    worker->ready_last = conn;
}

/* Serve everyone who is in the list now, once. */
static void serve_ready(struct net_worker *worker)
{
    const struct net_conn *last = worker->ready_last;
    struct net_conn *conn = worker->ready_first;
    for (bool more = conn != NULL; more; conn = worker->ready_first) {
        more = conn != last;
        worker->ready_first = conn->ready_next;
        conn->queued = false;
        net_conn_serve(worker, conn);
    }
}

/* ── events ───────────────────────────────────────────────────────────────────────────────── */

/* Somebody may have something for those who only listen. Behind the turn's events, for one of these
 * may be of a connection that we close. Backwards, as that is replaced by the last. */
static NOINLINE void serve_held(struct net_worker *worker)
{
    worker->woken = false;
    for (size_t i = worker->held_count; i > 0; i--) {
        struct net_conn *conn = worker->held[i - 1];
        if (!conn->queued && conn->pending == NULL)
            net_conn_serve(worker, conn);
    }
}

static NOINLINE void serve_no_conn(struct net_worker *worker, uint64_t event)
{
    if (event != NET_EVENT_WAKE) {
        net_udp_serve(worker, &worker->udp[event / 2]);
        return;
    }
    struct net *net = worker->net;
    net_wake_clear(worker->wake_fd);
    worker->woken = true;
    worker->drain = atomic_load_explicit(&net->drain, memory_order_acquire);
    atomic_store_explicit(&worker->beat, atomic_load_explicit(&net->beat, memory_order_acquire),
                          memory_order_release);
    const uint32_t reviews = atomic_load_explicit(&net->reviews, memory_order_acquire);
    if (reviews == worker->reviews)
        return;
    worker->reviews = reviews;
    worker->review_left = atomic_load_explicit(&net->fds_used, memory_order_relaxed);
}

static void serve_event(struct net_worker *worker, const struct epoll_event *event)
{
    struct net_conn *conn = event->data.ptr;
    if ((event->data.u64 & 1) != 0) {
        serve_no_conn(worker, event->data.u64);
        return;
    }
    if ((event->events & ~(uint32_t)EPOLLOUT) != 0)
        conn->readable = true;
    if ((event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        conn->hangup = true;
    /* Events tell the socket's present state: without EPOLLOUT what is pending has to wait on. */
    const bool stuck = conn->pending != NULL &&
                       (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) == 0 &&
                       !(conn->want == NET_HOLD && conn->hangup);
    if (!conn->queued && !stuck && !net_stage_add(worker, conn))
        net_conn_serve(worker, conn);
}

/* ── the end of connections ───────────────────────────────────────────────────────────────── */

/* Is slot `fd` a connection of this worker? */
static struct net_conn *own_conn(struct net_worker *worker, uint32_t fd)
{
    struct net_conn *conn = &worker->net->conns[fd];
    /* Acquire: pairs with the listener's release, so that `worker` belongs to this state. When it
     * is ours, nobody else changes the slot. */
    if (atomic_load_explicit(&conn->state, memory_order_acquire) == NET_STATE_FREE ||
        atomic_load_explicit(&conn->worker, memory_order_relaxed) != worker->index)
        return NULL;
    return conn;
}

/* Has a client kept us waiting for too long, with its next request or with its handshake? Counts
 * it. */
static bool is_late(struct net_worker *worker, const struct net_conn *conn)
{
    if (conn->secure && net_tls_is_late(conn, worker->now_s)) {
        stat_inc(worker->stats, STAT_SSL_HANDSHAKE_ERRORS);
        net_conn_log(worker, conn, LOGGER_CONN_TLS_ERROR, "the handshake has taken too long");
        net_tls_note(worker, conn, "too slow");
        return true;
    }
    const uint32_t timeout_s = worker->idle_timeout_s;
    if (timeout_s == 0 || conn->local || net_silent_s(conn, worker->now_s) < timeout_s)
        return false;
    stat_inc(worker->stats, STAT_IDLE_KICKS);
    return true;
}

/* Close who has been silent for too long. Once a second a part of the table is looked at, all of it
 * in an eighth of the timeout: who is closed was silent for one to 9/8 timeouts, and a connection
 * costs nothing but eight looks per timeout. */
static void sweep(struct net_worker *worker)
{
    const uint32_t timeout_s = worker->sweep_every_s;
    const uint32_t used = atomic_load_explicit(&worker->net->fds_used, memory_order_relaxed);
    const uint32_t parts = timeout_s > 8 ? timeout_s / 8 : 1;
    for (uint32_t left = used / parts + 1; left > 0; left--) {
        if (worker->sweep_fd >= used)
            worker->sweep_fd = 0;
        struct net_conn *conn = own_conn(worker, worker->sweep_fd++);
        if (conn == NULL || conn->queued || conn->want == NET_HOLD || !is_late(worker, conn))
            continue;
        conn->reason = LOGGER_IDLE_TIMEOUT;
        net_conn_close(worker, conn);
    }
}

/* Close who may not stay, a bounded number of looks per turn. Who is in the ready list is about to
 * be served, and ops.run sees to it. */
static NOINLINE void review(struct net_worker *worker)
{
    const struct net_ops *ops = worker->net->config.ops;
    for (unsigned i = 0; i < REVIEWS_PER_TURN && worker->review_left > 0; i++) {
        struct net_conn *conn = own_conn(worker, --worker->review_left);
        if (conn == NULL || conn->queued)
            continue;
        const struct net_io io = {
            .note = &conn->note,
            .peer = net_conn_peer(worker->net, conn),
            .fd = net_conn_fd(worker->net, conn),
            .listener = conn->listener,
        };
        if (ops->may_stay == NULL || ops->may_stay(worker->arg, &io))
            continue;
        conn->reason = LOGGER_ERROR;
        net_conn_close(worker, conn);
    }
}

/* Has this connection nothing to do, so that a worker that drains may close it? */
static bool is_done(const struct net_worker *worker, const struct net_conn *conn)
{
    enum { LATE_SILENT_S = 2 }; /* for a newcomer's first words; in clock seconds: one to two */
    if (conn->queued || conn->pending != NULL || conn->in != NULL || conn->session != NULL)
        return conn->want == NET_HOLD && conn->pending == NULL && worker->drain == NET_DRAIN_END;
    if (conn->want != NET_MORE)
        return false;
    if (worker->drain == NET_DRAIN_END)
        return true;
    if (conn->late == NET_LATE_NEW)
        return net_silent_s(conn, worker->now_s) >= LATE_SILENT_S;
    return conn->late != NET_LATE_STAY;
}

/* A request that has come since epoll told is still served. */
static bool has_input(const struct net_worker *worker, const struct net_conn *conn)
{
    char byte;
    return recv(net_conn_fd(worker->net, conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

enum { DRAIN_MS = 50 };

/* Close who has fallen idle. All are looked at, which costs a cache line each, so not in every turn
 * of a busy worker. */
static NOINLINE void drain(struct net_worker *worker)
{
    const uint64_t now_ms = clock_mono_ms();
    if (now_ms - worker->drained_ms < DRAIN_MS / 2)
        return;
    worker->drained_ms = now_ms;
    const uint32_t used = atomic_load_explicit(&worker->net->fds_used, memory_order_relaxed);
    for (uint32_t fd = 0; fd < used; fd++) {
        struct net_conn *conn = own_conn(worker, fd);
        if (conn == NULL || !is_done(worker, conn) || has_input(worker, conn))
            continue;
        conn->reason = LOGGER_SHUTDOWN;
        net_conn_close(worker, conn);
    }
}

static void close_all(struct net_worker *worker)
{
    const uint32_t used = atomic_load_explicit(&worker->net->fds_used, memory_order_relaxed);
    for (uint32_t fd = 0; fd < used; fd++) {
        struct net_conn *conn = own_conn(worker, fd);
        if (conn == NULL)
            continue;
        conn->reason = LOGGER_SHUTDOWN;
        net_conn_close(worker, conn);
    }
}

/* ── the loop ─────────────────────────────────────────────────────────────────────────────── */

/* How long a worker without anything to do may sleep. */
static int sleep_ms(const struct net_worker *worker)
{
    if (UNLIKELY(worker->drain != NET_DRAIN_OFF))
        return DRAIN_MS;
    return worker->sweep_every_s > 0 ? 1000 : -1;
}

static void limits_read(struct net_worker *worker)
{
    struct net *net = worker->net;
    worker->requests_per_event =
        atomic_load_explicit(&net->requests_per_event, memory_order_relaxed);
    worker->idle_timeout_s = atomic_load_explicit(&net->idle_timeout_s, memory_order_relaxed);
    worker->sweep_every_s = atomic_load_explicit(&net->sweep_every_s, memory_order_relaxed);
}

static void turn(struct net_worker *worker)
{
    const struct net_ops *ops = worker->net->config.ops;
    const bool busy = worker->ready_first != NULL || worker->review_left > 0;
    struct epoll_event events[NET_EVENTS];
    if (!busy && ops->sleep != NULL)
        ops->sleep(worker->arg);
    const int timeout_ms = busy ? 0 : net_pause_left_ms(worker, sleep_ms(worker));
    const int count = epoll_wait(worker->epoll_fd, events, NET_EVENTS, timeout_ms);
    worker->now_s = clock_now_s();
    limits_read(worker);
    worker->watched = worker->log != NULL ? logger_watched(worker->log) : 0;
    if (ops->turn != NULL)
        ops->turn(worker->arg, worker->now_s);
    for (int i = 0; i < count; i++) {
        worker->events_left = (unsigned)(count - 1 - i);
        serve_event(worker, &events[i]);
    }
    net_stage_run(worker);
    if (UNLIKELY(worker->woken))
        serve_held(worker);
    if (UNLIKELY(worker->pauses.count > 0))
        net_pause_end(worker);
    serve_ready(worker);
    if (UNLIKELY(worker->review_left > 0))
        review(worker);
    if (worker->sweep_every_s > 0 && worker->sweep_s != worker->now_s) {
        worker->sweep_s = worker->now_s;
        sweep(worker);
    }
    if (UNLIKELY(worker->drain != NET_DRAIN_OFF))
        drain(worker);
}

void *net_worker_main(void *arg)
{
    struct net_worker *worker = arg;
    char name[16];
    (void)snprintf(name, sizeof(name), "worker %u", worker->index);
    (void)pthread_setname_np(pthread_self(), name);
    if (worker->net->config.ops->begin != NULL)
        worker->net->config.ops->begin(worker->arg);
    limits_read(worker);
    /* Acquire: pairs with net_stop(). */
    while (!atomic_load_explicit(&worker->net->stop, memory_order_acquire))
        turn(worker);
    close_all(worker);
    if (worker->net->config.ops->sleep != NULL)
        worker->net->config.ops->sleep(worker->arg);
    return NULL;
}
