/* server/note.h — security events of a connection: what happened, and where it came from.
 *
 * Includes: event, net.  Included by: server.
 * Threads:  the connection's worker.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "server/session.h"

/* Our port that the connection came in by; 0 where nothing is noted. */
uint16_t note_port(const struct session_worker *worker, const struct net_io *io);
/* Note `event` with the connection's two ends. */
void note_event(const struct session_worker *worker, const struct net_io *io, struct event event);
