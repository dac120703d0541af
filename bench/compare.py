#!/usr/bin/python3
"""bench/compare.py: matted against memcached, side by side, every row of the performance targets.

Both servers run at once, each with one worker, pinned to one core; the load generator runs on the
other and drives them in turn (A B, B A, ...). What counts is the server's CPU time per operation,
user and system of all its threads, as the ratio of the medians. Throughput and latency are printed
too, but with one client core they also depend on the client.

SPDX-License-Identifier: BSD-3-Clause
"""
import contextlib
import os
import statistics
import sys
import time

import peers
import report

KEY_BYTES = 16

# Datasets: memory in MB and the settings of the preload. Rows that share one share the servers.
# Nothing may be evicted: a miss is an error. Where values are set, memory is so small that all of
# it was in use before the window begins: fresh pages from the kernel are not what is compared.
SMALL = (64, {"keys": 100_000, "value-bytes": 100})
HUGE = (2048, {"keys": 4_000_000, "value-bytes": 64})
WIDE = (1024, {"keys": 2_000_000, "value-bytes": 64})
WARM = (256, {"keys": 1_000_000, "value-bytes": 100})
KILO = (1024, {"keys": 100_000, "value-bytes": 1024})
LARGE = (1024, {"keys": 2_000, "value-bytes": 65536})
MEGA = (1024, {"keys": 200, "value-bytes": 1_000_000})
# The same by TLS, both servers with OpenSSL: encryption costs both the same, and it is most of the
# cost of large values.
SMALL_TLS = (64, {"keys": 100_000, "value-bytes": 100, "tls": 1})
LARGE_TLS = (1024, {"keys": 2_000, "value-bytes": 65536, "tls": 1})
# By UDP: ours serves clients that prove their address, memcached whoever asks.
UDP = (64, {"keys": 100_000, "value-bytes": 100})
# Gets that prove nothing: ours refuses them, memcached answers.
FLOOD_ROW = "UDP flood of unproven gets"
# Name, target ratio, the best rival's ratio, dataset, load.
ROWS = [
    ("get, 50 connections, one per trip", 0.72, 0.76, SMALL, {"connections": 50}),
    ("get, 32 per trip, 100 B, 100 k keys", 0.30, 0.40, SMALL, {"connections": 50, "depth": 32}),
    ("set, 32 per trip, 100 B", 0.35, 0.40, SMALL,
     {"connections": 50, "depth": 32, "get-percent": 0}),
    ("get, 32 per trip, 4 M items", 0.33, 0.47, HUGE, {"connections": 50, "depth": 32}),
    ("multiget of 100 keys, 2 M items", 0.33, 0.51, WIDE, {"connections": 50, "multiget": 100}),
    ("90/10 zipf mix, 16 per trip, 1 M items", 0.50, 0.74, WARM,
     {"connections": 50, "depth": 16, "get-percent": 90, "zipf": 1.0}),
    ("get 1 KiB, 500 connections", 0.70, 0.74, KILO, {"connections": 500}),
    ("get 64 KiB", 0.95, 1.18, LARGE, {"connections": 16}),
    ("get 1 MB", 0.95, 1.21, MEGA, {"connections": 4}),
    ("TLS get, 50 connections, one per trip", 1.0, None, SMALL_TLS, {"connections": 50}),
    ("TLS get, 32 per trip, 100 B", 1.0, None, SMALL_TLS, {"connections": 50, "depth": 32}),
    ("TLS get 64 KiB", 1.0, None, LARGE_TLS, {"connections": 16}),
    ("UDP get, 8 sources, 16 under way each", 1.0, None, UDP, {"sources": 8, "depth": 16}),
    (FLOOD_ROW, 0.30, None, UDP, {"sources": 8, "depth": 32, "mode": "flood"}),
]
FIRST_ROW = ROWS[0][0]
# What rules and limits cost: ours with both against ours without; the target is a ratio, too.
GATE_ROW, GATE_TARGET = "gate", 1.03
GATE_RULES = 1000
GATE_LOADS = ROWS[:3]
RSS_ROW = "RSS for 4 M items of 16 + 64 B"
RSS_TARGET, RSS_RIVAL = 0.70, 0.83
HALF_ROWS = {"p99_us": "p99 at half load", "p999_us": "p99.9 at half load"}
HALF_TARGET = 1.0

# Connections that have asked once and are silent since; what one costs the process.
IDLE_ROW = "idle connections"
IDLE_CONNECTIONS, IDLE_BYTES_TARGET = 10_000, 1024
IDLE_WAIT_S = 2  # for what a server gives back when nothing happens

# Bytes per item beyond key and value: value bytes, items at rest, memory that holds them all.
OVERHEAD_AT_REST = [(16, 4_000_000, 2048), (64, 4_000_000, 2048), (300, 1_000_000, 2048),
                    (4000, 100_000, 2048)]
# The same in a full cache: value bytes, keys set (about three times what fits), memory.
OVERHEAD_FULL = [(16, 4_000_000, 64), (64, 2_500_000, 64), (300, 700_000, 64), (4000, 60_000, 64)]


class Bench:
    def __init__(self, args):
        self.args = args
        self.load = os.path.join(args.programs, "matte-bench-load")
        self.udp = os.path.join(args.programs, "matte-bench-udp")
        self.programs = {"ours": args.ours, "memcached": args.memcached}
        self.floor = os.path.join(args.programs, "matte-bench-floor")

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def start(self, memory_mb, tls, udp):
        more = peers.tls_argv() if tls else []
        return {name: peers.Server(name, peers.cache_argv(program, memory_mb) + more, udp=udp)
                for name, program in self.programs.items()}

    def start_floor(self, settings):
        """The responder that does nothing; its values are not worth a check."""
        argv = [self.floor, "--value-bytes", str(settings["value-bytes"])]
        if "tls" in settings:
            folder = peers.certificate()
            argv += ["--tls-cert", f"{folder}/cert.pem", "--tls-key", f"{folder}/key.pem"]
        return {"floor": peers.Server("floor", argv)}

    def stop(self, servers):
        for server in servers.values():
            server.stop()

    def preload(self, server, settings, allow_misses=0):
        peers.run(self.load, {"port": server.port, "connections": 8, "key-bytes": KEY_BYTES,
                              "seconds": 0, "allow-misses": allow_misses, **settings}, server.name)

    def measure(self, server, settings):
        if server.name == "floor":
            settings = {**settings, "check-every": 0}
        return peers.run(self.load, {
            "port": server.port, "server-pid": server.pid, "key-bytes": KEY_BYTES, "preload": 0,
            "seconds": self.args.seconds, "warmup": self.args.warmup, **settings}, server.name)

    def measure_udp(self, server, settings):
        mode = "proven" if server.name == "ours" else "legacy"
        return peers.run(self.udp, {
            "mode": mode, "port": server.port, "server-pid": server.pid, "key-bytes": KEY_BYTES,
            "seconds": self.args.seconds, "warmup": self.args.warmup, **settings}, server.name)

    def rounds(self, servers, settings):
        """Run one load on each in turn; the order changes each round so that drift cancels."""
        results = {name: [] for name in servers}
        for number in range(self.args.rounds):
            for name in list(servers)[::1 if number % 2 == 0 else -1]:
                measure = self.measure_udp if "sources" in settings else self.measure
                results[name].append(measure(servers[name], settings))
        return results

    def group(self, dataset, rows):
        """All rows of one dataset, on servers of their own."""
        memory_mb, settings = dataset
        done = []
        servers = self.start(memory_mb, "tls" in settings, dataset is UDP)
        try:
            for server in servers.values():
                self.preload(server, settings)
            if dataset is HUGE:
                done.append(self.rss_row(servers))
            if dataset is not UDP and os.path.exists(self.floor):
                servers.update(self.start_floor(settings))
            for row in rows:
                done += self.cpu_rows(row, servers, settings)
        finally:
            self.stop(servers)
        return done

    def cpu_rows(self, row, servers, settings):
        name, target, rival, _, load = row
        self.say(f"  {name}")
        done = [summary(name, target, rival, self.rounds(servers, {**settings, **load}))]
        if name == FIRST_ROW:
            done += self.half_load_rows(servers, {**settings, **load}, done[0])
        return done

    def gate(self):
        """The loads of GATE_LOADS on two of ours, one with access rules and limits."""
        memory_mb, settings = SMALL
        plain = peers.cache_argv(self.programs["ours"], memory_mb)
        argvs = {"without": plain, "with": plain + peers.gate_argv(GATE_RULES)}
        servers, done = {}, []
        try:
            for name, argv in argvs.items():
                servers[name] = peers.Server(name, argv)
                self.preload(servers[name], settings)
            for name, _, _, _, load in GATE_LOADS:
                self.say(f"  {GATE_ROW}: {name}")
                results = self.rounds(servers, {**settings, **load})
                done.append({"name": name, "rules": GATE_RULES, "target": GATE_TARGET,
                             **compared(results, "with", "without")})
        finally:
            self.stop(servers)
        return done

    def rss_row(self, servers):
        self.say("  " + RSS_ROW)
        time.sleep(1)
        rss = {name: server.rss_bytes() for name, server in servers.items()}
        return {"name": RSS_ROW, "kind": "rss", "target": RSS_TARGET, "rival": RSS_RIVAL,
                "ratio": rss["ours"] / rss["memcached"], "rss_bytes": rss}

    def half_load_rows(self, servers, settings, first):
        """Open loop at half of what memcached did in the first row; latency from the due time."""
        self.say("  " + " and ".join(HALF_ROWS.values()))
        rate = int(first["memcached"]["ops_per_s"] / 2)
        results = self.rounds(servers, {**settings, "rate": rate})
        for what, name in HALF_ROWS.items():
            row = summary(name, HALF_TARGET, None, results)
            theirs = row["memcached"][what]
            row.update(kind="p99", what=what, rate=rate, cpu_ratio=row["ratio"],
                       floor_ratio=row["floor"][what] / theirs if "floor" in row else None,
                       ratio=row["ours"][what] / theirs)
            yield row

    def idle(self):
        """What the process grows by with each connection that has asked once and is silent."""
        self.say(f"  {IDLE_CONNECTIONS} {IDLE_ROW}")
        row = {"connections": IDLE_CONNECTIONS, "target": IDLE_BYTES_TARGET}
        peers.files_allow(IDLE_CONNECTIONS + 100)
        for name, program in self.programs.items():
            argv = peers.cache_argv(program, 64, connections=IDLE_CONNECTIONS + 100)
            with peers.Server(name, argv) as server:
                peers.ask_once(server.port, 1)  # what is made for the first one only
                before = server.memory()
                with contextlib.ExitStack() as stack:
                    peers.ask_once(server.port, IDLE_CONNECTIONS, stack)
                    time.sleep(IDLE_WAIT_S)
                    after = server.memory()
                row[name] = {field: (after[field] - before[field]) / IDLE_CONNECTIONS
                             for field in after}
                row[name]["empty_bytes"] = before["Rss"]
        return row

    def overhead(self, value_bytes, keys, memory_mb, full):
        """Bytes per item beyond key and value, of both servers."""
        row = {"value_bytes": value_bytes, "memory_mb": memory_mb, "full": full}
        settings = {"keys": keys, "value-bytes": value_bytes}
        for name, program in self.programs.items():
            with peers.Server(name, peers.cache_argv(program, memory_mb)) as server:
                time.sleep(0.5)
                empty = server.rss_bytes()
                self.preload(server, settings, allow_misses=int(full))
                time.sleep(1)
                rss = server.rss_bytes()
                items = self.count_items(server, settings) if full else keys
                row[name] = {"items": items, "rss_bytes": rss, "empty_bytes": empty,
                             "overhead": rss / items - KEY_BYTES - value_bytes,
                             "overhead_grown": (rss - empty) / items - KEY_BYTES - value_bytes}
        return row

    def count_items(self, server, settings):
        """How many of the keys can be read: a sample, not the server's own count."""
        sample = self.measure(server, {**settings, "allow-misses": 1, "depth": 32, "warmup": 0,
                                       "seconds": 2})
        return round(settings["keys"] * sample["hits"] / sample["gets"])

    def all(self):
        rows = []
        for dataset in (SMALL, HUGE, WIDE, WARM, KILO, LARGE, MEGA, SMALL_TLS, LARGE_TLS, UDP):
            mine = [row for row in ROWS if row[3] is dataset and self.wanted(row[0])]
            if mine:
                rows += self.group(dataset, mine)
        return {"rows": rows, "gate": self.gate() if self.wanted(GATE_ROW) else [],
                "idle": self.idle() if self.wanted(IDLE_ROW) else None,
                "overheads": self.overheads() if self.args.only is None else []}

    def overheads(self):
        self.say("  memory per item")
        share, full = (8, OVERHEAD_FULL[1:2]) if self.args.quick else (1, OVERHEAD_FULL)
        done = [self.overhead(value_bytes, keys // share, memory_mb, full=False)
                for value_bytes, keys, memory_mb in OVERHEAD_AT_REST]
        return done + [self.overhead(*row, full=True) for row in full]

    def wanted(self, name):
        return self.args.only is None or self.args.only in name


def cost_of(row, server):
    return row[server]["server_ns_per_op"]


def compared(results, one, other):
    """Medians of the rounds, the ratio of two servers, and the spread of the rounds' own ratios."""
    row = {server: {field: statistics.median(run[field] for run in runs) for field in runs[0]}
           for server, runs in results.items()}
    row["ratio"] = cost_of(row, one) / cost_of(row, other)
    ratios = [a["server_ns_per_op"] / b["server_ns_per_op"]
              for a, b in zip(results[one], results[other])]
    row["spread"] = [min(ratios), max(ratios)]
    row["rounds"] = len(ratios)
    return row


def summary(name, target, rival, results):
    row = {"name": name, "kind": "cpu", "target": target, "rival": rival,
           **compared(results, "ours", "memcached")}
    row["floor_ratio"] = None
    if "floor" in row:
        row["floor_ratio"] = cost_of(row, "floor") / cost_of(row, "memcached")
    return row


def arguments():
    parser = peers.parser(__doc__)
    parser.add_argument("--rounds", type=int, help="rounds per row (5)")
    parser.add_argument("--seconds", type=float, help="measured seconds per run (3)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 second")
    parser.add_argument("--only", help="only rows with this text in their name; writes no file")
    args = peers.arguments(parser)
    args.rounds = args.rounds or (2 if args.quick else 5)
    args.seconds = args.seconds or (1.0 if args.quick else 3.0)
    args.warmup = 0.3 if args.quick else 1.0
    return args


def main():
    args = arguments()
    result = peers.result_of(args, Bench(args).all, rounds=args.rounds, seconds=args.seconds)
    print(report.compare_text(result))
    if args.only is None:
        report.save(args.out, "compare", result)


if __name__ == "__main__":
    main()
