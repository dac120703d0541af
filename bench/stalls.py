#!/usr/bin/python3
"""bench/stalls.py: the longest time without an answer, while something large happens.

An open-loop load runs at half of the rate at which the slower of the two servers is saturated by
it; meanwhile the index grows, the cache evicts, a million items expire, and so on. Printed are the
longest gap between two answers of all connections, p99 and p99.9 of the trips from the time when
they were due. Every run has a server of its own.

SPDX-License-Identifier: BSD-3-Clause
"""
import math
import os
import statistics
import sys
import time

import peers
import report

KEY_BYTES = 16
OTHER_KEY_BYTES = 17  # keys that the load's own cannot be
CALIBRATE_S = 0.7
EXPIRY_LEAD_S = 2  # beyond the preload, so that all have been stored when they expire
HALF_MILLION, MILLION = 500_000, 1_000_000
GAP_TARGET = 1.0

# The load: gets, one per trip, of keys that stay as they are; or mostly sets, several per trip.
READS = {"connections": 50, "keys": 100_000, "value-bytes": 100}
WRITES = {"connections": 50, "keys": 1000, "value-bytes": 64, "depth": 16, "get-percent": 20}
FILL = {"keys": 3 * MILLION, "value-bytes": 64}  # more than 256 MB hold


def row(name, memory_mb, load, **more):
    """`fill`: preloaded before the load's keys; `event`: what the load does beyond `load`."""
    return {"name": name, "memory_mb": memory_mb, "load": load, "fill": None, "event": {},
            "stretch": 1, "expiring": False, "steady": False, **more}


ROWS = [
    row("nothing, gets", 64, READS),
    row("nothing, sets", 64, WRITES),
    row("the index grows to over a million items", 1024, WRITES,
        event={"fresh": 1}, stretch=2),
    row("eviction, full cache", 256, WRITES, fill=FILL, event={"fresh": 1, "allow-misses": 1},
        steady=True),
    row("compaction, values of random sizes", 256, WRITES,
        event={"churn": 200_000, "churn-bytes": "uniform:10:1000", "allow-misses": 1},
        stretch=2, steady=True),
    row("a million items expire in one second", 512, READS,
        fill={"keys": MILLION, "value-bytes": 64, "key-bytes": OTHER_KEY_BYTES}, expiring=True),
    row("flush_all, full cache", 256, READS, fill=FILL,
        event={"aside": "flush_all", "allow-misses": 1}),
    row("lru_crawler metadump all, a million items", 512, READS,
        fill={"keys": MILLION, "value-bytes": 64}, event={"aside": "lru_crawler metadump all"}),
    row("lru_crawler crawl all, a million items", 512, READS,
        fill={"keys": MILLION, "value-bytes": 64}, event={"aside": "lru_crawler crawl all"}),
    row("cache_memlimit from 256 MB to 64 and back, full cache", 256, READS, fill=FILL,
        event={"aside": "cache_memlimit 64;cache_memlimit 256", "allow-misses": 1}, stretch=1.5),
]


class Stalls:
    def __init__(self, args):
        self.args = args
        self.load = os.path.join(args.programs, "matte-bench-load")
        self.programs = {"ours": args.ours, "memcached": args.memcached}

    def run(self, server, settings):
        return peers.run(self.load, {"port": server.port, "preload": 0, "key-bytes": KEY_BYTES,
                                     **settings}, server.name)

    def prepare(self, server, row):
        """Fill the server; returns the time at which what was filled in expires, or None."""
        filling = {"connections": 8, "seconds": 0, "preload": 1, "allow-misses": 1}
        at = None
        if row["fill"]:
            fill = row["fill"]
            if row["expiring"]:
                at = math.ceil(time.time() + EXPIRY_LEAD_S + fill["keys"] / 150_000)
                fill = {**fill, "exptime": at}
            self.run(server, {**filling, **fill})
        self.run(server, {**filling, **keys_of(row["load"])})
        return at

    def saturated(self, row):
        """Operations per second of a closed loop, of the slower server."""
        rates = []
        for name, program in self.programs.items():
            with peers.Server(name, peers.cache_argv(program, row["memory_mb"])) as server:
                steady = row["steady"]
                self.prepare(server, {**row, "expiring": False} if steady
                             else {**row, "fill": None})
                event = row["event"] if steady else {}
                done = self.run(server, {**row["load"], **event, "seconds": CALIBRATE_S,
                                         "warmup": 0.3, "allow-misses": 1})
                rates.append(done["ops_per_s"])
        return min(rates)

    def once(self, name, row, rate):
        seconds = self.args.seconds * row["stretch"]
        argv = peers.cache_argv(self.programs[name], row["memory_mb"])
        with peers.Server(name, argv) as server:
            at = self.prepare(server, row)
            warmup = 0.5
            if at is not None:  # the window has its middle there
                warmup = max(0.1, at - time.time() - seconds / 2)
            return self.run(server, {**row["load"], **row["event"], "rate": rate,
                                     "seconds": seconds, "warmup": round(warmup, 2),
                                     "server-pid": server.pid})

    def row(self, row):
        print(f"  {row['name']}", file=sys.stderr, flush=True)
        rate = int(self.saturated(row) / 2)
        runs = {name: [] for name in self.programs}
        for number in range(self.args.rounds):
            for name in list(runs)[::1 if number % 2 == 0 else -1]:
                runs[name].append(self.once(name, row, rate))
        done = {"name": row["name"], "rate": rate, "target": GAP_TARGET}
        for name, results in runs.items():
            done[name] = {field: statistics.median(run[field] for run in results)
                          for field in results[0]}
            done[name]["gaps_us"] = [run["gap_us"] for run in results]
        return done

    def all(self):
        return [self.row(row) for row in ROWS
                if self.args.only is None or self.args.only in row["name"]]


def keys_of(load):
    return {name: load[name] for name in ("keys", "value-bytes")}


def arguments():
    parser = peers.parser(__doc__)
    parser.add_argument("--rounds", type=int, help="runs per row and server (3)")
    parser.add_argument("--seconds", type=float, help="measured seconds per run (4)")
    parser.add_argument("--quick", action="store_true", help="1 round of 2 seconds")
    parser.add_argument("--only", help="only rows with this text in their name; writes no file")
    args = peers.arguments(parser)
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.seconds = args.seconds or (2.0 if args.quick else 4.0)
    return args


def main():
    args = arguments()
    result = peers.result_of(args, lambda: {"rows": Stalls(args).all()}, rounds=args.rounds,
                             seconds=args.seconds)
    print(report.stalls_text(result))
    if args.only is None:
        report.save(args.out, "stalls", result)


if __name__ == "__main__":
    main()
