/* web/web_priv.h — what the files of web share.
 *
 * A connection's life; each state has a deadline, and past it the connection is closed:
 *
 *     READ ── request ──► WRITE ── answered ──► READ (keep-alive)
 *       └── nothing or nonsense ──► WRITE ──► LINGER: what still comes is dropped, so that no reset
 *                                             overtakes the last answer
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <openssl/types.h>
#include <pthread.h>
#include <stdatomic.h>

#include "web/door.h"
#include "web/history.h"
#include "web/http.h"
#include "web/web.h"

enum web_state { WEB_FREE, WEB_READ, WEB_WRITE, WEB_LINGER };

struct web_conn {
    int fd;
    enum web_state state;
    SSL *ssl; /* NULL: plain */
    struct ip_peer peer;
    unsigned listener;
    bool idle;         /* READ: nothing of a request is there yet, and there was one before */
    bool closing;      /* the answer under way is the last */
    bool wants_out;    /* epoll reports that it is writable, and not that it is readable */
    uint64_t begun_ms; /* the state */
    size_t in_len;
    uint8_t in[HTTP_HEAD_BYTES_MAX];
    struct out out;
};

struct web_listener {
    int fd;
    struct ip ip;
    uint16_t port;
    bool loopback;
};

struct web {
    struct web_config config;
    char *token_path; /* absolute, for the working directory may change */
    struct web_listener listeners[WEB_LISTENERS_MAX];
    size_t listener_count;
    int epoll_fd, wake_fd;
    struct web_conn conns[WEB_CONNS_MAX];
    uint64_t now_ms; /* of this turn */

    pthread_mutex_t lock; /* guards the tokens, which a reload in another thread changes */
    struct door_tokens tokens;

    struct history history;
    uint64_t sample_ms; /* when the next one is due */

    pthread_t thread;
    bool started;
    /* Set, then the eventfd is written; the loop reads it behind each wait. */
    atomic_bool stop;
};

/* ── conn.c ───────────────────────────────────────────────────────────────────────────────── */

/* A client has come; takes over `fd`. */
void web_conn_begin(struct web *web, unsigned listener, int fd, const struct ip_peer *peer);
/* Its socket is ready. */
void web_conn_ready(struct web *web, struct web_conn *conn);
/* Close what is past its deadline. Returns the milliseconds until the next one, or -1. */
int web_conns_expire(struct web *web);
void web_conn_end(struct web *web, struct web_conn *conn);
/* Note an event about this connection. */
void web_conn_note(const struct web *web, const struct web_conn *conn, enum event_type type,
                   const char *rule);

/* ── route.c ──────────────────────────────────────────────────────────────────────────────── */

/* Answer a request into conn->out; sets conn->closing where it is the last. */
void web_answer(struct web *web, struct web_conn *conn, const struct http_request *request);
/* Likewise something that is none, or came too late. */
void web_answer_fault(struct web *web, struct web_conn *conn, unsigned status);
