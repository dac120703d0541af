/* net/net_priv.h — what the files of net share.
 *
 * Connections live in one table indexed by fd, reserved at start and backed page by page as fds
 * are used. The kernel hands out the lowest free fd, so the table stays dense, needs no allocator,
 * and can be walked in the order of fds by whoever wants to (idle sweep, `stats conns`, the end).
 *
 * A slot's life, and who may touch it:
 *
 *     FREE ──accept──► filled in by the listener ──epoll_ctl──► the worker's ──► FREE, close
 *
 * The worker stores FREE with release order before it closes the fd; the listener, when the kernel
 * gives it that fd again, loads it with acquire order. Other threads read only the atomic fields.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "event/event.h"
#include "logger/logger.h"
#include "net/net.h"
#include "stat/stat.h"

enum {
    NET_TLS_HANDSHAKE_S = 10, /* from accept to the first byte, and from there to the end */
    NET_EVENTS = 128,         /* events per epoll_wait */
    NET_IOVECS = 256,         /* pieces per sendmsg */
    NET_STAGE_CONNS = NET_AHEAD_MAX,
};

struct net_buf {
    struct net_buf *next; /* in the pool */
    size_t cap;
    uint8_t data[];
};

/* Read buffers of one worker. The one given back last is lent first: it is still in the cache. */
struct net_pool {
    struct net_buf *free;
    size_t free_count;
    uint64_t bytes, bytes_max;
    struct stat_block *stats;
};

struct net_buf *net_buf_take(struct net_pool *pool); /* NULL: out of memory, or above bytes_max */
void net_buf_give(struct net_pool *pool, struct net_buf *buf);
/* A buffer of twice the size with the same content. Returns NULL (and keeps `buf`) when there is
 * none. */
struct net_buf *net_buf_grow(struct net_pool *pool, struct net_buf *buf);
void net_pool_fini(struct net_pool *pool);

struct net_conn {          /* two cache lines; what serving needs is on the first */
    _Atomic uint8_t state; /* enum net_state */
    uint8_t want;          /* enum net_rc: what `run` said last */
    bool readable : 1;     /* the socket may hold more than we have read */
    bool hangup : 1;       /* the peer has ended: a short read does not mean "empty" */
    bool queued : 1;       /* in the worker's ready list */
    bool watch_out : 1;    /* epoll reports EPOLLOUT, too */
    bool local : 1;        /* a unix socket */
    bool secure : 1;       /* came by a listener with TLS */
    uint8_t reason : 2;    /* enum logger_reason: why it will be closed */
    uint8_t listener;      /* index in net->listeners */
    _Atomic uint16_t worker;
    uint8_t late; /* enum net_late */
    uint8_t spare;
    uint32_t note;           /* the ops' own */
    _Atomic uint32_t last_s; /* when something arrived, cache time */
    uint32_t in_at, in_end;  /* unused input in `in` */
    struct net_buf *in;      /* NULL when there is none */
    struct out *pending; /* answers that the socket did not take yet; NULL when there are none */
    void *session;
    struct net_conn *ready_next;
    struct net_tls_conn *tls; /* NULL until the first bytes of a handshake */

    /* On the second line lies what is only counted and told. It is fetched while recv() runs, so
     * nothing waits for it. The worker writes, others read, each number for itself: relaxed. */
    _Alignas(CACHE_LINE_BYTES) uint64_t
        read_ticks; /* when the unused input was read; the worker's */
    _Atomic uint64_t requests, bytes_read, bytes_written;
    _Atomic uint64_t pending_bytes; /* of `pending` */
    _Atomic uint64_t rate_requests; /* how many there had been when... */
    _Atomic uint32_t rate_s;        /* ...the seconds began that are being counted */
    _Atomic uint32_t rate_before;   /* requests of the NET_RATE_S before that */
    _Atomic uint32_t taken_s;       /* when the client last took some of `pending` */
};
_Static_assert(offsetof(struct net_conn, read_ticks) == CACHE_LINE_BYTES,
               "what serving needs stays on one cache line");
_Static_assert(sizeof(struct net_conn) == 2 * CACHE_LINE_BYTES, "a neighbour shares no line");

/* How long nothing has arrived. A connection that has just been accepted may be younger than the
 * worker's clock, which is read once per turn. */
static inline uint32_t net_silent_s(const struct net_conn *conn, uint32_t now_s)
{
    const uint32_t last_s = atomic_load_explicit(&conn->last_s, memory_order_relaxed);
    return now_s > last_s ? now_s - last_s : 0;
}

/* A worker's socket for datagrams. */
struct net_udp {
    int fd;
    uint16_t port;
    uint8_t listener;        /* index in net->listeners */
    _Atomic uint32_t last_s; /* when something arrived, cache time; relaxed, for `stats conns` */
};

/* This host's addresses, sorted; see own.c. */
struct net_own {
    pthread_mutex_t lock;
    struct ip *ips;
    size_t count;
    _Atomic uint32_t number; /* of the table; 0: there has been none */
};
struct net_own_copy { /* a worker's */
    struct ip *ips;
    size_t count;
    uint32_t number;
};

struct net_batch; /* udp.c */

/* Connections that said NET_PAUSE, in no order. */
struct net_pauses {
    struct net_pause {
        struct net_conn *conn;
        uint64_t until_ms; /* clock_mono_ms() */
    } * all;
    size_t count, cap;
    uint64_t first_ms; /* the earliest of them */
};

/* Connections whose input has arrived in this turn. They are served in three passes: receive from
 * each, run each, send to each. So their cache misses overlap (net_ops.ahead), and each pass finds
 * its code in the cache. */
struct net_stage {
    unsigned count;
    struct net_staged {
        struct net_conn *conn;
        size_t out_at, out_end; /* its answers in the worker's `out` */
        struct stat_timed timed;
    } all[NET_STAGE_CONNS];
};

struct net_worker {
    struct net *net;
    void *arg;
    struct stat_block *stats;
    struct stat_timing *timing;
    unsigned index;
    int epoll_fd, wake_fd;
    uint32_t now_s;
    struct logger_ring *log; /* NULL: nothing is logged */
    struct event_source *events;
    uint32_t watched; /* streams of it that clients watch, read once per turn */
    /* Likewise, of the net's. */
    uint32_t requests_per_event, idle_timeout_s, sweep_every_s;
    struct net_conn **held; /* connections that said NET_HOLD, in no order */
    size_t held_count, held_cap;
    struct net_pauses pauses;
    uint32_t pause_ms;    /* of the connection being served, with NET_PAUSE */
    bool woken;           /* in this turn, see net_worker_wake() */
    unsigned events_left; /* of this turn, behind the one being served */
    struct net_conn *ready_first, *ready_last;
    struct out out; /* answers of the connection being served */
    struct net_stage stage;
    struct net_pool pool;
    unsigned napi_id;    /* the listener's: the queue that it serves; 0: none yet */
    uint8_t *tls_gather; /* small answers become one record here; NULL without TLS */
    size_t tls_gather_cap;
    uint32_t reviews, review_left; /* review: how many there were, slots still to be looked at */
    uint32_t sweep_fd, sweep_s;    /* sweep: where it goes on, when it was last */
    uint8_t drain;                 /* net->drain, as of the last time that it was woken */
    uint64_t drained_ms;           /* when it last looked who has fallen idle */
    _Atomic uint32_t beat;         /* net->beat, likewise; release: the loop has turned */
    struct net_udp *udp;
    size_t udp_count;
    struct net_batch *batch; /* NULL without datagrams */
    struct net_own_copy own;
    pthread_t thread;
    bool started;
    struct stat_timing untimed; /* `timing` when nobody wants it */
    /* Connections of this worker: the listener adds, the worker subtracts. Relaxed, it only guides
     * the choice. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t conns;
};

struct net_listener {
    int fd; /* of datagrams: the first worker's, and owned by it */
    int family;
    uint16_t port; /* 0: a unix socket */
    uint8_t tag;   /* of its net_address */
    enum net_tls_mode tls;
    bool datagrams;
    bool handed; /* over to us; others may use it after us */
};

struct net {
    struct net_config config;
    struct net_conn *conns; /* by fd */
    struct ip_peer *peers;  /* likewise: the other ends; written by the listener */
    uint32_t conns_cap;
    _Atomic uint32_t
        fds_used; /* slots below this have been used; relaxed, slots tell their own state */
    struct net_listener *listeners;
    size_t listener_count;
    /* The limits of the config, which net_limits_set() changes. Relaxed: each says everything about
     * itself, and an old one holds for a turn more at most. `sweep_every_s` is the shortest time
     * that a client may take; 0: there is no limit. */
    _Atomic uint32_t conns_max, requests_per_event, idle_timeout_s, sweep_every_s;
    struct net_worker *workers;
    int epoll_fd, wake_fd; /* the listener's */
    /* The end is near: release by net_stop(), acquire by the loops. */
    atomic_bool stop;
    atomic_bool poked;  /* release by net_poke(), acquire by the listener's loop */
    atomic_bool paused; /* nothing is accepted for now; read by workers that close a connection */
    uint64_t paused_since_ns;
    _Atomic uint32_t reviews; /* asked for by net_review() */
    /* enum net_drain: release by net_drain(), acquire by the loops when they are woken. */
    _Atomic uint8_t drain;
    uint64_t end_ns; /* the listener's: when NET_DRAIN_END is over; 0: it has not begun */
    /* Asked for by net_beat(), and the listener's answer, as net_worker.beat. */
    _Atomic uint32_t beat, listener_beat;
    struct net_own own;
    uint64_t tick_ns; /* the next tick; 0: there are none */
    /* All connections: the listener adds, workers subtract; see net_conn_close(). */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t open_count;
};

/* Slots are numbered by fd, so a connection need not keep its own. */
static inline int net_conn_fd(const struct net *net, const struct net_conn *conn)
{
    return (int)(conn - net->conns);
}

static inline const struct ip_peer *net_conn_peer(const struct net *net,
                                                  const struct net_conn *conn)
{
    return &net->peers[conn - net->conns];
}

/* recv() and send(), without signal and by the bare system call: in a program with threads the C
 * library's own enable and disable cancellation around it, which nobody here asks for, and that is
 * 2 % of what a request with a trip of its own costs. */
static inline ssize_t net_recv(int fd, void *dst, size_t len)
{
    return syscall(SYS_recvfrom, fd, dst, len, 0, NULL, NULL);
}
static inline ssize_t net_send(int fd, const void *src, size_t len)
{
    return syscall(SYS_sendto, fd, src, len, MSG_NOSIGNAL, NULL, 0);
}

/* listen.c */
int net_listen_open(struct net *net, char *error);
void net_listen_close(struct net *net);
int net_listen_loop(struct net *net);
void net_mark_set(int fd, uint32_t mark);

/* worker.c */
int net_worker_init(struct net_worker *worker, struct net *net, unsigned index);
void net_worker_fini(struct net_worker *worker);
void *net_worker_main(void *arg);
void net_worker_queue(struct net_worker *worker, struct net_conn *conn);

/* traffic.c: what a connection does, counted and told */
void net_traffic_init(struct net_conn *conn, uint32_t now_s); /* by the listener */
void net_traffic_rate_renew(struct net_conn *conn, uint32_t now_s);
void net_traffic_get(const struct net_conn *conn, uint32_t now_s, struct net_traffic *ret_traffic);

static ALWAYS_INLINE void net_traffic_add(_Atomic uint64_t *number, uint64_t delta)
{
    atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + delta,
                          memory_order_relaxed);
}

/* So many requests have been served. */
static ALWAYS_INLINE void net_traffic_count(struct net_conn *conn, uint32_t requests,
                                            uint32_t now_s)
{
    if (UNLIKELY(now_s - atomic_load_explicit(&conn->rate_s, memory_order_relaxed) >= NET_RATE_S))
        net_traffic_rate_renew(conn, now_s);
    net_traffic_add(&conn->requests, requests);
}

/* So much of `pending` is left, after some was taken, or it has begun. */
static inline void net_traffic_pending(struct net_conn *conn, uint64_t bytes, uint32_t now_s)
{
    atomic_store_explicit(&conn->taken_s, now_s, memory_order_relaxed);
    atomic_store_explicit(&conn->pending_bytes, bytes, memory_order_relaxed);
}

/* conn.c */
/* Log an event of stream LOGGER_CONNEVENTS, when that is watched. */
void net_conn_log(struct net_worker *worker, const struct net_conn *conn, enum logger_type type,
                  const char *message);
void net_conn_serve(struct net_worker *worker, struct net_conn *conn);
/* The socket may have something: receive it, to be run with that of others. Returns false when the
 * connection has to be served in its own way: net_conn_serve(). */
bool net_stage_add(struct net_worker *worker, struct net_conn *conn);
void net_stage_run(struct net_worker *worker); /* serve who has been added */
/* Log conn->reason, and close. */
void net_conn_close(struct net_worker *worker, struct net_conn *conn);
/* Ask epoll to tell when the socket has room again; from the first time on it always does. */
bool net_conn_watch_out(struct net_worker *worker, struct net_conn *conn);

/* pause.c */
/* Have it queued worker->pause_ms from now. Returns false when there is no memory for that. */
bool net_pause_add(struct net_worker *worker, struct net_conn *conn);
/* How long epoll_wait may take: `timeout_ms` (-1: for ever), or less. */
int net_pause_left_ms(const struct net_worker *worker, int timeout_ms);
/* Queue those whose time has come; there are some that wait. */
void net_pause_end(struct net_worker *worker);

/* tls_conn.c: as conn_recv() and conn_sendv() in conn.c; the pieces of `iov` may be changed. */
ssize_t net_tls_recv(struct net_worker *worker, struct net_conn *conn, const struct iovec *iov,
                     size_t count);
ssize_t net_tls_sendv(struct net_worker *worker, struct net_conn *conn, struct iovec *iov,
                      size_t count);
size_t net_tls_gather_bytes(const struct net_tls *tls);
/* Say good-bye as far as that is possible at once. */
void net_tls_close(struct net_conn *conn);
/* Does the handshake of a secure connection take too long? */
bool net_tls_is_late(const struct net_conn *conn, uint32_t now_s);
/* A security event: TLS has ended it, for that reason. */
void net_tls_note(struct net_worker *worker, const struct net_conn *conn, const char *reason);

/* What a worker's epoll tells: a connection's address, or one of these, which are odd. */
#define NET_EVENT_WAKE UINT64_MAX
static inline uint64_t net_event_of_udp(size_t index)
{
    return 2 * index + 1;
}

/* udp.c */
/* A socket for each worker. Returns 0, or -errno and then there is none. */
int net_udp_open(struct net *net, const struct sockaddr *addr, socklen_t len, unsigned listener);
void net_udp_fini(struct net_worker *worker);
void net_udp_serve(struct net_worker *worker, struct net_udp *udp);

/* own.c */
void net_own_init(struct net_own *own);
void net_own_fini(struct net_own *own);
/* Ask the kernel again; in one thread at a time. Returns 0 or -errno; then it stays as it was. */
int net_own_refresh(struct net_own *own);
void net_own_copy(struct net_own *own, struct net_own_copy *copy);
bool net_own_has(const struct net_own_copy *copy, const struct ip *ip);

/* addr.c */
void net_addr_format(const struct sockaddr *addr, socklen_t len, char *ret_text);
void net_addr_peer(const struct sockaddr *addr, struct ip_peer *ret_peer);
int net_addr_port(const struct sockaddr *addr); /* 0 when it has none */
void net_addr_port_set(struct sockaddr *addr, int port);

/* net.c: event fds */
void net_wake(int wake_fd); /* safe in a signal handler */
void net_wake_clear(int wake_fd);
