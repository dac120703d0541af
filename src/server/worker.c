/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/worker.h"

#include "base/clock.h"
#include "base/thread.h"
#include "cmd/tuning.h"
#include "gate/gate.h"
#include "server/confine.h"
#include "server/pass.h"
#include "server/trace.h"
#include "server/transfer.h"
#include "server/udp.h"

enum {
    HOUSEKEEPING_MS = 1000, /* expiry has a resolution of a second */
    CRAWL_EVERY_S = 60,
    CRAWL_ITEMS_MAX = 1 << 20, /* looking at as many takes about a tenth of a second */
};

static void worker_begin(void *arg)
{
    const struct session_worker *worker = arg;
    confine_worker(worker->cmd.opts);
}

static void worker_turn(void *arg, uint32_t now_s)
{
    struct session_worker *worker = arg;
    worker->cmd.now_s = now_s;
    worker->generation = gate_generation(worker->gate);
    if (worker->cmd.hot != NULL)
        hot_turn(worker->cmd.hot, now_s);
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
    .ahead = session_ahead,
    .run = trace_run,
    .space = transfer_space,
    .filled = transfer_filled,
    .gone = transfer_gone,
    .begin = worker_begin,
    .turn = worker_turn,
    .sleep = worker_sleep,
    .datagrams = udp_run,
    .may_stay = pass_may_stay,
};

int worker_init(struct session_worker *worker, const struct cmd_ctx *model, struct net *const *net)
{
    worker->cmd = *model;
    worker->cmd.batch = worker->batch;
    worker->net = net;
    worker->protocol = opt_protocol_of(model->opts);
    worker->online = false;
    worker->udp = NULL;
    const int rc = store_thread_new(model->store, &worker->cmd.thread);
    if (rc == 0)
        store_thread_arg_set(worker->cmd.thread, model->log);
    return rc;
}

void worker_fini(struct session_worker *worker)
{
    udp_worker_free(worker->udp);
    store_thread_free(worker->cmd.thread);
    worker->cmd.thread = NULL;
}

/* Expired items among living ones would stay until somebody asks for them or memory is needed.
 * Where it is cheap all are looked at from time to time, so that small caches, whose items are too
 * few to lie together by lifetime, do not count and keep what is dead. */
static void crawl_when_due(struct housekeeper *keeper, uint32_t now_s)
{
    if (now_s - keeper->crawled_s < CRAWL_EVERY_S)
        return;
    keeper->crawled_s = now_s;
    struct store_info info;
    store_info(keeper->store, &info);
    if (info.items > 0 && info.items <= CRAWL_ITEMS_MAX &&
        atomic_load_explicit(&keeper->tuning->crawler, memory_order_relaxed))
        (void)!store_crawl(keeper->store, UINT64_MAX); /* false: a client's is under way */
}

static void *housekeeper_main(void *arg)
{
    struct housekeeper *keeper = arg;
    (void)pthread_setname_np(pthread_self(), "housekeeper");
    confine_keeper(keeper->opts);
    while (!atomic_load_explicit(&keeper->stop, memory_order_acquire)) {
        const uint32_t now_s = clock_now_s();
        clock_ticks_adjust();
        store_thread_online(keeper->thread, now_s);
        crawl_when_due(keeper, now_s);
        store_maintain(keeper->thread);
        store_thread_offline(keeper->thread);
        store_touch_ahead(keeper->store);
        store_maintain_wait(keeper->store, HOUSEKEEPING_MS);
    }
    return NULL;
}

int housekeeper_start(struct housekeeper *keeper, struct store *store, const struct opts *opts)
{
    keeper->store = store;
    keeper->opts = opts;
    keeper->crawled_s = clock_now_s();
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
