/* gate/limit.h — the limits per address and prefix: what they are, whom they concern, how often
 * each was reached.
 *
 * Each has a ledger of its own (gate/ledger.h), so that forged datagrams cannot push out what is
 * known of proven sources, nor these what is known of connections.
 *
 *                      asked                         over it
 *     REQUESTS, BYTES  before a batch of requests    the connection waits (gate_limit_wait_ms)
 *     CONNS            when a client comes in        closed
 *     LOGINS           before a password is checked  fails without a check, and closed
 *     UDP_CHALLENGES   before a challenge is sent    no answer
 *     UDP_BYTES        before an answer is sent      a short refusal instead
 *     UDP_LEGACY       likewise, to who proved       no answer
 *                      nothing
 *
 * A unix socket has no address and no limits. Trusted prefixes have those of LOGINS,
 * UDP_CHALLENGES and UDP_LEGACY only: guessing passwords is never wanted, and a datagram's source
 * may be forged.
 * In a dry run everything but UDP_CHALLENGES and UDP_LEGACY fits, and what would not have is
 * counted and noted all the same.
 *
 * Includes: base, opt, event.  Included by: server.
 * Threads:  one gate_limiter per thread.
 * Memory:   GATE_LEDGER_BYTES for each limit, as far as it is used; no call after
 *           gate_limits_new() allocates.
 * Spec:     docs/limits.md.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/ip.h"
#include "base/out.h"
#include "event/event.h"
#include "opt/opt.h"

enum gate_limit {
    GATE_LIMIT_REQUESTS,
    GATE_LIMIT_BYTES,
    GATE_LIMIT_CONNS,
    GATE_LIMIT_LOGINS,
    GATE_LIMIT_UDP_CHALLENGES,
    GATE_LIMIT_UDP_BYTES,
    GATE_LIMIT_UDP_LEGACY, /* a ledger of its own: forged sources must not use up the budget of
                            * the proven */
    GATE_LIMITS
};

enum { GATE_LIMIT_WAIT_MS_MAX = 1000 }; /* then it is looked at anew */

struct gate_limits;  /* all of them, shared by the threads */
struct gate_limiter; /* one thread's */

/* Make what the options say, for `threads` threads. Returns 0, or -errno with a line in
 * ret_error[GATE_ERROR_BYTES]. Owns: gate_limits_free(). */
MUST_USE int gate_limits_new(const struct opts *opts, unsigned threads,
                             struct gate_limits **ret_limits, char *ret_error);
void gate_limits_free(struct gate_limits *limits); /* NULL is fine */
/* Take the rates and limit_dry_run of these options from now on; gate_limit_concerns() may say
 * something else then. Any thread, one at a time. */
void gate_limits_change(struct gate_limits *limits, const struct opts *opts);
/* The limiter of one thread, which notes into `events` (NULL: nowhere). Before the thread runs. */
struct gate_limiter *gate_limiter_of(struct gate_limits *limits, unsigned thread,
                                     struct event_source *events);

/* Who asks, and for the events, where. */
struct gate_limit_ends {
    const struct ip_peer *from;
    const struct ip *to; /* ours; NULL: not known */
    uint16_t to_port;    /* ours; 0: not known */
};

/* ── questions ────────────────────────────────────────────────────────────────────────────── */
/* `now_ms` is of a clock that does not go back. What is over is counted and noted here. */

/* May `ends->from` have `cost` more of this? Charges it then. */
MUST_USE bool gate_limit_take(struct gate_limiter *limiter, enum gate_limit limit,
                              const struct gate_limit_ends *ends, uint32_t cost, uint64_t now_ms);

/* Is what a connection of `peer` does limited at all (REQUESTS, BYTES)? Always the same answer,
 * until gate_limits_change(). */
MUST_USE bool gate_limit_concerns(const struct gate_limiter *limiter, const struct ip_peer *peer);
/* How long has such a connection to wait before it may go on? 0..GATE_LIMIT_WAIT_MS_MAX. */
MUST_USE uint32_t gate_limit_wait_ms(struct gate_limiter *limiter,
                                     const struct gate_limit_ends *ends, uint64_t now_ms);
/* It has had these. */
void gate_limit_used(struct gate_limiter *limiter, const struct ip_peer *peer, uint32_t requests,
                     uint64_t bytes, uint64_t now_ms);

/* May `ends->from` try to log in? Charges nothing: only a failed attempt counts. */
MUST_USE bool gate_limit_login(struct gate_limiter *limiter, const struct gate_limit_ends *ends,
                               uint64_t now_ms);
void gate_limit_login_failed(struct gate_limiter *limiter, const struct ip_peer *peer,
                             uint64_t now_ms);

/* ── seen from outside ────────────────────────────────────────────────────────────────────── */
/* Any thread. */

/* `STAT name value` lines for `stats limits`. */
void gate_limits_print(struct gate_limits *limits, struct out *out, uint64_t now_ms);
/* Count from 0 again; nobody's bucket is emptied. */
void gate_limits_reset(struct gate_limits *limits);
