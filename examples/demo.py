#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The news site (news.py) with and without the cache, under the same load of browsers.

Prints database reads and response times of both and checks that they show the same pages.
`examples/demo.py --serve` leaves the cached site running for you to click through.
"""

import argparse
import bisect
import http.client
import itertools
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))
import cache  # noqa: E402
import news  # noqa: E402

BROWSERS, SECONDS = 8, 6
BAR = 40  # characters


# ── processes ──────────────────────────────────────────────────────────────────────────────────


def server_path():
    for path in (os.environ.get("MATTE_SERVER"), ROOT / "build/release/matted",
                 ROOT / "build/debug/matted"):
        if path and os.path.exists(path):
            return str(path)
    sys.exit("examples/demo.py: no server; `make build` first")


def start_cache(folder):
    """matted on a free port; returns (process, port)."""
    port_file = folder / "port"
    command = [server_path(), "-l", "127.0.0.1", "-p", "-1", "-m", "64"]
    if os.geteuid() == 0:
        command += ["-u", "root"]
    process = subprocess.Popen(command, env={**os.environ, "MEMCACHED_PORT_FILENAME": port_file})
    end = time.monotonic() + 10
    while not port_file.exists():
        if process.poll() is not None or time.monotonic() > end:
            sys.exit("examples/demo.py: the cache server did not start")
        time.sleep(0.01)
    return process, int(port_file.read_text().split(":")[1].split()[0])


def start_site(database, cache_port=None, port=0):
    """news.py as a process of its own; returns (process, port)."""
    command = [sys.executable, HERE / "news.py", "--database", database, "--port", str(port)]
    if cache_port:
        command += ["--cache-port", str(cache_port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    found = re.search(r":(\d+)/", process.stdout.readline())
    if not found:
        sys.exit("examples/demo.py: the site did not start")
    return process, int(found[1])


# ── browsers ───────────────────────────────────────────────────────────────────────────────────


class Zipf:
    """Numbers 1..n, small ones more often."""

    def __init__(self, count, exponent=1.0):
        self.sums = list(itertools.accumulate(1 / i**exponent for i in range(1, count + 1)))

    def draw(self, rng):
        return bisect.bisect(self.sums, rng.random() * self.sums[-1]) + 1


STORY = Zipf(news.STORIES)


def some_page(rng):
    """What people look at: mostly stories, then lists, sometimes a search."""
    kind = rng.random()
    if kind < 0.62:
        return f"/story/{news.STORIES + 1 - STORY.draw(rng)}"
    if kind < 0.80:
        return "/"
    if kind < 0.86:
        return f"/page/{rng.randrange(1, 5)}"
    if kind < 0.95:
        return f"/tag/{rng.choice(news.TAGS)}"
    return f"/search?q={rng.choice(news.WORDS)}"


class Browser(threading.Thread):
    """Follows links for a while; now and then writes a comment."""

    def __init__(self, port, number, end):
        super().__init__()
        self.port, self.rng, self.end = port, random.Random(number), end
        self.session = f"s{number}"
        self.times_ms, self.errors = [], 0

    def run(self):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        head = {"Cookie": f"sid={self.session}"}
        while time.monotonic() < self.end:
            path = some_page(self.rng)
            begin = time.monotonic()
            if path.startswith("/story") and self.rng.random() < 0.02:
                conn.request("POST", path, "body=I+agree", head)
            else:
                conn.request("GET", path, headers=head)
            answer = conn.getresponse()
            answer.read()
            self.times_ms.append((time.monotonic() - begin) * 1000)
            self.errors += answer.status not in (200, 303)
        conn.close()


def fetch(port, path):
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    conn.request("GET", path)
    body = conn.getresponse().read()
    conn.close()
    return body


def load(port, seconds):
    """Run all browsers; returns their figures."""
    before = int(fetch(port, "/reads"))
    end = time.monotonic() + seconds
    browsers = [Browser(port, number, end) for number in range(BROWSERS)]
    for browser in browsers:
        browser.start()
    for browser in browsers:
        browser.join()
    times = sorted(ms for browser in browsers for ms in browser.times_ms)
    reads = int(fetch(port, "/reads")) - before
    return {"pages": len(times), "errors": sum(b.errors for b in browsers), "reads": reads,
            "reads per page": reads / len(times), "pages per second": len(times) / seconds,
            "p50 ms": times[len(times) // 2], "p95 ms": times[len(times) * 95 // 100],
            "p99 ms": times[len(times) * 99 // 100]}


# ── the report ─────────────────────────────────────────────────────────────────────────────────


def report(plain, cached):
    print(f"\n{'':24}{'without cache':>16}{'with matted':>16}")
    for name in plain:
        form = "{:>16.2f}" if isinstance(plain[name], float) else "{:>16d}"
        print(f"{name:24}" + form.format(plain[name]) + form.format(cached[name]))
    print()
    for name in ("reads per page", "p50 ms", "p95 ms", "p99 ms"):
        top = max(plain[name], cached[name]) or 1
        for label, value in (("without", plain[name]), ("with", cached[name])):
            bar = "█" * max(1, round(value / top * BAR))
            print(f"{name if label == 'without' else '':16}{label:>8} {bar} {value:.2f}")
    print()


def compare(ports, count=150):
    """The two sites must show the same; returns how many pages differ."""
    rng = random.Random(7)
    paths = sorted({some_page(rng) for _ in range(count)})
    different = [path for path in paths if fetch(ports[0], path) != fetch(ports[1], path)]
    print(f"{len(paths)} pages compared, {len(different)} differ"
          + (": " + " ".join(different[:5]) if different else ""))
    return len(different)


def settle(cache_port):
    """Lists may be as old as their TTL: drop them before the comparison.  Stories never are."""
    client = cache.Cache("127.0.0.1", cache_port)
    for path in ["/", *(f"/page/{i}" for i in range(1, 5)), *(f"/tag/{t}" for t in news.TAGS),
                 *(f"/search?q={w}" for w in news.WORDS)]:
        client.delete(f"page:{path}")
    client.close()


def run(folder, seconds):
    database = folder / "news.db"
    begin = time.monotonic()
    news.fill(database)
    print(f"news site: {news.STORIES} stories, {news.COMMENTS} comments, {news.VOTES} votes in"
          f" SQLite (made in {time.monotonic() - begin:.1f} s)")
    matted, cache_port = start_cache(folder)
    sites = [start_site(database), start_site(database, cache_port)]
    ports = [port for _, port in sites]
    try:
        print(f"{BROWSERS} browsers for {seconds} s without the cache ...", flush=True)
        plain = load(ports[0], seconds)
        print(f"{BROWSERS} browsers for {seconds} s with the cache ...", flush=True)
        cached = load(ports[1], seconds)
        report(plain, cached)
        settle(cache_port)
        different = compare(ports)
    finally:
        for process in (*(process for process, _ in sites), matted):
            process.terminate()
            process.wait()
    failed = different or plain["errors"] or cached["errors"]
    if cached["reads per page"] > plain["reads per page"] / 2:
        print("the cache saved less than half of the reads")
        failed = True
    return 1 if failed else 0


def serve(folder, port):
    matted, cache_port = start_cache(folder)
    site, port = start_site(folder / "news.db", cache_port, port)
    print(f"http://127.0.0.1:{port}/  (cache on port {cache_port}; Ctrl-C ends)")
    try:
        site.wait()
    except KeyboardInterrupt:
        pass
    finally:
        for process in (site, matted):
            process.terminate()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--serve", action="store_true", help="serve the cached site for a person")
    parser.add_argument("--port", type=int, default=8080, help="port for --serve")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of each load")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="matte-demo-") as folder:
        if args.serve:
            serve(pathlib.Path(folder), args.port)
            return 0
        return run(pathlib.Path(folder), args.seconds)


if __name__ == "__main__":
    sys.exit(main())
