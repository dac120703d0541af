/* server/trace.h — -vv: each request and the first line of each answer on stderr, as memcached
 * prints them ("<28 get a", ">28 END").
 *
 * For people who watch a client at work. Values are never shown, nor is what a client of the text
 * protocol sends before it has logged in, so passwords are not either. Each worker prints at most
 * TRACE_LINES_PER_S lines and tells how many it left out.
 *
 * Includes: base, net, proto.  Included by: server.
 * Threads:  the connection's worker.
 * Cost:     one predictable branch per batch while it is off.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "server/session.h"

enum { TRACE_LINES_PER_S = 2000 };

/* Op of net: session_run(), traced when the level is -vv or above. */
enum net_rc trace_run(void *worker, void **session, struct net_io *io);
