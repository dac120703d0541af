/* gate/access.h — access lists: which address may do what, and by which listener.
 *
 *     allow|deny ADDRESS[/BITS]|all [on LISTENER] [CLASS[,CLASS...]]
 *
 *   LISTENER  a port, ADDRESS:PORT, [IPv6]:PORT, tcp, udp or unix; without it tcp and udp
 *   CLASS     read, write, flush_prefix, admin (gate/class.h); without it all of them
 *
 * A rule per line; `#` begins a comment. For each class the first rule that matches decides, and
 * what no rule matches is denied. A unix socket has no addresses: only rules `on unix` are about
 * it; without any, all is allowed there, for its file's permissions say who may come in. `all` is
 * every address, while ::/0 is every one of IPv6 and 0.0.0.0/0 every one of IPv4.
 *
 *     gate_access_new ─► gate_access_add ... ─► gate_access_seal ─► gate_access_ask ...
 *
 * Prefixes are nested or disjoint. So per group of listeners that the same rules are about, a list
 * becomes at most two intervals of addresses per rule, sorted, each with the rules that decide in
 * it: a question is one binary search, however long the list is.
 *
 * Includes: base, gate/class.h.  Included by: gate.  Pure: no file, no log.
 * Threads:  one until it is sealed; then any number, each with a slot of its own.
 * Memory:   60 bytes per rule, up to 72 per rule and group of listeners, 8 per rule and slot (the
 *           last only of rules that have been hit, page by page).
 * Spec:     docs/access.md.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "base/ip.h"
#include "gate/class.h"

enum {
    GATE_RULES_MAX = 1 << 20,
    GATE_RULE_TEXT_BYTES = 160, /* a rule as text, with its NUL */
    GATE_WHAT_BYTES = 160,
};

enum gate_transport { GATE_TCP, GATE_UDP, GATE_UNIX };

/* A socket that clients come in by. */
struct gate_listener {
    enum gate_transport transport;
    struct ip ip; /* bound to; unspecified: all addresses of the machine */
    uint16_t port;
    bool certified; /* its clients show certificates, see gate.h */
};

/* Where a rule stands. */
enum gate_source { GATE_SOURCE_FILE, GATE_SOURCE_ALLOW, GATE_SOURCE_DENY }; /* -o allow=, deny= */

/* Why a list was refused. */
struct gate_mistake {
    size_t line;   /* from 1 (of options: which prefix); 0: it concerns no single rule */
    size_t column; /* from 1, in bytes */
    char what[GATE_WHAT_BYTES];
};

struct gate_access;

/* An empty list for `slots` askers. Returns 0 or -ENOMEM. Owns: gate_access_free(). */
MUST_USE int gate_access_new(unsigned slots, struct gate_access **ret_access);
void gate_access_free(struct gate_access *access); /* NULL is fine */

/* Add rules behind those there are: those of a file, or of an option (prefixes with '+' or ','
 * between them). Returns 0; -EINVAL with *ret_mistake; -ENOMEM. After a failure the list is only
 * good for gate_access_free(). */
MUST_USE int gate_access_add(struct gate_access *access, enum gate_source source, struct bytes text,
                             struct gate_mistake *ret_mistake);

/* Nothing more is added. Questions name a listener by its place in `listeners`, which are copied.
 * Returns 0; -EINVAL: a rule is about a port or an address that nobody listens on; -ENOMEM. */
MUST_USE int gate_access_seal(struct gate_access *access, const struct gate_listener *listeners,
                              size_t count, struct gate_mistake *ret_mistake);

/* ── questions ────────────────────────────────────────────────────────────────────────────── */

/* The classes that a peer is allowed who has come by that listener. */
MUST_USE uint8_t gate_access_look(const struct gate_access *access, unsigned listener,
                                  const struct ip_peer *peer);
/* Likewise, and count a hit for each rule that had a say. */
MUST_USE uint8_t gate_access_ask(const struct gate_access *access, unsigned slot, unsigned listener,
                                 const struct ip_peer *peer);
/* The rule that decides about the first of `classes` that is denied, as text; "nothing allows it"
 * when there is none. */
void gate_access_explain(const struct gate_access *access, unsigned listener,
                         const struct ip_peer *peer, uint8_t classes,
                         char ret_text[GATE_RULE_TEXT_BYTES]);

size_t gate_access_count(const struct gate_access *access);
/* Is there a rule that allows anything? */
bool gate_access_allows(const struct gate_access *access);

/* Where a rule stands: the file's line, or which prefix of the option, from 1. */
struct gate_place {
    enum gate_source source;
    uint32_t line;
};

/* A rule, seen from outside. */
struct gate_rule_info {
    struct gate_place place;
    uint64_t hits;            /* connections and datagrams, see gate_access_ask() */
    bool dead;                /* it never decides, for earlier rules match all that it does: */
    struct gate_place killer; /* the one that matches its first address */
    char text[GATE_RULE_TEXT_BYTES]; /* in the one way to write it */
};

/* The rule with that index, below gate_access_count(). */
void gate_access_get(const struct gate_access *access, size_t index,
                     struct gate_rule_info *ret_info);
/* How often no rule matched for some class. */
uint64_t gate_access_default_hits(const struct gate_access *access);
