/* SPDX-License-Identifier: BSD-3-Clause */
#include "web/history.h"

#include <math.h>
#include <stdlib.h>

enum field_kind { RATE, GAUGE, QUANTILE };

static const struct {
    const char *name;
    enum field_kind kind;
} fields[] = {
#define FIELD(name, kind, value)          {name, kind},
#define QUANTILE(name, first, last, part) {name, QUANTILE},
#include "tbl/history.def"
};

enum { FIELDS = COUNT_OF(fields) };

struct history_sample {
    uint64_t wall_ms; /* its end */
    float value[FIELDS];
    uint32_t event[EVENT_TYPE_COUNT];
};

static const struct {
    uint32_t samples, step_s;
} shapes[HISTORY_RINGS] = {{HISTORY_FINE, 1}, {HISTORY_COARSE, 10}};

/* ── taking ───────────────────────────────────────────────────────────────────────────────── */

static void values_of(const struct web_facts *f, double ret_values[FIELDS])
{
    size_t count = 0;
#define FIELD(name, kind, value)          ret_values[count++] = (double)(value);
#define QUANTILE(name, first, last, part) ret_values[count++] = 0; /* see quantiles_fill() */
#include "tbl/history.def"
}

/* The value that `part` lies below, of what the histograms first..last have got since then. */
static double quantile(const struct web_facts *before, const struct web_facts *facts,
                       enum stat_hist_id first, enum stat_hist_id last, double part)
{
    struct stat_hist_sum sum = {0};
    for (enum stat_hist_id id = first; id <= last; id++) {
        const struct stat_hist_sum *old = &before->hist[id], *new = &facts->hist[id];
        const bool reset = new->count < old->count;
        for (size_t i = 0; i < STAT_HIST_BUCKETS; i++) {
            const uint64_t grown = new->bucket[i] - (reset ? 0 : old->bucket[i]);
            sum.bucket[i] += grown;
            sum.count += grown;
        }
        sum.max = new->max > sum.max ? new->max : sum.max;
    }
    return sum.count > 0 ? stat_hist_quantile(&sum, part) : NAN;
}

static void quantiles_fill(struct history_sample *sample, const struct web_facts *before,
                           const struct web_facts *facts)
{
    size_t count = 0;
#define FIELD(name, kind, value) count++;
#define QUANTILE(name, first, last, part)                                                          \
    sample->value[count++] =                                                                       \
        (float)quantile(before, facts, STAT_HIST_##first, STAT_HIST_##last, part);
#include "tbl/history.def"
}

/* How much a counter has grown; after `stats reset` all that it has. */
static double growth(double before, double after)
{
    return after >= before ? after - before : after;
}

static void sample_fill(struct history_sample *sample, const struct web_facts *before,
                        const struct web_facts *facts, double seconds)
{
    double old[FIELDS], new[FIELDS];
    values_of(before, old);
    values_of(facts, new);
    for (size_t i = 0; i < FIELDS; i++)
        sample->value[i] =
            (float)(fields[i].kind == RATE ? growth(old[i], new[i]) / seconds : new[i]);
    quantiles_fill(sample, before, facts);
    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++)
        sample->event[i] = (uint32_t)growth((double)before->event[i], (double)facts->event[i]);
}

static void ring_add(struct history_ring *ring, unsigned index, const struct web_facts *facts,
                     uint64_t now_ms, uint64_t wall_ms)
{
    const uint64_t step_ms = shapes[index].step_s * 1000ull, passed_ms = now_ms - ring->before_ms;
    const uint64_t slack_ms = step_ms / 10; /* the thread was woken a little early */
    if (ring->samples == NULL)
        ring->samples = calloc(shapes[index].samples, sizeof(*ring->samples));
    if (ring->samples == NULL || (ring->before_ms != 0 && passed_ms + slack_ms < step_ms))
        return;
    /* Longer than a sample and its half: somebody slept, and we cannot tell when it happened. */
    if (ring->before_ms != 0 && passed_ms <= step_ms + step_ms / 2 + 1000) {
        struct history_sample *sample = &ring->samples[ring->next];
        sample->wall_ms = wall_ms;
        sample_fill(sample, &ring->before, facts, (double)passed_ms / 1000);
        ring->next = (ring->next + 1) % shapes[index].samples;
        ring->count += ring->count < shapes[index].samples;
    }
    ring->before = *facts;
    ring->before_ms = now_ms;
}

void history_add(struct history *history, const struct web_facts *facts, uint64_t now_ms,
                 uint64_t wall_ms)
{
    for (unsigned i = 0; i < HISTORY_RINGS; i++)
        ring_add(&history->rings[i], i, facts, now_ms, wall_ms);
}

/* ── telling ──────────────────────────────────────────────────────────────────────────────── */

/* The n-th of the oldest. */
static const struct history_sample *sample_get(const struct history_ring *ring, unsigned index,
                                               uint32_t n)
{
    const uint32_t first = ring->next + shapes[index].samples - ring->count;
    return &ring->samples[(first + n) % shapes[index].samples];
}

static void sample_write(const struct history_sample *sample, struct out *out)
{
    out_printf(out, "[%llu", (unsigned long long)sample->wall_ms);
    for (size_t i = 0; i < FIELDS; i++) {
        const double value = (double)sample->value[i];
        if (isnan(value))
            out_put_str(out, ",null");
        else if (value == floor(value) && fabs(value) < 1e15)
            out_printf(out, ",%.0f", value);
        else
            out_printf(out, ",%.4g", value);
    }
    out_put_str(out, "]");
}

void history_write(const struct history *history, struct out *out, uint64_t step_s,
                   uint64_t since_ms)
{
    const unsigned index = step_s == shapes[1].step_s ? 1 : 0;
    const struct history_ring *ring = &history->rings[index];
    out_printf(out, "{\"step\":%u,\"fields\":[", shapes[index].step_s);
    for (size_t i = 0; i < FIELDS; i++)
        out_printf(out, "%s\"%s\"", i == 0 ? "" : ",", fields[i].name);
    out_put_str(out, "],\"samples\":[");
    const char *between = "";
    for (uint32_t n = 0; n < ring->count; n++) {
        const struct history_sample *sample = sample_get(ring, index, n);
        if (sample->wall_ms <= since_ms)
            continue;
        out_put_str(out, between);
        between = ",\n";
        sample_write(sample, out);
    }
    out_put_str(out, "],\"events\":[");
    between = "";
    for (uint32_t n = 0; n < ring->count; n++) {
        const struct history_sample *sample = sample_get(ring, index, n);
        for (enum event_type type = 0; sample->wall_ms > since_ms && type < EVENT_TYPE_COUNT;
             type++) {
            if (sample->event[type] == 0)
                continue;
            out_printf(out, "%s[%llu,\"%s\",%u]", between, (unsigned long long)sample->wall_ms,
                       event_name(type), sample->event[type]);
            between = ",";
        }
    }
    out_put_str(out, "]}\n");
}

void history_fini(struct history *history)
{
    for (unsigned i = 0; i < HISTORY_RINGS; i++)
        free(history->rings[i].samples);
}
