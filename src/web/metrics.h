/* web/metrics.h — figures as Prometheus reads them.
 *
 * Rows of tbl/metrics.def, stats.def (with the prefix matte_) and events.def.
 *
 * Includes: stat, event, store.  Included by: web.  Pure.
 * Spec:     Prometheus text format 0.0.4; docs/metrics.md lists all names.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/out.h"
#include "web/facts.h"

void metrics_write(struct out *out, const struct web_facts *facts);
