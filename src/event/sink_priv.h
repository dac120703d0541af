/* event/sink_priv.h — what sink.c and open.c share.
 *
 * Includes: base.  Included by: event.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "event/sink.h"

/* Open what is not open. Returns 0 or -errno. */
MUST_USE int event_sink_open(struct event_sink *sink);
/* It does not work: say so once, and wait before the next try. */
void event_sink_fail(struct event_sink *sink, uint64_t now_ms, int error);
