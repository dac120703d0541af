/* web/json.h — JSON from what statistics print.
 *
 * Includes: base.  Included by: web.  Pure.
 * Spec:     RFC 8259. What is no UTF-8 is written as U+00XX per byte, so a text is always valid.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/bytes.h"
#include "base/out.h"

/* `text` with its quotes. Also '<', '>' and '&' are escaped, so that not even a reader that takes
 * the answer for HTML finds a tag. */
void json_string(struct out *out, struct bytes text);
/* Lines `STAT name value` as {"name":value,...}: what JSON takes for a number of up to 15 digits is
 * one, all else a text. Other lines are left out. */
void json_rows(struct out *out, struct bytes lines);
/* Lines of five columns with tabs between them as an array of objects (web_ops.reachable). */
void json_reachable(struct out *out, struct bytes lines);
