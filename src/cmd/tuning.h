/* cmd/tuning.h — settings that clients change while the server runs.
 *
 * Most tune mechanisms of memcached that our engine does not have: they are remembered and shown
 * by `stats settings`, without effect. `crawler` is the switch of all `lru_crawler` commands that
 * look at items; `crawler_items_max` bounds a crawl.
 *
 * Includes: base, opt.  Included by: cmd, server.
 * Threads:  any; relaxed throughout, for a value says nothing about others.
 * Spec:     memcached 1.6.45, slabs, lru, lru_crawler.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdatomic.h>

#include "opt/opt.h"

struct cmd_tuning {
    _Atomic double automove_ratio, automove_freeratio;
    _Atomic double hot_max_factor, warm_max_factor;
    _Atomic uint32_t automove; /* 0, 1, 2 */
    _Atomic uint32_t automove_window_s;
    _Atomic uint32_t hot_pct, warm_pct;
    _Atomic uint32_t temporary_ttl_s;
    _Atomic uint32_t crawler_sleep_us;
    _Atomic uint32_t crawler_items_max; /* 0: no limit */
    _Atomic bool temporary, segmented;
    _Atomic bool crawler;
    _Atomic uint32_t dumps; /* under way just now */
};

/* As the options say. */
void cmd_tuning_init(struct cmd_tuning *tuning, const struct opts *opts);
