/* SPDX-License-Identifier: BSD-3-Clause */
#include "web/metrics.h"

#include <math.h>

#define METRICS_VERSION OPT_MEMCACHED_VERSION
#ifndef MATTE_VERSION
#define MATTE_VERSION "unversioned"
#endif

/* ── one line ─────────────────────────────────────────────────────────────────────────────── */

static void value_write(struct out *out, double value)
{
    const double exact = 9007199254740992; /* 2^53: integers are exact below */
    if (value >= 0 && value < exact && value == floor(value))
        out_put_u64(out, (uint64_t)value);
    else
        out_printf(out, "%.9g", value);
}

/* The head of a family, which stands once, in front of all its rows. */
static void head_write(struct out *out, const char *prefix, const char *family, const char *type,
                       const char *help)
{
    out_printf(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, family, help, prefix, family, type);
}

static void row_write(struct out *out, const char *prefix, const char *family, const char *labels,
                      double value)
{
    const bool bare = labels[0] == '\0';
    out_printf(out, "%s%s%s%s%s ", prefix, family, bare ? "" : "{", labels, bare ? "" : "}");
    value_write(out, value);
    out_put_str(out, "\n");
}

/* The value of a label: a backslash, a quote and a line feed are escaped. */
static void label_write(struct out *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == '"')
            out_put_str(out, "\\");
        if (*text == '\n')
            out_put_str(out, "\\n");
        else
            out_put(out, text, 1);
    }
}

/* ── tbl/metrics.def ──────────────────────────────────────────────────────────────────────── */

/* As the exporter does: memcached counts cas among the sets, where it has rows of its own. */
static double metrics_plain_sets(const struct web_facts *f)
{
    const uint64_t cas =
        f->stat[STAT_CAS_HITS] + f->stat[STAT_CAS_MISSES] + f->stat[STAT_CAS_BADVAL];
    const uint64_t sets = f->stat[STAT_CMD_SET];
    return sets > cas ? (double)(sets - cas) : 0;
}

static double metrics_segments_used(const struct web_facts *f)
{
    return (double)f->store.segments_max - f->store.segments_free - f->store.segments_index;
}

static void table_write(struct out *out, const struct web_facts *f)
{
    const char *before = "";
    static const char COUNTER[] = "counter", GAUGE[] = "gauge";
#define METRIC(name, type, labels, value, help)                                                    \
    if (strcmp(before, name) != 0)                                                                 \
        head_write(out, "", name, type, help);                                                     \
    row_write(out, "", name, labels, (double)(value));                                             \
    before = name;
#include "tbl/metrics.def"
}

/* ── statistics ───────────────────────────────────────────────────────────────────────────── */

/* In seconds and bytes, whatever `stats` shows. */
static double stat_value(const struct web_facts *facts, enum stat_id id)
{
    const double us = 1e6;
    if (id == STAT_RUSAGE_USER)
        return (double)facts->user_us / us;
    if (id == STAT_RUSAGE_SYSTEM)
        return (double)facts->system_us / us;
    const double value = (double)facts->stat[id];
    return id == STAT_TIME_IN_LISTEN_DISABLED_US ? value / us : value;
}

static bool is_counter(const char *family)
{
    static const char end[] = "_total";
    const size_t len = strlen(family);
    return len >= sizeof(end) && strcmp(family + len - (sizeof(end) - 1), end) == 0;
}

/* Was there an earlier row of this family? */
static bool is_told(enum stat_id id, const char *family)
{
    for (enum stat_id earlier = 0; earlier < id; earlier++)
        if (strcmp(stat_metric_of(earlier)->family, family) == 0)
            return true;
    return false;
}

static void stats_write(struct out *out, const struct web_facts *facts)
{
    for (enum stat_id id = 0; id < STAT_ID_COUNT; id++) {
        const struct stat_metric *first = stat_metric_of(id);
        if (first->family[0] == '\0' || is_told(id, first->family))
            continue;
        head_write(out, "matte_", first->family, is_counter(first->family) ? "counter" : "gauge",
                   first->help);
        for (enum stat_id other = id; other < STAT_ID_COUNT; other++) {
            const struct stat_metric *metric = stat_metric_of(other);
            if (strcmp(metric->family, first->family) == 0)
                row_write(out, "matte_", metric->family, metric->labels, stat_value(facts, other));
        }
    }
}

/* ── security events ──────────────────────────────────────────────────────────────────────── */

static void sinks_write(struct out *out, const struct web_facts *facts, bool lost)
{
    const char *family = lost ? "event_lines_lost_total" : "event_lines_total";
    if (facts->sink_count == 0)
        return;
    head_write(out, "matte_", family, "counter",
               lost ? "Lines about security events that a sink did not take."
                    : "Lines about security events that a sink has taken.");
    for (size_t i = 0; i < facts->sink_count; i++) {
        out_printf(out, "matte_%s{sink=\"", family);
        label_write(out, facts->sinks[i].name);
        out_put_str(out, "\"} ");
        value_write(out, (double)(lost ? facts->sinks[i].lost : facts->sinks[i].lines));
        out_put_str(out, "\n");
    }
}

static void events_write(struct out *out, const struct web_facts *facts)
{
    head_write(out, "matte_", "security_events_total", "counter",
               "Refusals, limits, failed logins and the like; docs/events.md tells of each.");
    for (enum event_type type = 0; type < EVENT_TYPE_COUNT; type++)
        out_printf(out, "matte_security_events_total{event=\"%s\"} %llu\n", event_name(type),
                   (unsigned long long)facts->event[type]);
    sinks_write(out, facts, false);
    sinks_write(out, facts, true);
}

/* ── histograms ───────────────────────────────────────────────────────────────────────────── */

/* The boundaries that are told: powers of two, from `first` to `last`, each the `step`-th. In the
 * unit that is counted; `scale` makes it the unit that is told. A value of exactly a boundary
 * counts behind it, which is a nanosecond, a byte or a second too far. */
static const struct {
    uint8_t first, last, step;
    double scale;
} shapes[] = {
    [STAT_HIST_UNIT_TIME] = {10, 34, 1, 1e9}, /* 1 us .. 17 s */
    [STAT_HIST_UNIT_BYTES] = {4, 30, 2, 1},   /* 16 bytes .. 1 GiB */
    [STAT_HIST_UNIT_SECONDS] = {0, 26, 2, 1}, /* 1 s .. 2 years */
};

static void hist_write(struct out *out, const struct stat_hist_row *row,
                       const struct stat_hist_sum *sum)
{
    const double scale = shapes[row->unit].scale;
    const char *comma = row->labels[0] == '\0' ? "" : ",";
    for (unsigned power = shapes[row->unit].first; power <= shapes[row->unit].last;
         power += shapes[row->unit].step)
        out_printf(out, "matte_%s_bucket{%s%sle=\"%.9g\"} %llu\n", row->metric, row->labels, comma,
                   (double)(1ull << power) / scale,
                   (unsigned long long)stat_hist_at_most(sum, (1ull << power) - 1));
    out_printf(out, "matte_%s_bucket{%s%sle=\"+Inf\"} %llu\n", row->metric, row->labels, comma,
               (unsigned long long)sum->count);
    const bool bare = row->labels[0] == '\0';
    const char *open = bare ? "" : "{", *close = bare ? "" : "}";
    out_printf(out, "matte_%s_sum%s%s%s %.9g\n", row->metric, open, row->labels, close,
               (double)sum->sum / scale);
    out_printf(out, "matte_%s_count%s%s%s %llu\n", row->metric, open, row->labels, close,
               (unsigned long long)sum->count);
}

static void hists_write(struct out *out, const struct web_facts *facts)
{
    const char *before = "";
    for (enum stat_hist_id id = 0; id < STAT_HIST_COUNT; id++) {
        const struct stat_hist_row *row = &stat_hist_rows[id];
        if (strcmp(before, row->metric) != 0)
            head_write(out, "matte_", row->metric, "histogram", row->help);
        hist_write(out, row, &facts->hist[id]);
        before = row->metric;
    }
}

void metrics_write(struct out *out, const struct web_facts *facts)
{
    table_write(out, facts);
    stats_write(out, facts);
    hists_write(out, facts);
    events_write(out, facts);
}
