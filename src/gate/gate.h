/* gate/gate.h — who may do what: the rules of the server's files, asked by its threads, read anew
 * while they ask.
 *
 * All that the files say is one set of rules, which is replaced as a whole (gate_reload) or not at
 * all. Whoever keeps an answer keeps gate_generation() with it, and asks again when
 * that is another.
 *
 * Includes: base, proto.  Included by: server.
 * Threads:  gate_new(), gate_free() while no other thread asks; gate_reload() in one thread at a
 *           time; questions in any, each with a slot of its own.
 * Memory:   one set of rules, two during a reload.
 * I/O:      reads the files, in gate_new() and gate_reload(); no log.
 * Spec:     memcached 1.6.45, authentication; the rest is ours.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "base/ip.h"
#include "base/out.h"
#include "gate/access.h"
#include "gate/class.h"

struct gate;
struct gate_exchange; /* a login by SCRAM between two messages */

enum { GATE_ERROR_BYTES = 512, GATE_GENERATION_MAX = 1023 };
enum { GATE_SCRAM_END_BYTES = 46, GATE_USER_NAME_MAX = 255 };

struct gate_config {
    const char *files[2];     /* of users, see gate/users.h; NULL: none. Borrowed, as all texts. */
    unsigned slots;           /* how many threads ask */
    const char *deny, *allow; /* the access list: prefixes denied, then prefixes allowed, then... */
    const char *access_file;  /* ...this file, see gate/access.h. NULL: none of it */
    /* Protected mode: without users and access list, only clients of this machine come in, and
     * those who have shown a certificate. */
    bool protect;
};

/* Read the files. Without a file of users nobody has to log in. Returns 0, or -errno with a line
 * without its end in ret_error[GATE_ERROR_BYTES], which names file, line and what is wrong but
 * quotes nothing. Owns: gate_free(). */
MUST_USE int gate_new(const struct gate_config *config, struct gate **ret_gate, char *ret_error);
/* Overwrites what it held. NULL is fine. */
void gate_free(struct gate *gate);
/* Before the first question about an address: what clients come in by, as those questions number
 * it. Returns as gate_new(). */
MUST_USE int gate_listeners_set(struct gate *gate, const struct gate_listener *listeners,
                                size_t count, char *ret_error);

/* Read the files again. Returns as gate_new(); after a failure the rules are those of before. Waits
 * for questions under way, which take microseconds. */
MUST_USE int gate_reload(struct gate *gate, char *ret_error);

/* What of the config may be changed by a reload. Borrowed until the next one, once committed. */
struct gate_lists {
    const char *deny, *allow, *access_file;
    bool protect;
};

struct gate_update; /* a set of rules that is not in force yet */

/* A reload in two steps, for whoever has to change other things with it, or nothing: read the files
 * with these lists (NULL: as they are). Returns as gate_new(), and changes nothing.
 * Owns: gate_commit() or gate_discard(). */
MUST_USE int gate_prepare(struct gate *gate, const struct gate_lists *lists,
                          struct gate_update **ret_update, char *ret_error);
/* Put it in force. As gate_reload(), which is both steps; cannot fail. */
void gate_commit(struct gate *gate, struct gate_update *update);
void gate_discard(struct gate_update *update); /* NULL is fine */

/* ── questions ────────────────────────────────────────────────────────────────────────────── */
/* `slot` < config.slots is the calling thread's. */

/* Of the present rules: 1..GATE_GENERATION_MAX, another one after each reload. A thread
 * that sees it late has asked late. */
uint32_t gate_generation(const struct gate *gate);

/* Does anybody have to log in at all? */
bool gate_login_required(const struct gate *gate);

/* The id of the user with this name and password, from 1 to GATE_USERS_MAX; 0: there is none, or
 * not with this password. Its time tells neither (gate/users.h says why). Of a hashed user it takes
 * 0.1 to 0.3 ms per 1000 iterations, unless it has gone well in this thread
 * before. */
MUST_USE uint16_t gate_check(struct gate *gate, unsigned slot, struct bytes name,
                             struct bytes password);

/* A login by SCRAM-SHA-256. Take the client's first message; *ret_answer is what to answer, and
 * points into the exchange. Returns NULL when it is malformed, or for want of memory.
 * Owns: gate_exchange_free(). */
MUST_USE struct gate_exchange *gate_scram_begin(struct gate *gate, unsigned slot,
                                                struct bytes message, struct bytes *ret_answer);
/* Take the final message. Returns true when it proves who the client is, and writes what to answer,
 * GATE_SCRAM_END_BYTES bytes; false: the exchange is over. */
MUST_USE bool gate_scram_prove(struct gate *gate, unsigned slot, struct gate_exchange *exchange,
                               struct bytes message, uint8_t *ret_answer);
/* Has it gone so far? */
bool gate_scram_is_proven(const struct gate_exchange *exchange);
/* Take what follows: nothing, when the client has accepted our proof. Returns the user's id; 0: he
 * is not logged in. Either way the exchange is over. */
MUST_USE uint16_t gate_scram_end(struct gate *gate, unsigned slot, struct gate_exchange *exchange,
                                 struct bytes message);
/* Who it claims to be. Borrowed from the exchange. */
struct bytes gate_exchange_name(const struct gate_exchange *exchange);
/* Overwrites what it held. NULL is fine. */
void gate_exchange_free(struct gate_exchange *exchange);

/* Copy a user's name to `dst[GATE_USER_NAME_MAX]`. Returns its length; 0: there is no such user. */
size_t gate_user_name(struct gate *gate, unsigned slot, uint16_t user, uint8_t *dst);

/* What a user may do (GATE_READ...); 0: there is no such user (any more). *ret_confined: only with
 * certain keys, see gate_user_may_touch(). */
MUST_USE uint8_t gate_user_classes(struct gate *gate, unsigned slot, uint16_t user,
                                   bool *ret_confined);
/* May this user, who is confined, touch all the keys of the request? */
MUST_USE bool gate_user_may_touch(struct gate *gate, unsigned slot, uint16_t user,
                                  const struct proto_request *req);

/* What a client at this address may do that came in by this listener (net_io.listener): classes; 0:
 * nothing at all. To be asked once per connection or datagram: it counts hits of rules. */
MUST_USE uint8_t gate_address_classes(struct gate *gate, unsigned slot, unsigned listener,
                                      const struct ip_peer *peer);

enum gate_verdict {
    GATE_WELCOME,
    GATE_PROTECTED, /* refused by protected mode */
    GATE_DENIED,    /* by the access list */
};

/* May it come in at all? Counts hits only when it may not, for then nobody asks again. */
MUST_USE enum gate_verdict gate_admit(struct gate *gate, unsigned slot, unsigned listener,
                                      const struct ip_peer *peer);

/* Why an address was refused one of these classes, for security events: a rule of the list, or
 * "protected mode". Borrowed until the slot's next call. */
const char *gate_explain(struct gate *gate, unsigned slot, unsigned listener,
                         const struct ip_peer *peer, uint8_t classes);
/* 0: a unix socket. */
uint16_t gate_listener_port(const struct gate *gate, unsigned listener);

/* ── seen from outside ────────────────────────────────────────────────────────────────────── */

/* Number of users, and of rules for addresses. In the thread that reloads. */
size_t gate_user_count(const struct gate *gate);
size_t gate_rule_count(const struct gate *gate);
/* Is there an access list, and no rule in it that allows anything? */
bool gate_admits_nobody(const struct gate *gate);
/* Is protected mode not switched off? */
bool gate_is_protected(const struct gate *gate);
/* Is there an access list, be it empty? */
bool gate_has_access(const struct gate *gate);
/* Tell of each rule that can never decide, up to `max`, as a line without its end. Likewise. */
void gate_dead_each(const struct gate *gate, size_t max, void (*each)(const char *line));
/* `stats access`: the rules with their hits since they were read. Any thread; a reload waits. */
void gate_print(struct gate *gate, struct out *out);
