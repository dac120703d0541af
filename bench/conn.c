/* bench/conn.c — see conn.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "conn.h"

#include "base/bytes.h"
#include "base/num.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* One read buffer for all connections: answers are consumed as they come. It fits the L2 cache. */
enum { RECV_BYTES = 256 * 1024 };
static _Thread_local uint8_t recv_buf[RECV_BYTES];

int conn_connect(const char *host, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool is_v4 = inet_pton(AF_INET, host, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, host, &v6.sin6_addr) != 1)
        return -EINVAL;
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int rc = is_v4 ? connect(fd, (struct sockaddr *)&v4, sizeof(v4))
                   : connect(fd, (struct sockaddr *)&v6, sizeof(v6));
    if (rc < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

int conn_open(struct conn *conn, const char *host, uint16_t port, bool tls)
{
    int fd = conn_connect(host, port);
    if (fd < 0)
        return fd;
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    conn->fd = fd;
    conn->tls = tls ? tls_open(fd) : NULL;
    if (!tls || conn->tls != NULL)
        return 0;
    close(fd);
    return -EPROTO;
}

void conn_close(struct conn *conn)
{
    tls_close(conn->tls);
    close(conn->fd);
    free(conn->send);
    free(conn->asks);
}

/* --- building a trip --- */

/* Room for `len` more bytes. Running out of memory ends a benchmark. */
static uint8_t *send_reserve(struct conn *conn, size_t len)
{
    if (conn->send_cap - conn->send_len < len) {
        conn->send_cap = 2 * (conn->send_len + len) + 1024;
        conn->send = realloc(conn->send, conn->send_cap);
        if (conn->send == NULL)
            abort();
    }
    return conn->send + conn->send_len;
}

static struct conn_ask *ask_add(struct conn *conn, const struct item *item, enum conn_kind kind)
{
    if (conn->ask_count == conn->ask_cap) {
        conn->ask_cap = 2 * conn->ask_cap + 32;
        conn->asks = realloc(conn->asks, conn->ask_cap * sizeof(*conn->asks));
        if (conn->asks == NULL)
            abort();
    }
    struct conn_ask *ask = &conn->asks[conn->ask_count++];
    *ask = (struct conn_ask){.item = *item, .kind = (uint8_t)kind};
    return ask;
}

void conn_trip_begin(struct conn *conn)
{
    conn->send_len = conn->send_done = 0;
    conn->ask_count = conn->ask_first = conn->ask_next = 0;
}

void conn_get_begin(struct conn *conn)
{
    memcpy(send_reserve(conn, 3), "get", 3);
    conn->send_len += 3;
}

void conn_get_key(struct conn *conn, const struct item *item, bool check)
{
    struct conn_ask *ask = ask_add(conn, item, CONN_GET);
    uint8_t *dst = send_reserve(conn, 1 + conn->key_bytes);
    dst[0] = ' ';
    item_key_write(dst + 1, conn->key_bytes, item->id);
    ask->key_at = (uint32_t)conn->send_len + 1;
    ask->check = check;
    conn->send_len += 1 + conn->key_bytes;
}

void conn_get_end(struct conn *conn)
{
    memcpy(send_reserve(conn, 2), "\r\n", 2);
    conn->send_len += 2;
    conn->asks[conn->ask_count - 1].last = true;
}

void conn_set(struct conn *conn, const struct item *item, uint32_t exptime_s)
{
    struct conn_ask *ask = ask_add(conn, item, CONN_SET);
    ask->last = true;
    uint8_t *begin = send_reserve(conn, conn->key_bytes + item->value_bytes + 64);
    uint8_t *dst = begin;
    memcpy(dst, "set ", 4);
    dst += 4;
    ask->key_at = (uint32_t)(dst - conn->send);
    item_key_write(dst, conn->key_bytes, item->id);
    dst += conn->key_bytes;
    memcpy(dst, " 0 ", 3);
    dst += 3;
    dst += num_format_u64(dst, exptime_s);
    *dst++ = ' ';
    dst += num_format_u64(dst, item->value_bytes);
    memcpy(dst, "\r\n", 2);
    dst += 2;
    item_value_write(dst, item, 0, item->value_bytes);
    dst += item->value_bytes;
    memcpy(dst, "\r\n", 2);
    conn->send_len += (size_t)(dst + 2 - begin);
}

void conn_incr(struct conn *conn, const struct item *item)
{
    struct conn_ask *ask = ask_add(conn, item, CONN_INCR);
    ask->last = true;
    uint8_t *begin = send_reserve(conn, conn->key_bytes + 16);
    memcpy(begin, "incr ", 5);
    ask->key_at = (uint32_t)(begin + 5 - conn->send);
    item_key_write(begin + 5, conn->key_bytes, item->id);
    memcpy(begin + 5 + conn->key_bytes, " 1\r\n", 4);
    conn->send_len += conn->key_bytes + 9;
}

bool conn_send(struct conn *conn)
{
    while (conn_send_pending(conn)) {
        size_t left = conn->send_len - conn->send_done;
        const uint8_t *src = conn->send + conn->send_done;
        ssize_t sent = conn->tls != NULL ? tls_send(conn->tls, src, left)
                                         : send(conn->fd, src, left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            return true;
        if (sent < 0 && errno != EINTR) {
            conn->error = "the server closed the connection (send)";
            return false;
        }
        if (sent > 0)
            conn->send_done += (size_t)sent;
    }
    return true;
}

/* --- reading the answers --- */

static bool fail(struct conn *conn, const char *error)
{
    conn->error = error;
    return false;
}

/* The ask that a VALUE line's key belongs to. Keys that are passed over are misses. */
static struct conn_ask *ask_find(struct conn *conn, const uint8_t *key)
{
    struct conn_ask *ask = &conn->asks[conn->ask_next];
    while (ask->hit || memcmp(conn->send + ask->key_at, key, conn->key_bytes) != 0) {
        if (ask->last)
            return NULL;
        ask++;
    }
    return ask;
}

/* VALUE key flags bytes */
static bool line_value(struct conn *conn, struct bytes line)
{
    line = bytes_skip(line, 6);
    size_t key_bytes = conn->key_bytes;
    if (line.len < key_bytes + 4 || line.ptr[key_bytes] != ' ')
        return fail(conn, "VALUE line with a foreign key");
    struct conn_ask *ask = ask_find(conn, line.ptr);
    if (ask == NULL)
        return fail(conn, "VALUE line with a key that was not asked for");
    struct bytes rest = bytes_skip(line, key_bytes + 1);
    const uint8_t *space = memchr(rest.ptr, ' ', rest.len);
    uint64_t len = 0;
    if (space == NULL ||
        !num_parse_u64(bytes_skip(rest, (size_t)(space + 1 - rest.ptr)), UINT32_MAX, &len))
        return fail(conn, "VALUE line without flags and length");
    if (len != ask->item.value_bytes)
        return fail(conn, "value of a wrong length");
    ask->hit = true;
    conn->ask_next = (uint32_t)(ask - conn->asks);
    conn->value_done = 0;
    conn->state = CONN_VALUE;
    return true;
}

static bool line_set(struct conn *conn, struct bytes line)
{
    conn->counts->sets++;
    if (bytes_is(line, "STORED"))
        conn->asks[conn->ask_next].hit = true;
    else if (bytes_starts(line, bytes_str("SERVER_ERROR")))
        conn->counts->refused++;
    else
        return fail(conn, "unexpected answer to set");
    conn->ask_first = ++conn->ask_next;
    return true;
}

static bool line_incr(struct conn *conn, struct bytes line)
{
    if (line.len == 0 || line.ptr[0] < '0' || line.ptr[0] > '9')
        return fail(conn, "unexpected answer to incr");
    conn->counts->sets++;
    conn->asks[conn->ask_next].hit = true;
    conn->ask_first = ++conn->ask_next;
    return true;
}

/* Count a whole request at once, so that a window that ends within it counts none of it. */
static void get_end(struct conn *conn)
{
    const struct conn_ask *ask = &conn->asks[conn->ask_first];
    bool last = false;
    for (; !last; ask++) {
        last = ask->last;
        conn->counts->gets++;
        conn->counts->hits += ask->hit;
        conn->counts->values_checked += ask->hit && ask->check;
    }
    conn->ask_first = conn->ask_next = (uint32_t)(ask - conn->asks);
}

static bool line_handle(struct conn *conn, struct bytes line)
{
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    if (conn->ask_next == conn->ask_count)
        return fail(conn, "an answer that nobody asked for");
    if (conn->asks[conn->ask_next].kind == CONN_SET)
        return line_set(conn, line);
    if (conn->asks[conn->ask_next].kind == CONN_INCR)
        return line_incr(conn, line);
    if (bytes_starts(line, bytes_of("VALUE ", 6)))
        return line_value(conn, line);
    if (!bytes_is(line, "END"))
        return fail(conn, "unexpected answer to get");
    get_end(conn);
    return true;
}

/* --- the stream: lines, values, and the two bytes behind each value --- */

/* Each step takes what it can from `in` and leaves the rest. False: broken. */

static bool take_line(struct conn *conn, struct bytes *in)
{
    const uint8_t *end = memchr(in->ptr, '\n', in->len);
    size_t len = end != NULL ? (size_t)(end + 1 - in->ptr) : in->len;
    struct bytes line = bytes_of(in->ptr, len - 1);
    *in = bytes_skip(*in, len);
    if (end != NULL && conn->carry_len == 0)
        return line_handle(conn, line);
    if (conn->carry_len + len > sizeof(conn->carry))
        return fail(conn, "an endless answer line");
    memcpy(conn->carry + conn->carry_len, line.ptr, len);
    conn->carry_len += (uint32_t)len;
    if (end == NULL)
        return true;
    line = bytes_of(conn->carry, conn->carry_len - 1);
    conn->carry_len = 0;
    return line_handle(conn, line);
}

static bool take_value(struct conn *conn, struct bytes *in)
{
    const struct conn_ask *ask = &conn->asks[conn->ask_next];
    size_t left = ask->item.value_bytes - conn->value_done;
    size_t len = in->len < left ? in->len : left;
    if (ask->check && !item_value_check(in->ptr, &ask->item, conn->value_done, len))
        return fail(conn, "wrong bytes in a value");
    conn->value_done += (uint32_t)len;
    *in = bytes_skip(*in, len);
    if (conn->value_done == ask->item.value_bytes) {
        conn->value_done = 0;
        conn->state = CONN_TAIL;
    }
    return true;
}

static bool take_tail(struct conn *conn, struct bytes *in)
{
    while (in->len > 0 && conn->value_done < 2) {
        if (in->ptr[0] != "\r\n"[conn->value_done])
            return fail(conn, "no CR LF behind a value");
        *in = bytes_skip(*in, 1);
        conn->value_done++;
    }
    if (conn->value_done == 2)
        conn->state = CONN_LINE;
    return true;
}

static bool take(struct conn *conn, struct bytes in)
{
    bool fine = true;
    while (in.len > 0 && fine) {
        switch (conn->state) {
        case CONN_LINE:
            fine = take_line(conn, &in);
            break;
        case CONN_VALUE:
            fine = take_value(conn, &in);
            break;
        case CONN_TAIL:
            fine = take_tail(conn, &in);
            break;
        }
    }
    return fine;
}

enum conn_rc conn_recv(struct conn *conn)
{
    for (;;) {
        ssize_t got = conn->tls != NULL ? tls_recv(conn->tls, recv_buf, sizeof(recv_buf))
                                        : recv(conn->fd, recv_buf, sizeof(recv_buf), MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return CONN_WAIT;
        if (got <= 0) {
            conn->error = "the server closed the connection (receive)";
            return CONN_BROKEN;
        }
        conn->counts->bytes_received += (uint64_t)got;
        if (!take(conn, bytes_of(recv_buf, (size_t)got)))
            return CONN_BROKEN;
        if (conn->ask_next == conn->ask_count)
            return CONN_DONE;
        if ((size_t)got < sizeof(recv_buf) && conn->tls == NULL)
            return CONN_WAIT; /* drained; more to come raises a new event */
    }
}
