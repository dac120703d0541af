/* server/live.h — options that change while the server runs: `config set`, `config reload`, SIGHUP.
 *
 *     loaded    what file, environment and command line said when they were last read
 *     running   what is in effect, and where each value is from
 *
 * A reload takes over what has changed since the last one, so that a value set live stays until
 * somebody changes it in the file as well; all of it, or nothing. `server->opts` is what the server
 * was started with, and never changes: any thread may read it. What changes reaches other threads
 * by the part that it belongs to:
 *
 *     memory_limit                          the store's own atomics
 *     verbose, lru_crawler...               atomics, read where they matter
 *     conn_limit, idle_timeout,
 *     max_reqs_per_event                    atomics of net, read once per turn of a worker
 *     allow, deny, access_file,
 *     protected_mode                        a new set of rules, swapped (gate/gate.c)
 *     limit_...                             atomics of gate/limit.c
 *     events_window                         an atomic of the events' thread
 *
 * Each says all about itself, so relaxed order does. Commands of memcached's that change some of
 * these (cache_memlimit, verbosity, lru_crawler) go past here: what is in effect is looked at anew
 * whenever somebody asks.
 *
 * Includes: everything below.  Included by: server.
 * Threads:  live_get(), live_set(), live_stats() any; live_reload() the listener's, which may read
 *           files where others may not (confine.h). One lock guards the struct; it is not held
 *           while files are read.
 * Memory:   two copies of the options.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <pthread.h>

#include "base/out.h"
#include "opt/opt.h"
#include "server/config.h"

struct server;

struct live {
    const struct config_inputs *inputs;
    pthread_mutex_t lock; /* guards all below */
    struct opts running, loaded;
    uint64_t memory_bytes; /* of the store, when we last set it or looked */
    uint32_t reloads, refused;
    char error[OPT_TEXT_BYTES]; /* why the last reload was refused; empty: it was not */
};

/* With server->opts, before any thread runs; `inputs` are borrowed. Returns 0 or -ENOMEM. */
MUST_USE int live_init(struct server *server, const struct config_inputs *inputs);
/* The store is there, with the memory that it has. */
void live_begin(struct server *server);
void live_fini(struct server *server);

/* Read configuration, users and access list again, and put them in force. Returns false when it
 * changed nothing, with a line in ret_error[OPT_TEXT_BYTES]; mistakes are logged. */
bool live_reload(struct server *server, char *ret_error);

/* For cmd_server_ops; `arg` is the server. */
bool live_get(void *arg, struct bytes name, struct out *out);
bool live_set(void *arg, struct bytes name, struct bytes value, char *ret_error);
void live_stats(void *arg, struct out *out);
