"""bench/report.py: the figures as tables, and RESULTS.md from the last runs' JSON.

SPDX-License-Identifier: BSD-3-Clause
"""
import json
import os

SERVERS = ("ours", "memcached")


def table(head, rows):
    """A Markdown table whose columns line up in the source too."""
    cells = [head] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
             for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def ratio_text(row):
    return f"{row['ratio']:.2f}" + ("" if row["ratio"] <= row["target"] else " (!)")


def number(value):
    return f"{value:,.0f}".replace(",", " ")


def fraction(value):
    return "-" if value is None else f"{value:.2f}"


def cpu_rows(rows):
    for row in rows:
        start = [row["name"], f"{row['target']:.2f}", fraction(row["rival"]), ratio_text(row),
                 fraction(row.get("floor_ratio"))]
        if row["kind"] == "rss":
            mib = [f"{row['rss_bytes'][name] / 2**20:.0f} MiB" for name in SERVERS]
            yield start + ["-", *mib, "-", "-"]
            continue
        what = "server_ns_per_op" if row["kind"] == "cpu" else "p99_us"
        unit = "ns" if row["kind"] == "cpu" else "µs"
        costs = [f"{number(row[name][what])} {unit}" for name in SERVERS]
        spread = "-" if row["kind"] != "cpu" else "{:.2f}..{:.2f}".format(*row["spread"])
        yield start + [spread, *costs, *(number(row[name]["ops_per_s"]) for name in SERVERS)]


def latency_rows(rows):
    for row in rows:
        if row["kind"] == "rss":
            continue
        cells = [row["name"]]
        for name in SERVERS:
            side = row[name]
            cells.append(" / ".join(number(side[q]) for q in ("p50_us", "p99_us", "p999_us")))
        cells += [f"{row[name]['server_busy']:.2f}" for name in SERVERS]
        yield cells


def overhead_rows(overheads):
    for row in overheads:
        cells = [f"{row['value_bytes']} B",
                 f"full, -m {row['memory_mb']}" if row["full"] else "at rest"]
        cells += [number(row[name]["items"]) for name in SERVERS]
        cells += [f"{row[name]['rss_bytes'] / 2**20:.0f}" for name in SERVERS]
        yield cells + [f"{row[name]['overhead']:.1f}" for name in SERVERS]


def gate_rows(rows):
    for row in rows:
        costs = [f"{number(row[name]['server_ns_per_op'])} ns" for name in ("with", "without")]
        yield [row["name"], f"{row['target']:.2f}", ratio_text(row),
               "{:.2f}..{:.2f}".format(*row["spread"]), *costs]


def conditions_text(result):
    machine, versions = result["machine"], result["versions"]
    return (f"{machine['date']}, commit {machine['commit']}: {versions['ours']} against "
            f"{versions['memcached']}.\n{machine['cpus']} CPUs ({machine['cpu']}, "
            f"virtualisation: {machine['virtual']}), {machine['memory_gib']} GiB, Linux "
            f"{machine['kernel']}; load average at the start {machine['load_average']}.")


def compare_text(result):
    text = [conditions_text(result),
            f"Medians of {result['rounds']} interleaved runs of {result['seconds']:g} s; spread: "
            "lowest and highest ratio of one round;\nfloor: the ratio of a responder that does "
            "nothing. (!) misses its target.\n",
            table(["load", "target", "best rival", "ratio", "floor", "spread", "ours", "memcached",
                   "ours ops/s", "memcached ops/s"], cpu_rows(result["rows"])),
            "\nLatency of a trip in µs (p50 / p99 / p99.9) and how busy the server's core was:\n",
            table(["load", "ours", "memcached", "ours busy", "memcached busy"],
                  latency_rows(result["rows"]))]
    if result.get("gate"):
        text += [f"\nWhat the gate costs: ours with {result['gate'][0]['rules']} access rules and "
                 "limits on, against ours without.\n",
                 table(["load", "target", "ratio", "spread", "with", "without"],
                       gate_rows(result["gate"]))]
    if result["overheads"]:
        text += ["\nMemory: RSS divided by items, less key (16 bytes) and value. In a full cache "
                 "the items are those that can be read.\n",
                 table(["value", "state", "ours items", "memcached items", "ours MiB",
                        "memcached MiB", "ours overhead", "memcached overhead"],
                       overhead_rows(result["overheads"]))]
    return "\n".join(text)


def misses_text(result):
    def cells(row):
        yield from (row["workload"], f"{row['memory_mb']} MB", f"{row['footprint_share']:.0%}")
        for what in ("objects", "bytes"):
            sides = [row[name][what] for name in SERVERS]
            yield f"{row['ours']['first_' + what]:.4f}"
            yield from (f"{side:.4f}" for side in sides)
            yield f"{row['ratio'][what]:.3f}"
        yield " / ".join(f"{row[name]['rss_bytes'] / 2**20:.0f}" for name in SERVERS)

    mean = result["mean"]
    return "\n".join([
        conditions_text(result),
        f"{number(result['requests'])} requests per workload, second half counted. "
        "First time: misses that no cache\ncould avoid; they are in the ratios.\n",
        table(["workload", "-m", "of footprint", "objects: first time", "ours", "memcached",
               "ratio", "bytes: first time", "ours", "memcached", "ratio", "MiB RSS"],
              [list(cells(row)) for row in result["rows"]]),
        f"\nGeometric mean of the ratios: objects {mean['objects']:.3f}, "
        f"bytes {mean['bytes']:.3f}; highest {result['worst']['objects']:.3f}, "
        f"{result['worst']['bytes']:.3f}."])


PARTS = [("compare", "CPU time, latency and memory", compare_text),
         ("misses", "Misses at equal memory", misses_text)]


def save(folder, part, result):
    """Keep the result as JSON and write RESULTS.md anew from all that is kept."""
    kept = os.path.join(folder, "results")
    os.makedirs(kept, exist_ok=True)
    with open(os.path.join(kept, part + ".json"), "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    write_results(folder)


def write_results(folder):
    text = ["# Results\n\nWritten by `make bench`; what the columns mean is in README.md here.\n"]
    remarks = os.path.join(folder, "results", "remarks.md")
    if os.path.exists(remarks):
        with open(remarks, encoding="utf-8") as file:
            text.append("## Remarks\n\n" + file.read())
    for part, title, render in PARTS:
        path = os.path.join(folder, "results", part + ".json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                text.append(f"## {title}\n\n{render(json.load(file))}\n")
    with open(os.path.join(folder, "RESULTS.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(text))
