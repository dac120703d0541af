# SPDX-License-Identifier: BSD-3-Clause
"""One request at a time goes to memcached and to the server under test: every command in every
outcome, every binary opcode with every shape of packet; answers and counters must agree.

Where test_differential.py draws sequences by chance, this is a list.  MATTE_PEER names the
memcached (Debian's 1.6.18); what 1.6.45 changed since then is not in it.
"""

import os
import re
import struct

import pytest

import binary
import harness
import rows

BIG = b"x" * 2000000  # above -I
COUNTED = rows.COUNTED + "auth_cmds auth_errors total_items evictions".split()
OF_CLASSES = """get_hits cmd_set delete_hits incr_hits decr_hits cas_hits cas_badval
touch_hits""".split()

# Each goes to both with what the lines before it left.
TEXT = [
    b"get a", b"set a 0 0 1\r\n5", b"get a", b"get a b c", b"gets a", b"gat 0 a b", b"gats 0 a",
    b"touch a 0", b"touch b 0", b"touch a x", b"gat x a", b"incr a 1", b"incr b 1", b"decr a 1",
    b"decr b 1", b"incr a x", b"incr a -1", b"add a 0 0 1\r\nx", b"add c 0 0 1\r\nx", b"incr c 1",
    b"replace c 0 0 1\r\ny", b"replace d 0 0 1\r\ny", b"append c 0 0 1\r\ny",
    b"append d 0 0 1\r\ny", b"prepend c 0 0 1\r\ny", b"prepend d 0 0 1\r\ny",
    b"cas c 0 0 1 999999999\r\nx", b"cas d 0 0 1 1\r\nx", b"delete c", b"delete c", b"delete c 0",
    b"set a 0 0 1\r\nxyz", b"set a 0 0 2000000\r\n" + BIG, b"get a", b"add e 0 0 2000000\r\n" + BIG,
    b"append a 0 0 2000000\r\n" + BIG, b"set a 0 0 -1", b"set a 0 0 x", b"set a 0 0 2147483647",
    b"set " + b"k" * 251 + b" 0 0 1", b"delete " + b"k" * 251, b"touch " + b"k" * 251 + b" 0",
    b"incr " + b"k" * 251 + b" 1", b"set n 0 0 1 noreply\r\n5", b"incr n 1 noreply",
    b"touch n 0 noreply", b"delete n noreply", b"add n 0 0 2 noreply\r\n10", b"verbosity 0",
    b"verbosity", b"verbosity x", b"version\r\nget", b"nonsense", b"mg n", b"mg n v", b"mg m v",
    b"mg n s t f", b"mg n T100", b"mg m T100", b"mg n t", b"mg n R30", b"mg n Tx", b"mg n q k",
    b"mg m q k", b"mg w N30", b"mg w N30 s", b"mg w v", b"ms w 1\r\nx", b"ms w 1 ME\r\nx",
    b"ms w 1 MR\r\nx", b"ms x 1 MR\r\nx", b"ms w 1 MA\r\nx", b"ms x 1 MP\r\nx", b"ms w 1 C7\r\nx",
    b"ms x 1 C7\r\nx", b"ms w 1 q\r\nx", b"ms w x", b"ms w 1 Mx\r\nx", b"ms w 2000000\r\n" + BIG,
    b"mg w v", b"ma n", b"ma n MD", b"ma n D5 v", b"ma x", b"ma x MD", b"ma y N0 J3 v", b"ma y v",
    b"ma y C5", b"md y C5", b"md y I", b"mg y v", b"mg y v", b"md y", b"md y", b"md y q", b"me x",
    b"mn", b"slabs reassign 1 1", b"slabs automove 1", b"lru_crawler tocrawl 5",
    b"cache_memlimit 64", b"cache_memlimit 5", b"cache_memlimit x", b"flush_all x",
    b"flush_all 0 noreply", b"stats nothing",
]
# 1.6.45 answers a wrong number of words and an empty line with the second, 1.6.18 with the first.
OLD, NEW = b"ERROR", b"CLIENT_ERROR bad command line format"

OPCODES = [*range(0x00, 0x10), *range(0x11, 0x1b), 0x1c, 0x1d, 0x1e, 0x20, 0x21, 0x22, 0x23, 0x24]
EXTRAS = [b"", bytes(4), bytes(8), bytes(12), struct.pack(">QQI", 1, 5, 0),
          struct.pack(">QQI", 1, 5, binary.NEVER_CREATE)]
KEYS = [b"", b"there", b"number", b"absent", b"k" * 250, b"k" * 251]
HEADERS = [{"data_type": 1}, {"reserved": 5}, {"body_bytes": 0}, {"magic": 0x81}]


class Side:
    """One of the two servers, and a connection that only asks for statistics."""

    def __init__(self, *args, **named):
        self.server = harness.Server("-t", "1", *args, **named)
        self.conn = self.server.connect()
        self.last = self.counters()

    def counters(self):
        stats, classes = self.conn.stats(), self.conn.stats(b"slabs")
        now = {name: int(stats[name]) for name in COUNTED if name != "curr_items"}
        for name in OF_CLASSES:
            now[f"slabs {name}"] = sum(int(value) for row, value in classes.items()
                                       if row.endswith(f":{name}"))
        return now

    def moved(self):
        """What moved since the last call."""
        now, before = self.counters(), self.last
        self.last = now
        return {name: now[name] - before[name] for name in now if now[name] != before[name]}

    def close(self):
        self.conn.close()
        self.server.__exit__(None, None, None)


@pytest.fixture(scope="module")
def sides():
    if not os.path.exists(harness.PEER):
        pytest.skip(f"{harness.PEER} is not installed")
    both = Side(), Side(binary=harness.PEER)
    yield both
    for side in both:
        side.close()


def text_answer(side, request):
    with side.server.connect() as conn:
        conn.send(request + b"\r\nmn\r\nmn\r\n")
        answer = conn.take_match(re.compile(rb"(.*?)MN\r\nMN\r\n", re.S))[1]
    answer = re.sub(rb"(VALUE \S+ \d+ \d+) \d+", rb"\1 CAS", answer)
    return re.sub(rb"VERSION \S+", b"VERSION", answer)


def test_text(sides):
    faults = []
    for request in TEXT:
        ours, peers = (text_answer(side, request) for side in sides)
        if ours.replace(NEW, OLD) != peers.replace(NEW, OLD):
            faults.append(f"{request[:60]}: ours {ours[:80]}, memcached {peers[:80]}")
        ours, peers = (side.moved() for side in sides)
        if ours != peers:
            faults.append(f"{request[:60]}: ours {ours}, memcached {peers}")
    assert not faults, "\n".join(faults)


def packets_answer(side, packet):
    """The answers as (opcode, status, extras, key, value, opaque, has a CAS unique), and whether
    the server went on."""
    answers = []
    with side.server.connect() as conn:
        conn.send(binary.request("noop") + packet + binary.request("noop", opaque=1))
        while len(head := conn.take(24)) == 24:
            _, opcode, key, extras, _, status, body, opaque, cas = binary.HEADER.unpack(head)
            rest = conn.take(body) if opcode != binary.OPCODES["version"] else \
                conn.take(body)[:1]
            answers.append((opcode, status, extras, key, rest, opaque, cas > 0))
            if (opcode, opaque) == (binary.OPCODES["noop"], 1):
                return answers, True
    return answers, False


def packets():
    """Title and bytes of each."""
    for opcode in OPCODES:
        for extras in EXTRAS:
            for key in KEYS:
                for value in (b"", b"val"):
                    title = f"{opcode:#04x} extras {extras.hex()} key {key[:8]} {len(key)} {value}"
                    yield title, binary.request(opcode, key, value, extras, opaque=7)
        for wrong in HEADERS:
            yield f"{opcode:#04x} {wrong}", binary.request(opcode, b"key", **wrong)


def left_out(packet):
    """Packets whose end the two see at different places: docs/differences.md, and 1.6.18 swallows
    what follows an unknown opcode."""
    opcode, extras, key = packet[1], packet[4], int.from_bytes(packet[2:4])
    body = int.from_bytes(packet[8:12])
    has_value = body > extras + key and opcode not in (1, 2, 3, 0x0e, 0x0f, 0x11, 0x12, 0x13,
                                                       0x19, 0x1a, 0x21, 0x22)
    touches = opcode in (0x1c, 0x1d, 0x1e, 0x23, 0x24)
    return touches and has_value or opcode in (0x20, 0x21, 0x22)


def test_packets(sides):
    faults = []
    for title, packet in packets():
        if left_out(packet):
            continue
        for side in sides:
            side.conn.set(b"there", b"abc", flags=5)
            side.conn.set(b"number", b"10")
            side.conn.ask(b"delete absent noreply\r\nmn\r\n", b"MN\r\n")
            side.moved()
        ours, peers = (packets_answer(side, packet) for side in sides)
        if ours != peers:
            faults.append(f"{title}: ours {ours}, memcached {peers}")
        ours, peers = (side.moved() for side in sides)
        if ours != peers:
            faults.append(f"{title}: ours {ours}, memcached {peers}")
    assert not faults, "\n".join(faults)
