/* bench/hist.c — see hist.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "hist.h"

static uint64_t bucket_upper_edge(unsigned index)
{
    unsigned shift = index >> HIST_SUB_BITS;
    if (shift == 0)
        return index;
    shift--; /* the index's high part counts the leading one of its own octave */
    uint64_t top = index - ((uint64_t)shift << HIST_SUB_BITS);
    return ((top + 1) << shift) - 1;
}

uint64_t hist_quantile(const struct hist *hist, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)hist->count);
    uint64_t seen = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += hist->bucket[i];
        if (seen > wanted) {
            uint64_t edge = bucket_upper_edge(i);
            return edge < hist->max_ns ? edge : hist->max_ns;
        }
    }
    return hist->max_ns;
}
