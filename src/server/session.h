/* server/session.h — the corridor: what a connection's bytes become.
 *
 * A connection's protocol is chosen by its first byte, or by its listener, and remembered in its
 * note.
 *
 * Includes: cmd, net, opt, proto.  Included by: server.
 * Threads:  a session belongs to its connection's worker.
 * Memory:   a connection between two requests has no session at all; one is allocated for a value
 *           that is not whole in the input, and for a multi-key request that stops until its
 *           answers are sent.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cmd/cmd.h"
#include "net/net.h"
#include "proto/request.h"

enum { SESSION_BATCH = CMD_BATCH };

struct gate;
struct gate_limiter;
struct udp_worker;

/* What a connection's note (net_io.note) remembers, also while it has no session. */
enum {
    SESSION_TEXT = 1,   /* speaks text; neither this nor BINARY: nothing has arrived yet */
    SESSION_BINARY = 2, /* speaks binary */
    /* the bits above: server/pass.h */
};

/* What a worker keeps for the sessions that it serves, one at a time. */
struct session_worker {
    _Alignas(CACHE_LINE_BYTES) struct cmd_ctx cmd;
    struct stat_timing timing;  /* of the requests that it executes; net's worker sends */
    bool online;                /* see worker.h */
    struct net *const *net;     /* knows the listeners, and wakes this worker */
    enum opt_protocol protocol; /* of listeners that do not say */
    unsigned index;
    struct gate *gate;            /* who may do what */
    struct gate_limiter *limiter; /* how much */
    struct udp_worker *udp;       /* what datagrams need; NULL without -U */
    /* Of a limited connection: */
    uint64_t upload_bytes;         /* still to come of a value that began in this batch */
    uint64_t answer_bytes;         /* waited to be sent before it */
    bool login_over;               /* this attempt is one too many */
    bool login_required;           /* gate_login_required() */
    uint32_t generation;           /* gate_generation(), as of this loop turn */
    uint32_t trace_s, trace_lines; /* -vv: lines printed in that second */
    /* First keys of connections that run soon, and what they hash to: session_ahead(). */
    struct session_ahead {
        struct bytes key;
        uint64_t hash;
        uint8_t hint;
    } ahead[NET_AHEAD_MAX];
    struct proto_request batch[SESSION_BATCH];
    size_t ends[SESSION_BATCH]; /* where each request ends in the input */
};

/* A request has been executed. */
static inline void session_count(struct session_worker *worker, const struct proto_request *req)
{
    stat_timing_count(&worker->timing, (enum stat_class)cmd_stat_classes[req->cmd]);
}

/* Op of net: run a batch. `worker` is a struct session_worker. */
enum net_rc session_run(void *worker, void **session, struct net_io *io);
/* Op of net: have fetched what the first requests of these connections will look at. */
void session_ahead(void *worker, const struct net_ahead *all, unsigned count);
