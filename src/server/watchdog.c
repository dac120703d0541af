/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/watchdog.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "server/confine.h"

enum { PER_INTERVAL = 4, NS_PER_US = 1000 };
#define NS_PER_S 1000000000ull

/* Sleep for a period, or until the end. Returns whether it is the end. */
static bool is_stopped_after_period(struct watchdog *watchdog)
{
    const uint64_t until_ns = clock_mono_ns() + watchdog->period_us * NS_PER_US;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                                   .tv_nsec = (long)(until_ns % NS_PER_S)};
    (void)pthread_mutex_lock(&watchdog->lock);
    int rc = 0;
    while (!watchdog->stop && rc == 0)
        rc = pthread_cond_timedwait(&watchdog->wake, &watchdog->lock, &until);
    const bool stop = watchdog->stop;
    (void)pthread_mutex_unlock(&watchdog->lock);
    return stop;
}

static void *watchdog_main(void *arg)
{
    struct watchdog *watchdog = arg;
    (void)pthread_setname_np(pthread_self(), "watchdog");
    confine_keeper(watchdog->opts);
    net_beat(watchdog->net);
    while (!is_stopped_after_period(watchdog)) {
        if (net_beats(watchdog->net))
            notify_send(watchdog->notify, "WATCHDOG=1\n");
        net_beat(watchdog->net);
    }
    return NULL;
}

int watchdog_start(struct watchdog *watchdog, struct net *net, const struct notify *notify,
                   const struct opts *opts)
{
    const uint64_t us =
        notify_watchdog_us(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), (long)getpid());
    if (us < PER_INTERVAL || notify->fd < 0)
        return 0;
    *watchdog = (struct watchdog){
        .net = net, .notify = notify, .opts = opts, .period_us = us / PER_INTERVAL};
    pthread_condattr_t attr;
    int rc = -pthread_condattr_init(&attr);
    if (rc != 0)
        return rc;
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&watchdog->lock, NULL);
    (void)pthread_cond_init(&watchdog->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    rc = thread_start(&watchdog->thread, watchdog_main, watchdog);
    watchdog->started = rc == 0;
    return rc;
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (!watchdog->started)
        return;
    (void)pthread_mutex_lock(&watchdog->lock);
    watchdog->stop = true;
    (void)pthread_cond_signal(&watchdog->wake);
    (void)pthread_mutex_unlock(&watchdog->lock);
    (void)pthread_join(watchdog->thread, NULL);
    (void)pthread_mutex_destroy(&watchdog->lock);
    (void)pthread_cond_destroy(&watchdog->wake);
    watchdog->started = false;
}
