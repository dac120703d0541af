/* server/memory.c — the store's memory: anonymous, or a file that a graceful stop keeps (-e).
 *
 * A relative name means what it means when the file is opened: with -d, below "/", like memcached.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/server.h"

static struct store_config config_of(const struct server *server)
{
    const struct opts *opts = server->opts;
    return (struct store_config){
        .memory_bytes = opts->memory_limit_bytes,
        .item_bytes_max = opts->max_item_bytes,
        .no_evict = opts->disable_evictions,
        .no_cas = opts->disable_cas,
        .large_pages = opts->large_pages,
        .observer = watch_observer(server),
    };
}

/* What memcached compares beyond what the store does; without effect here, but a script that
 * changes it counts on an empty cache. Owns: free(). */
static char *settings_of(const struct opts *opts)
{
    char *text = NULL;
    const int len = asprintf(
        &text,
        "-f %.6g\n-n %" PRIu64 "\nslab_sizes %s\nslab_chunk_max %" PRIu64 "\nslab_reassign %s\n",
        opts->slab_growth_factor, (uint64_t)opts->slab_min_bytes,
        opts->slab_sizes != NULL ? opts->slab_sizes : "none", (uint64_t)opts->slab_chunk_max_bytes,
        opts->slab_reassign ? "on" : "off");
    return len >= 0 ? text : NULL;
}

static struct store_file file_of(const struct opts *opts, const char *settings)
{
    return (struct store_file){
        .path = opts->memory_file,
        .settings = settings,
        .threads = opts->threads,
        .wall_s = (int64_t)time(NULL),
        .now_s = clock_now_s(),
    };
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(clock_mono_ns() - start_ns) / 1e9;
}

static int open_on_file(struct server *server, char *error)
{
    const struct store_config config = config_of(server);
    char *settings = settings_of(server->opts);
    if (settings == NULL)
        return -ENOMEM;
    const uint64_t start_ns = clock_mono_ns();
    const struct store_file file = file_of(server->opts, settings);
    struct store_restart restart;
    const int rc = store_new_on_file(&config, &file, &restart, &server->store);
    free(settings);
    if (rc != 0) {
        (void)snprintf(error, SERVER_ERROR_BYTES, "%s", restart.text);
        return rc;
    }
    log_line(restart.refused ? LOG_ERROR : LOG_INFO, "%s (%.1f s)", restart.text,
             seconds_since(start_ns));
    server->restored = restart.restored;
    if (restart.restored)
        clock_start_at(restart.now_s);
    return 0;
}

int memory_open(struct server *server, char *ret_error)
{
    if (server->opts->memory_file != NULL)
        return open_on_file(server, ret_error);
    const struct store_config config = config_of(server);
    const int rc = store_new(&config, &server->store);
    if (rc != 0)
        (void)snprintf(ret_error, SERVER_ERROR_BYTES, "cannot reserve memory for items: %s",
                       strerror(-rc));
    return rc;
}

void memory_save(struct server *server)
{
    const bool graceful = atomic_load_explicit(&server->graceful, memory_order_relaxed);
    /* a start that failed later on must not cost what was kept */
    const bool unused = server->restored && !server->served;
    if (server->store == NULL || server->opts->memory_file == NULL || (!graceful && !unused))
        return;
    const struct store_config config = config_of(server);
    char *settings = settings_of(server->opts);
    const uint64_t start_ns = clock_mono_ns();
    struct store_restart restart = {.text = "cannot save: out of memory"};
    int rc = -ENOMEM;
    if (settings != NULL) {
        const struct store_file file = file_of(server->opts, settings);
        rc = store_save(server->store, &config, &file, &restart);
    }
    free(settings);
    server->save_failed = rc != 0;
    log_line(LOG_ERROR, "%s (%.1f s)", restart.text, seconds_since(start_ns));
}
