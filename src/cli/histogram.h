/* cli/histogram.h — times in buckets that are 3 % wide or less, however long they are.
 *
 * Includes: base.  Included by: cli and its tests.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/bytes.h"

enum { CLI_HISTOGRAM_BUCKETS = 60 * 32 };

struct cli_histogram {
    uint64_t counts[CLI_HISTOGRAM_BUCKETS];
    uint64_t total, sum, min, max; /* min: of what there is; 0 when nothing is */
};

void cli_histogram_add(struct cli_histogram *histogram, uint64_t value);
void cli_histogram_merge(struct cli_histogram *histogram, const struct cli_histogram *other);
/* The value that `share` (0..1) of all do not exceed, to 3 %; 0 when there are none. */
double cli_histogram_at(const struct cli_histogram *histogram, double share);
double cli_histogram_mean(const struct cli_histogram *histogram);
/* How many are below 2^power. */
uint64_t cli_histogram_below(const struct cli_histogram *histogram, unsigned power);
