/* server/watch.c — who writes to the log: a ring for each thread, and the store's evictions.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "server/confine.h"
#include "server/server.h"

static void evicted(void *arg, const struct store_evicted *item)
{
    int64_t ttl_s = -1;
    if (item->exp_s != 0)
        ttl_s = (int64_t)item->exp_s - item->now_s;
    const struct logger_event event = {
        .type = LOGGER_EVICTION,
        .fetched = item->fetched,
        .ttl_s = ttl_s,
        .idle_s = item->now_s > item->last_access_s ? item->now_s - item->last_access_s : 0,
        .value_bytes = item->value_bytes,
        .text = item->key,
    };
    logger_write(arg, &event);
}

struct store_observer watch_observer(const struct server *server)
{
    return (struct store_observer){.wanted = logger_evictions_watched(server->logger),
                                   .evicted = evicted};
}

static void worker_wake(void *arg)
{
    const struct session_worker *worker = arg;
    net_worker_wake(*worker->net, worker->index);
}

/* The logger thread has to do with memory and with waking others, like the housekeeper. */
static void logger_begin(void *arg)
{
    const struct server *server = arg;
    confine_keeper(server->opts);
}

int watch_init(struct server *server)
{
    struct logger_config config = {
        .ring_bytes = server->opts->worker_logbuf_bytes,
        .watcher_bytes = server->opts->watcher_logbuf_bytes,
        .begin = logger_begin,
        .begin_arg = server,
    };
    const int rc = stat_block_new(server->stats, &config.stats);
    return rc != 0 ? rc : logger_new(&config, &server->logger);
}

int watch_ring_new(struct server *server, struct stat_block *stats, struct session_worker *worker,
                   struct logger_ring **ret_ring)
{
    return logger_ring_new(server->logger, stats, worker != NULL ? worker_wake : NULL, worker,
                           ret_ring);
}
