#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Mixed load from many connections on more data than fits, every byte checked.

    tests/soak/soak.py --seconds 600                      the optimised server
    tests/soak/soak.py --seconds 600 --server build/asan/matted

Every value tells its key and version and the rest follows from these, so that a wrong byte, a
foreign value or an old version is seen.  Half of the keys belong to one connection each, which
knows what they must hold: that version, or nothing when it was evicted, flushed or expired.
Prints a verdict; exit status 0 when all is well."""

import argparse
import multiprocessing
import os
import pathlib
import random
import re
import socket
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/script"))
import harness  # noqa: E402

POOL = random.Random(99).randbytes(3 << 20)  # values are cut out of it
POOL_OFFSETS = 1 << 20
PIPELINE = 12
VALUE_BYTES_MAX = 1_000_000
APPENDED_BYTES_MAX = 20_000
HEAD = re.compile(rb"(\S+) (\d+) (\d+);")
ANSWER_S = 60  # for one answer: much longer is a hang


class Wrong(Exception):
    """The server did what it must not."""


# ── values ─────────────────────────────────────────────────────────────────────────────────────


def body_of(key, version, size):
    offset = (version * 7919 + sum(key) * 131) % POOL_OFFSETS
    return POOL[offset:offset + size]


def value_of(key, version, size):
    return b"%s %d %d;" % (key, version, size) + body_of(key, version, size)


def check_value(key, value):
    """Check a value of one piece or, when it was appended to, of several; returns the versions."""
    versions, at = [], 0
    while at < len(value):
        head = HEAD.match(value, at)
        if not head or head[1] != key:
            raise Wrong(f"{key} holds {value[at:at + 60]!r} at {at}")
        size = int(head[3])
        at = head.end() + size
        versions.append(int(head[2]))
        if value[head.end():at] != body_of(key, versions[-1], size):
            raise Wrong(f"{key} version {versions[-1]}: wrong bytes in {size} after {head.end()}")
    return versions


def some_size(rng):
    """1 byte to 1 MB, mostly small."""
    kind = rng.random()
    tops = ((0.7, 500), (0.95, 8000), (0.995, 100_000), (1, VALUE_BYTES_MAX))
    return rng.randint(1, next(top for share, top in tops if kind < share))


# ── one connection ─────────────────────────────────────────────────────────────────────────────


class Client:
    """Sends batches of requests and checks their answers."""

    def __init__(self, port, name, seed, shared, private):
        self.port, self.rng = port, random.Random(seed)
        self.shared, self.private = shared, private
        self.name, self.version = name, 0
        self.held = {}  # private key: version that it must hold if anything; None: nothing
        self.uniques = {}  # private key: CAS unique of the version held
        self.counts = {"requests": 0, "hits": 0, "misses": 0, "disconnects": 0, "bytes": 0}
        self.pending = []
        self.connect()

    def connect(self):
        self.conn = harness.Conn(("127.0.0.1", self.port), ANSWER_S)

    def key(self):
        """A key, and whether it is ours alone.  Low numbers are more popular."""
        private = self.rng.random() < 0.5
        number = int((self.private if private else self.shared) * self.rng.random()**3)
        return (b"p%s.%d" % (self.name, number) if private else b"s%d" % number), private

    def exptime(self):
        return self.rng.randint(1, 10) if self.rng.random() < 0.3 else 0

    # Each of these returns (request, function that reads and checks the answer).

    def get(self):
        key, private = self.key()
        word = self.rng.choice((b"get", b"gets", b"gets"))
        return b"%s %s\r\n" % (word, key), lambda: self.read_values(key, private)

    def multiget(self):
        keys = [self.key() for _ in range(self.rng.randint(2, 20))]

        def read():
            wanted = dict(keys)
            while (line := self.conn.line()) != b"END":
                key = line.split()[1] if line and line.startswith(b"VALUE ") else line
                if key not in wanted:
                    raise Wrong(f"multiget got {line!r}")
                self.checked(key, wanted[key], self.conn.take(int(line.split()[3]) + 2)[:-2])
        return b"get " + b" ".join(key for key, _ in keys) + b"\r\n", read

    def get_and_touch(self):
        key, private = self.key()
        return b"gat %d %s\r\n" % (self.exptime(), key), lambda: self.read_values(key, private)

    def meta_get(self):
        key, private = self.key()

        def read():
            line = self.conn.line()
            if line in (b"EN", b"EN k" + key):
                self.counts["misses"] += 1
            elif line.startswith(b"VA ") and b"k" + key in line.split():
                self.checked(key, private, self.conn.take(int(line.split()[1]) + 2)[:-2])
            else:
                raise Wrong(f"mg {key} got {line!r}")
        return b"mg %s v k t f\r\n" % key, read

    def read_values(self, key, private):
        line = self.conn.line()
        if line == b"END":
            self.counts["misses"] += 1
            return
        words = (line or b"").split()
        if len(words) < 4 or words[0] != b"VALUE" or words[1] != key:
            raise Wrong(f"get {key} got {line!r}")
        value = self.conn.take(int(words[3]) + 2)[:-2]
        if self.conn.line() != b"END":
            raise Wrong(f"get {key}: no END")
        self.checked(key, private, value)
        if private and len(words) == 5:
            self.uniques[key] = (self.held[key], words[4])

    def checked(self, key, private, value):
        versions = check_value(key, value)
        self.counts["hits"] += 1
        self.counts["bytes"] += len(value)
        if not private:
            return
        if key not in self.held or self.held[key] is None:
            raise Wrong(f"{key} holds version {versions} after it was deleted")
        if self.held[key] not in versions:
            raise Wrong(f"{key} holds {versions}, the newest was {self.held[key]}")

    def store(self, word=None):
        key, private = self.key()
        self.version += 1
        version, size = self.version, some_size(self.rng)
        value = value_of(key, version, size)
        word = word or self.rng.choice((b"set", b"set", b"set", b"add", b"replace", b"ms"))
        if word == b"ms":
            request = b"ms %s %d T%d\r\n%s\r\n" % (key, len(value), self.exptime(), value)
            good, bad = b"HD", ()
        else:
            request = b"%s %s 0 %d %d\r\n%s\r\n" % (word, key, self.exptime(), len(value), value)
            good, bad = b"STORED", () if word == b"set" else (b"NOT_STORED",)

        def read():
            line = self.conn.line()
            if line == good:
                if private:
                    self.held[key] = version
            elif line not in bad:
                raise Wrong(f"{word} {key} of {size} got {line!r}")
        return request, read

    def append(self):
        key, private = self.key()
        self.version += 1
        version, word = self.version, self.rng.choice((b"append", b"prepend"))
        value = value_of(key, version, self.rng.randint(1, APPENDED_BYTES_MAX) // 20)

        def read():
            line = self.conn.line()
            if line == b"STORED":
                if private:
                    self.held[key] = version
            elif line not in (b"NOT_STORED", b"SERVER_ERROR object too large for cache"):
                raise Wrong(f"{word} {key} got {line!r}")
        return b"%s %s 0 0 %d\r\n%s\r\n" % (word, key, len(value), value), read

    def compare_and_swap(self):
        if not self.uniques:
            return self.get()
        key, (known, unique) = self.uniques.popitem()
        self.version += 1
        version = self.version
        value = value_of(key, version, some_size(self.rng))

        def read():
            line = self.conn.line()
            if line == b"STORED":
                if self.held.get(key) != known:
                    raise Wrong(f"cas {key} stored over {self.held.get(key)}, not {known}")
                self.held[key] = version
            elif line == b"EXISTS":
                if self.held.get(key) == known:
                    raise Wrong(f"cas {key} refused, although {known} is held")
            elif line != b"NOT_FOUND":
                raise Wrong(f"cas {key} got {line!r}")
        return b"cas %s 0 0 %d %s\r\n%s\r\n" % (key, len(value), unique, value), read

    def delete(self):
        key, private = self.key()

        def read():
            line = self.conn.line()
            if line not in (b"DELETED", b"NOT_FOUND"):
                raise Wrong(f"delete {key} got {line!r}")
            if private:
                self.held[key] = None
        return b"delete %s\r\n" % key, read

    def touch(self):
        key, _ = self.key()

        def read():
            line = self.conn.line()
            if line not in (b"TOUCHED", b"NOT_FOUND"):
                raise Wrong(f"touch {key} got {line!r}")
        return b"touch %s %d\r\n" % (key, self.exptime()), read

    def count(self):
        key = b"n%d" % self.rng.randrange(500)
        delta = self.rng.randint(1, 1000)

        def read():
            head, number = self.conn.line(), self.conn.line()
            if head is None or not head.startswith(b"VA ") or not number.isdigit():
                raise Wrong(f"ma {key} got {head!r} {number!r}")
        return b"ma %s v N60 J0 D%d\r\n" % (key, delta), read

    def one(self):
        """A request by the mix."""
        make = self.rng.choices(
            (self.get, self.multiget, self.get_and_touch, self.meta_get, self.store, self.append,
             self.compare_and_swap, self.delete, self.touch, self.count),
            (32, 6, 4, 8, 26, 4, 5, 4, 4, 7))[0]
        return make()

    def send(self):
        """Send a batch; its answers are read later: many connections are at work at once."""
        if self.rng.random() < 0.01:
            self.leave_halfway()
        batch = [self.one() for _ in range(self.rng.randint(1, PIPELINE))]
        self.pending = [read for _, read in batch]
        self.counts["requests"] += len(batch)
        data = b"".join(request for request, _ in batch)
        if len(data) < 200_000:  # what surely fits the socket's buffers
            self.conn.send(data)
            return
        for request, read in batch:
            self.conn.send(request)
            read()
        self.pending = []

    def receive(self):
        for read in self.pending:
            read()
        self.pending = []

    def leave_halfway(self):
        """Disconnect in the middle of a request: it must have no effect."""
        request, _ = self.store()
        self.conn.send(request[:self.rng.randrange(len(request) - 2)])
        if self.rng.random() < 0.5:
            self.conn.sock.shutdown(socket.SHUT_WR)
        self.conn.close()
        self.counts["disconnects"] += 1
        self.connect()


def work(port, number, options, results):
    """A process with its share of the connections."""
    share = options.connections // options.processes
    clients = [Client(port, b"%d" % (number * share + i), options.seed * 1000 + number * share + i,
                      options.keys // 2, options.keys // 2 // options.connections)
               for i in range(share)]
    end, error = time.monotonic() + options.seconds, None
    flush = time.monotonic() + options.flush_every * (1 + number / options.processes)
    try:
        while time.monotonic() < end:
            for client in clients:
                client.send()
            for client in clients:
                client.receive()
            if time.monotonic() > flush:
                flush += options.flush_every
                clients[0].conn.ask(b"flush_all\r\n", b"OK\r\n")
    except (Wrong, AssertionError, OSError) as wrong:
        error = f"{type(wrong).__name__}: {wrong}"
    total = {name: sum(client.counts[name] for client in clients) for name in clients[0].counts}
    results.put((total, error))


# ── the whole ──────────────────────────────────────────────────────────────────────────────────


def flatness(rss, limit_bytes):
    """A complaint when memory grows or is too much; `rss` are samples over the whole run."""
    half, last = rss[len(rss) // 4:len(rss) * 5 // 8], rss[len(rss) * 5 // 8:]
    if not half or not last:
        return "the run was too short to tell anything of memory"
    if max(last) > max(half) * 1.05 + (4 << 20):
        return f"RSS grew from {max(half) >> 20} to {max(last) >> 20} MiB"
    if limit_bytes and max(rss) > limit_bytes:
        return f"RSS of {max(rss) >> 20} MiB is above {limit_bytes >> 20} MiB"
    return None


def watch(server, workers, options):
    """Sample RSS until the workers are done."""
    rss, said = [], time.monotonic()
    while any(worker.is_alive() for worker in workers):
        if not server.alive():
            break
        rss.append(server.rss_bytes())
        if time.monotonic() - said > 30:
            said = time.monotonic()
            print(f"  RSS {rss[-1] >> 20} MiB after {len(rss)} samples", flush=True)
        time.sleep(min(1, options.seconds / 40))
    return rss


def run(options):
    sanitized = harness.is_sanitized(options.server)
    os.environ.setdefault("ASAN_OPTIONS", "quarantine_size_mb=16:malloc_context_size=5")
    with harness.Server("-m", options.memory, "-t", options.threads, "-c", "2000",
                        binary=options.server) as server:
        results = multiprocessing.Queue()
        workers = [multiprocessing.Process(target=work, args=(server.port, i, options, results))
                   for i in range(options.processes)]
        for worker in workers:
            worker.start()
        rss = watch(server, workers, options)
        outcomes = [results.get(timeout=ANSWER_S) for _ in workers]
        for worker in workers:
            worker.join()
        errors = [error for _, error in outcomes if error]
        with server.connect() as conn:
            stats = conn.stats()
    total = {name: sum(counts[name] for counts, _ in outcomes) for name in outcomes[0][0]}
    print(", ".join(f"{value} {name}" for name, value in total.items()))
    print(", ".join(f"{name} {stats[name]}" for name in (
        "curr_items", "evictions", "expired_unfetched", "get_flushed", "cmd_flush", "bytes")))
    print(f"RSS in MiB: {' '.join(str(x >> 20) for x in rss[::max(1, len(rss) // 12)])}")
    limit = None if sanitized else (options.memory << 20) + (48 << 20)
    complaint = None if sanitized and options.seconds < 120 else flatness(rss, limit)
    if complaint:
        errors.append(complaint)
    if int(stats["evictions"]) == 0:
        errors.append("nothing was evicted: the load was too small to tell anything")
    return errors


def main():
    parser = argparse.ArgumentParser(description="Soak the server; see the head of this file.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--server", default=str(ROOT / "build/release/matted"))
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="of the server")
    parser.add_argument("--memory", type=int, default=32, help="of the server, in MiB")
    parser.add_argument("--keys", type=int, default=40_000, help="about 6 KB of value each")
    parser.add_argument("--flush-every", type=float, default=15, help="seconds, each process")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print(f"soak: {options.server}, {options.seconds:g} s, seed {options.seed}", flush=True)
    errors = run(options)
    for error in errors:
        print(f"WRONG: {error}")
    print("verdict: " + ("FAILED" if errors else "all is well"))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
