/* cli/conn.h — one stream to a server, with a time limit and a limit of memory.
 *
 * Includes: base.  Included by: cli.
 * Memory:   what was read and not yet consumed lies in a buffer that grows up to `buffer_max`.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <openssl/types.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "cli/where.h"

enum cli_conn_rc {
    CLI_CONN_OK,
    CLI_CONN_TIMEOUT,
    CLI_CONN_CLOSED,  /* by the server */
    CLI_CONN_FAILED,  /* errno in `error` */
    CLI_CONN_FULL,    /* buffer_max */
    CLI_CONN_TLS_BAD, /* `tls_error` */
};

struct cli_conn {
    int fd;    /* -1: not open */
    int error; /* the last errno */
    uint64_t deadline_ns;
    uint8_t *buffer;
    size_t start, end, cap, buffer_max;
    SSL_CTX *tls_ctx;
    SSL *tls;
    bool tls_wants_certificate; /* the server asked for one of ours */
    char tls_error[160];
};

/* How a handshake is done. */
struct cli_tls {
    const char *name;    /* the server's, or its address; NULL: none to compare */
    const char *ca_file; /* NULL: the system's */
    bool verify;
    bool old; /* talk to servers whose TLS is too old to be safe, too */
};

/* Each step that waits ends `timeout_ms` from here. */
void cli_conn_deadline(struct cli_conn *conn, uint64_t timeout_ms);

/* Connect before the deadline of `timeout_ms`. Whatever is returned: end with cli_conn_close(). */
MUST_USE enum cli_conn_rc cli_conn_open(struct cli_conn *conn, const struct cli_peer *peer,
                                        uint64_t timeout_ms, size_t buffer_max);
MUST_USE enum cli_conn_rc cli_conn_tls(struct cli_conn *conn, const struct cli_tls *how);
void cli_conn_close(struct cli_conn *conn);

MUST_USE enum cli_conn_rc cli_conn_send(struct cli_conn *conn, struct bytes bytes);
/* Read once, more than nothing. */
MUST_USE enum cli_conn_rc cli_conn_more(struct cli_conn *conn);

/* What was read and not consumed; until the next call. */
static inline struct bytes cli_conn_input(const struct cli_conn *conn)
{
    return bytes_of(conn->buffer + conn->start, conn->end - conn->start);
}

/* `count` bytes of the input are done with. */
static inline void cli_conn_consume(struct cli_conn *conn, size_t count)
{
    conn->start += count;
}

/* In words, for any rc but OK. */
const char *cli_conn_text(const struct cli_conn *conn, enum cli_conn_rc rc);
