/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/worker.h"

#include "base/clock.h"
#include "base/thread.h"
#include "server/confine.h"
#include "server/trace.h"
#include "server/transfer.h"

enum { HOUSEKEEPING_MS = 1000 }; /* expiry has a resolution of a second */

static void worker_begin(void *arg)
{
    const struct session_worker *worker = arg;
    confine_worker(worker->cmd.opts);
}

static void worker_turn(void *arg, uint32_t now_s)
{
    struct session_worker *worker = arg;
    worker->cmd.now_s = now_s;
    worker->cmd.watched = logger_watched(worker->cmd.log);
    if (worker->online)
        store_thread_quiesce(worker->cmd.thread, now_s);
    else
        store_thread_online(worker->cmd.thread, now_s);
    worker->online = true;
}

static void worker_sleep(void *arg)
{
    struct session_worker *worker = arg;
    if (worker->online)
        store_thread_offline(worker->cmd.thread);
    worker->online = false;
}

const struct net_ops worker_ops = {
    .run = trace_run,
    .space = transfer_space,
    .filled = transfer_filled,
    .gone = transfer_gone,
    .begin = worker_begin,
    .turn = worker_turn,
    .sleep = worker_sleep,
};

int worker_init(struct session_worker *worker, const struct cmd_ctx *model, struct net *const *net)
{
    worker->cmd = *model;
    worker->cmd.batch = worker->batch;
    worker->net = net;
    worker->protocol = opt_protocol_of(model->opts);
    worker->online = false;
    const int rc = store_thread_new(model->store, &worker->cmd.thread);
    if (rc == 0)
        store_thread_arg_set(worker->cmd.thread, model->log);
    return rc;
}

void worker_fini(struct session_worker *worker)
{
    store_thread_free(worker->cmd.thread);
    worker->cmd.thread = NULL;
}

static void *housekeeper_main(void *arg)
{
    struct housekeeper *keeper = arg;
    (void)pthread_setname_np(pthread_self(), "housekeeper");
    confine_keeper(keeper->opts);
    while (!atomic_load_explicit(&keeper->stop, memory_order_acquire)) {
        store_thread_online(keeper->thread, clock_now_s());
        store_maintain(keeper->thread);
        store_thread_offline(keeper->thread);
        store_maintain_wait(keeper->store, HOUSEKEEPING_MS);
    }
    return NULL;
}

int housekeeper_start(struct housekeeper *keeper, struct store *store, const struct opts *opts)
{
    keeper->store = store;
    keeper->opts = opts;
    const int rc = store_thread_new(store, &keeper->thread);
    if (rc != 0)
        return rc;
    store_thread_arg_set(keeper->thread, keeper->log);
    const int start_rc = thread_start(&keeper->pthread, housekeeper_main, keeper);
    keeper->started = start_rc == 0;
    return start_rc;
}

void housekeeper_stop(struct housekeeper *keeper)
{
    if (keeper->started) {
        atomic_store_explicit(&keeper->stop, true, memory_order_release);
        store_maintain_wake(keeper->store);
        (void)pthread_join(keeper->pthread, NULL);
        keeper->started = false;
    }
    store_thread_free(keeper->thread);
    keeper->thread = NULL;
}
