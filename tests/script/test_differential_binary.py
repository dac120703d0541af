# SPDX-License-Identifier: BSD-3-Clause
"""Generated packets of the binary protocol go to memcached and to the server under test, see
differential.py.  Numbers have keys of their own, whose blanks at the end are not compared, as in
test_differential.py."""

import random

import binary
from binary import OPCODES, Binary
from differential import Comparison, Uniques, by_seed
from differential import pair  # noqa: F401  a fixture

BATCHES, BATCH = 8, 12  # writes in a sequence, packets in a write
LAST = 0xfffffffe  # opaque of the noop that ends a write
EXPTIMES = (0, 0, 0, 100, 2592000, 2592001, 0x7fffffff, 0x80000000, 0xffffffff)

# Packets that are left out, because memcached 1.6.18 and 1.6.45 answer differently (or matted does
# on purpose: docs/differences.md).
DIFFERENCES = [
    (lambda p: p.opcode not in KNOWN and (p.key or p.extras),
     "1.6.18 swallows key and extras of an unknown opcode twice"),
    (lambda p: p.wrong.get("body_bytes", 0) > 1 << 30, "1.6.18 knows no limit of 1 GiB"),
    (lambda p: p.wrong.get("key_bytes", 0) > 300, "1.6.18 waits for the key of a malformed header"),
    (lambda p: OPCODES.get(p.name, 0x77) in (0x05, 0x06, 0x15, 0x16) and p.cas != 0 and
     p.key[:1] != b"n", "1.6.18 says first that the item is no number"),
]
KNOWN = set(OPCODES.values()) - {OPCODES["verbosity"]}


class Packet:
    """A request; `cas` is a number, or ("seen", N) or ("last",) of the CAS uniques of its key."""

    def __init__(self, name, key=b"", value=b"", extras=b"", cas=0, **wrong):
        self.name, self.key, self.value, self.extras = name, key, value, extras
        self.cas, self.wrong = cas, wrong
        self.opcode = OPCODES.get(name, name)
        self.closes = bool(wrong)

    def __repr__(self):
        cas = f" cas={self.cas}" if self.cas else ""
        parts = f"{self.key!r} {self.value[:40]!r} {self.extras.hex()}"
        return f"<{self.name} {parts}{cas} {self.wrong}>"

    def bytes(self, opaque, cas):
        return binary.request(self.opcode, self.key, self.value, self.extras, opaque, cas,
                              **self.wrong)


class Generator:
    """Packets from a seed."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.keys = [b"d%d.%d" % (seed, i) for i in range(4)] + [b"d %d\n\0\xff" % seed]
        self.keys += [b"n%d.%d" % (seed, i) for i in range(3)]

    def pick(self, *choices):
        return self.rng.choice(choices)

    def any_key(self):
        return self.rng.choice(self.keys)

    def key(self):
        return self.rng.choice(self.keys[:5])

    def number_key(self):
        return self.rng.choice(self.keys[5:])

    def value(self, key):
        if key.startswith(b"n"):  # not empty, below 2^63: see test_differential.py
            return self.pick(b"x", b"10", b"0", b"99", b"12 ab", b" 7", b"0100", b"-5",
                             b"9223372036854775807", b"%d" % self.rng.randrange(1000))
        return self.pick(b"", b"x", b"10", b"a\r\nb", b"\0\xff", b"v" * 200, b"w" * 3000,
                         b"x" * 40000, b"\x80" * 24, self.rng.randbytes(self.rng.randrange(500)))

    def cas(self, chance=0.3):
        if self.rng.random() > chance:
            return 0
        return self.pick(("last",), ("last",), ("seen", self.rng.randrange(4)), 1)

    def quiet(self, name):
        return name + self.pick("", "q")

    def u32(self, value):
        return value.to_bytes(4, "big")

    def exptime(self):
        return self.u32(self.rng.choice(EXPTIMES))

    def store(self):
        key = self.any_key()
        flags = self.u32(self.pick(0, 7, 0xffffffff))
        return Packet(self.quiet(self.pick("set", "set", "add", "replace")), key, self.value(key),
                      flags + self.exptime(), self.cas())

    def extend(self):
        key = self.key()
        value = self.value(key)[:3000]
        return Packet(self.quiet(self.pick("append", "prepend")), key, value, b"", self.cas(0.2))

    def get(self):
        return Packet(self.quiet(self.pick("get", "getk")), self.any_key(),
                      cas=self.pick(0, 0, 0, 5))

    def touch(self):
        return Packet(self.pick("touch", "gat", "gatq", "gatk", "gatkq"), self.any_key(),
                      extras=self.exptime())

    def delete(self):
        return Packet(self.quiet("delete"), self.any_key(), cas=self.cas())

    def arith(self):
        delta = self.pick(0, 1, 7, 1000, 2**63, 2**64 - 1).to_bytes(8, "big")
        initial = self.pick(0, 5, 2**63 - 1).to_bytes(8, "big")
        return Packet(self.quiet(self.pick("increment", "decrement")), self.number_key(),
                      extras=delta + initial + self.pick(bytes(4), bytes(4), b"\xff" * 4,
                                                         self.u32(100)), cas=self.cas(0.15))

    def other(self):
        return self.pick(Packet("noop"), Packet("verbosity"),
                         Packet(0x30), Packet(0x77, value=b"body" * self.rng.randrange(9000)),
                         Packet("sasl_list"), Packet("sasl_auth", b"PLAIN", b"\0a\0b"),
                         Packet("sasl_step", b"PLAIN", b"x"), Packet("stat", b"sizes"),
                         Packet("stat", b"none"), Packet("stat", b"conns"),
                         Packet("flush", extras=self.u32(1_000_000)),
                         Packet("flushq", extras=self.u32(1_000_000)))

    def request(self):
        kind = self.rng.choices([self.store, self.extend, self.get, self.touch, self.delete,
                                 self.arith, self.other], [26, 10, 24, 10, 8, 12, 6])[0]
        return kind()

    def malformed(self):
        """A packet that ends the connection: lengths that do not fit, or another end."""
        packet = self.request()
        body = len(packet.extras) + len(packet.key) + len(packet.value)
        wrong = self.pick({"extras_bytes": self.rng.randrange(25)},
                          {"key_bytes": self.rng.randrange(300)},
                          {"body_bytes": self.rng.randrange(body + 1)},
                          {"key_bytes": 0}, {"body_bytes": 0x40000001})
        if wrong in ({"extras_bytes": len(packet.extras)}, {"key_bytes": len(packet.key)},
                     {"body_bytes": body}):
            wrong = {"key_bytes": 300}
        # A value that is cut off must not begin a packet that waits for more.
        return Packet(packet.name, packet.key, packet.value.replace(b"\x80", b"y"), packet.extras,
                      0, **wrong)

    def batches(self):
        """What is malformed stands alone: memcached may drop the answers before a wrong magic."""
        batches = []
        for _ in range(BATCHES):
            batches.append([self.request() for _ in range(BATCH)])
            if self.rng.random() < 0.1:
                batches[-1].append(self.pick(Packet("quit"), Packet("quitq")))
                batches[-1][-1].closes = True
            elif self.rng.random() < 0.3:
                batches.append([self.pick(self.malformed(), self.malformed(),
                                          Packet("noop", magic=0x81))])
        batches = [[packet for packet in batch if not left_out(packet)] for batch in batches]
        return [batch for batch in batches if batch]


def left_out(packet):
    return next((why for differs, why in DIFFERENCES if differs(packet)), None)


class Side:
    """One of the two servers: its connection and the CAS uniques seen on it, key by key."""

    def __init__(self, server):
        self.server, self.uniques = server, Uniques()
        self.client = self.connect()

    def close(self):
        self.client.close()

    def alike(self, batch, got, want):
        """What of our answers is to be compared."""
        if batch[-1].wrong and want == ["closed"]:
            return got[-1:]  # a sound packet by chance; what follows it is no packet
        return got

    def connect(self):
        """A connection whose protocol is chosen."""
        client = Binary(self.server.connect())
        assert client.answers() == []
        return client

    def cas_value(self, packet):
        seen = self.uniques.of(packet.key)
        if isinstance(packet.cas, int):
            return packet.cas
        if packet.cas[0] == "last":
            return seen[-1] if seen else 1
        return seen[packet.cas[1]] if packet.cas[1] < len(seen) else 1

    def cas_name(self, key, unique):
        return "none" if unique == 0 else f"#{self.uniques.number(key, unique)}"

    def comparable(self, batch, answer):
        if answer is None:
            return "closed"
        packet = batch[answer.opaque] if answer.opaque < len(batch) else Packet("noop")
        value = answer.value
        if packet.key.startswith(b"n") and len(value) < 30:
            value = value.rstrip(b" ")
        # What memcached may drop must not count as seen by one side alone.
        cas = "any" if batch[-1].wrong else self.cas_name(packet.key, answer.cas)
        return (answer.opaque, answer.opcode, answer.status, answer.extras, answer.key, value, cas)

    def run(self, batch, rng):
        """Send a batch, cut at random places; returns the answers.  When the server closes, a new
        connection follows."""
        data = b"".join(packet.bytes(i, self.cas_value(packet)) for i, packet in enumerate(batch))
        if batch[-1].wrong:
            data += bytes(600)  # enough for whoever waits for a key, and no sound packet
        elif not batch[-1].closes:
            data += binary.request("noop", opaque=LAST)
        places = sorted(rng.randrange(len(data)) for _ in range(rng.randrange(5)))
        try:
            for low, high in zip([0, *places], [*places, len(data)]):
                self.client.conn.send(data[low:high])
        except OSError:
            pass  # closed in the midst of it; the answers are there all the same
        answers = []
        while not answers or answers[-1] != "closed" and answers[-1][0] != LAST:
            answers.append(self.comparable(batch, self.client.answer()))
        if answers[-1] == "closed":
            self.client.close()
            self.client = self.connect()
        return answers


def wipe(seed):
    return [Packet("deleteq", key) for key in Generator(seed).keys]


@by_seed
def test_answers_agree(pair, first):  # noqa: F811
    """Sequences of packets, each with keys of its own."""
    Comparison(pair, Side, wipe).check(first, lambda seed: Generator(seed).batches())
