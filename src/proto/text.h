/* proto/text.h — parser of the text protocol, classic and meta: a line in, a request out.
 *
 * Includes: base, proto/request.h.  Included by: gate, server.
 *           Pure: no socket, no store, no clock.
 * Threads:  any.
 * Memory:   none of its own; the request points into the input.
 * Spec:     memcached doc/protocol.txt; lines end in LF or CR LF; the space is the only separator.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "proto/request.h"

/* Parse one line at the start of `in`. The line's bytes, line end included, are counted in
 * *ret_used (PROTO_OK only); a data block, when req->has_value, begins there. PROTO_MORE writes
 * nothing.
 * A request with `error` and `has_value` is answered after its data block has been swallowed. */
MUST_USE enum proto_rc proto_text_parse(struct bytes in, struct proto_request *ret_req,
                                        size_t *ret_used);

/* Where the key of a line is, most probably: between its first space and the next. A hint, for
 * fetching memory ahead; it checks nothing, and is empty when there is none. */
struct bytes proto_text_key_peek(struct bytes in);
