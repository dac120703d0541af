/* One connection: receive, run, send.
 *
 *                          ┌───────────── NET_AGAIN, NET_FLUSH ─────────────┐
 *                          ▼                                                │
 *     NET_MORE ─► receive ─► run batches ─► send ─► all taken? ─────────────┤
 *     NET_FILL ─► receive_value (straight into the store)                   ├─► NET_MORE, NET_FILL
 *     NET_PAUSE ─► pause.c, then run batches                                ├─► NET_PAUSE
 *     NET_HOLD ─► run_held (input is dropped)                               ├─► NET_HOLD
 *                                            └─► no: the rest is `pending`, └─► NET_CLOSE: close
 *                                                nothing else happens until EPOLLOUT
 *
 * All input passes through conn_recv(), all output through conn_sendv(); there, TLS comes in
 * between (tls_conn.c).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "net/net_priv.h"

/* Answers of several connections that may wait for each other: they are sent from the cache. */
enum { STAGE_OUT_BYTES_MAX = 64 * 1024 };

static void state_set(struct net_conn *conn, enum net_state state)
{
    /* Relaxed: for `stats conns` only; from and to FREE it is set elsewhere. */
    atomic_store_explicit(&conn->state, (uint8_t)state, memory_order_relaxed);
}

void net_conn_log(struct net_worker *worker, const struct net_conn *conn, enum logger_type type,
                  const char *message)
{
    if (LIKELY((worker->watched & LOGGER_CONNEVENTS) == 0))
        return;
    const struct logger_event event = {
        .type = (uint8_t)type,
        .status = conn->reason,
        .fd = net_conn_fd(worker->net, conn),
        .text = message != NULL
                    ? bytes_str(message)
                    : bytes_of(net_conn_peer(worker->net, conn), sizeof(struct ip_peer)),
    };
    logger_write(worker->log, &event);
}

/* It only listens from now on. Returns false when there is no memory for that. */
static bool held_add(struct net_worker *worker, struct net_conn *conn)
{
    if (worker->held_count == worker->held_cap) {
        const size_t cap = worker->held_cap * 2 + 4;
        struct net_conn **held = realloc(worker->held, cap * sizeof(struct net_conn *));
        if (held == NULL)
            return false;
        worker->held = held;
        worker->held_cap = cap;
    }
    worker->held[worker->held_count++] = conn;
    return true;
}

static void held_remove(struct net_worker *worker, const struct net_conn *conn)
{
    for (size_t i = 0; i < worker->held_count; i++)
        if (worker->held[i] == conn) {
            worker->held[i] = worker->held[--worker->held_count];
            return;
        }
}

void net_conn_close(struct net_worker *worker, struct net_conn *conn)
{
    struct net *net = worker->net;
    net_conn_log(worker, conn, LOGGER_CONN_CLOSE, NULL);
    if (UNLIKELY(conn->want == NET_HOLD))
        held_remove(worker, conn);
    if (conn->session != NULL && net->config.ops->gone != NULL)
        net->config.ops->gone(worker->arg, conn->session);
    if (conn->in != NULL)
        net_buf_give(&worker->pool, conn->in);
    if (conn->pending != NULL) {
        stat_sub(worker->stats, STAT_RESPONSE_OBJ_COUNT, 1);
        stat_sub(worker->stats, STAT_RESPONSE_OBJ_BYTES, conn->pending->cap);
        out_fini(conn->pending);
        free(conn->pending);
    }
    if (UNLIKELY(conn->secure))
        net_tls_close(conn);
    stat_sub(worker->stats, STAT_CURR_CONNECTIONS, 1);
    atomic_fetch_sub_explicit(&worker->conns, 1, memory_order_relaxed);
    const int fd = net_conn_fd(net, conn);
    /* Release: the listener may fill the slot as soon as the kernel gives out this fd again. */
    atomic_store_explicit(&conn->state, NET_STATE_FREE, memory_order_release);
    /* Before the client can see the end, so that there is room for whoever it lets in next. Both
     * seq_cst, against the listener's "paused = true, then look at open_count": one of us sees the
     * other's store, so a pause always ends. */
    atomic_fetch_sub(&net->open_count, 1);
    close(fd);
    if (atomic_load(&net->paused))
        net_wake(net->wake_fd);
}

/* ── input ────────────────────────────────────────────────────────────────────────────────── */

/* Read once. Returns the number of bytes; 0: nothing there for now; -1: the peer has ended. */
static ALWAYS_INLINE ssize_t conn_recv(struct net_worker *worker, struct net_conn *conn,
                                       struct iovec *iov, size_t count)
{
    if (UNLIKELY(conn->secure))
        return net_tls_recv(worker, conn, iov, count);
    size_t room = 0;
    for (size_t i = 0; i < count; i++)
        room += iov[i].iov_len;
    const int fd = net_conn_fd(worker->net, conn);
    const ssize_t got =
        count == 1 ? net_recv(fd, iov[0].iov_base, iov[0].iov_len) : readv(fd, iov, (int)count);
    if (LIKELY(got > 0)) {
        stat_add(worker->stats, STAT_BYTES_READ, (uint64_t)got);
        /* Less than we had room for: the socket is empty, no need to ask again. After a hang-up no
         * event will come any more, so then we read on to the end. */
        if ((size_t)got < room && !conn->hangup)
            conn->readable = false;
        return got;
    }
    if (got == 0) {
        conn->reason = LOGGER_NORMAL;
        return -1;
    }
    conn->readable = false;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
}

/* Something has been read. */
static ALWAYS_INLINE void received(struct net_worker *worker, struct net_conn *conn, size_t bytes)
{
    conn->read_ticks = stat_timing_read(worker->timing);
    net_traffic_add(&conn->bytes_read, bytes);
}

/* Give the buffer back when nothing is in it. */
static void input_settle(struct net_worker *worker, struct net_conn *conn)
{
    if (conn->in == NULL || conn->in_at < conn->in_end)
        return;
    net_buf_give(&worker->pool, conn->in);
    conn->in = NULL;
    conn->in_at = conn->in_end = 0;
}

/* Make sure that there is a buffer with room behind its input. */
static bool input_room(struct net_worker *worker, struct net_conn *conn)
{
    if (conn->in == NULL) {
        conn->in = net_buf_take(&worker->pool);
    } else if (conn->in_at > 0) {
        memmove(conn->in->data, conn->in->data + conn->in_at, conn->in_end - conn->in_at);
        conn->in_end -= conn->in_at;
        conn->in_at = 0;
    } else if (conn->in_end == conn->in->cap) {
        struct net_buf *grown = net_buf_grow(&worker->pool, conn->in);
        if (grown == NULL)
            return false;
        conn->in = grown;
    }
    return conn->in != NULL;
}

static void rest(struct net_conn *conn)
{
    state_set(conn, conn->want == NET_FILL                      ? NET_STATE_FILL
                    : conn->in != NULL || conn->session != NULL ? NET_STATE_READ
                                                                : NET_STATE_WAIT);
}

/* Get more input. Returns false when there is none for now, or the connection is closed. */
static bool receive(struct net_worker *worker, struct net_conn *conn)
{
    if (!conn->readable) {
        rest(conn);
        return false;
    }
    if (!input_room(worker, conn)) {
        net_conn_close(worker, conn);
        return false;
    }
    struct iovec iov = {.iov_base = conn->in->data + conn->in_end,
                        .iov_len = conn->in->cap - conn->in_end};
    const ssize_t got = conn_recv(worker, conn, &iov, 1);
    if (UNLIKELY(got < 0)) {
        net_conn_close(worker, conn);
        return false;
    }
    conn->in_end += (uint32_t)got;
    if (got > 0) {
        received(worker, conn, (size_t)got);
        return true;
    }
    input_settle(worker, conn);
    rest(conn);
    return false;
}

/* Get more of a value, straight to where it belongs. The last piece is read together with what
 * follows. Returns as receive(); then `want` tells what is next. */
static bool receive_value(struct net_worker *worker, struct net_conn *conn)
{
    const struct net_ops *ops = worker->net->config.ops;
    if (!conn->readable) {
        rest(conn);
        return false;
    }
    struct iovec iov[2];
    bool last = false;
    iov[0].iov_base = ops->space(worker->arg, conn->session, &iov[0].iov_len, &last);
    if (last && input_room(worker, conn))
        iov[1] = (struct iovec){.iov_base = conn->in->data, .iov_len = conn->in->cap};
    else
        last = false;
    const ssize_t got = conn_recv(worker, conn, iov, last ? 2 : 1);
    if (got < 0) {
        net_conn_close(worker, conn);
        return false;
    }
    const size_t filled = (size_t)got < iov[0].iov_len ? (size_t)got : iov[0].iov_len;
    conn->in_end = (uint32_t)((size_t)got - filled);
    input_settle(worker, conn);
    if (got == 0) {
        rest(conn);
        return false;
    }
    received(worker, conn, (size_t)got);
    conn->want = (uint8_t)ops->filled(worker->arg, conn->session, filled);
    return true;
}

/* ── output ───────────────────────────────────────────────────────────────────────────────── */

/* Write once. Returns the number of bytes; 0: the socket is full; -1: the peer is gone. */
static ALWAYS_INLINE ssize_t conn_sendv(struct net_worker *worker, struct net_conn *conn,
                                        struct iovec *iov, size_t count)
{
    if (UNLIKELY(conn->secure))
        return net_tls_sendv(worker, conn, iov, count);
    const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
    const int fd = net_conn_fd(worker->net, conn);
    const ssize_t sent = count == 1 ? net_send(fd, iov[0].iov_base, iov[0].iov_len)
                                    : sendmsg(fd, &msg, MSG_NOSIGNAL);
    if (LIKELY(sent >= 0)) {
        stat_add(worker->stats, STAT_BYTES_WRITTEN, (uint64_t)sent);
        return sent;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
}

/* Send until `out` is empty or the socket is full. Returns false when the peer is gone. */
static bool out_send(struct net_worker *worker, struct net_conn *conn, struct out *out)
{
    while (out_bytes(out) > 0) {
        struct iovec iov[NET_IOVECS];
        const size_t count = out_iovecs(out, iov, NET_IOVECS);
        size_t offered = 0;
        for (size_t i = 0; i < count; i++)
            offered += iov[i].iov_len;
        const ssize_t sent = conn_sendv(worker, conn, iov, count);
        if (sent < 0)
            return false;
        net_traffic_add(&conn->bytes_written, (uint64_t)sent);
        out_consume(out, (uint64_t)sent);
        if ((size_t)sent < offered)
            return true;
    }
    return true;
}

/* (Not from the start: on a unix socket every read of the peer would be an event.) */
bool net_conn_watch_out(struct net_worker *worker, struct net_conn *conn)
{
    if (conn->watch_out)
        return true;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = conn};
    conn->watch_out = true;
    return epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, net_conn_fd(worker->net, conn), &event) == 0;
}

/* What the socket did not take goes from the worker to the connection. */
static bool pending_keep(struct net_worker *worker, struct net_conn *conn, struct out *out)
{
    conn->pending = malloc(sizeof(*conn->pending));
    if (conn->pending == NULL) {
        stat_inc(worker->stats, STAT_RESPONSE_OBJ_OOM);
        return false;
    }
    out_move(conn->pending, out);
    stat_inc(worker->stats, STAT_RESPONSE_OBJ_COUNT);
    stat_add(worker->stats, STAT_RESPONSE_OBJ_BYTES, conn->pending->cap);
    net_traffic_pending(conn, out_bytes(conn->pending), worker->now_s);
    state_set(conn, NET_STATE_WRITE);
    return net_conn_watch_out(worker, conn);
}

/* Send the worker's answers. Returns false when the connection is closed or cannot go on now. */
static bool send_answers(struct net_worker *worker, struct net_conn *conn)
{
    struct out *out = &worker->out;
    bool alive = !out->failed && out_send(worker, conn, out);
    stat_timing_sent(worker->timing);
    if (UNLIKELY(out->failed))
        stat_inc(worker->stats, STAT_RESPONSE_OBJ_OOM);
    if (LIKELY(alive && out_bytes(out) == 0)) {
        out_reset(out);
        return true;
    }
    if (!alive || !pending_keep(worker, conn, out)) {
        out_reset(out);
        net_conn_close(worker, conn);
    }
    return false;
}

/* Send what is left from earlier. Returns as send_answers(). */
static bool send_pending(struct net_worker *worker, struct net_conn *conn)
{
    struct out *out = conn->pending;
    const uint64_t before = out_bytes(out);
    const bool left = conn->want == NET_HOLD && conn->hangup; /* and will not read it */
    if (left || !out_send(worker, conn, out)) {
        net_conn_close(worker, conn);
        return false;
    }
    if (out_bytes(out) < before)
        net_traffic_pending(conn, out_bytes(out), worker->now_s);
    if (out_bytes(out) > 0)
        return false;
    stat_sub(worker->stats, STAT_RESPONSE_OBJ_COUNT, 1);
    stat_sub(worker->stats, STAT_RESPONSE_OBJ_BYTES, out->cap);
    out_fini(out);
    free(out);
    conn->pending = NULL;
    return true;
}

/* ── requests ─────────────────────────────────────────────────────────────────────────────── */

/* Does anyone else wait, as far as this turn knows? */
static bool others_wait(const struct net_worker *worker)
{
    return worker->events_left > 0 || worker->ready_first != NULL;
}

/* Drop what the client sends, bounded per call. Returns false when it has ended. */
static bool discard_input(struct net_worker *worker, struct net_conn *conn)
{
    enum { READS = 4 };
    uint8_t scratch[4096];
    for (int i = 0; conn->readable && i < READS; i++) {
        struct iovec iov = {.iov_base = scratch, .iov_len = sizeof(scratch)};
        if (conn_recv(worker, conn, &iov, 1) < 0)
            return false;
    }
    return true;
}

static ALWAYS_INLINE struct net_io io_of(struct net_worker *worker, struct net_conn *conn,
                                         struct bytes in)
{
    return (struct net_io){.in = in,
                           .out = &worker->out,
                           .note = &conn->note,
                           .peer = net_conn_peer(worker->net, conn),
                           .fd = net_conn_fd(worker->net, conn),
                           .listener = conn->listener};
}

/* One that only listens: let `run` answer what it has. Returns false when that is nothing for now,
 * or the connection is closed. */
static bool run_held(struct net_worker *worker, struct net_conn *conn)
{
    if (conn->hangup || !discard_input(worker, conn)) {
        conn->reason = LOGGER_ERROR; /* so memcached says of watchers that leave */
        net_conn_close(worker, conn);
        return false;
    }
    struct net_io io = io_of(worker, conn, bytes_of(NULL, 0));
    const enum net_rc rc = worker->net->config.ops->run(worker->arg, &conn->session, &io);
    assert(rc == NET_HOLD || rc == NET_CLOSE);
    if (rc == NET_CLOSE) {
        net_conn_close(worker, conn); /* still as one that is held */
        return false;
    }
    if (out_bytes(&worker->out) > 0 || worker->out.failed)
        return true;
    if (conn->readable)
        net_worker_queue(worker, conn);
    state_set(conn, NET_STATE_HOLD);
    return false;
}

/* No input will be run any more. */
static void input_end(struct net_worker *worker, struct net_conn *conn, uint8_t reason)
{
    conn->in_at = conn->in_end;
    conn->reason = reason & 3u;
    if (conn->want == NET_HOLD && !held_add(worker, conn))
        conn->want = NET_CLOSE;
}

/* Run what is in the input, batch by batch: until it is used up, until the answers should be sent,
 * or until it is another's turn. Returns the number of requests, `done` before included. */
static ALWAYS_INLINE uint32_t run_input(struct net_worker *worker, struct net_conn *conn,
                                        uint32_t done, unsigned ahead)
{
    const struct net_config *config = &worker->net->config;
    const uint32_t before = done;
    uint8_t reason;
    state_set(conn, NET_STATE_RUN);
    do {
        const uint8_t *data = conn->in != NULL ? conn->in->data + conn->in_at : NULL;
        struct net_io io = io_of(worker, conn, bytes_of(data, conn->in_end - conn->in_at));
        io.ahead = ahead;
        ahead = 0;
        conn->want = (uint8_t)config->ops->run(worker->arg, &conn->session, &io);
        conn->in_at += (uint32_t)io.used;
        reason = io.reason;
        if (UNLIKELY(conn->want == NET_PAUSE))
            worker->pause_ms = io.pause_ms;
        done += io.requests;
        if (conn->in_at == conn->in_end && conn->want <= NET_YIELD)
            conn->want = NET_MORE;
    } while (conn->want == NET_AGAIN && out_bytes(&worker->out) < NET_OUT_BYTES_MAX &&
             (done < worker->requests_per_event || !others_wait(worker)));
    net_traffic_count(conn, done - before, worker->now_s);
    if (UNLIKELY(conn->want >= NET_HOLD))
        input_end(worker, conn, reason);
    input_settle(worker, conn);
    return done;
}

/* Its input has been run: send the answers. Returns whether it may go on at once; `done` requests
 * are behind it. */
static bool conclude(struct net_worker *worker, struct net_conn *conn, uint32_t done)
{
    if (!send_answers(worker, conn))
        return false;
    if (UNLIKELY(conn->want == NET_PAUSE)) {
        rest(conn);
        if (!net_pause_add(worker, conn))
            net_conn_close(worker, conn);
        return false;
    }
    /* Back to the loop, also when nobody is known to wait: only epoll knows. */
    const bool more = conn->want <= NET_YIELD || conn->want == NET_HOLD ||
                      (conn->readable && conn->want != NET_CLOSE);
    if (more && (conn->want == NET_YIELD || done >= worker->requests_per_event)) {
        stat_inc(worker->stats, STAT_CONN_YIELDS);
        net_worker_queue(worker, conn);
        return false;
    }
    return true;
}

void net_conn_serve(struct net_worker *worker, struct net_conn *conn)
{
    uint32_t done = 0;
    __builtin_prefetch(&conn->read_ticks, 1);
    if (LIKELY(conn->want != NET_HOLD))
        atomic_store_explicit(&conn->last_s, worker->now_s, memory_order_relaxed);
    for (;;) {
        if (conn->pending != NULL && !send_pending(worker, conn))
            return;
        switch ((enum net_rc)conn->want) {
        case NET_AGAIN:
        case NET_FLUSH:
        case NET_YIELD:
            stat_timing_resume(worker->timing, conn->read_ticks);
            break;
        case NET_MORE:
            if (!receive(worker, conn))
                return;
            break;
        case NET_FILL:
            if (!receive_value(worker, conn))
                return;
            done++; /* a read counts as a request: a long value keeps nobody waiting either */
            break;
        case NET_HOLD:
            if (!run_held(worker, conn))
                return;
            done++;
            break;
        case NET_PAUSE:
            stat_timing_resume(worker->timing, conn->read_ticks);
            if (!conn->hangup)
                break;
            conn->reason = LOGGER_NORMAL;
            net_conn_close(worker, conn);
            return;
        case NET_CLOSE:
            net_conn_close(worker, conn);
            return;
        }
        if (conn->in != NULL || conn->want <= NET_FLUSH)
            done = run_input(worker, conn, done, 0);
        if (!conclude(worker, conn, done))
            return;
    }
}

/* ── the connections of one turn ──────────────────────────────────────────────────────────── */

bool net_stage_add(struct net_worker *worker, struct net_conn *conn)
{
    struct net_stage *stage = &worker->stage;
    if (conn->want != NET_MORE || conn->pending != NULL)
        return false;
    __builtin_prefetch(&conn->read_ticks, 1);
    atomic_store_explicit(&conn->last_s, worker->now_s, memory_order_relaxed);
    if (!receive(worker, conn))
        return true;
    stage->all[stage->count++].conn = conn;
    if (stage->count == NET_STAGE_CONNS)
        net_stage_run(worker);
    return true;
}

/* Send the answers of one connection, which wants nothing but more input then. */
static void staged_send(struct net_worker *worker, struct net_conn *conn, struct bytes answers)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)answers.ptr, .iov_len = answers.len};
    const ssize_t sent = answers.len > 0 ? conn_sendv(worker, conn, &iov, 1) : 0;
    stat_timing_sent(worker->timing);
    if (LIKELY(sent > 0))
        net_traffic_add(&conn->bytes_written, (uint64_t)sent);
    if (LIKELY((size_t)sent == answers.len)) {
        rest(conn);
        return;
    }
    struct out left;
    out_init(&left);
    if (sent >= 0)
        out_put(&left, answers.ptr + sent, answers.len - (size_t)sent);
    if (sent < 0 || left.failed || !pending_keep(worker, conn, &left)) {
        out_fini(&left);
        net_conn_close(worker, conn);
    }
}

/* Send the answers of staged connections up to, but not including, `end`. */
static void stage_send(struct net_worker *worker, unsigned *first, unsigned end)
{
    for (; *first < end; ++*first) {
        const struct net_staged *staged = &worker->stage.all[*first];
        const size_t len = staged->out_end - staged->out_at;
        stat_timing_take(worker->timing, &staged->timed);
        staged_send(worker, staged->conn, bytes_of(worker->out.buf + staged->out_at, len));
    }
}

/* Tell the ops what will be run; false: that is not worth it. One alone has nothing to overlap
 * with. */
static bool stage_tell(struct net_worker *worker, unsigned count)
{
    const struct net_ops *ops = worker->net->config.ops;
    struct net_ahead ahead[NET_STAGE_CONNS];
    if (count < 2 || ops->ahead == NULL)
        return false;
    for (unsigned i = 0; i < count; i++) {
        const struct net_conn *conn = worker->stage.all[i].conn;
        ahead[i] = (struct net_ahead){
            .in = bytes_of(conn->in->data + conn->in_at, conn->in_end - conn->in_at),
            .note = conn->note,
        };
    }
    ops->ahead(worker->arg, ahead, count);
    return true;
}

void net_stage_run(struct net_worker *worker)
{
    struct net_stage *stage = &worker->stage;
    struct out *out = &worker->out;
    const unsigned count = stage->count, events_left = worker->events_left;
    unsigned unsent = 0;
    stage->count = 0;
    const bool told = stage_tell(worker, count);
    for (unsigned i = 0; i < count; i++) {
        struct net_staged *staged = &stage->all[i];
        struct net_conn *conn = staged->conn;
        worker->events_left = events_left + (count - 1 - i);
        staged->out_at = out->sent = out->len; /* as if `out` was its own */
        stat_timing_resume(worker->timing, conn->read_ticks);
        const uint32_t done = run_input(worker, conn, 0, told ? i + 1 : 0);
        staged->out_end = out->len;
        stat_timing_put(worker->timing, &staged->timed);
        if (LIKELY(conn->want == NET_MORE && !conn->readable && out->blob_count == 0 &&
                   !out->failed && out->len < STAGE_OUT_BYTES_MAX))
            continue;
        stage_send(worker, &unsent, i);
        unsent = i + 1;
        stat_timing_take(worker->timing, &staged->timed);
        if (conclude(worker, conn, done))
            net_conn_serve(worker, conn);
    }
    stage_send(worker, &unsent, count);
    out_reset(out);
    worker->events_left = events_left;
}
