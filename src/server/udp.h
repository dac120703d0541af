/* server/udp.h — the corridor of datagrams: what each of them becomes.
 *
 *     net: batch in ─► gate/rr: may it be answered? ─► gate: may that address? ─► proto: parse
 *          ─► gate/rr: may it be served? ─► cmd: run ─► frames, budgets ─► net: batch out
 *
 * One datagram is one request, whole, and nothing of it is left when its answer is. So there are no
 * sessions: a datagram has what it brings, and who sent it has proved his address with a cookie, or
 * is somebody whom the policy names, or gets no more than a challenge.
 *
 * Includes: base, cmd, gate, net, opt, proto.  Included by: server.
 * Threads:  a batch belongs to its worker; `struct udp` is made by the main thread before the
 *           workers run, and what changes later is shared safely (keys, vouchers).
 * Memory:   an answer of up to -o udp_answer_max, and a batch of them, per worker.
 * Spec:     docs/udp-rr.md.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "gate/keyring.h"
#include "gate/rr.h"
#include "gate/vouch.h"
#include "server/session.h"

enum { UDP_ERROR_BYTES = 512 };

struct udp_listener {
    struct gate_rr_policy policy;
    uint16_t port;
    bool text, binary; /* protocols that it serves */
};

/* What all workers share. */
struct udp {
    const struct opts *opts;
    struct opt_udp policy;
    struct udp_listener *listeners; /* numbered as net's; empty ones for those of TCP */
    size_t listener_count;
    struct gate_keyring keys;
    struct gate_vouch *vouch; /* NULL: the policy does not ask */
};

/* What a worker keeps for datagrams. */
struct udp_worker {
    struct udp *udp;
    struct gate_keyring_copy keys;
    struct out answer; /* of the one being served, without frames */
    uint32_t unix_s;   /* of this batch */
    uint64_t now_ms;
    struct proto_udp frame[NET_DATAGRAMS];
    struct gate_rr_verdict verdict[NET_DATAGRAMS];
};

/* Read policy and keys. Returns 0, or -errno with a line in ret_error[UDP_ERROR_BYTES];
 * -EKEYREJECTED: the keys cannot be used. Owns: udp_free(). */
MUST_USE int udp_new(const struct opts *opts, struct udp **ret_udp, char *ret_error);
void udp_free(struct udp *udp); /* NULL is fine */
/* Learn of a socket that takes datagrams: its number and what there is to know. Returns 0, or
 * -errno as udp_new(); -EPERM: it would serve unproven clients of all the world (R8). */
MUST_USE int udp_listener_add(struct udp *udp, size_t index, const struct net_listener_info *info,
                              char *ret_error);
/* Returns 0 or -ENOMEM. Owns: udp_worker_free(). */
MUST_USE int udp_worker_new(struct udp *udp, struct udp_worker **ret_worker);
void udp_worker_free(struct udp_worker *worker); /* NULL is fine */

/* In the listener's thread. */
/* Read the file of keys again. Returns as udp_new(); after a failure the keys are those of before.
 */
MUST_USE int udp_reload(struct udp *udp, char *ret_error);
void udp_tick(struct udp *udp);
/* A client has connected by TCP. */
void udp_vouch(struct udp *udp, const struct ip_peer *peer);

/* Op of net: answer a batch. `worker` is a struct session_worker. */
void udp_run(void *worker, struct net_datagrams *batch);
