/* web/history.h — the last hour in constant memory: what the page draws.
 *
 *     samples of a second, HISTORY_FINE of them     10 minutes
 *     samples of ten,      HISTORY_COARSE of them   70 minutes
 *
 * A sample has the numbers of tbl/history.def over its time, quantiles of the time that requests
 * took, and how many security events of each type there were. Time in which nobody took samples (a
 * machine asleep, a process stopped) leaves none: what happened then is in no sample, so the page
 * shows a gap and not a line.
 *
 * Includes: stat, event.  Included by: web.
 * Threads:  its owner's.
 * Memory:   allocated with the first sample, about 500 KiB.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/out.h"
#include "web/facts.h"

enum { HISTORY_FINE = 600, HISTORY_COARSE = 420, HISTORY_RINGS = 2 };

struct history_sample;

struct history_ring {
    struct history_sample *samples;
    uint32_t count, next; /* filled, and where the next one goes */
    struct web_facts before;
    uint64_t before_ms; /* when that was; 0: never */
};

/* Begin with {0}. */
struct history {
    struct history_ring rings[HISTORY_RINGS];
};

/* Take what there is at `now_ms`, a clock that goes on while the machine sleeps; `wall_ms` is Unix
 * time. To be called every second; without memory it does nothing. */
void history_add(struct history *history, const struct web_facts *facts, uint64_t now_ms,
                 uint64_t wall_ms);
/* Write the samples of `step_s` (1 or 10; another one means 1) that ended after `since_ms`, Unix
 * time, as JSON:
 *
 *     {"step":1,"fields":["get_hits",...],"samples":[[ms,number or null,...],...],
 *      "events":[[ms,"name",count],...]}
 */
void history_write(const struct history *history, struct out *out, uint64_t step_s,
                   uint64_t since_ms);
void history_fini(struct history *history);
