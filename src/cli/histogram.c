/* cli/histogram.c — times in buckets.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/histogram.h"

/* Up to 64 each value has a bucket; then each doubling has 32:
 *
 *    value 1 b4 b3 b2 b1 b0 x x x    shift 3: bucket 3 * 32 + (value >> 3)
 */
enum { SUB_BITS = 5, SUB = 1 << SUB_BITS };

static size_t bucket_of(uint64_t value)
{
    if (value < 2 * SUB)
        return (size_t)value;
    const unsigned shift = 63 - (unsigned)__builtin_clzll(value) - SUB_BITS;
    return shift * SUB + (size_t)(value >> shift);
}

/* The first value of a bucket; of the one behind the last, too. */
static double bucket_start(size_t bucket)
{
    if (bucket < 2 * SUB)
        return (double)bucket;
    const size_t shift = bucket / SUB - 1;
    double value = (double)(bucket - shift * SUB);
    for (size_t i = 0; i < shift; i++)
        value *= 2;
    return value;
}

void cli_histogram_add(struct cli_histogram *histogram, uint64_t value)
{
    histogram->counts[bucket_of(value)]++;
    if (histogram->total == 0 || value < histogram->min)
        histogram->min = value;
    if (value > histogram->max)
        histogram->max = value;
    histogram->total++;
    histogram->sum += value;
}

void cli_histogram_merge(struct cli_histogram *histogram, const struct cli_histogram *other)
{
    if (other->total == 0)
        return;
    for (size_t i = 0; i < CLI_HISTOGRAM_BUCKETS; i++)
        histogram->counts[i] += other->counts[i];
    if (histogram->total == 0 || other->min < histogram->min)
        histogram->min = other->min;
    if (other->max > histogram->max)
        histogram->max = other->max;
    histogram->total += other->total;
    histogram->sum += other->sum;
}

double cli_histogram_at(const struct cli_histogram *histogram, double share)
{
    const double wanted = share * (double)histogram->total;
    uint64_t seen = 0;
    for (size_t i = 0; i < CLI_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (histogram->counts[i] == 0 || (double)seen < wanted)
            continue;
        const double middle = i < 2 * SUB ? (double)i : (bucket_start(i) + bucket_start(i + 1)) / 2;
        const double max = (double)histogram->max, min = (double)histogram->min;
        return middle > max ? max : middle < min ? min : middle;
    }
    return 0;
}

double cli_histogram_mean(const struct cli_histogram *histogram)
{
    return histogram->total == 0 ? 0 : (double)histogram->sum / (double)histogram->total;
}

uint64_t cli_histogram_below(const struct cli_histogram *histogram, unsigned power)
{
    const size_t end = power <= SUB_BITS ? (size_t)1 << power : (power - SUB_BITS + 1) * SUB;
    uint64_t count = 0;
    for (size_t i = 0; i < end && i < CLI_HISTOGRAM_BUCKETS; i++)
        count += histogram->counts[i];
    return count;
}
