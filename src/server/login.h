/* server/login.h — the door in front of the corridor: what a connection may do that has not logged
 * in.
 *
 * With credentials configured (-Y, -S), session_run() hands every byte of such a connection to
 * login_run(), and no command of it to `cmd` (but for the binary version): what is not a login is
 * refused here, whatever command it is, known or not. Bytes behind a successful login are run as
 * that user's.
 *
 * There is no state between two attempts. One by SCRAM has three messages; what has been
 * begun is kept with the connection (transfer_login) and ends with whatever comes next.
 *
 * When an address has failed too often, its next attempts fail without a check of the password, and
 * close the connection (server/limit.h).
 *
 * By the binary protocol a client may log in again. From the moment on that it tries to, nobody is
 * logged in, until the attempt went well.
 *
 * Includes: gate, net, proto.  Included by: server.
 * Threads:  a connection's worker.
 * Spec:     memcached 1.6.45, authentication.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "server/pass.h"

/* May this connection not yet do anything but log in? */
static inline bool login_wanted(const struct session_worker *worker, const struct net_io *io)
{
    return UNLIKELY(worker->login_required) && pass_user(*io->note) == 0;
}

/* Is this an attempt of a client that may have logged in before? */
static inline bool login_again(const struct session_worker *worker, const struct proto_request *req)
{
    return UNLIKELY(worker->login_required) && req->cmd >= PROTO_CMD_BIN_SASL_LIST &&
           req->cmd <= PROTO_CMD_BIN_SASL_STEP;
}

/* Take one attempt, or one message of it, off the input that is not used, and answer it. The
 * protocol is chosen. */
enum net_rc login_run(struct session_worker *worker, void **session, struct net_io *io);
