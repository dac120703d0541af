/* bench/tls.c — see tls.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>

/* A struct tls is an SSL; the context is made once and lives as long as the program. */
static SSL_CTX *ctx;

struct tls *tls_open(int fd)
{
    if (ctx == NULL)
        ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = ctx != NULL ? SSL_new(ctx) : NULL;
    if (ssl == NULL)
        return NULL;
    SSL_set_read_ahead(ssl, 1);
    (void)SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1 &&
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0)
        return (struct tls *)ssl;
    SSL_free(ssl);
    return NULL;
}

void tls_close(struct tls *tls)
{
    SSL_free((SSL *)tls);
}

/* What send() or recv() would return. */
static ssize_t result(SSL *ssl, int ok, size_t bytes)
{
    if (ok == 1)
        return (ssize_t)bytes;
    const int error = SSL_get_error(ssl, ok);
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
}

ssize_t tls_send(struct tls *tls, const uint8_t *src, size_t len)
{
    size_t sent = 0;
    const int ok = SSL_write_ex((SSL *)tls, src, len, &sent);
    return result((SSL *)tls, ok, sent);
}

ssize_t tls_recv(struct tls *tls, uint8_t *dst, size_t cap)
{
    size_t got = 0;
    const int ok = SSL_read_ex((SSL *)tls, dst, cap, &got);
    return result((SSL *)tls, ok, got);
}
