/* net/tls_conn.c — TLS of one connection: conn_recv() and conn_sendv() with records in between.
 *
 *     socket ─► recv into OpenSSL's buffer ─► SSL_read ─► input buffer, or straight into the store
 *     answers ─► gathered into one record (large values: from where they lie) ─► SSL_write ─► send
 *
 * The handshake is a part of the first reads: SSL_read does its steps as bytes arrive. It is
 * bounded, since whoever connects can begin one: NET_TLS_HANDSHAKE_S to the first byte and as long
 * from there to the end (kept by the sweep in worker.c), and HANDSHAKE_BYTES_MAX. A client that
 * sends nothing costs no more than a plain one: OpenSSL's part is made when the first bytes are
 * there.
 *
 * The socket is read through a BIO of our own, for two reasons. It knows that a read that brought
 * less than it asked for has emptied the socket, so that the "anything else?" of OpenSSL does not
 * become a system call; and it sends without SIGPIPE. With kernel TLS, OpenSSL's socket BIO is
 * used, for only that one can tell the kernel about keys.
 *
 * An idle connection costs about 14 KiB (measured with OpenSSL 3.0 on x86-64, TLS 1.2 and 1.3),
 * nearly all of it OpenSSL's; the record buffers of 16 KiB each are given back after use
 * (SSL_MODE_RELEASE_BUFFERS).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "net/net_priv.h"
#include "net/tls_priv.h"

enum {
    HANDSHAKE_BYTES_MAX = 128 * 1024, /* OpenSSL allows 100 KiB of client certificates */
    MESSAGES_MAX = 4,                 /* of up to 16 KiB each */
};

struct net_tls_conn {
    SSL *ssl;
    const struct net_conn *conn;
    int fd;
    uint32_t begun_s; /* when the first bytes came */
    uint32_t handshake_bytes;
    bool ready; /* the handshake is done */
    bool empty; /* the socket has nothing more for now... */
    bool
        starved; /* ...and OpenSSL has asked for it; with kernel TLS, which does not tell: always */
    bool ended;  /* the peer has closed its side */
    bool broken; /* nothing can be read or written any more */
};

/* ── the socket, as OpenSSL sees it ───────────────────────────────────────────────────────── */

static int bio_read(BIO *bio, char *dst, int len)
{
    struct net_tls_conn *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->handshake_bytes > HANDSHAKE_BYTES_MAX)
        return -1;
    const ssize_t got = tls->empty ? -1 : recv(tls->fd, dst, (size_t)len, 0);
    if (got > 0) {
        /* After a hang-up no event will come any more, so then we read on to the end. */
        tls->empty = got < len && !tls->conn->hangup;
        if (!tls->ready)
            tls->handshake_bytes += (uint32_t)got;
        return (int)got;
    }
    if (got == 0) {
        tls->ended = true;
        return 0;
    }
    if (tls->empty || errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        tls->empty = tls->starved = true;
        BIO_set_retry_read(bio);
    }
    return -1;
}

static int bio_write(BIO *bio, const char *src, int len)
{
    const struct net_tls_conn *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    const ssize_t sent = send(tls->fd, src, (size_t)len, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)sent;
}

static long bio_ctrl(BIO *bio, int command, long number, void *arg)
{
    (void)number;
    (void)arg;
    const struct net_tls_conn *tls = BIO_get_data(bio);
    if (command == BIO_CTRL_EOF)
        return tls->ended;
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *net_tls_bio_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "connection");
    if (method == NULL)
        return NULL;
    (void)BIO_meth_set_read(method, bio_read);
    (void)BIO_meth_set_write(method, bio_write);
    (void)BIO_meth_set_ctrl(method, bio_ctrl);
    return method;
}

/* ── begin, end ───────────────────────────────────────────────────────────────────────────── */

int net_tls_session_new(SSL *ssl, SSL_SESSION *session)
{
    (void)session;
    stat_inc(SSL_get_app_data(ssl), STAT_SSL_NEW_SESSIONS); /* of the worker that is in SSL_read */
    return 0;
}

static bool bio_attach(struct net_tls *tls, struct net_tls_conn *conn)
{
    if (net_tls_config_get(tls)->kernel_tls)
        return SSL_set_fd(conn->ssl, conn->fd) == 1;
    BIO *bio = BIO_new(net_tls_bio_method(tls));
    if (bio == NULL)
        return false;
    BIO_set_data(bio, conn);
    BIO_set_init(bio, 1);
    SSL_set_bio(conn->ssl, bio, bio);
    return true;
}

/* What the listener demands. Its mode is the context of sessions, too: one that was made without a
 * client certificate must not be resumed where a certificate is required. */
static bool mode_set(SSL *ssl, enum net_tls_mode mode)
{
    if (mode == NET_TLS_NO_CLIENT_CERT)
        SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    else if (mode == NET_TLS_CLIENT_CERT)
        SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    const uint8_t id = (uint8_t)mode;
    return SSL_set_session_id_context(ssl, &id, sizeof(id)) == 1;
}

static struct net_tls_conn *begin(struct net_worker *worker, const struct net_conn *conn)
{
    struct net_tls *tls = worker->net->config.tls;
    struct net_tls_conn *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    SSL_CTX *ctx = net_tls_ctx_ref(tls);
    made->ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    made->conn = conn;
    made->fd = net_conn_fd(worker->net, conn);
    made->begun_s = worker->now_s;
    const enum net_tls_mode mode = worker->net->listeners[conn->listener].tls;
    if (made->ssl != NULL && bio_attach(tls, made) && mode_set(made->ssl, mode) &&
        SSL_set_app_data(made->ssl, worker->stats) == 1) {
        SSL_set_accept_state(made->ssl);
        return made;
    }
    ERR_clear_error();
    SSL_free(made->ssl);
    free(made);
    return NULL;
}

void net_tls_close(struct net_conn *conn)
{
    struct net_tls_conn *tls = conn->tls;
    if (tls == NULL)
        return;
    /* close_notify, if it can be sent at once; not into the middle of another record. */
    if (tls->ready && !tls->broken && conn->pending == NULL)
        (void)SSL_shutdown(tls->ssl);
    SSL_free(tls->ssl);
    ERR_clear_error();
    free(tls);
    conn->tls = NULL;
}

bool net_tls_is_late(const struct net_conn *conn, uint32_t now_s)
{
    const struct net_tls_conn *tls = conn->tls;
    if (tls != NULL)
        return !tls->ready && now_s - tls->begun_s >= NET_TLS_HANDSHAKE_S;
    return net_silent_s(conn, now_s) >= NET_TLS_HANDSHAKE_S;
}

/* ── input and output ─────────────────────────────────────────────────────────────────────── */

/* Tell those who watch, in OpenSSL's words, before these are forgotten. */
static void error_log(struct net_worker *worker, const struct net_conn *conn)
{
    enum { TEXT_BYTES = 200 };
    char text[TEXT_BYTES] = "connection ended by the other side";
    const unsigned long code = ERR_peek_last_error();
    if (code != 0)
        ERR_error_string_n(code, text, sizeof(text));
    net_conn_log(worker, conn, LOGGER_CONN_TLS_ERROR, text);
}

void net_tls_note(struct net_worker *worker, const struct net_conn *conn, const char *reason)
{
    event_note(worker->events, &(const struct event){
                                   .type = EVENT_TLS_FAILED,
                                   .from = &worker->net->peers[net_conn_fd(worker->net, conn)],
                                   .to_port = net_listener_port(worker->net, conn->listener),
                                   .rule = bytes_str(reason),
                               });
}

/* ...and those who read security events, more briefly. */
static void error_note(struct net_worker *worker, const struct net_conn *conn)
{
    const unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : "ended by the other side";
    net_tls_note(worker, conn, reason != NULL ? reason : "TLS error");
}

/* Nothing goes any more; says whose fault it was only once. */
static void set_broken(struct net_worker *worker, struct net_tls_conn *tls, int error)
{
    if (UNLIKELY((worker->watched & LOGGER_CONNEVENTS) != 0) &&
        (!tls->ready || error == SSL_ERROR_SSL))
        error_log(worker, tls->conn);
    if (!tls->ready || error == SSL_ERROR_SSL)
        error_note(worker, tls->conn);
    if (!tls->ready)
        stat_inc(worker->stats, STAT_SSL_HANDSHAKE_ERRORS);
    else if (error == SSL_ERROR_SSL)
        stat_inc(worker->stats, STAT_SSL_PROTO_ERRORS);
    ERR_clear_error(); /* SSL_get_error() wants to find it empty */
    tls->broken = error != SSL_ERROR_ZERO_RETURN || !tls->ready;
}

/* Read until `len` bytes are there or none come. *ret_error is why it has stopped.
 *
 * OpenSSL also stops behind messages that carry no data (new keys), when its buffer is empty; the
 * socket may have more. A client that sends nothing else must not keep a worker: MESSAGES_MAX. */
static size_t read_piece(struct net_tls_conn *tls, uint8_t *dst, size_t len, int *ret_error)
{
    size_t at = 0;
    *ret_error = SSL_ERROR_NONE;
    for (unsigned messages = 0; at < len && messages < MESSAGES_MAX;) {
        size_t got = 0;
        const bool done = SSL_read_ex(tls->ssl, dst + at, len - at, &got) == 1;
        at += got;
        if (UNLIKELY(!tls->ready))
            tls->ready = SSL_is_init_finished(tls->ssl);
        if (done)
            continue;
        *ret_error = SSL_get_error(tls->ssl, 0);
        if (*ret_error != SSL_ERROR_WANT_READ || tls->starved)
            return at;
        messages++;
    }
    if (at < len)
        *ret_error = SSL_ERROR_SSL;
    return at;
}

/* A read has stopped before there was enough. Returns false when nothing will ever come. */
static bool read_may_go_on(struct net_worker *worker, struct net_conn *conn, int error)
{
    if (error == SSL_ERROR_WANT_READ) {
        conn->readable = false;
        return true;
    }
    if (error == SSL_ERROR_WANT_WRITE) /* the handshake has something to say first */
        return net_conn_watch_out(worker, conn);
    if (error == SSL_ERROR_ZERO_RETURN || conn->tls->ended)
        conn->reason = LOGGER_NORMAL;
    set_broken(worker, conn->tls, error);
    return false;
}

ssize_t net_tls_recv(struct net_worker *worker, struct net_conn *conn, const struct iovec *iov,
                     size_t count)
{
    if (conn->tls == NULL && (conn->tls = begin(worker, conn)) == NULL)
        return -1;
    struct net_tls_conn *tls = conn->tls;
    if (tls->broken)
        return -1;
    tls->empty = false;
    tls->starved = net_tls_config_get(worker->net->config.tls)->kernel_tls;
    size_t total = 0;
    int error = SSL_ERROR_NONE;
    for (size_t i = 0; i < count && error == SSL_ERROR_NONE; i++)
        total += read_piece(tls, iov[i].iov_base, iov[i].iov_len, &error);
    stat_add(worker->stats, STAT_BYTES_READ, total);
    const bool alive = error == SSL_ERROR_NONE || read_may_go_on(worker, conn, error);
    return total > 0 || alive ? (ssize_t)total : -1;
}

/* What the next record is made of: the first piece when it is large, else as many as fit into the
 * worker's buffer. The same answers give the same record again, as OpenSSL demands of a write that
 * is repeated. */
static struct bytes next_bytes(struct net_worker *worker, const struct iovec *iov, size_t count)
{
    if (count == 1 || iov[0].iov_len >= worker->tls_gather_cap)
        return bytes_of(iov[0].iov_base, iov[0].iov_len);
    size_t len = 0;
    for (size_t i = 0; i < count && len < worker->tls_gather_cap; i++) {
        const size_t room = worker->tls_gather_cap - len;
        const size_t part = iov[i].iov_len < room ? iov[i].iov_len : room;
        memcpy(worker->tls_gather + len, iov[i].iov_base, part);
        len += part;
    }
    return bytes_of(worker->tls_gather, len);
}

ssize_t net_tls_sendv(struct net_worker *worker, struct net_conn *conn, struct iovec *iov,
                      size_t count)
{
    struct net_tls_conn *tls = conn->tls;
    size_t total = 0, done = 0;
    while (count > 0) {
        const struct bytes part = next_bytes(worker, iov, count);
        if (SSL_write_ex(tls->ssl, part.ptr, part.len, &done) != 1) {
            const int error = SSL_get_error(tls->ssl, 0);
            if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ)
                break;
            set_broken(worker, tls, error);
            return -1;
        }
        total += done;
        for (; count > 0 && done >= iov->iov_len; iov++, count--)
            done -= iov->iov_len;
        if (count > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + done;
            iov->iov_len -= done;
        }
    }
    stat_add(worker->stats, STAT_BYTES_WRITTEN, total);
    return (ssize_t)total;
}
