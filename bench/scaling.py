#!/usr/bin/python3
"""bench/scaling.py: operations per second with more workers, and on one hot key.

Gets, sets and a mix from one worker to as many as there are cores for, and the same on one key
that all clients ask for. The server has the first cores, one per worker; load generators have the
others. Where none is left (two workers on two cores) they share one, and the time of the server
per operation tells more than its throughput.

SPDX-License-Identifier: BSD-3-Clause
"""
import json
import os
import statistics
import subprocess
import sys

import peers
import report

KEY_BYTES = 16
MEMORY_MB = 1024
WORKERS_MAX = 16
CONNECTIONS = 64  # of all clients together
DATA = {"keys": 1_000_000, "value-bytes": 64}
HOT = {"keys": 1, "value-bytes": 64}
LOADS = [
    ("get, 32 per trip", DATA, {"depth": 32}),
    ("set, 32 per trip", DATA, {"depth": 32, "get-percent": 0}),
    ("90/10 zipf mix, 32 per trip", DATA, {"depth": 32, "get-percent": 90, "zipf": 1.0}),
    ("get of one hot key", HOT, {"depth": 32}),
    ("set of one hot key", HOT, {"depth": 32, "get-percent": 0}),
    ("incr of one hot key", HOT, {"depth": 32, "get-percent": 0, "incr": 1}),
]


def worker_counts(cpus):
    """1, 2, 4 ... to one per core, or WORKERS_MAX; with more than two cores a client keeps one."""
    most = min(WORKERS_MAX, cpus if cpus <= 2 else cpus - 1)
    counts = [1]
    while counts[-1] * 2 <= most:
        counts.append(counts[-1] * 2)
    return counts + ([most] if counts[-1] != most else [])


def cores(cpus, workers):
    """Which cores the server has, and which the clients have, one client per core."""
    left = cpus[workers:]
    return cpus[:workers], left[:2 * workers] or cpus[-1:]


class Scaling:
    def __init__(self, args):
        self.args = args
        self.load = os.path.join(args.programs, "matte-bench-load")
        self.programs = {"ours": args.ours, "memcached": args.memcached}

    def preload(self, server, data, load):
        settings = {"port": server.port, "key-bytes": KEY_BYTES, "seconds": 0, **data}
        peers.run(self.load, settings, server.name)
        if "incr" in load:
            peers.ask(server.port, b"set k" + b"0" * (KEY_BYTES - 1) + b" 0 0 1\r\n1\r\n",
                      b"STORED\r\n")

    def clients(self, server, cpus, settings):
        """Run a client per core at once; their figures."""
        share = max(1, CONNECTIONS // len(cpus))
        argvs = [peers.pinned(cpu, [self.load] + peers.options(
            {"port": server.port, "server-pid": server.pid, "key-bytes": KEY_BYTES, "preload": 0,
             "connections": share, "seconds": self.args.seconds, "warmup": self.args.warmup,
             "check-every": 16, "seed": number + 1, **settings}))
            for number, cpu in enumerate(cpus)]
        started = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                   for argv in argvs]
        done = [process.communicate() for process in started]
        for process, (_, errors) in zip(started, done):
            if process.returncode != 0:
                raise peers.Failed(f"load against {server.name}: {errors.decode().strip()}")
        return [json.loads(output) for output, _ in done]

    def once(self, name, workers, data, load):
        server_cpus, client_cpus = cores(peers.CPUS, workers)
        argv = peers.cache_argv(self.programs[name], MEMORY_MB, workers=workers)
        where = ",".join(str(cpu) for cpu in server_cpus)
        with peers.Server(name, argv, cpu=where) as server:
            self.preload(server, data, load)
            figures = self.clients(server, client_cpus, {**data, **load})
        ops_per_s = sum(figure["ops_per_s"] for figure in figures)
        busy = statistics.mean(figure["server_busy"] for figure in figures)
        return {"ops_per_s": ops_per_s, "busy": busy, "ns_per_op": busy * 1e9 / ops_per_s}

    def row(self, name, data, load, workers):
        print(f"  {name}, {workers} workers", file=sys.stderr, flush=True)
        runs = {server: [] for server in self.programs}
        for number in range(self.args.rounds):
            for server in list(runs)[::1 if number % 2 == 0 else -1]:
                runs[server].append(self.once(server, workers, data, load))
        medians = {server: {field: statistics.median(run[field] for run in results)
                            for field in results[0]} for server, results in runs.items()}
        server_cpus, client_cpus = cores(peers.CPUS, workers)
        return {"name": name, "workers": workers, "clients": len(client_cpus),
                "shared": bool(set(server_cpus) & set(client_cpus)), **medians}

    def all(self):
        return [self.row(name, data, load, workers) for name, data, load in LOADS
                if self.args.only is None or self.args.only in name
                for workers in worker_counts(len(peers.CPUS))]


def arguments():
    parser = peers.parser(__doc__)
    parser.add_argument("--rounds", type=int, help="runs per row and server (3)")
    parser.add_argument("--seconds", type=float, help="measured seconds per run (2)")
    parser.add_argument("--quick", action="store_true", help="1 round of half a second")
    parser.add_argument("--only", help="only rows with this text in their name; writes no file")
    args = peers.arguments(parser)
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.seconds = args.seconds or (0.5 if args.quick else 2.0)
    args.warmup = 0.3
    return args


def main():
    args = arguments()
    result = peers.result_of(args, lambda: {"rows": Scaling(args).all()}, rounds=args.rounds,
                             seconds=args.seconds)
    print(report.scaling_text(result))
    if args.only is None:
        report.save(args.out, "scaling", result)


if __name__ == "__main__":
    main()
