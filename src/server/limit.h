/* server/limit.h — where connections meet the limits of gate/limit.h. (That of new connections
 * is asked in arrive.c.)
 *
 *     a batch           ─► limit_begin  ─► over: its connection waits, nothing is lost
 *       has been run    ─► limit_end       charges what it has cost
 *     a login           ─► limit_login  ─► over: fails unchecked, closed
 *
 * Requests and bytes are looked at before a batch and charged for behind it. So the limits cost a
 * few looks at the ledgers per batch, not per request, and one branch where none concerns the
 * connection (PASS_LIMITED). A batch may exceed the burst; the next one waits the longer. What has
 * begun is brought to its end: a value that arrives in pieces, an answer in several steps.
 *
 * Includes: base, gate, net.  Included by: server.
 * Threads:  a connection's worker.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "server/session.h"

/* May this limited connection run a batch now? Returns false when it has to wait io->pause_ms;
 * never when something is `under_way`. */
MUST_USE bool limit_begin(struct session_worker *worker, struct net_io *io, bool under_way);
/* It has been run. */
void limit_end(struct session_worker *worker, const struct net_io *io);

/* May this client try a password? */
MUST_USE bool limit_login(struct session_worker *worker, const struct net_io *io);
void limit_login_failed(struct session_worker *worker, const struct net_io *io);
