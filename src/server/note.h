/* server/note.h — security events of a connection: what happened, and where it came from.
 *
 * Includes: event, net.  Included by: server.
 * Threads:  the connection's worker.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "server/session.h"

/* Note `event` with the connection's two ends. */
void note_event(const struct session_worker *worker, const struct net_io *io, struct event event);
