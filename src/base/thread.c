/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/thread.h"

#include <signal.h>

int thread_start(pthread_t *ret_thread, void *(*run)(void *arg), void *arg)
{
    static const int spared[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
    sigset_t blocked, before;
    (void)sigemptyset(&blocked);
    for (size_t i = 0; i < COUNT_OF(spared); i++)
        (void)sigaddset(&blocked, spared[i]);
    (void)pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const int rc = pthread_create(ret_thread, NULL, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -rc;
}
