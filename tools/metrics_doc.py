#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tools/metrics_doc.py [--check] — write docs/metrics.md from the tables of src/tbl.

--check writes nothing and fails when the document is not what the tables say.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
TABLES = ROOT / "src/tbl"
DOCUMENT = ROOT / "docs/metrics.md"
TEXT = r'"((?:[^"\\]|\\.)*)"'

HEAD = """# Metrics

Made from the tables in `src/tbl` by `tools/metrics_doc.py`; do not edit. What `-o admin=`
serves at `/metrics` ([admin.md](admin.md)): Prometheus' text format 0.0.4. Counters are since
the start or the last `stats reset`, which to Prometheus looks like a restart.

"""
EXPORTER = """## Names of memcached_exporter

The names and labels of Prometheus'
[memcached_exporter](https://github.com/prometheus/memcached_exporter), so that dashboards and
alerts for that work without it. There is one class of memory, `slab="1"`, and a segment takes
the place of a page and a chunk.

"""
OURS = """## Our own

"""
HISTOGRAMS = """## Histograms

With `_bucket` and `le`, `_sum` and `_count`, for `histogram_quantile()`. Boundaries are powers
of two: of times from 1 µs to 17 s, of sizes from 16 bytes to 1 GiB, of lifetimes from 1 s to 2
years. Times are of whole batches: from the read that brought a request to the send of its
answer.

"""
EVENTS = """## Security events

`matte_security_events_total{event="..."}`; [events.md](events.md) tells more of each. Of each
sink of `-o events=` there are `matte_event_lines_total{sink="..."}` and
`matte_event_lines_lost_total{sink="..."}`.

"""


def rows(table, pattern):
    """The groups of each row of a table; fails when a row is not understood."""
    text = (TABLES / table).read_text()
    name = pattern.split("\\(")[0].lstrip("^")
    found = re.findall(pattern, text, re.M)
    if len(found) != len(re.findall(rf"^{name}\(", text, re.M)):
        sys.exit(f"metrics_doc: {table} has rows that cannot be read")
    return found


def unquoted(text):
    return text.replace('\\"', '"')


def labels_of(text):
    """Label sets for people: without the macros that stand for versions."""
    text = re.sub(r'\\"" \w+ "\\"', r'\\"...\\"', text)
    return unquoted(text)


class Family:
    """Rows of one name."""

    def __init__(self, name, kind, text):
        self.name, self.kind, self.text, self.labels = name, kind, text, []

    def row(self):
        labels = "<br>".join(f"`{{{each}}}`" for each in self.labels if each)
        return f"| `{self.name}` | {self.kind} | {labels} | {self.text} |"


def families(entries):
    """Entries (name, kind, labels, help) joined by their names, in the order of the first."""
    found = {}
    for name, kind, labels, text in entries:
        family = found.setdefault(name, Family(name, kind, text))
        family.labels.append(labels)
        if family.text != text:
            sys.exit(f"metrics_doc: rows of {name} have different help")
    return list(found.values())


def table_of(entries):
    head = "| name | type | labels | meaning |\n|---|---|---|---|\n"
    return head + "\n".join(family.row() for family in families(entries)) + "\n\n"


def metric_rows():
    pattern = rf'^METRIC\({TEXT},\s*(\w+),\s*("(?:.*?)"),\s+[^"]*?,\s*{TEXT}\)$'
    return [(name, kind.lower(), labels_of(labels[1:-1]), unquoted(text))
            for name, kind, labels, text in rows("metrics.def", pattern)]


def stat_rows():
    pattern = rf'^STAT\((\w+),\s*\w+,\s*\w+,\s*{TEXT},\s*{TEXT},\s*{TEXT},\s*{TEXT}\)$'
    return [("matte_" + family, "counter" if family.endswith("_total") else "gauge",
             unquoted(labels), unquoted(text))
            for _, _, family, labels, text in rows("stats.def", pattern) if family]


def histogram_rows():
    pattern = rf'^HISTOGRAM\(\w+,\s*\w+,\s*{TEXT},\s*{TEXT},\s*{TEXT},\s*{TEXT}\)$'
    return [("matte_" + metric, "histogram", unquoted(labels), unquoted(text))
            for _, metric, labels, text in rows("histograms.def", pattern)]


def event_rows():
    pattern = rf'^EVENT\(\w+,\s*\d+, {TEXT},\s*(\w+),\s*(\d), .*{TEXT}\)$'
    return rows("events.def", pattern)


def document():
    metrics = metric_rows()
    theirs = [row for row in metrics if row[0].startswith("memcached_")]
    ours = [row for row in metrics if not row[0].startswith("memcached_")]
    events = "| event | done | severity | meaning |\n|---|---|---|---|\n" + "\n".join(
        f"| `{name}` | {action.lower()} | {severity} | {text} |"
        for name, action, severity, text in event_rows())
    return (HEAD + EXPORTER + table_of(theirs) + OURS + table_of(ours + stat_rows())
            + HISTOGRAMS + table_of(histogram_rows()) + EVENTS + events + "\n")


def main():
    wanted = document()
    if sys.argv[1:] == ["--check"]:
        if not DOCUMENT.is_file() or DOCUMENT.read_text() != wanted:
            sys.exit("docs/metrics.md is not what the tables say; tools/metrics_doc.py writes it")
        print("docs/metrics.md: current")
        return
    DOCUMENT.write_text(wanted)


if __name__ == "__main__":
    main()
