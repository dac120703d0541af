/* server/login.h — the door in front of the corridor: what a connection may do that has not logged
 * in.
 *
 * With credentials configured (-Y, -S), session_run() hands every byte of such a connection to
 * login_run(), and nothing of it to the parsers of commands: what is not a login is refused here,
 * whatever command it is, known or not. There is no state between two attempts. Bytes behind a
 * successful login are run as that user's.
 *
 * Includes: gate, net.  Included by: server.
 * Threads:  a connection's worker.
 * Spec:     memcached 1.6.45, authentication.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "server/session.h"

/* May this connection not yet do anything but log in? */
static inline bool login_wanted(const struct session_worker *worker, const struct net_io *io)
{
    return UNLIKELY(worker->gate != NULL) && *io->note >> SESSION_USER_SHIFT == 0;
}

/* Take one attempt off the input and answer it. */
enum net_rc login_run(struct session_worker *worker, struct net_io *io);
