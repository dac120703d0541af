"""bench/report.py: the figures as tables and plots, and RESULTS.md from the last runs' JSON.

`python3 bench/report.py` writes RESULTS.md and the plots anew from what is kept in results/.

SPDX-License-Identifier: BSD-3-Clause
"""
import json
import os

import plot

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
        what = "server_ns_per_op" if row["kind"] == "cpu" else row.get("what", "p99_us")
        unit = "ns" if row["kind"] == "cpu" else "µs"
        costs = [f"{number(row[name][what])} {unit}" for name in SERVERS]
        spread = "-" if row["kind"] != "cpu" else "{:.2f}..{:.2f}".format(*row["spread"])
        yield start + [spread, *costs, *(number(row[name]["ops_per_s"]) for name in SERVERS)]


def latency_rows(rows):
    for row in rows:
        if row["kind"] == "rss" or row.get("what") == "p999_us":  # of the same runs as p99
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
        cells += [f"{row[name]['overhead']:.1f}" for name in SERVERS]
        yield cells + [f"{row[name]['overhead_grown']:.1f}" if "overhead_grown" in row[name]
                       else "-" for name in SERVERS]


def idle_text(row):
    cells = [[name, f"{row[name]['Rss']:.0f}", f"{row[name]['Pss']:.0f}",
              f"{row[name]['Anonymous']:.0f}", f"{row[name]['empty_bytes'] / 2**20:.1f} MiB"]
             for name in SERVERS]
    fine = row["ours"]["Rss"] <= row["target"]
    return (f"\nIdle connections: what the process grows by with each of {row['connections']}, "
            "after one request and in silence;\n"
            f"target: {row['target']} bytes" + ("" if fine else " (!)") + ". Empty: RSS before "
            "them.\n\n" + table(["server", "RSS", "PSS", "anonymous", "empty"], cells))


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
    if result.get("idle"):
        text.append(idle_text(result["idle"]))
    if result["overheads"]:
        text += ["\nMemory: RSS divided by items, less key (16 bytes) and value. In a full cache "
                 "the items are those that can be read.\nGrown: the same without what the empty "
                 "process had (code, libraries, stacks).\n",
                 table(["value", "state", "ours items", "memcached items", "ours MiB",
                        "memcached MiB", "ours overhead", "memcached overhead",
                        "ours grown", "memcached grown"],
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


def stalls_rows(rows):
    for row in rows:
        cells = [row["name"], number(row["rate"])]
        for what in ("gap_us", "p99_us", "p999_us"):
            cells += [number(row[name][what]) for name in SERVERS]
            ratio = row["ours"][what] / row["memcached"][what]
            cells.append(f"{ratio:.2f}" + ("" if ratio <= row["target"] else " (!)"))
        yield cells + [" / ".join(number(row[name]["own_turn_us"]) for name in SERVERS)]


def stalls_text(result):
    return "\n".join([
        conditions_text(result),
        f"Medians of {result['rounds']} runs of {result['seconds']:g} s and more, each on a server "
        "of its own. The load is an open loop at half of\nthe rate that saturates the slower "
        "server. Gap: the longest time between two answers; all times in µs.\nOwn: the longest "
        "turn of the load generator itself, which is in them.\n",
        table(["meanwhile", "ops/s", "gap: ours", "memcached", "ratio", "p99: ours", "memcached",
               "ratio", "p99.9: ours", "memcached", "ratio", "own"], stalls_rows(result["rows"]))])


def scaling_rows(rows):
    for row in rows:
        cells = [row["name"], row["workers"], f"{row['clients']}" + (" *" if row["shared"] else "")]
        cells += [number(row[name]["ops_per_s"]) for name in SERVERS]
        cells.append(f"{row['ours']['ops_per_s'] / row['memcached']['ops_per_s']:.1f}")
        cells += [f"{number(row[name]['ns_per_op'])} ns" for name in SERVERS]
        yield cells + [f"{row['ours']['ns_per_op'] / row['memcached']['ns_per_op']:.2f}"]


def scaling_text(result):
    return "\n".join([
        conditions_text(result),
        f"Medians of {result['rounds']} runs of {result['seconds']:g} s. A core per worker, a load "
        "generator on each core that is left;\n*: none is left, so that the only one shares the "
        "last core with a worker, and its throughput is the client's.\nRatio of ops/s: larger is "
        "better; of ns/op (the server's CPU time): smaller is.\n",
        table(["load", "workers", "clients", "ops/s: ours", "memcached", "ratio", "ns/op: ours",
               "memcached", "ratio"], scaling_rows(result["rows"]))])


PARTS = [("compare", "CPU time, latency and memory", compare_text),
         ("stalls", "Stalls", stalls_text),
         ("scaling", "Workers and hot keys", scaling_text),
         ("misses", "Misses at equal memory", misses_text)]


# ── plots ──────────────────────────────────────────────────────────────────────────────────────

US_TEXT = [(1e6, "s"), (1e3, "ms"), (1, "µs")]


def time_text(us):
    for unit_us, unit in US_TEXT:
        if us >= unit_us:
            return f"{us / unit_us:.3g} {unit}"
    return f"{us:.2g} µs"


def plot_ratios(result):
    """The rows of the targets: ours divided by memcached's."""
    rows = [(row["name"], [("ours", row["ratio"])],
             [("target", row["target"]), ("floor", row.get("floor_ratio"))])
            for row in result["rows"]]
    return plot.bars("Ours divided by memcached's: server CPU time per operation, RSS, latency",
                     [("ours", "ours (shorter is better)"), ("target mark", "target"),
                      ("floor mark", "a responder that does nothing"),
                      ("one line", "memcached")],
                     rows, text=plot.ratio_text, one=True)


def plot_latency(result):
    rows = [(row["name"] if row["kind"] == "cpu" else "get, half of the saturating load",
             [("ours", row["ours"]["p99_us"]), ("other", row["memcached"]["p99_us"])],
             []) for row in result["rows"]
            if row["kind"] != "rss" and row.get("what") != "p999_us" and row["ours"]["p99_us"] > 0]
    return plot.bars("p99 of a trip, by the load (logarithmic)",
                     [("ours", "ours"), ("other", "memcached")], rows, log=True, text=time_text)


def plot_misses(result):
    rows = [(f"{row['workload']}, {row['footprint_share']:.0%} of its footprint",
             [("ours", row["ratio"]["objects"]), ("second", row["ratio"]["bytes"])], [])
            for row in result["rows"]]
    return plot.bars("Misses at equal memory: ours divided by memcached's",
                     [("ours", "objects"), ("second", "bytes"), ("one line", "memcached")],
                     rows, text=plot.ratio_text, one=True)


def plot_stalls(result):
    rows = [(row["name"].split(",")[0] if len(row["name"]) > 46 else row["name"],
             [("ours", row["ours"]["gap_us"]), ("other", row["memcached"]["gap_us"])], [])
            for row in result["rows"]]
    return plot.bars("The longest time without an answer, at half load (logarithmic)",
                     [("ours", "ours"), ("other", "memcached")], rows, log=True, text=time_text)


def plot_scaling(result):
    kinds = [("get", "get, 32", "ours"), ("set", "set, 32", "target"), ("mix", "90/10", "floor")]
    series = []
    for _, start, kind in kinds:
        rows = [row for row in result["rows"] if row["name"].startswith(start)]
        for name, dash in (("ours", ""), ("memcached", " dash")):
            series.append((kind + " line" + dash,
                           [(row["workers"], row[name]["ops_per_s"]) for row in rows]))
    legend = [(kind + " line", name) for name, _, kind in kinds]
    legend.append(("other line dash", "memcached"))
    return plot.lines("Operations per second by workers", legend,
                      [(kind, points) for kind, points in series if points], "workers")


# The file in results/, what it shows, how, and of which part.
PLOTS = [("ratios.svg", "ratios per row, with targets and floors", plot_ratios, "compare"),
         ("latency.svg", "p99 per row", plot_latency, "compare"),
         ("stalls.svg", "longest gaps", plot_stalls, "stalls"),
         ("scaling.svg", "operations per second by workers", plot_scaling, "scaling"),
         ("misses.svg", "misses per workload", plot_misses, "misses")]


def plots_write(kept, part, result):
    """Write the plots of a part; returns the lines that show them."""
    lines = []
    for name, about, draw, of in PLOTS:
        if of != part or draw is None:
            continue
        with open(os.path.join(kept, name), "w", encoding="utf-8") as file:
            file.write(draw(result))
        lines.append(f"![{about}](results/{name})\n")
    return "\n".join(lines)


# ── RESULTS.md ─────────────────────────────────────────────────────────────────────────────────


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
                result = json.load(file)
            shown = plots_write(os.path.dirname(path), part, result)
            text.append(f"## {title}\n\n{render(result)}\n\n{shown}")
    with open(os.path.join(folder, "RESULTS.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(text))


if __name__ == "__main__":
    write_results(os.path.dirname(os.path.abspath(__file__)))
