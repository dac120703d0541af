/* Connections that wait because the ops said NET_PAUSE.
 *
 * Meanwhile they count as queued, so neither events nor the sweep touch them, and nothing is read:
 * what the client sends stays in its socket. When their time has come they go to the ready list.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "net/net_priv.h"

bool net_pause_add(struct net_worker *worker, struct net_conn *conn)
{
    struct net_pauses *pauses = &worker->pauses;
    if (pauses->count == pauses->cap) {
        const size_t cap = pauses->cap * 2 + 4;
        struct net_pause *all = realloc(pauses->all, cap * sizeof(*all));
        if (all == NULL)
            return false;
        pauses->all = all;
        pauses->cap = cap;
    }
    const uint64_t until_ms = clock_mono_ms() + worker->pause_ms;
    if (pauses->count == 0 || until_ms < pauses->first_ms)
        pauses->first_ms = until_ms;
    pauses->all[pauses->count++] = (struct net_pause){.conn = conn, .until_ms = until_ms};
    conn->queued = true;
    return true;
}

int net_pause_left_ms(const struct net_worker *worker, int timeout_ms)
{
    if (LIKELY(worker->pauses.count == 0))
        return timeout_ms;
    const uint64_t now_ms = clock_mono_ms(), first_ms = worker->pauses.first_ms;
    const uint64_t left_ms = first_ms > now_ms ? first_ms - now_ms : 0;
    return timeout_ms < 0 || left_ms < (uint64_t)timeout_ms ? (int)left_ms : timeout_ms;
}

void net_pause_end(struct net_worker *worker)
{
    struct net_pauses *pauses = &worker->pauses;
    const uint64_t now_ms = clock_mono_ms();
    if (now_ms < pauses->first_ms)
        return;
    uint64_t first_ms = UINT64_MAX;
    for (size_t i = pauses->count; i > 0; i--) {
        const struct net_pause pause = pauses->all[i - 1];
        if (pause.until_ms > now_ms) {
            first_ms = pause.until_ms < first_ms ? pause.until_ms : first_ms;
            continue;
        }
        pauses->all[i - 1] = pauses->all[--pauses->count];
        net_worker_queue(worker, pause.conn);
    }
    pauses->first_ms = first_ms;
}
