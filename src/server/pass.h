/* server/pass.h — what a connection may do: the classes of its address and of its user.
 *
 * The answer is kept in the connection's note with the generation of the rules that it was made
 * from, so that a batch costs two looks at a word: is it current, and is anything withheld at all?
 * After a reload it is made anew with the next bytes that arrive.
 *
 *     bits of the note, from the top: generation 10, user 14, classes of the address 4, limited 1,
 *     restricted 1, protocol 2
 *
 * Includes: gate, net, proto.  Included by: server.
 * Threads:  a connection's worker.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "server/session.h"

enum {
    PASS_RESTRICTED = 4,    /* each request has to be looked at: pass_judge() */
    PASS_LIMITED = 8,       /* the limiter counts what it does */
    PASS_CLASSES_SHIFT = 4, /* GATE_READ... */
    PASS_USER_SHIFT = 8,    /* who has logged in (gate_check); 0: nobody */
    PASS_GENERATION_SHIFT = 22,
};

static inline uint16_t pass_user(uint32_t note)
{
    return note >> PASS_USER_SHIFT & 0x3fff;
}

static inline bool pass_is_current(const struct session_worker *worker, uint32_t note)
{
    return note >> PASS_GENERATION_SHIFT == worker->generation;
}

/* Make it anew; a user who is no more is logged out. Returns false when the address may do nothing
 * any more: close. */
MUST_USE bool pass_renew(const struct session_worker *worker, const struct net_io *io);

/* Op of net: after a reload, about a connection that may be silent. */
bool pass_may_stay(void *worker, const struct net_io *io);

/* Somebody has logged in, or out (0). */
void pass_user_set(const struct session_worker *worker, const struct net_io *io, uint16_t user);

/* The server is being drained because this connection has said so: it stays, to administrate. */
void pass_late_set(const struct session_worker *worker, const struct net_io *io);

/* Of a restricted connection: a request that it may not send gets the refusal as its `error`, so
 * that cmd_run() answers just that. */
void pass_judge(const struct session_worker *worker, const struct net_io *io,
                struct proto_request *req);
