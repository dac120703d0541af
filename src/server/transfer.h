/* server/transfer.h — values and requests that take more than one read or one send.
 *
 *     UPLOAD ──value (text: and CR LF) is there──► stored, answered
 *       │ the store has no memory any more
 *       ▼
 *     SWALLOW ──all of the data block has passed──► answered
 *     SUSPENDED ──answers so far are sent──► runs on
 *     WATCHING ──a turn, or room in the socket──► more lines of the log, until the client leaves
 *     LOGIN ──the next message──► server/login.h takes the exchange, and goes on with it or not
 *
 * When the rules change while a connection is in one of the first four, what it does is judged
 * anew, at the latest before a value that has arrived is stored; if it may not do that any more the
 * connection is closed.
 *
 * Includes: cmd, gate, net.  Included by: server.
 * Threads:  a session belongs to its connection's worker.
 * Memory:   one session per connection in such a state, freed with its end; a value takes the
 *           store's memory.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "server/session.h"

struct gate_exchange;

/* Begin with a value that will not fit the read buffer: from io->used on it goes to the store (or
 * nowhere) as it comes. */
enum net_rc transfer_upload(struct session_worker *worker, void **session, struct net_io *io,
                            const struct proto_request *req);
/* Remember a request that stopped because of much output. Its line of `line_bytes` stays unused in
 * the input until it is done, for it points there. */
enum net_rc transfer_suspend(struct session_worker *worker, void **session,
                             struct proto_request *req, size_t line_bytes);
/* Answer with what the log tells from now on, and do not heed the input any more. */
enum net_rc transfer_watch(struct session_worker *worker, void **session);
/* Remember a login between two messages; takes the exchange over. Returns false, with the exchange
 * freed, for want of memory. */
MUST_USE bool transfer_login(void **session, struct gate_exchange *exchange);
/* Give the exchange of such a login back, and end the session; NULL: there is none. */
struct gate_exchange *transfer_login_take(void **session);
/* A command has ended the connection; why is in its context. */
enum net_rc transfer_close(struct session_worker *worker, struct net_io *io);
/* Go on with what was begun; ends the session when that is done. */
enum net_rc transfer_resume(struct session_worker *worker, void **session, struct net_io *io);

/* Ops of net. */
uint8_t *transfer_space(void *worker, void *session, size_t *ret_len, bool *ret_last);
enum net_rc transfer_filled(void *worker, void *session, size_t len);
void transfer_gone(void *worker, void *session);
