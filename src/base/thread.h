/* base/thread.h — a thread that is spared of signals.
 *
 * Handlers of signals touch what the main thread takes down at the end. When only that thread runs
 * them, none can be half-way through then.
 *
 * Includes: nothing of ours.  Included by: event, logger, store, net, server.
 * Threads:  any.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <pthread.h>

#include "base/attr.h"

/* As pthread_create() with the usual attributes, but SIGHUP, SIGINT, SIGTERM, SIGUSR1 and
 * SIGUSR2 are blocked in the new thread. Those that tell of a fault (SIGSEGV, SIGSYS) are not.
 * Returns 0 or -errno. */
MUST_USE int thread_start(pthread_t *ret_thread, void *(*run)(void *arg), void *arg);
