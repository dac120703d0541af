# SPDX-License-Identifier: BSD-3-Clause
"""A server in the lab, attacks on it and what has to hold after each.

Target starts the program named by MATTE_SERVER in the namespace `server`, plants keys, and strikes:
the attacker's packets go out, every packet that comes back is taken, and `Outcome.check` says
whether an unproven source got more than it sent.  Knows the lab (lab.py), and of pytest only how
to skip.
"""

import collections
import os
import re
import signal
import subprocess
import time

import pytest

import harness
import lab
import packet
import rr

PORT = 11211
SECRET = b"SECRET-of-the-client-"
BIG_BYTES = 1_000_000
QUIET_S = 0.03  # the server has answered when nothing came for so long
SETTLE_S = 5.0  # the longest that it may take to read what was sent
COUNTED = re.compile(r"cmd_|get_|touch_|delete_|incr_|decr_|cas_|curr_items|total_items|evictions|"
                     r"bytes$|store_|total_connections")


def open_args(binary=harness.BINARY):
    """Options by which a server is there for other hosts."""
    known = subprocess.run([binary, "-h"], capture_output=True, text=True).stdout
    return ("-o", "protected_mode=no") if "protected_mode" in known else ()


def need_ours():
    if harness.is_reference(harness.BINARY):
        pytest.skip("memcached has no such option")


class Sources:
    """Addresses to spoof, none twice: 198.18.0.0/15 and 2001:db8::/32, which nobody has."""

    def __init__(self):
        self.count = 0

    def next(self, family):
        n = self.count
        self.count += 1
        if family == 6:
            return packet.text(packet.raw(f"2001:db8:{n & 0xffff:x}:{n >> 16:x}::1"))
        return f"198.{18 + (n >> 16) % 2}.{n & 255}.{1 + (n >> 8) % 254}"


SPOOFED = Sources()


class Aim:
    """Makes an attacker's packets for one address of the server."""

    def __init__(self, family, target=None, port=PORT):
        self.family, self.port = family, port
        self.target = target or lab.address("server", family)

    def source(self):
        return SPOOFED.next(self.family)

    def udp(self, payload, source=None, sport=40000, target=None, **wrong):
        """A datagram, by default from an address of its own."""
        return packet.udp(source or self.source(), target or self.target, sport, self.port,
                          payload, **wrong)

    def all(self, payloads, **how):
        return [self.udp(payload, **how) for payload in payloads]


class Outcome:
    """What was sent, what came back, and what the meters counted."""

    def __init__(self, sent, answers, meter, target):
        self.sent, self.answers, self.meter, self.target = sent, answers, meter, target
        self.bytes_in, self.bytes_out = meter["in_all"][1], meter["out_all"][1]
        self.touched = {}  # counters of lookups and writes that moved: {name: (before, after)}

    @property
    def ratio(self):
        return self.bytes_out / self.bytes_in if self.bytes_in else float(self.bytes_out > 0)

    def __str__(self):
        shown = collections.Counter((a.target, a.protocol, a.bytes) for a in self.answers)
        return (f"{len(self.sent)} packets, {self.bytes_in} bytes in; {len(self.answers)} packets,"
                f" {self.bytes_out} bytes out; ratio {self.ratio:.3f}; {self.meter}\n"
                f"{shown.most_common(8)}\n{[a.payload[:80] for a in self.answers[:4]]}")

    def check_total(self):
        """Whoever is unproven gets no more than it sent, all together, by the meters."""
        assert self.bytes_in == sum(len(data) for data in self.sent), f"lost on the way: {self}"
        assert self.bytes_out <= self.bytes_in, f"more out than in: {self}"
        assert self.meter["loop"] == (0, 0), f"answers to the own host: {self}"

    def check_each(self):
        """The same for each source by itself: per datagram, and never two for one."""
        got = collections.defaultdict(list)
        for data in self.sent:
            sent = packet.parse(data)
            got[sent.source].append(sent.bytes)
        back = collections.defaultdict(list)
        for answer in self.answers:
            back[answer.target].append(answer.bytes)
        for target, sizes in back.items():
            sent = got.get(target, [])
            assert len(sizes) <= len(sent), f"{target}: {sizes} for {sent}: {self}"
            assert max(sizes) <= max(sent), f"{target}: {sizes} for {sent}: {self}"
            assert sum(sizes) <= sum(sent), f"{target}: {sizes} for {sent}: {self}"

    def check_secret(self):
        """No value, key or figure of the server is in what came back."""
        for answer in self.answers:
            for word in (SECRET, b"VALUE ", b"STAT ", b"VA ", b"VERSION"):
                assert word not in answer.payload, f"{answer.payload[:200]!r}"

    def check(self):
        self.check_total()
        self.check_each()
        self.check_secret()
        assert not self.touched, f"a lookup or a write: {self.touched}"
        return self

    def check_silent(self):
        """Nothing at all comes back."""
        assert self.bytes_out == 0 and not self.answers, f"expected silence: {self}"
        return self.check()


class Target:
    """One server under attack.  A context manager."""

    def __init__(self, place, *args, binary=harness.BINARY, host="server",
                 listen="0.0.0.0,::"):
        self.lab, self.host = place, host
        self.reference = harness.is_reference(binary)
        policies = [arg.removeprefix("udp_policy=") for arg in map(str, args)
                    if arg.startswith("udp_policy=")] or ["rr"]
        self.speaks_rr = not self.reference and "rr" in policies[-1].split("+")
        self.inside = place.hosts[host]
        with self.inside:
            self.server = harness.Server("-p", PORT, "-U", PORT, *args, binary=binary,
                                         listen=listen)
        self.conns, self.proven = {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *what):
        for thing in [*self.conns.values(), *self.proven.values()]:
            thing.close()
        if self.reference:  # it takes a second to end by itself, and need not end well
            self.server.stop(signal.SIGKILL)
            self.server.folder.cleanup()
        else:
            self.server.__exit__(*what)

    # ── how it is used as meant ────────────────────────────────────────────────────────────────

    def conn(self, family=4):
        """The client's TCP connection; stays."""
        if family not in self.conns:
            with self.lab.hosts["client"]:
                self.conns[family] = harness.Conn((lab.address(self.host, family), PORT))
        return self.conns[family]

    def client(self, family=4, host="client", **more):
        """A new client of RR UDP on another host; the caller closes it."""
        with self.lab.hosts[host]:
            return rr.Client(lab.address(self.host, family), PORT, **more)

    def plant(self):
        conn = self.conn()
        conn.set(b"secret", SECRET * 3)
        conn.set(b"big", (SECRET * (BIG_BYTES // len(SECRET) + 1))[:BIG_BYTES])
        conn.set(b"number", b"4711")
        return self

    def check_served(self):
        """TCP and proven UDP are served, both families, and the planted keys are as they were."""
        for family in (4, 6):
            conn = self.conn(family)
            assert conn.get(b"secret") == SECRET * 3
            assert conn.get(b"number") == b"4711"
            if self.speaks_rr:
                if family not in self.proven:
                    self.proven[family] = self.client(family)
                got = self.proven[family].ask(b"get secret\r\n")
                assert got == b"VALUE secret 0 %d\r\n%s\r\nEND\r\n" % (len(SECRET * 3), SECRET * 3)

    def counters(self):
        """What a lookup or a write would count."""
        return {name: value for name, value in self.conn().stats().items() if COUNTED.match(name)}

    def need_rr(self):
        if not self.speaks_rr:
            pytest.skip("knows no return-routable UDP")

    def flood(self, make, count):
        """`make(first)` gives a lab.Batch of lab.BATCH frames; sent as fast as they are read.

        Returns the round trips of one TCP request per batch, in seconds.
        """
        conn, trips, sent = self.conn(), [], 0
        start = sum(self.lab.udp_counts().values())
        while sent < count:
            self.lab.attacker.send_batch(make(sent))
            sent += lab.BATCH
            end = time.monotonic() + SETTLE_S
            while start + sent - sum(self.lab.udp_counts().values()) > 2 * lab.BATCH:
                assert time.monotonic() < end, f"stopped reading after {sent} datagrams"
            before = time.monotonic()
            conn.ask(b"mn\r\n", b"MN\r\n")
            trips.append(time.monotonic() - before)
        return trips

    # ── attacks ────────────────────────────────────────────────────────────────────────────────

    def settle(self, before, count, quiet_s=QUIET_S):
        """Wait until the server has read `count` datagrams more and has nothing more to say."""
        answers, end = [], time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            now = self.lab.udp_counts()
            if sum(now.values()) - sum(before.values()) >= count:
                break
            answers += self.lab.tap.read()
            time.sleep(0.002)
        else:
            raise AssertionError(f"{count} datagrams were sent; {before} became {now}")
        last = time.monotonic()
        while time.monotonic() - last < quiet_s:
            more = self.lab.tap.read()
            if more:
                answers += more
                last = time.monotonic()
            time.sleep(0.003)
        return answers

    def strike(self, packets, arrive=True, untouched=True, quiet_s=QUIET_S, send=None):
        """Send packets and take what comes back.

        `arrive`: they are datagrams that reach the server's socket; False where the kernel may
        refuse them.  `untouched`: no counter of lookups or writes may move.
        """
        if self.conn().get(b"secret") is None:  # an attack that failed took it away
            self.plant()
        before = self.counters()
        time.sleep(0.002)  # the connection's last acknowledgement
        self.lab.tap.read()
        self.lab.tap.lost()
        self.lab.meter.reset()
        counts = self.lab.udp_counts()
        (send or self.lab.attacker.send)(packets)
        answers = self.settle(counts, len(packets) if arrive else 0,
                              quiet_s if arrive else max(quiet_s, 0.1))
        ours = {lab.address(h, f) for h in ("client", "stranger") for f in (4, 6)}
        answers = [a for a in answers if a.target not in ours]
        assert self.lab.tap.lost() == 0, "the tap lost packets"
        outcome = Outcome(packets, answers, self.lab.meter.read(), self)
        if untouched:
            after = self.counters()
            outcome.touched = {name: (before[name], value) for name, value in after.items()
                               if value != before[name]}
        return outcome


def figures(text):
    """Tell a measured figure to whoever reads the log."""
    path = os.environ.get("MATTE_PACKETS_FIGURES")
    if path:
        with open(path, "a") as file:
            file.write(text + "\n")
    print(text)
