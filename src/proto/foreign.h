/* proto/foreign.h — the first bytes of clients that speak something else: scanners, wrong ports,
 * and those who make a browser or a web server send commands for them.
 *
 * A request of HTTP that carries lines of our protocol in its body is the reason to close such a
 * connection rather than to answer ERROR to each of its lines.
 *
 * Includes: base.  Included by: server.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum proto_foreign {
    PROTO_FOREIGN_NO,
    PROTO_FOREIGN_MAYBE, /* all of `in` is the beginning of one; there is no line's end in it */
    PROTO_FOREIGN_YES,
};

/* Look at the first bytes of a connection (at least one). YES: *ret_name is what it speaks, for
 * ever. What begins like a command of ours, or like anything that memcached answers with more than
 * ERROR, is NO. */
MUST_USE enum proto_foreign proto_foreign_recognise(struct bytes in, const char **ret_name);
