/* gate/attempt.h — parsers of what a client sends in order to log in.
 *
 *   text     set ANYKEY f e BYTES CR LF          SASL PLAIN   [authzid] NUL user NUL password
 *            user SP password CR LF
 *
 * Includes: base, proto.  Included by: server.  Pure.
 * Threads:  any.
 * Memory:   an attempt points into the input; nothing is kept between two calls, so that nothing
 *           of a failed attempt can count for the next.
 * Spec:     memcached 1.6.45, authentication; RFC 4616 (PLAIN).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "proto/compose.h"
#include "proto/request.h"

enum {
    GATE_LINE_BYTES_MAX = 2048, /* of the `set` line, without its LF */
    GATE_LINE_BYTES_MIN = 6,    /* no login is that short; neither is the line */
};

struct gate_attempt {
    struct bytes name, password;
    enum proto_reply refusal; /* GATE_TEXT_REFUSED */
};

enum gate_text_rc {
    GATE_TEXT_ATTEMPT, /* name and password are to be checked */
    GATE_TEXT_REFUSED, /* this is no login, answer `refusal` */
    GATE_TEXT_MORE,    /* so far it is the beginning of one */
    GATE_TEXT_CLOSE,   /* not worth an answer */
};

/* Read one attempt at the start of `in`. ATTEMPT and REFUSED: the bytes that it took are counted in
 * *ret_used. MORE never asks for more than GATE_LINE_BYTES_MAX + PROTO_LOGIN_BYTES_MAX + 3. */
MUST_USE enum gate_text_rc gate_text_parse(struct bytes in, struct gate_attempt *ret_attempt,
                                           size_t *ret_used);

/* Read a PLAIN message. Returns false when it is malformed, or asks to act for somebody else than
 * the one who logs in. */
MUST_USE bool gate_plain_parse(struct bytes message, struct gate_attempt *ret_attempt);
