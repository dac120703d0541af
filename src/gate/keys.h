/* gate/keys.h — do all keys that a request names lie where a user may go?
 *
 * Includes: base, proto, gate/rights.h.  Included by: gate.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "gate/rights.h"
#include "proto/request.h"

/* True when each of the keys begins with one of the prefixes (as gate_prefixes_cover() takes them),
 * and when the request has none. A key in base64 counts as what it stands for. */
MUST_USE bool gate_keys_covered(struct bytes prefixes, const struct proto_request *req);
