/* bench/dist.c — see dist.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "dist.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The integral of x^-exponent from 1 to x; log x where the exponent is 1. */
static double zipf_integral(double x, double exponent)
{
    double log_x = log(x);
    double power = (1.0 - exponent) * log_x;
    return fabs(power) > 1e-8 ? log_x * expm1(power) / power : log_x;
}

static double zipf_integral_inverse(double y, double exponent)
{
    double power = y * (1.0 - exponent);
    if (power < -1.0)
        power = -1.0; /* rounding only */
    return exp(fabs(power) > 1e-8 ? y * log1p(power) / power : y);
}

static double zipf_weight(double x, double exponent)
{
    return exp(-exponent * log(x));
}

void dist_zipf_init(struct dist_zipf *zipf, uint64_t count, double exponent)
{
    *zipf = (struct dist_zipf){.count = count, .exponent = exponent};
    zipf->low = zipf_integral(1.5, exponent) - 1.0;
    zipf->high = zipf_integral((double)count + 0.5, exponent);
    double second = zipf_integral(2.5, exponent) - zipf_weight(2.0, exponent);
    zipf->shortcut = 2.0 - zipf_integral_inverse(second, exponent);
}

uint64_t dist_zipf_next(const struct dist_zipf *zipf, struct dist_rng *rng)
{
    for (;;) {
        double u = zipf->high + dist_rng_unit(rng) * (zipf->low - zipf->high);
        double x = zipf_integral_inverse(u, zipf->exponent);
        double rank = floor(x + 0.5);
        if (rank < 1.0)
            rank = 1.0;
        if (rank > (double)zipf->count)
            rank = (double)zipf->count;
        if (rank - x <= zipf->shortcut ||
            u >= zipf_integral(rank + 0.5, zipf->exponent) - zipf_weight(rank, zipf->exponent))
            return (uint64_t)rank - 1;
    }
}

/* The standard normal's quantile by bisection: slow, but called for a start-up table only. */
static double normal_quantile(double probability)
{
    double low = -10.0;
    double high = 10.0;
    for (int step = 0; step < 60; step++) {
        double middle = (low + high) / 2.0;
        if (erfc(-middle / sqrt(2.0)) / 2.0 < probability)
            low = middle;
        else
            high = middle;
    }
    return low;
}

struct size_spec {
    unsigned min, max;
    double median, sigma; /* of the lognormal; sigma 0: uniform */
};

static bool size_spec_parse(struct size_spec *spec, const char *text)
{
    int end = 0;
    *spec = (struct size_spec){0};
    if (sscanf(text, "uniform:%9u:%9u%n", &spec->min, &spec->max, &end) == 2) {
    } else if (sscanf(text, "lognormal:%lf:%lf:%9u:%9u%n", &spec->median, &spec->sigma, &spec->min,
                      &spec->max, &end) == 4) {
        if (!(spec->median >= 1.0 && spec->sigma > 0.0 && spec->sigma < 10.0))
            return false;
    } else if (sscanf(text, "%10u%n", &spec->min, &end) == 1) {
        spec->max = spec->min;
    } else {
        return false;
    }
    return text[end] == '\0' && spec->min > 0 && spec->min <= spec->max && spec->max <= 1u << 30;
}

bool dist_sizes_parse(struct dist_sizes *sizes, const char *text)
{
    struct size_spec spec;
    if (!size_spec_parse(&spec, text))
        return false;
    for (unsigned i = 0; i < DIST_SIZE_QUANTILES; i++) {
        double share = (i + 0.5) / DIST_SIZE_QUANTILES;
        double bytes = spec.min + share * (spec.max - spec.min + 1.0);
        if (spec.sigma > 0.0)
            bytes = spec.median * exp(spec.sigma * normal_quantile(share));
        bytes = fmin(fmax(floor(bytes), spec.min), spec.max);
        sizes->quantile[i] = (uint32_t)bytes;
    }
    sizes->max = spec.max;
    return true;
}
