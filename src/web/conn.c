/* web/conn.c — connections of the admin listener: bytes in, bytes out, and their end.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "web/web_priv.h"

/* A request fits one packet and an answer 100 KiB: seconds are plenty. Prometheus asks every 15 s
 * to 60 s by the same connection. */
enum { REQUEST_MS = 5000, IDLE_MS = 75000, ANSWER_MS = 10000, LINGER_MS = 1000 };

void web_conn_note(const struct web *web, const struct web_conn *conn, enum event_type type,
                   const char *rule)
{
    const struct event event = {.type = type,
                                .from = &conn->peer,
                                .to = &web->listeners[conn->listener].ip,
                                .to_port = web->listeners[conn->listener].port,
                                .rule = bytes_str(rule),
                                .verb = "http"};
    web->config.ops->note(web->config.arg, &event);
}

/* ── states ───────────────────────────────────────────────────────────────────────────────── */

static void state_set(const struct web *web, struct web_conn *conn, enum web_state state)
{
    conn->state = state;
    conn->begun_ms = web->now_ms;
}

static uint64_t deadline_ms(const struct web_conn *conn)
{
    switch (conn->state) {
    case WEB_READ:
        return conn->begun_ms + (conn->idle ? IDLE_MS : REQUEST_MS);
    case WEB_WRITE:
        return conn->begun_ms + ANSWER_MS;
    case WEB_LINGER:
        return conn->begun_ms + LINGER_MS;
    case WEB_FREE:
        break;
    }
    return UINT64_MAX;
}

/* Have epoll report what the connection waits for, and nothing else: what a client sends while it
 * does not take its answer would wake us again and again. */
static void watch(const struct web *web, struct web_conn *conn, bool out)
{
    if (conn->wants_out == out)
        return;
    conn->wants_out = out;
    struct epoll_event event = {.events = out ? EPOLLOUT : EPOLLIN, .data.ptr = conn};
    (void)epoll_ctl(web->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
}

void web_conn_end(struct web *web, struct web_conn *conn)
{
    (void)web;
    if (conn->ssl != NULL) {
        SSL_free(conn->ssl);
        ERR_clear_error();
        conn->ssl = NULL;
    }
    close(conn->fd);
    out_fini(&conn->out);
    conn->state = WEB_FREE;
}

/* ── bytes ────────────────────────────────────────────────────────────────────────────────── */

/* As recv() and send(): bytes, 0 at the end (of what comes in), or -1 with errno; EAGAIN when the
 * socket has to become ready first. */
static ssize_t tls_result(const struct web *web, struct web_conn *conn, int done)
{
    const int why = SSL_get_error(conn->ssl, done);
    ERR_clear_error();
    if (done > 0)
        return done;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        watch(web, conn, why == SSL_ERROR_WANT_WRITE);
        errno = EAGAIN;
        return -1;
    }
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (!SSL_is_init_finished(conn->ssl) && why == SSL_ERROR_SSL)
        web_conn_note(web, conn, EVENT_TLS_FAILED, "admin listener");
    errno = EIO;
    return -1;
}

static ssize_t bytes_read(const struct web *web, struct web_conn *conn, uint8_t *dst, size_t cap)
{
    if (conn->ssl == NULL)
        return recv(conn->fd, dst, cap, 0);
    return tls_result(web, conn, SSL_read(conn->ssl, dst, (int)cap));
}

static ssize_t bytes_write(const struct web *web, struct web_conn *conn, struct iovec piece)
{
    enum { WRITE_MAX = 1 << 20 };
    const size_t len = piece.iov_len < WRITE_MAX ? piece.iov_len : WRITE_MAX;
    if (conn->ssl == NULL)
        return send(conn->fd, piece.iov_base, len, MSG_NOSIGNAL);
    return tls_result(web, conn, SSL_write(conn->ssl, piece.iov_base, (int)len));
}

static bool is_later(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* ── answering ────────────────────────────────────────────────────────────────────────────── */

/* Everything is sent. */
static void answered(struct web *web, struct web_conn *conn)
{
    out_fini(&conn->out); /* and not out_reset(), which would keep the memory */
    out_init(&conn->out);
    watch(web, conn, false);
    if (!conn->closing) {
        conn->idle = conn->in_len == 0;
        state_set(web, conn, WEB_READ);
        return;
    }
    if (conn->ssl != NULL)
        (void)SSL_shutdown(conn->ssl);
    ERR_clear_error();
    (void)shutdown(conn->fd, SHUT_WR);
    state_set(web, conn, WEB_LINGER);
}

/* Send what waits. Returns false when the connection has ended. */
static bool flush(struct web *web, struct web_conn *conn)
{
    struct iovec piece;
    if (conn->out.failed) { /* no memory for the answer */
        web_conn_end(web, conn);
        return false;
    }
    while (out_iovecs(&conn->out, &piece, 1) > 0) {
        const ssize_t sent = bytes_write(web, conn, piece);
        if (sent < 0 && is_later()) {
            watch(web, conn, true);
            return true;
        }
        if (sent <= 0) {
            web_conn_end(web, conn);
            return false;
        }
        out_consume(&conn->out, (uint64_t)sent);
    }
    answered(web, conn);
    return true;
}

/* Answer the next request that is there. Returns false when there is none, or the connection is at
 * its end. */
static bool serve_one(struct web *web, struct web_conn *conn)
{
    struct http_request request;
    size_t used = 0;
    unsigned status = 0;
    if (conn->in_len == 0)
        return false;
    switch (http_parse(bytes_of(conn->in, conn->in_len), &request, &used, &status)) {
    case HTTP_MORE:
        return false;
    case HTTP_OK:
        conn->closing = !request.keep_alive;
        web_answer(web, conn, &request);
        break;
    case HTTP_BAD:
        web_conn_note(web, conn, EVENT_ADMIN_MALFORMED, http_status_words(status));
        web_answer_fault(web, conn, status);
        used = conn->in_len;
        break;
    }
    conn->in_len -= used;
    memmove(conn->in, conn->in + used, conn->in_len);
    state_set(web, conn, WEB_WRITE);
    return flush(web, conn) && conn->state == WEB_READ;
}

static void receive(struct web *web, struct web_conn *conn)
{
    while (conn->state == WEB_READ) {
        const size_t room = sizeof(conn->in) - conn->in_len;
        const ssize_t got = bytes_read(web, conn, conn->in + conn->in_len, room);
        if (got < 0 && is_later())
            return;
        if (got <= 0) {
            web_conn_end(web, conn);
            return;
        }
        if (conn->idle) /* a request begins */
            state_set(web, conn, WEB_READ);
        conn->idle = false;
        conn->in_len += (size_t)got;
        while (serve_one(web, conn))
            continue;
        if (conn->ssl == NULL)
            return; /* epoll tells if there is more; TLS may hold it back itself */
    }
}

static void linger(struct web *web, struct web_conn *conn)
{
    uint8_t waste[4096];
    ssize_t got;
    while ((got = recv(conn->fd, waste, sizeof(waste), 0)) > 0)
        continue;
    if (got == 0 || !is_later())
        web_conn_end(web, conn);
}

void web_conn_ready(struct web *web, struct web_conn *conn)
{
    switch (conn->state) {
    case WEB_READ:
        watch(web, conn, false);
        receive(web, conn);
        return;
    case WEB_WRITE:
        if (!flush(web, conn) || conn->state != WEB_READ)
            return;
        while (serve_one(web, conn)) /* what the client has sent ahead */
            continue;
        if (conn->state == WEB_READ && conn->ssl != NULL)
            receive(web, conn);
        return;
    case WEB_LINGER:
        linger(web, conn);
        return;
    case WEB_FREE:
        return;
    }
}

/* ── coming and going ─────────────────────────────────────────────────────────────────────── */

/* Who makes room for a new client: one that is between requests, before one that is in the midst of
 * something; of these the oldest. */
static bool goes_before(const struct web_conn *a, const struct web_conn *b)
{
    return a->idle != b->idle ? a->idle : a->begun_ms < b->begun_ms;
}

static struct web_conn *slot_take(struct web *web)
{
    struct web_conn *oldest = &web->conns[0];
    for (size_t i = 0; i < WEB_CONNS_MAX; i++) {
        struct web_conn *conn = &web->conns[i];
        if (conn->state == WEB_FREE)
            return conn;
        if (goes_before(conn, oldest))
            oldest = conn;
    }
    web_conn_end(web, oldest);
    return oldest;
}

static bool tls_begin(const struct web *web, struct web_conn *conn)
{
    SSL_CTX *ctx = net_tls_ctx_ref(web->config.tls);
    conn->ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    if (conn->ssl == NULL)
        return false;
    static const uint8_t id[] = "admin";
    SSL_set_accept_state(conn->ssl);
    return SSL_set_session_id_context(conn->ssl, id, sizeof(id) - 1) == 1 &&
           SSL_set_fd(conn->ssl, conn->fd) == 1;
}

void web_conn_begin(struct web *web, unsigned listener, int fd, const struct ip_peer *peer)
{
    struct web_conn *conn = slot_take(web);
    conn->fd = fd;
    conn->peer = *peer;
    conn->listener = listener;
    conn->ssl = NULL;
    conn->idle = conn->closing = conn->wants_out = false;
    conn->in_len = 0;
    out_init(&conn->out);
    state_set(web, conn, WEB_READ);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if ((web->config.tls != NULL && !tls_begin(web, conn)) ||
        epoll_ctl(web->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        web_conn_end(web, conn);
}

/* It has taken too long. */
static void expire(struct web *web, struct web_conn *conn)
{
    const bool begun = conn->state == WEB_READ && conn->in_len > 0;
    if (!begun) {
        web_conn_end(web, conn);
        return;
    }
    web_answer_fault(web, conn, 408);
    conn->in_len = 0;
    state_set(web, conn, WEB_WRITE);
    (void)flush(web, conn);
}

int web_conns_expire(struct web *web)
{
    uint64_t next_ms = UINT64_MAX;
    for (size_t i = 0; i < WEB_CONNS_MAX; i++) {
        struct web_conn *conn = &web->conns[i];
        if (deadline_ms(conn) <= web->now_ms)
            expire(web, conn);
        if (deadline_ms(conn) < next_ms)
            next_ms = deadline_ms(conn);
    }
    return next_ms == UINT64_MAX ? -1 : (int)(next_ms - web->now_ms);
}
