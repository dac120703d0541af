#!/usr/bin/python3
"""bench/misses.py: miss ratios of matted and memcached at equal -m, on generated workloads.

Each workload is replayed cache-aside (get; on a miss, set) against a fresh server of about 10 % and
30 % of its footprint. Counted is the second half of the stream. One request stream is the same for
both servers, and every hit is checked to be the newest version of its object.

SPDX-License-Identifier: BSD-3-Clause
"""
import concurrent.futures
import math
import os
import sys
import time

import peers
import report

WORKLOADS = ["zipf0.9", "zipf1.0", "scan", "shift", "update", "grow", "recency", "large", "ttl",
             "near", "session", "loop", "looped", "jump", "wave", "once", "uniform", "counter",
             "mixed", "huge", "brief"]
SHARES = (0.10, 0.30)  # of the footprint
# A loop that does not fit at all is the same at every size; here it nearly does, and does.
SHARES_OF = {"loop": (0.50, 0.90, 1.15)}
FOOTPRINT_PART = {"scan": 0.3}  # what of it comes more than once; a scan's keys do not
# Streams that last so many seconds, because a server acts by the clock in them: real TTLs of 1 to
# 8 s, and memcached moving a page from class to class every few seconds. They need little CPU
# time and run beside the others.
PACED_S = {"ttl": 100, "grow": 300, "large": 300, "mixed": 100, "huge": 200, "brief": 100}
# These always have so many keys: few enough for their pages to be moved in that time.
PAGED_KEYS = {"grow": 300_000, "large": 30_000, "huge": 2_000}
# Requests per trip where that matters: a miss is filled in the next trip, which must not last
# longer than an item does (huge values: some 200 fit).
TRIP = {"huge": 1, "large": 8}
# Half as many requests, and keys, so that all of it does not take too long.
HALVED = {"ttl", "near", "session", "loop", "looped", "jump", "wave", "once", "uniform", "mixed",
          "brief"}
MIB = 1 << 20


class Misses:
    def __init__(self, args):
        self.args = args
        self.trace = os.path.join(args.programs, "matte-bench-trace")
        self.programs = {"ours": args.ours, "memcached": args.memcached}

    def settings(self, workload):
        keys, requests = self.args.keys, self.args.requests
        settings = {"workload": workload, "keys": keys, "requests": requests}
        if workload in HALVED:
            settings.update(requests=requests // 2)
            if workload != "ttl":  # whose keys expire before they come again
                settings.update(keys=keys // 2)
        if workload == "counter":  # its values are tiny
            settings.update(keys=3 * keys)
        if workload in PAGED_KEYS:
            keys = PAGED_KEYS[workload]
            settings.update(keys=keys, requests=10 * keys)
        if workload in TRIP:
            settings["trip"] = TRIP[workload]
        if workload in PACED_S:
            settings["rate"] = settings["requests"] / (PACED_S[workload] / self.args.hurry)
        return settings

    def replay(self, name, memory_mb, settings):
        argv = peers.cache_argv(self.programs[name], memory_mb)
        with peers.Server(name, argv, cpu=None) as server:
            result = peers.run(self.trace, {"port": server.port, **settings}, name, cpu=None)
            result["rss_bytes"] = server.rss_bytes()
            return result

    def row(self, workload, memory_mb, share):
        """Both servers at once: only what they remember counts here, not how fast they are."""
        print(f"  {workload}, -m {memory_mb}", file=sys.stderr, flush=True)
        settings = self.settings(workload)
        with concurrent.futures.ThreadPoolExecutor(len(self.programs)) as pool:
            jobs = {name: pool.submit(self.replay, name, memory_mb, settings)
                    for name in self.programs}
            row = {name: job.result() for name, job in jobs.items()}
        row.update(workload=workload, memory_mb=memory_mb, footprint_share=share)
        row["ratio"] = {what: ratio(row["ours"][what], row["memcached"][what])
                        for what in ("objects", "bytes")}
        return row

    def all(self):
        workloads = self.args.only or WORKLOADS
        with concurrent.futures.ThreadPoolExecutor() as pool:
            paced = [pool.submit(self.rows, [workload]) for workload in workloads
                     if workload in PACED_S]
            rows = self.rows([workload for workload in workloads if workload not in PACED_S])
            for job in paced:
                rows += job.result()
        return rows

    def rows(self, workloads):
        rows = []
        for workload in workloads:
            dry = {**self.settings(workload), "dry": 1, "rate": 0}
            footprint = peers.run(self.trace, dry)["footprint"]
            for share in SHARES_OF.get(workload, self.args.shares):
                part = FOOTPRINT_PART.get(workload, 1.0)
                memory_mb = max(8, round(footprint * part * share / MIB))
                rows.append(self.row(workload, memory_mb, memory_mb * MIB / footprint))
        return rows


def ratio(ours, theirs):
    if theirs == 0:
        return 1.0 if ours == 0 else math.inf
    return ours / theirs


def geometric_mean(values):
    return math.exp(sum(math.log(max(value, 1e-9)) for value in values) / len(values))


def arguments():
    parser = peers.parser(__doc__)
    parser.add_argument("--keys", type=int, help="popular keys (1000000)")
    parser.add_argument("--requests", type=int, help="requests per workload (10000000)")
    parser.add_argument("--quick", action="store_true",
                        help="a third of the keys and requests, one size")
    parser.add_argument("--only", action="append", choices=WORKLOADS,
                        help="only this workload; writes no file")
    args = peers.arguments(parser)
    args.hurry = 2 if args.quick else 1
    scale = 3 if args.quick else 1
    args.shares = SHARES[1:] if args.quick else SHARES
    args.keys = args.keys or 1_000_000 // scale
    args.requests = args.requests or 10_000_000 // scale
    return args


def main():
    args = arguments()
    result = peers.result_of(args, lambda: {"rows": Misses(args).all()}, requests=args.requests)
    rows = result["rows"]
    for name, pick in (("mean", geometric_mean), ("worst", max)):
        result[name] = {what: pick([row["ratio"][what] for row in rows])
                        for what in ("objects", "bytes")}
    print(report.misses_text(result))
    if args.only is None:
        report.save(args.out, "misses", result)


if __name__ == "__main__":
    main()
