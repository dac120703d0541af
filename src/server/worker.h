/* server/worker.h — what each thread brings along: the workers' contexts, the store's housekeeping.
 *
 * A worker is online in the store from the return of epoll_wait to the next time that it may
 * block, and passes a quiescent point per loop turn.
 *
 * Includes: base, cmd, gate, net, store.  Included by: server.
 * Threads:  set up and torn down by the main thread while no worker runs.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "server/session.h"

extern const struct net_ops worker_ops;

/* Copy `model` and add a handle of the store; `net` is looked at while the worker serves. Returns 0
 * or -ENOMEM. Owns: worker_fini(). */
MUST_USE int worker_init(struct session_worker *worker, const struct cmd_ctx *model,
                         struct net *const *net);
void worker_fini(struct session_worker *worker);

/* The thread that expires, compacts and evicts, so that workers seldom have to. */
struct housekeeper {
    struct store *store;
    const struct opts *opts;
    struct store_thread *thread;
    struct logger_ring *log;         /* set before the start; NULL: logs nothing */
    const struct cmd_tuning *tuning; /* set before the start */
    uint32_t crawled_s;              /* when all items were last looked at */
    pthread_t pthread;
    bool started;
    atomic_bool stop; /* release by housekeeper_stop(), acquire by the thread */
};

/* Returns 0 or -errno. Owns: housekeeper_stop(), also after a failure. */
MUST_USE int housekeeper_start(struct housekeeper *keeper, struct store *store,
                               const struct opts *opts);
void housekeeper_stop(struct housekeeper *keeper);
