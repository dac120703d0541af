/* cli/conn.c — one stream to a server.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/conn.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

enum { BUFFER_BYTES_MIN = 16384 };

void cli_conn_deadline(struct cli_conn *conn, uint64_t timeout_ms)
{
    conn->deadline_ns = clock_mono_ns() + timeout_ms * 1000000;
}

static enum cli_conn_rc failed(struct cli_conn *conn)
{
    conn->error = errno;
    return errno == ECONNRESET || errno == EPIPE ? CLI_CONN_CLOSED : CLI_CONN_FAILED;
}

/* Wait for `events` until the deadline. */
static enum cli_conn_rc ready_wait(struct cli_conn *conn, short events)
{
    for (;;) {
        const uint64_t now_ns = clock_mono_ns();
        if (now_ns >= conn->deadline_ns)
            return CLI_CONN_TIMEOUT;
        const uint64_t left_ms = (conn->deadline_ns - now_ns) / 1000000 + 1;
        struct pollfd poll_fd = {.fd = conn->fd, .events = events};
        const int rc = poll(&poll_fd, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
        if (rc > 0)
            return CLI_CONN_OK;
        if (rc < 0 && errno != EINTR)
            return failed(conn);
    }
}

enum cli_conn_rc cli_conn_open(struct cli_conn *conn, const struct cli_peer *peer,
                               uint64_t timeout_ms, size_t buffer_max)
{
    *conn = (struct cli_conn){.buffer_max = buffer_max};
    cli_conn_deadline(conn, timeout_ms);
    const int family = peer->address.ss_family;
    conn->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return failed(conn);
    if (family != AF_UNIX)
        (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(conn->fd, (const struct sockaddr *)&peer->address, peer->address_bytes) == 0)
        return CLI_CONN_OK;
    if (errno != EINPROGRESS)
        return failed(conn);
    const enum cli_conn_rc rc = ready_wait(conn, POLLOUT);
    if (rc != CLI_CONN_OK)
        return rc;
    socklen_t bytes = sizeof(errno);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &errno, &bytes) != 0 || errno != 0) {
        conn->error = errno; /* a reset here is no hanging up: there was nothing yet */
        return CLI_CONN_FAILED;
    }
    return CLI_CONN_OK;
}

void cli_conn_close(struct cli_conn *conn)
{
    SSL_free(conn->tls);
    SSL_CTX_free(conn->tls_ctx);
    if (conn->fd >= 0)
        (void)close(conn->fd);
    if (conn->buffer != NULL)
        OPENSSL_cleanse(conn->buffer, conn->cap);
    free(conn->buffer);
    *conn = (struct cli_conn){.fd = -1};
}

/* ── TLS ──────────────────────────────────────────────────────────────────────────────────── */

/* Keep the reason of the last failure. */
static enum cli_conn_rc tls_bad(struct cli_conn *conn)
{
    const long verdict = conn->tls == NULL ? X509_V_OK : SSL_get_verify_result(conn->tls);
    const unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (verdict != X509_V_OK)
        reason = X509_verify_cert_error_string(verdict);
    snprintf(conn->tls_error, sizeof(conn->tls_error), "%s", reason == NULL ? "failed" : reason);
    ERR_clear_error();
    return CLI_CONN_TLS_BAD;
}

/* What to do about the result of an operation of OpenSSL: OK means that it may be tried again. */
static enum cli_conn_rc tls_wait(struct cli_conn *conn, int result)
{
    switch (SSL_get_error(conn->tls, result)) {
    case SSL_ERROR_WANT_READ:
        return ready_wait(conn, POLLIN);
    case SSL_ERROR_WANT_WRITE:
        return ready_wait(conn, POLLOUT);
    case SSL_ERROR_ZERO_RETURN:
        return CLI_CONN_CLOSED;
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        return errno == 0 ? CLI_CONN_CLOSED : failed(conn);
    }
    return tls_bad(conn);
}

static int on_client_certificate(SSL *tls, X509 **certificate, EVP_PKEY **key)
{
    (void)certificate;
    (void)key;
    struct cli_conn *conn = SSL_get_app_data(tls);
    conn->tls_wants_certificate = true;
    return 0; /* we have none */
}

static bool tls_prepare(struct cli_conn *conn, const struct cli_tls *how)
{
    conn->tls_ctx = SSL_CTX_new(TLS_client_method());
    if (conn->tls_ctx == NULL)
        return false;
    SSL_CTX_set_options(conn->tls_ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_client_cert_cb(conn->tls_ctx, on_client_certificate);
    if (how->old) {
        SSL_CTX_set_security_level(conn->tls_ctx, 0);
        (void)SSL_CTX_set_min_proto_version(conn->tls_ctx, TLS1_VERSION);
    }
    SSL_CTX_set_verify(conn->tls_ctx, how->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    const bool loaded = how->ca_file != NULL
                            ? SSL_CTX_load_verify_file(conn->tls_ctx, how->ca_file) == 1
                            : SSL_CTX_set_default_verify_paths(conn->tls_ctx) == 1;
    if (!loaded)
        return false;
    conn->tls = SSL_new(conn->tls_ctx);
    if (conn->tls == NULL || SSL_set_fd(conn->tls, conn->fd) != 1)
        return false;
    SSL_set_app_data(conn->tls, conn);
    if (how->name == NULL)
        return true;
    /* An address is looked for among the certificate's addresses, and not sent as a name. */
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(conn->tls), how->name) == 1) {
        ERR_clear_error();
        return true;
    }
    ERR_clear_error();
    return SSL_set_tlsext_host_name(conn->tls, how->name) == 1 &&
           SSL_set1_host(conn->tls, how->name) == 1;
}

enum cli_conn_rc cli_conn_tls(struct cli_conn *conn, const struct cli_tls *how)
{
    if (!tls_prepare(conn, how))
        return tls_bad(conn);
    for (;;) {
        errno = 0;
        const int result = SSL_connect(conn->tls);
        if (result == 1)
            return CLI_CONN_OK;
        const enum cli_conn_rc rc = tls_wait(conn, result);
        if (rc != CLI_CONN_OK)
            return rc;
    }
}

/* ── bytes ────────────────────────────────────────────────────────────────────────────────── */

/* Write once. Returns a count, 0 to try again, or -1 with *ret_rc. */
static ssize_t write_once(struct cli_conn *conn, struct bytes bytes, enum cli_conn_rc *ret_rc)
{
    errno = 0;
    if (conn->tls != NULL) {
        const int len = bytes.len > INT_MAX ? INT_MAX : (int)bytes.len;
        const int count = SSL_write(conn->tls, bytes.ptr, len);
        if (count > 0)
            return count;
        *ret_rc = tls_wait(conn, count);
    } else {
        const ssize_t count = send(conn->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (count >= 0)
            return count;
        const bool again = errno == EAGAIN || errno == EINTR;
        *ret_rc = again ? ready_wait(conn, POLLOUT) : failed(conn);
    }
    return *ret_rc == CLI_CONN_OK ? 0 : -1;
}

enum cli_conn_rc cli_conn_send(struct cli_conn *conn, struct bytes bytes)
{
    enum cli_conn_rc rc = CLI_CONN_OK;
    while (bytes.len > 0) {
        const ssize_t count = write_once(conn, bytes, &rc);
        if (count < 0)
            return rc;
        bytes = bytes_skip(bytes, (size_t)count);
    }
    return CLI_CONN_OK;
}

/* Make room behind `end`. */
static enum cli_conn_rc room_make(struct cli_conn *conn)
{
    const size_t len = conn->end - conn->start;
    if (conn->start > 0 && (len == 0 || conn->end == conn->cap)) {
        memmove(conn->buffer, conn->buffer + conn->start, len);
        conn->start = 0;
        conn->end = len;
    }
    if (conn->end < conn->cap)
        return CLI_CONN_OK;
    size_t cap = conn->cap == 0 ? BUFFER_BYTES_MIN : conn->cap * 2;
    if (cap > conn->buffer_max)
        cap = conn->buffer_max;
    if (cap <= conn->cap)
        return CLI_CONN_FULL;
    uint8_t *buffer = realloc(conn->buffer, cap);
    if (buffer == NULL)
        return failed(conn);
    conn->buffer = buffer;
    conn->cap = cap;
    return CLI_CONN_OK;
}

enum cli_conn_rc cli_conn_more(struct cli_conn *conn)
{
    enum cli_conn_rc rc = room_make(conn);
    while (rc == CLI_CONN_OK) {
        /* One who sends without an end must not keep us beyond the deadline. */
        if (clock_mono_ns() >= conn->deadline_ns)
            return CLI_CONN_TIMEOUT;
        uint8_t *dst = conn->buffer + conn->end;
        const size_t room = conn->cap - conn->end;
        errno = 0;
        ssize_t count;
        if (conn->tls != NULL)
            count = SSL_read(conn->tls, dst, room > INT_MAX ? INT_MAX : (int)room);
        else
            count = recv(conn->fd, dst, room, 0);
        if (count > 0) {
            conn->end += (size_t)count;
            return CLI_CONN_OK;
        }
        if (conn->tls != NULL)
            rc = tls_wait(conn, (int)count);
        else if (count == 0)
            rc = CLI_CONN_CLOSED;
        else
            rc = errno == EAGAIN || errno == EINTR ? ready_wait(conn, POLLIN) : failed(conn);
    }
    return rc;
}

const char *cli_conn_text(const struct cli_conn *conn, enum cli_conn_rc rc)
{
    switch (rc) {
    case CLI_CONN_OK:
        return "fine";
    case CLI_CONN_TIMEOUT:
        return "no answer in time";
    case CLI_CONN_CLOSED:
        return "the server closed the connection";
    case CLI_CONN_FAILED:
        return strerror(conn->error);
    case CLI_CONN_FULL:
        return "the answer is too long";
    case CLI_CONN_TLS_BAD:
        return conn->tls_error;
    }
    return "";
}
