#!/usr/bin/env python3
"""bench/restart.py: how long a warm restart takes (-e, SIGUSR1), and whether everything is there.

    python3 bench/restart.py [--gib 10] [--value-bytes 300] [--folder /dev/shm]

Fills the memory file, stops, starts, and compares the values of all keys. The file and twice the
index have to fit into the machine's memory. Prints one line of JSON.

SPDX-License-Identifier: BSD-3-Clause
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import peers

ITEM_EXTRA_BYTES = 8 + 7  # header, and rounding up to 8
KEY_BYTES = 16


def load(port, options):
    """Run the load generator; returns its figures, or None when it printed none."""
    argv = [os.path.join(peers.ROOT, "build/release/bench/matte-bench-load"), "--host", peers.HOST,
            "--port", str(port), "--connections", "4", "--depth", "64", "--key-bytes",
            str(KEY_BYTES), "--zipf", "0", "--get-percent", "100", "--check-every", "1"]
    done = subprocess.run(argv + [str(o) for o in options], capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"restart: load: {done.stderr.decode()}")
    return json.loads(done.stdout) if done.stdout.strip() else None


class Server:
    """A server on the memory file; `log` is what it has said so far."""

    def __init__(self, folder, mib, port, threads):
        self.path = folder / "log"
        argv = peers.cache_argv(os.path.join(peers.ROOT, "build/release/matted"), mib)
        argv[argv.index("-t") + 1] = str(threads)
        started = time.monotonic()
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen(
                argv + ["-v", "-p", str(port), "-e", str(folder / "memory")], stderr=log)
        while "listening on" not in self.log():
            if self.process.poll() is not None:
                sys.exit(f"restart: {self.log()}")
            time.sleep(0.01)
        self.start_s = time.monotonic() - started

    def log(self):
        return self.path.read_text()

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().split(")")[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """Gracefully; returns the seconds until the process has gone."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGUSR1)
        if self.process.wait() != 0:
            sys.exit(f"restart: {self.log()}")
        return time.monotonic() - started


def items_in(text):
    return int(re.search(r"(\d+) items", text).group(1))


def measure(folder, args):
    mib = int(args.gib * 1024)
    bytes_per_item = args.value_bytes + KEY_BYTES + ITEM_EXTRA_BYTES + 13  # and its index
    keys = int(mib * (1 << 20) * 0.95 / bytes_per_item)
    port = peers.free_port()
    same = ["--keys", keys, "--value-bytes", args.value_bytes]
    server = Server(folder, mib, port, args.threads)
    figures = {"gib": args.gib, "value_bytes": args.value_bytes, "threads": args.threads,
               "first_start_s": round(server.start_s, 2)}
    load(port, same + ["--preload", 1, "--seconds", 0])
    figures["stop_s"] = round(server.stop(), 2)
    figures["items_kept"] = items_in(server.log().split("Gracefully")[1])
    server = Server(folder, mib, port, args.threads)
    figures["start_s"] = round(server.start_s, 2)
    figures["start_cpu_s"] = server.cpu_s()
    figures["items_restored"] = items_in(server.log())
    checked = load(port, same + ["--preload", 0, "--seconds", args.check_s])
    figures["values_checked"] = checked["values_checked"]
    server.process.terminate()
    server.process.wait()
    return figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=10)
    parser.add_argument("--value-bytes", type=int, default=300)
    parser.add_argument("--threads", type=int, default=len(peers.CPUS))
    parser.add_argument("--check-s", type=int, default=20)
    parser.add_argument("--folder", default="/dev/shm")
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="matte-restart-", dir=args.folder))
    os.chmod(folder, 0o777)  # the server becomes another user
    try:
        print(json.dumps(measure(folder, args)))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
