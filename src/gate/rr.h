/* gate/rr.h — the verdict on one datagram: nothing, a challenge, an answer, and how large at most.
 *
 *     gate_rr_arrive ─┬─► DROP
 *                     ├─► CHALLENGE ── a challenge left for its source? send it, else drop
 *                     └─► READ ── gate_rr_read ─┬─► DROP, MISS (answer END), REFUSE (its line)
 *                                               └─► SERVE ── run ── gate_rr_answer ─► send, or
 *                                                                    gate_rr_refuse
 *
 * The sentence that all of it is about: a source that has not proved its address never gets more
 * IP bytes than it sent, and an error or a legacy answer is strictly shorter than its request.
 * So nobody gains by naming somebody else as the source, and two servers cannot keep each other
 * busy. The order of checks is by cost: a frame and a few comparisons first, a mac only for a
 * PROVEN datagram that has passed all of those, a parser only for who may be answered.
 *
 * Includes: base, event, proto, gate/cookie.h, gate/class.h, tbl/udp_reasons.def.
 * Included by: server.  Pure: no socket, no clock, no state; what only the caller can know is in
 *           struct gate_rr_datagram.
 * Threads:  any.
 * Memory:   frames and requests point into the datagram.
 * Spec:     docs/udp-rr.md, rules R1 to R8.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "event/event.h"
#include "gate/cookie.h"
#include "proto/binary.h"
#include "proto/request.h"

enum {
    GATE_RR_KEYS_MAX = 64,
    GATE_RR_ANSWER_BYTES_DEFAULT = 64 * 1024,
    GATE_RR_IPV4_BYTES = 28, /* IP and UDP headers; a fragmented datagram counts one, too */
    GATE_RR_IPV6_BYTES = 48,
};

/* Who is served, as a set (R8). Empty: nobody. */
enum {
    GATE_RR_PROVEN = 1,   /* who speaks RR */
    GATE_RR_MISS = 2,     /* `get` of legacy clients is answered END */
    GATE_RR_VOUCHED = 4,  /* legacy clients that also have a TCP connection */
    GATE_RR_PREFIXES = 8, /* legacy clients in named prefixes */
    GATE_RR_OPEN = 16,    /* legacy clients, all */
};

struct gate_rr_policy {
    uint8_t serves;            /* GATE_RR_... */
    bool writes;               /* commands that write are offered (R6) */
    bool link_local;           /* the listener is bound to a link-local address */
    uint32_t answer_bytes_max; /* of one answer without its frames; more is refused (R5) */
};

/* A datagram, and what the caller knows of it. */
struct gate_rr_datagram {
    struct gate_cookie_ends ends; /* client: where it says that it comes from; server: where to */
    struct bytes bytes;           /* all of the UDP payload */
    bool source_ours;      /* the source is an address of this host, or a broadcast one of its nets;
                             * 127.0.0.0/8 and ::1 are known without it */
    bool destination_ours; /* it was sent to a unicast address of this host */
    bool vouched;          /* looked at for GATE_RR_VOUCHED */
    bool in_prefixes;      /* for GATE_RR_PREFIXES: and the prefix has bytes left */
};

enum gate_rr_reason {
    GATE_RR_REASON_NONE,
#define REASON(ID, ...) GATE_RR_REASON_##ID,
#include "tbl/udp_reasons.def"
    GATE_RR_REASON_COUNT
};

enum gate_rr_action {
    GATE_RR_DROP,            /* say nothing */
    GATE_RR_CHALLENGE,       /* answer a cookie, if the ledger has one left; else drop it, with
                              * GATE_RR_REASON_CHALLENGES */
    GATE_RR_READ,            /* gate_rr_arrive() only: go on with gate_rr_read() */
    GATE_RR_SERVE,           /* run the request */
    GATE_RR_SERVE_AND_RENEW, /* the same, and put a fresher cookie before the answer (FRESH) */
    GATE_RR_ANSWER_MISS,     /* answer END without a lookup */
    GATE_RR_REFUSE,          /* answer the reason's text, or status for a binary request */
};

enum gate_rr_trust {
    GATE_RR_TRUST_NONE,
    GATE_RR_TRUST_POLICY, /* unproven, but the policy has it served; its errors stay short */
    GATE_RR_TRUST_PROVEN,
};

struct gate_rr_verdict {
    enum gate_rr_action action;
    enum gate_rr_reason reason; /* worth an event, with any action; NONE: the usual */
    enum gate_rr_trust trust;
    bool v6;
    bool renew;
    uint32_t answer_bytes_max; /* the policy's */
    uint32_t ip_bytes_in;      /* with IP and UDP headers */
    uint32_t ip_bytes_max;     /* what may go out in all, likewise counted; DROP: 0 */
};

/* Judge a datagram by its frame, its ends and its cookie. Writes *ret_frame unless the reason is
 * SHORT, KIND or EXTENSION. CHALLENGE, as well: its cookie's nonce is what gate_cookie_make()
 * continues with. `now_s` is Unix time. */
MUST_USE struct gate_rr_verdict gate_rr_arrive(const struct gate_rr_policy *policy,
                                               const struct gate_cookie_keys *keys, uint32_t now_s,
                                               const struct gate_rr_datagram *in,
                                               struct proto_udp *ret_frame);

/* Read the one command that `payload` must be, whole, and judge it; `arrived` said READ. Writes
 * *ret_req unless the reason is MALFORMED. SERVE: a request with `error` is to be answered so. */
MUST_USE struct gate_rr_verdict gate_rr_read(const struct gate_rr_policy *policy,
                                             const struct gate_rr_verdict *arrived,
                                             struct bytes payload, struct proto_request *ret_req);

/* May this answer to what is to be SERVEd go out? `answer_bytes` are all of it, without frames;
 * `head` its beginning, at least 8 bytes of it if it has them. Returns NONE, or the reason to
 * gate_rr_refuse() with. */
MUST_USE enum gate_rr_reason gate_rr_answer(const struct gate_rr_verdict *verdict,
                                            struct bytes head, size_t answer_bytes);

/* The verdict when `reason` (BUDGET, or one of gate_rr_answer()) stands against it: REFUSE for a
 * proven source whose request wants answers, else DROP. */
MUST_USE struct gate_rr_verdict gate_rr_refuse(const struct gate_rr_verdict *verdict,
                                               const struct proto_request *req,
                                               enum gate_rr_reason reason);

/* IP bytes of an answer of that many bytes, cut into datagrams; `fresh`: with a cookie in the first
 * one. An empty answer is one datagram. */
size_t gate_rr_ip_bytes(bool v6, size_t answer_bytes, bool fresh);
/* Datagrams of it. */
size_t gate_rr_datagrams(size_t answer_bytes, bool fresh);

/* Of a reason's row. */
const char *gate_rr_reason_name(enum gate_rr_reason reason);
const char *gate_rr_reason_text(enum gate_rr_reason reason); /* without line end; "": none */
enum proto_status gate_rr_reason_status(enum gate_rr_reason reason);
enum event_type gate_rr_reason_event(enum gate_rr_reason reason); /* not of NONE */
