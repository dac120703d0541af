/* bench/conn.h — one client connection: build a trip of requests, send it, check every answer.
 *
 * A trip is what is sent at once. conn_get_*() and conn_set() append requests to it, conn_send()
 * sends, conn_recv() reads until every request of the trip is answered. Answers are checked while
 * they stream by: key, length and (when asked) every byte of the value.
 *
 *    conn_set(a)  conn_get(b)  conn_get_begin, _key(c), _key(d), conn_get_end
 *    asks:   | a: SET, last | b: GET, last | c: GET | d: GET, last |
 *                                 ^ next: what the coming answer line belongs to
 *
 * Includes: item, tls.  Included by: the bench programs.
 * Threads:  one owner.
 * Spec:     memcached's protocol.txt (text protocol).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "item.h"
#include "tls.h"

enum conn_kind { CONN_GET, CONN_SET, CONN_INCR };

struct conn_ask {
    struct item item;
    uint32_t key_at; /* offset of the key in the send buffer */
    uint8_t kind;    /* enum conn_kind */
    bool last;       /* of its request: "END" or "STORED" follows */
    bool hit;        /* answered: GET found, SET stored */
    bool check;      /* compare the value's bytes */
};

struct conn_counts {
    uint64_t gets, hits, sets, refused; /* refused: a set answered SERVER_ERROR; incrs are sets */
    uint64_t values_checked, bytes_received;
};

enum conn_state { CONN_LINE, CONN_VALUE, CONN_TAIL };

struct conn {
    int fd;
    struct tls *tls; /* NULL: in plain */
    uint32_t key_bytes;
    uint8_t *send;
    size_t send_len, send_done, send_cap;
    struct conn_ask *asks;
    uint32_t ask_count, ask_cap;
    uint32_t ask_first,
        ask_next; /* the request being answered: its first ask; the coming answer's */
    enum conn_state state;
    uint32_t value_done; /* bytes of the current value that were seen */
    uint32_t carry_len;
    uint8_t carry[512]; /* an incomplete line */
    struct conn_counts *counts;
    uint64_t sent_ns; /* for the owner: when the trip was sent, or should have been */
    const char *error;
};

enum conn_rc {
    CONN_WAIT,  /* the trip is not complete yet */
    CONN_DONE,  /* every request is answered */
    CONN_BROKEN /* conn->error says why */
};

/* Connect to a numeric address. Returns the socket, which blocks, or -errno. Owns: close(). */
MUST_USE int conn_connect(const char *host, uint16_t port);
/* Connect to a numeric address. Returns 0 or -errno. */
MUST_USE int conn_open(struct conn *conn, const char *host, uint16_t port, bool tls);
void conn_close(struct conn *conn);

void conn_trip_begin(struct conn *conn);
void conn_get_begin(struct conn *conn);
void conn_get_key(struct conn *conn, const struct item *item, bool check);
void conn_get_end(struct conn *conn);
void conn_set(struct conn *conn, const struct item *item, uint32_t exptime_s);
/* incr by 1; the answer may be any number. */
void conn_incr(struct conn *conn, const struct item *item);

static inline void conn_get(struct conn *conn, const struct item *item, bool check)
{
    conn_get_begin(conn);
    conn_get_key(conn, item, check);
    conn_get_end(conn);
}

/* Send as much as the socket takes; again when it is writable. Returns false when broken. */
MUST_USE bool conn_send(struct conn *conn);

static inline bool conn_send_pending(const struct conn *conn)
{
    return conn->send_done < conn->send_len;
}

/* Read until the socket is drained or the trip is complete. */
MUST_USE enum conn_rc conn_recv(struct conn *conn);
