/* SPDX-License-Identifier: BSD-3-Clause */
#include "stat/hist.h"

#include "stat/stat.h"

const struct stat_hist_row stat_hist_rows[STAT_HIST_COUNT] = {
#define HISTOGRAM(id, unit_, name_, metric_, labels_, help_)                                       \
    [STAT_HIST_##id] = {.unit = STAT_HIST_UNIT_##unit_,                                            \
                        .name = name_,                                                             \
                        .metric = metric_,                                                         \
                        .labels = labels_,                                                         \
                        .help = help_},
#include "tbl/histograms.def"
};

/* ── buckets ──────────────────────────────────────────────────────────────────────────────── */

uint64_t stat_hist_least(unsigned bucket)
{
    enum { PER_DOUBLING = 1 << STAT_HIST_SUB_BITS };
    if (bucket < 2 * PER_DOUBLING)
        return bucket;
    const unsigned shift = bucket / PER_DOUBLING - 1;
    return (uint64_t)(PER_DOUBLING + bucket % PER_DOUBLING) << shift;
}

uint64_t stat_hist_greatest(unsigned bucket)
{
    return bucket + 1 < STAT_HIST_BUCKETS ? stat_hist_least(bucket + 1) - 1 : UINT64_MAX;
}

/* ── sums ─────────────────────────────────────────────────────────────────────────────────── */

void stat_hist_collect(struct stat_hist_sum *sum, const struct stat_hist *hist)
{
    for (unsigned i = 0; i < STAT_HIST_BUCKETS; i++) {
        const uint64_t count = atomic_load_explicit(&hist->bucket[i], memory_order_relaxed);
        sum->bucket[i] += count;
        sum->count += count;
    }
    sum->sum += atomic_load_explicit(&hist->sum, memory_order_relaxed);
    const uint64_t max = atomic_load_explicit(&hist->max, memory_order_relaxed);
    if (max > sum->max)
        sum->max = max;
}

void stat_hist_subtract(struct stat_hist_sum *sum, const struct stat_hist_sum *earlier)
{
    uint64_t bound = 0;
    for (unsigned i = 0; i < STAT_HIST_BUCKETS; i++) {
        sum->bucket[i] -= earlier->bucket[i];
        if (sum->bucket[i] > 0)
            bound = stat_hist_greatest(i);
    }
    sum->count -= earlier->count;
    sum->sum -= earlier->sum;
    if (sum->max > bound)
        sum->max = bound;
}

uint64_t stat_hist_at_most(const struct stat_hist_sum *sum, uint64_t value)
{
    uint64_t count = 0;
    for (unsigned i = 0; i <= stat_hist_bucket(value); i++)
        count += sum->bucket[i];
    return count;
}

double stat_hist_quantile(const struct stat_hist_sum *sum, double q)
{
    const double wanted = q * (double)sum->count;
    uint64_t below = 0;
    for (unsigned i = 0; i < STAT_HIST_BUCKETS; i++) {
        const uint64_t count = sum->bucket[i];
        if (count == 0 || (double)(below + count) < wanted) {
            below += count;
            continue;
        }
        const double least = (double)stat_hist_least(i), max = (double)sum->max;
        const double width = (double)stat_hist_greatest(i) - least;
        const double value = least + width * ((wanted - (double)below) / (double)count);
        return value < max ? value : max;
    }
    return (double)sum->max;
}

/* ── `stats latency` ──────────────────────────────────────────────────────────────────────── */

static void put_value(struct out *out, const struct stat_hist_row *row, const char *what,
                      double value)
{
    if (row->unit == STAT_HIST_UNIT_TIME)
        out_printf(out, "STAT %s:%s_us %.1f\r\n", row->name, what, value / 1000);
    else
        out_printf(out, "STAT %s:%s %.0f\r\n", row->name, what, value);
}

void stat_print_hists(struct out *out, const struct stat_hist_sum sum[STAT_HIST_COUNT])
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};
    for (size_t id = 0; id < STAT_HIST_COUNT; id++) {
        const struct stat_hist_row *row = &stat_hist_rows[id];
        const uint64_t count = sum[id].count;
        out_printf(out, "STAT %s:count %llu\r\n", row->name, (unsigned long long)count);
        put_value(out, row, "mean", count > 0 ? (double)sum[id].sum / (double)count : 0);
        for (size_t i = 0; i < COUNT_OF(quantiles); i++)
            put_value(out, row, quantiles[i].name, stat_hist_quantile(&sum[id], quantiles[i].q));
        put_value(out, row, "max", (double)sum[id].max);
    }
}
