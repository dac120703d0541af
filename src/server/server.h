/* server/server.h — all parts of a running server, and the order in which they come and go.
 *
 * Includes: everything below.  Included by: server.
 * Threads:  server_new(), server_run() and server_free() in the main thread, which becomes the
 *           listener's.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cmd/prefix.h"
#include "cmd/tuning.h"
#include "net/net.h"
#include "opt/opt.h"
#include "server/live.h"
#include "server/notify.h"
#include "server/udp.h"
#include "server/watchdog.h"
#include "server/worker.h"
#include "stat/stat.h"
#include "web/web.h"

struct server {
    const struct opts *opts;
    struct store *store;
    struct stat_registry *stats;
    struct hot_set *hot;        /* NULL: hot keys are not looked for */
    struct gate *gate;          /* who may do what; slots: the workers', then the listener's */
    struct gate_limits *limits; /* likewise by thread */
    struct gate_limiter *listener_limiter;
    struct logger *logger;
    struct events *events;                /* security events */
    struct event_source *listener_events; /* of the listener's thread, which is the main one */
    struct cmd_prefixes prefixes;
    struct cmd_tuning tuning;
    struct live live; /* options that change */
    struct session_worker *workers;
    struct net_worker_config *net_workers; /* ...and how net knows them */
    unsigned worker_count;                 /* of workers that are set up */
    struct housekeeper keeper;
    struct net_address *addresses;
    struct opt_listen *hosts; /* backs the addresses' names */
    struct net_tls *tls;      /* NULL without -Z */
    struct udp *udp;          /* NULL without -U */
    struct web *web;          /* NULL without -o admin */
    int statm_fd;             /* where the kernel tells our memory; -1 without -o admin */
    struct net_tls *web_tls;  /* NULL without -o admin_tls_cert */
    struct event_source *web_events;
    struct gate_limiter *web_limiter;
    struct net *net;
    const struct activation *activation; /* sockets that were handed over, if any */
    struct net_handed *handed;           /* ...and how net knows them */
    struct notify notify;
    struct watchdog watchdog;
    int32_t port;         /* the first of TCP that is really listened on; 0: none */
    int32_t udp_port;     /* likewise of UDP */
    bool restored;        /* the store began with what the memory file held */
    bool served;          /* clients may have changed it since */
    bool save_failed;     /* the memory file will not be used, and it was wanted */
    atomic_bool graceful; /* the stop keeps the memory file; relaxed, net_stop() follows */
    atomic_bool stopping; /* server_stop() was called; seq_cst, against server_drain() */
};

enum { SERVER_ERROR_BYTES = 512 };

/* What a server is made from. Borrowed, but for `tls` and `web_tls`. */
struct server_start {
    const struct opts *opts;
    const struct config_inputs *inputs;  /* where they are from */
    const struct activation *activation; /* sockets that were handed over */
    struct net_tls *tls;                 /* NULL without -Z */
    struct net_tls *web_tls;             /* NULL without -o admin_tls_cert */
};

/* Build everything and open the sockets. Returns 0 or -errno with a line in
 * ret_error[SERVER_ERROR_BYTES]; -EKEYREJECTED: the credentials, the access list or the sinks of
 * events cannot be used. Owns: server_fini(), also after a failure; certificates, too. */
MUST_USE int server_init(struct server *server, const struct server_start *start, char *ret_error);
/* Read the files that the start reads before it opens sockets (users, access list), and forget
 * them: can they be used? Returns as server_init(). */
MUST_USE int server_files_check(const struct opts *opts, char *ret_error);
/* Serve until server_stop(). Returns 0 or -errno. */
MUST_USE int server_run(struct server *server);
/* End server_run(); from any thread and from a signal handler. `graceful`: keep the memory file.
 * With -o drain_time connections may finish what they are about; a second call ends at once. */
void server_stop(struct server *server, bool graceful);
/* Go out of service, or come back: clients are sent away as they fall idle, and who comes anew can
 * only administrate. Any thread. Returns false when the server is about to stop. */
MUST_USE bool server_drain(struct server *server, bool on);
/* Is the server going out of service, by server_drain() or server_stop()? Any thread. */
bool server_draining(const struct server *server);
/* Read again what can change while running; in the listener's thread, by net_poke(). A part that
 * cannot be read stays as it was, and a line on stderr says why. */
void server_reload(struct server *server);
/* After server_init(), whatever came of it. Saves the memory file when it is to be kept. */
void server_fini(struct server *server);

/* memory.c: make the store, as server_init(); save it in its file when it was a graceful stop, or
 * when it was restored and has not served. No thread uses it any more then. */
MUST_USE int memory_open(struct server *server, char *ret_error);
void memory_save(struct server *server);

/* tls.c: read the certificates that the options name, NULL without -Z. As root if we are, since the
 * key may be for root's eyes only. Returns 0 or -errno with a line in
 * ret_error[SERVER_ERROR_BYTES]. */
MUST_USE int server_tls_load(const struct opts *opts, struct net_tls **ret_tls, char *ret_error);
/* Read them again, for a client or SIGHUP; see cmd_server_ops.certs_refresh. */
bool server_tls_refresh(struct server *server, char *ret_error);

/* events.c: security events. As server_init(). */
MUST_USE int server_events_init(struct server *server, char *ret_error);
void server_events_print(struct server *server, struct out *out); /* stats security */
void server_admin_used(const struct cmd_ctx *ctx, const char *verb);
void server_prefix_deleted(const struct cmd_ctx *ctx, const char *verb);

/* arrive.c: net_config.arrive; `arg` is a struct server. */
bool server_arrive(void *arg, unsigned listener, const struct ip_peer *peer,
                   const char **ret_words);
/* Tell the gate what clients come in by. Returns as server_init(). */
MUST_USE int server_listeners_tell(struct server *server, char *ret_error);
/* Must clients of this listener show a certificate? */
bool server_is_certified(const struct opts *opts, const struct net_listener_info *info);

/* glance.c: tell what is reachable, from where, by whom. */
void server_glance(const struct server *server);

/* Append rows for the admin page: address, how, where, who, what, with tabs between them. */
void server_glance_rows(const struct server *server, struct out *out);

/* web.c: the admin listener; nothing without -o admin. As server_tls_load(), which root does; the
 * rest as server_init() and server_run(). */
MUST_USE int server_web_tls_load(const struct opts *opts, struct net_tls **ret_tls,
                                 char *ret_error);
MUST_USE int server_web_init(struct server *server, char *ret_error);
MUST_USE int server_web_start(struct server *server);
/* Read its tokens and certificates again. Returns false when there are none to read. */
bool server_web_reload(struct server *server, bool *ret_done);

/* admin.c: all figures of this moment. Any thread. */
void server_facts(struct server *server, struct web_facts *ret_facts);
/* service.c: what the service manager hands over and is told. */
MUST_USE int server_handed_init(struct server *server, char *ret_error); /* as server_init() */
void server_ready(const struct server *server);
void server_reload_begin(const struct server *server);
void server_reload_end(const struct server *server);
/* server.c: how a listener that asks for `tls` serves. */
enum net_tls_mode server_tls_mode(const struct server *server, enum opt_listen_tls tls);

/* watch.c: the log that clients may watch. */
MUST_USE int watch_init(struct server *server); /* 0 or -errno */
struct store_observer watch_observer(const struct server *server);
/* A ring for one more thread; `worker`: whose connections may watch, or NULL. Returns 0 or
 * -ENOMEM. */
MUST_USE int watch_ring_new(struct server *server, struct stat_block *stats,
                            struct session_worker *worker, struct logger_ring **ret_ring);

/* admin.c: what commands ask of the server; the argument is a struct server. */
extern const struct cmd_server_ops admin_ops;
