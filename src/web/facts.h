/* web/facts.h — the figures of a server at one moment, as /metrics and the history take them.
 *
 * Includes: stat, event, store.  Included by: web, server.
 * Threads:  a value; its owner's.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "event/event.h"
#include "stat/stat.h"
#include "store/store.h"

enum { WEB_SINKS_MAX = 8 };

struct web_facts {
    uint64_t stat[STAT_ID_COUNT]; /* every row that is a plain number, computed ones included */
    uint64_t event[EVENT_TYPE_COUNT];
    uint64_t user_us, system_us; /* processor time */
    uint64_t resident_bytes;     /* memory of the process */
    struct store_info store;
    struct stat_hist_sum hist[STAT_HIST_COUNT];
    struct events_sink_info sinks[WEB_SINKS_MAX];
    size_t sink_count;
    bool lru_crawler; /* its switch */
    bool draining;
};
