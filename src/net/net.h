/* net/net.h — sockets, threads and connections: bytes in, bytes out. Knows no command.
 *
 *   (of datagrams: net/udp.c and struct net_datagrams)
 *
 *   listener thread           accepts, hands each connection to the worker that has the fewest
 *   worker threads            one epoll loop each; a connection stays with its worker
 *
 *   epoll says readable ─► recv ─► ops.run, batch by batch ─► one send for all their answers
 *                           ▲                                     │ the socket is full:
 *                           └── nothing is read or run meanwhile ─┘ the rest waits
 *
 * Of a listener with TLS, recv and send mean those of the records (net/tls.h).
 *
 * What happens to the bytes is up to `struct net_ops`. The smallest server answers each line:
 *
 *     static enum net_rc run(void *worker, void **session, struct net_io *io)
 *     {
 *         const uint8_t *end;
 *         while ((end = memchr(io->in.ptr + io->used, '\n', io->in.len - io->used)) != NULL) {
 *             io->used = (size_t)(end + 1 - io->in.ptr);
 *             io->requests++;
 *             out_put_str(io->out, "END\r\n");
 *         }
 *         return NET_MORE;
 *     }
 *     const struct net_ops ops = {.run = run};
 *     net_new(&config, &net), net_run(net), net_free(net);
 *
 * Includes: base, stat, event, logger.  Included by: server, bench.
 * Threads:  net_run() is the listener's loop, in the caller's thread; net_free() waits for the
 *           workers.
 * Memory:   an idle connection is two cache lines; buffers belong to the workers and are lent to
 *           connections with something in them. Bounded per connection: input by NET_IN_BYTES_MAX,
 *           answers by NET_OUT_BYTES_MAX and what one request adds beyond it.
 * Spec:     memcached 1.6.45, "Connections and limits".
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "base/ip.h"
#include "base/out.h"
#include "net/tls.h"

struct stat_block;
struct stat_timing;
struct logger_ring;
struct event_source;

enum {
    NET_IN_BYTES = 16 * 1024,       /* a read buffer; what one read may bring */
    NET_IN_BYTES_MAX = 2048 * 1024, /* a request that `run` wants whole may make it grow to this */
    NET_OUT_BYTES_MAX = 256 * 1024, /* answers are sent at the latest when there are so many */
    NET_ADDR_TEXT_BYTES = 128,      /* enough for any address as text */
    NET_DATAGRAMS = 32,             /* a batch of them */
    NET_DATAGRAM_BYTES = 64 * 1024, /* more than one can carry */
    NET_TICK_S = 60,
    NET_AHEAD_MAX = 32, /* connections that `ahead` is told of at once */
    NET_RATE_S = 8,     /* what the rate of a connection's requests is measured over */
};

/* ── what is served ───────────────────────────────────────────────────────────────────────── */

struct net_io {
    struct bytes in;   /* what has arrived and is not used yet; empty only after `filled` said
                        * NET_AGAIN */
    size_t used;       /* run: how much of it is dealt with */
    unsigned requests; /* run: how many that were */
    struct out *out;   /* answers; may hold those of earlier calls */
    uint32_t *note; /* what the ops remember of this connection even while it is idle; 0 at first */
    const struct ip_peer *peer; /* the other end */
    int fd;                     /* its number, as `stats conns` shows it */
    unsigned listener; /* what it came in by, for net_listener_tag() and net_listener_get() */
    unsigned ahead;    /* n: it is the n-th that `ahead` was told of, with just this input; 0: no */
    uint32_t pause_ms; /* run, with NET_PAUSE: 1..60000 */
    uint8_t reason;    /* run, with NET_CLOSE: why, enum logger_reason; 0 (an error) at first */
};

/* What `run` wants next. */
enum net_rc {
    NET_AGAIN, /* a batch is done, there is more in the input: to be called again in its turn. The
                * bytes that are not used stay where they are until then. */
    NET_FLUSH, /* likewise, but send the answers first */
    NET_YIELD, /* likewise, and then it is another's turn, whatever requests_per_event says */
    NET_MORE,  /* more input behind what is not used; a full buffer grows */
    NET_FILL,  /* all is used; the next bytes go straight to `space` */
    NET_PAUSE, /* as NET_FLUSH, but only after io.pause_ms; nothing is read meanwhile. A client that
                * has hung up by then is closed: nobody reads the answers. Needs unused input */
    NET_HOLD,  /* the client only listens: what it sends is dropped. To be called, with no input,
                * when all answers are sent and after net_worker_wake(), until it answers nothing;
                * then it says NET_HOLD again, or, with nothing to send, NET_CLOSE */
    NET_CLOSE, /* send the answers, then close */
};

/* One datagram that has come, and its answer. */
struct net_datagram {
    struct bytes in; /* a buffer of the worker, until the call returns */
    struct ip_peer from;
    struct ip to;
    bool to_us;     /* `to` is one address of this host, no broadcast or multicast */
    bool from_us;   /* `from` is an address of this host, loopback included, or the broadcast
                     * address of one of its networks */
    bool truncated; /* `in` is not all of it */
    /* The answer, set by the ops: that much of `out`, from there on; 0 bytes: none. It is sent as
     * one datagram, or as several of `piece_bytes` each, but the last, which may be shorter. */
    size_t answer_at, answer_bytes;
    size_t piece_bytes; /* 0: one datagram */
};

/* A batch of datagrams that have come by one listener. */
struct net_datagrams {
    struct net_datagram *item;
    size_t count;
    unsigned listener;
    int fd;          /* of the socket */
    struct out *out; /* empty; takes the answers, without blobs */
};

/* What a connection's next `run` will be given. */
struct net_ahead {
    struct bytes in;
    uint32_t note;
};

struct net_ops {
    /* Connections that will be run one after the other, in that order, before anything else
     * happens: a hint, to have memory fetched. */
    void (*ahead)(void *worker, const struct net_ahead *all, unsigned count);
    /* Run a batch of requests. `*session` is the connection's own, NULL at first. */
    enum net_rc (*run)(void *worker, void **session, struct net_io *io);
    /* After NET_FILL: where the next bytes go (ret_len > 0), and whether the connection's input
     * follows directly behind them. */
    uint8_t *(*space)(void *worker, void *session, size_t *ret_len, bool *ret_last);
    /* `len` bytes were written there. Returns NET_FILL to go on, NET_MORE when `run` wants input
     * first, or NET_AGAIN when it is to be called now, with or without input. */
    enum net_rc (*filled)(void *worker, void *session, size_t len);
    /* The connection is gone; only called when `*session` is not NULL. */
    void (*gone)(void *worker, void *session);
    void (*begin)(void *worker); /* in the worker's thread, before anything else */
    /* A loop turn begins: nothing of an earlier one is in use. `sleep`: the worker may block. */
    void (*turn)(void *worker, uint32_t now_s);
    void (*sleep)(void *worker);
    /* After net_review(): may this connection stay? `io` has no input and no output. */
    bool (*may_stay)(void *worker, const struct net_io *io);
    /* Answer a batch of datagrams; only for addresses that have some. */
    void (*datagrams)(void *worker, struct net_datagrams *batch);
};

/* ── set-up ───────────────────────────────────────────────────────────────────────────────── */

struct net_address {
    const char *host; /* name or address; NULL: all of this machine */
    int32_t port;     /* 0: any free one */
    uint8_t tag;      /* the caller's own: net_listener_tag() tells it */
    enum net_tls_mode tls;
    bool datagrams; /* UDP, in each worker; else TCP */
};

/* A listening socket of streams that somebody else has opened, and may keep open after us. */
struct net_handed {
    int fd; /* non-blocking */
    uint8_t tag;
    enum net_tls_mode tls;
};

struct net_worker_config {
    void *arg; /* handed to the ops as `worker` */
    struct stat_block *stats;
    struct stat_timing *timing;  /* NULL: requests are not timed. The ops count them in it */
    struct logger_ring *log;     /* NULL: nothing is logged */
    struct event_source *events; /* NULL: no security events are noted */
};

struct net_config {
    const struct net_ops *ops; /* all but `run` may be NULL; `space` and `filled` go together */
    const struct net_address *addresses;
    size_t address_count;
    const struct net_handed *handed;
    size_t handed_count;
    const char *unix_path; /* NULL: none */
    unsigned unix_mask;    /* its permission bits */
    struct net_tls *tls;   /* NULL: no address has TLS */
    const struct net_worker_config *workers;
    unsigned worker_count;
    struct stat_block *stats; /* the listener's */
    struct logger_ring *log;  /* likewise; NULL: nothing is logged */
    uint32_t conns_max;
    bool conns_max_refuse; /* tell clients beyond conns_max so; else they wait in the backlog */
    const char *refusal;   /* ...with these words */
    int backlog;
    bool napi_ids;               /* choose the worker by the queue that a connection came in by */
    uint32_t mark;               /* SO_MARK of the listening sockets; 0: none */
    uint32_t requests_per_event; /* then it is another connection's turn */
    uint32_t idle_timeout_s;     /* TCP only; 0: never */
    uint64_t in_bytes_max;       /* read buffers of one worker; 0: no limit */
    uint32_t drain_s;            /* NET_DRAIN_END takes that long at most */
    /* All in the thread of net_run(); may be NULL. */
    void (*poked)(void *arg); /* after net_poke() */
    void (*tick)(void *arg);  /* about every NET_TICK_S; only with datagrams */
    /* A client has come in by that listener. Returns false to close it at once, with *ret_words
     * (NULL: silently; with TLS it always is). */
    bool (*arrive)(void *arg, unsigned listener, const struct ip_peer *peer,
                   const char **ret_words);
    void *arg; /* of these */
};

/* What of it may change while it runs. */
struct net_limits {
    uint32_t conns_max, requests_per_event, idle_timeout_s;
};

struct net;

enum { NET_ERROR_BYTES = 256 };

/* Open all sockets. Nothing is accepted before net_run(), but clients can connect already. Returns
 * 0 or -errno, with the reason as a line without its end in ret_error[NET_ERROR_BYTES].
 * Owns: free with net_free(); the config's strings and arrays are borrowed until then. */
MUST_USE int net_new(const struct net_config *config, struct net **ret_net, char *ret_error);
/* Start the workers, then accept until net_stop(). Returns 0 or -errno. */
MUST_USE int net_run(struct net *net);
/* End net_run(); may be called from any thread and from a signal handler, any number of times. */
void net_stop(struct net *net);

/* Going out of service in an orderly way. */
enum net_drain {
    NET_DRAIN_OFF,
    /* Connections are closed as they fall idle, between two requests. Who comes in meanwhile is
     * late: see net_late. */
    NET_DRAIN_ON,
    /* Nobody comes in any more, and when the last connection has fallen idle, or drain_s is over,
     * net_run() ends. Cannot be undone. What listens of itself is closed; sockets that were handed
     * over keep clients waiting for whoever serves them next. */
    NET_DRAIN_END,
};

/* From where net_stop() may be called; of END, any number of times. */
void net_drain(struct net *net, enum net_drain how);
/* How it is meant to be now. Any thread. */
enum net_drain net_draining(const struct net *net);

/* A connection that came in after NET_DRAIN_ON. */
enum net_late {
    NET_LATE_NOT,     /* closed when it is idle */
    NET_LATE_NEW,     /* may be silent for a moment before it is closed, too */
    NET_LATE_REFUSED, /* the ops do not want it: closed as all others */
    NET_LATE_STAY,    /* the ops want it to stay although it is idle: it administrates */
};
/* For the ops: of the connection `fd`, which they are serving. Also one that is not late can be
 * made so. */
enum net_late net_late_get(const struct net *net, int fd);
void net_late_set(struct net *net, int fd, enum net_late late);

/* Have the loops of all workers and of the listener prove that they turn: each answers in its next
 * turn, for which it is woken. One thread. */
void net_beat(struct net *net);
/* Have all answered the last net_beat()? The same thread. */
bool net_beats(const struct net *net);
/* Have config.poked called soon. From where net_stop() may be called. */
void net_poke(struct net *net);
/* Have all connections of a worker that said NET_HOLD run soon. Any thread, from net_new() on. */
void net_worker_wake(struct net *net, unsigned worker);
/* Have each worker ask ops.may_stay about its connections soon, those that are silent included; for
 * one that it is serving in that moment, `run` is the next to see. Any thread. */
void net_review(struct net *net);
/* Change limits; they hold from each worker's next turn on, and connections above a lower limit
 * stay. Any thread, one at a time. */
void net_limits_set(struct net *net, const struct net_limits *limits);
/* Stop and join the workers, close everything. NULL is fine. */
void net_free(struct net *net);

/* ── seen from outside ────────────────────────────────────────────────────────────────────── */

enum net_state {
    NET_STATE_FREE,
    NET_STATE_LISTEN,
    NET_STATE_WAIT,  /* between requests */
    NET_STATE_RUN,   /* being served in this moment */
    NET_STATE_READ,  /* a part of a request is there */
    NET_STATE_FILL,  /* a value is arriving */
    NET_STATE_WRITE, /* the client has to read first */
    NET_STATE_HOLD,  /* the client only listens */
};

/* What a connection has done since it came. */
struct net_traffic {
    uint64_t requests;
    double requests_per_s;              /* over the last NET_RATE_S seconds */
    uint64_t bytes_read, bytes_written; /* of the protocol, not of TLS */
    uint64_t pending_bytes;             /* answers that the client does not take */
    uint32_t slow_s;                    /* while there are some: since it last took any */
};

struct net_conn_info {
    int fd;
    enum net_state state;
    uint32_t idle_s;                          /* since something arrived; of a listener: 0 */
    bool datagrams;                           /* a socket that takes datagrams; state: WAIT */
    char address[NET_ADDR_TEXT_BYTES];        /* tcp:IP:PORT, tcp6:[IP]:PORT (or udp, udp6), or
                                               * unix:PATH */
    char listen_address[NET_ADDR_TEXT_BYTES]; /* empty for a listener itself, and datagrams */
    struct net_traffic traffic;               /* likewise all 0 */
};

/* Tell about every listener and connection, ordered by fd. Takes no lock; a connection that comes
 * or goes meanwhile may be missing. Any thread. */
void net_conn_each(struct net *net, void (*each)(void *arg, const struct net_conn_info *info),
                   void *arg);

struct net_listener_info {
    int family; /* AF_INET, AF_INET6 or AF_UNIX */
    int port;
    uint8_t tag; /* of its net_address; 0: a unix socket */
    bool datagrams;
    enum net_tls_mode tls;
    struct ip ip; /* bound to; unspecified: all, or a unix socket */
    char address[NET_ADDR_TEXT_BYTES];
};

/* The n-th listener. Returns false when there are fewer. */
MUST_USE bool net_listener_get(const struct net *net, size_t index,
                               struct net_listener_info *ret_info);
/* The tag alone, without asking the kernel; `index` is that of a listener. */
uint8_t net_listener_tag(const struct net *net, size_t index);
/* Likewise its port; 0: a unix socket. */
uint16_t net_listener_port(const struct net *net, size_t index);
/* The limits just now. Any thread. */
void net_limits_get(const struct net *net, struct net_limits *ret_limits);
/* How many connections and other fds there can be, whatever the limits say. */
uint32_t net_fds_max(const struct net *net);
/* Is nobody kept waiting because of conns_max or want of fds? */
bool net_is_accepting(const struct net *net);
