/* server/watchdog.h — the sign of life that the service manager wants (WATCHDOG_USEC).
 *
 * Four times in the manager's interval a thread has the loops of the workers and of the listener
 * prove that they turn (net_beat), and says WATCHDOG=1 only when all of them have answered by the
 * next time. One that hangs therefore silences it, however well the others do, and idle ones, which
 * sleep in the kernel, are woken for it and sleep on.
 *
 * Includes: base, net, opt.  Included by: server.
 * Threads:  set up and torn down by the main thread.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <pthread.h>

#include "base/attr.h"
#include "net/net.h"
#include "opt/opt.h"
#include "server/notify.h"

struct watchdog {
    struct net *net;
    const struct notify *notify;
    const struct opts *opts;
    uint64_t period_us;
    pthread_t thread;
    pthread_mutex_t lock; /* of `stop` */
    pthread_cond_t wake;
    bool stop;
    bool started;
};

/* Start the thread where WATCHDOG_USEC asks for it, else do nothing. The struct must stay in place,
 * what it points to as well, until watchdog_stop(). Returns 0 or -errno. Owns: watchdog_stop(),
 * also after a failure. */
MUST_USE int watchdog_start(struct watchdog *watchdog, struct net *net, const struct notify *notify,
                            const struct opts *opts);
void watchdog_stop(struct watchdog *watchdog); /* nothing when it was not started */
