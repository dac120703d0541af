# SPDX-License-Identifier: BSD-3-Clause
"""The binary protocol against a server: what each opcode answers, what is malformed, large values,
packets cut anywhere, the choice of the protocol."""

import contextlib
import os
import random
import re
import socket
import struct

import pytest

import harness
from binary import (AUTH_ERROR, EXISTS, INVALID, NEVER_CREATE, NOT_FOUND, NOT_NUMBER, NOT_STORED,
                    OK, OPCODES, TEXTS, TOO_LARGE, UNKNOWN, Answer, Binary, arith, request, store,
                    touch)

REFERENCE = harness.is_reference(harness.BINARY)  # Debian's memcached: not the release we follow


@pytest.fixture(scope="module")
def shared():
    with harness.Server("-t", "2") as server:
        yield server


@pytest.fixture
def client(shared):
    with Binary(shared.connect()) as client:
        yield client


def test_store_and_get(client):
    stored = client.ask(store("set", b"a", b"value", flags=7, opaque=99))
    assert stored._replace(cas=0) == Answer(0x01, OK, b"", b"", b"", 99, 0) and stored.cas > 0
    got = client.ask(request("get", b"a", opaque=1))
    assert got == Answer(0x00, OK, b"", struct.pack(">I", 7), b"value", 1, stored.cas)
    got = client.ask(request("getk", b"a"))
    assert got == Answer(0x0c, OK, b"a", struct.pack(">I", 7), b"value", 0, stored.cas)


def test_quiet_get_tells_hits_only(client):
    client.ask(store("set", b"q", b"1"))
    answers = client.answers(request("getq", b"none"), request("getq", b"q", opaque=1),
                             request("getkq", b"none"), request("getkq", b"q", opaque=2))
    assert [(a.opcode, a.opaque, a.key, a.value) for a in answers] == [
        (OPCODES["getq"], 1, b"", b"1"), (OPCODES["getkq"], 2, b"q", b"1")]


def test_miss_tells_the_text_or_the_key(client):
    assert client.ask(request("get", b"miss"))[1:5] == (NOT_FOUND, b"", b"", b"Not found")
    assert client.ask(request("getk", b"miss"))[1:5] == (NOT_FOUND, b"miss", b"", b"")


def test_errors_have_fixed_texts(client):
    client.ask(store("set", b"t", b"text"))
    cases = [(request("get", b"no"), NOT_FOUND), (store("add", b"t", b""), EXISTS),
             (store("set", b"t", b"v" * (1 << 20)), TOO_LARGE),
             (request("append", b"no", b"x"), NOT_STORED), (request(0x1b), UNKNOWN)]
    for packet, status in cases:
        answer = client.ask(packet)
        assert (answer.status, answer.key, answer.extras, answer.cas) == (status, b"", b"", 0)
        assert answer.value == TEXTS[status]
    client.ask(store("set", b"t", b"text"))
    assert client.ask(arith("increment", b"t")).value == TEXTS[NOT_NUMBER]


def test_quiet_forms_tell_errors_only(client):
    answers = client.answers(
        store("setq", b"a", b"1"), store("addq", b"a", b"1", opaque=1),
        store("replaceq", b"a", b"2"), request("appendq", b"a", b"3"),
        request("prependq", b"a", b"1"), arith("incrementq", b"a"), arith("decrementq", b"a"),
        arith("incrementq", b"none", exptime=NEVER_CREATE, opaque=2), touch("gatq", b"none", 0),
        request("deleteq", b"a"), request("deleteq", b"a", opaque=3), request("flushq"))
    assert [(a.opaque, a.status) for a in answers] == [(1, EXISTS), (2, NOT_FOUND), (3, NOT_FOUND)]


def test_compare(client):
    first = client.ask(store("set", b"c", b"1")).cas
    second = client.ask(store("set", b"c", b"2", cas=first)).cas
    assert second not in (0, first)
    for opcode in ("set", "add", "replace"):
        assert client.ask(store(opcode, b"c", b"3", cas=first)).status == EXISTS
        assert client.ask(store(opcode, b"c.no", b"3", cas=first)).status == NOT_FOUND
    assert client.ask(request("append", b"c", b"3", cas=first)).status == EXISTS
    assert client.ask(request("append", b"c.no", b"3", cas=first)).status == NOT_STORED
    assert client.ask(arith("increment", b"c", cas=first)).status == EXISTS
    assert client.ask(request("delete", b"c", cas=first)).status == EXISTS
    assert client.ask(arith("increment", b"c", cas=second)).value == struct.pack(">Q", 3)
    last = client.ask(request("get", b"c")).cas
    assert client.ask(request("delete", b"c", cas=last)).status == OK


def test_numbers(client):
    made = client.ask(arith("increment", b"n", 1, 10))
    assert made.value == struct.pack(">Q", 10) and made.cas > 0
    assert client.ask(arith("increment", b"n", 2**64 - 1)).value == struct.pack(">Q", 9)
    assert client.ask(arith("decrement", b"n", 100)).value == struct.pack(">Q", 0)
    assert client.ask(arith("decrement", b"n.no", exptime=NEVER_CREATE)).status == NOT_FOUND
    assert client.ask(request("get", b"n")).value.rstrip() == b"0"


def test_both_protocols_see_the_same_items(shared, client):
    with shared.connect() as text:
        client.ask(store("set", b"both", b"binary", flags=3))
        text.ask(b"get both\r\n", b"VALUE both 3 6\r\nbinary\r\nEND\r\n")
        text.set(b"both", b"text", flags=4)
        assert client.ask(request("get", b"both"))[3:5] == (struct.pack(">I", 4), b"text")


def test_any_byte_in_a_key(shared, client):
    """Text asks for such a key in base64, and is told it so."""
    key = b"a b\0\r\n\xff"
    assert client.ask(store("set", key, b"1")).status == OK
    assert client.ask(request("getk", key))[2:5] == (key, b"\0\0\0\0", b"1")
    if not REFERENCE:
        with shared.connect() as text:
            text.ask(b"mg YSBiAA0K/w== b v k\r\n", b"VA 1 kYSBiAA0K/w== b\r\n1\r\n")
    assert client.ask(request("delete", key)).status == OK


@pytest.mark.parametrize("size", [0, 1, 16360, 16384, 16385, 100000, 1048576 - 1024])
def test_value_sizes(client, size):
    value = random.Random(size).randbytes(size)
    answers = client.answers(store("set", b"v", value), request("getk", b"v"),
                             request("append", b"v", b""), request("get", b"v"))
    assert [a.status for a in answers] == [OK, OK, OK, OK]
    assert answers[1].value == value and answers[3].value == value


def test_too_large_swallows_and_removes(client):
    client.ask(store("set", b"l", b"old"))
    answers = client.answers(store("add", b"l", b"x" * 3_000_000), request("get", b"l"),
                             request("append", b"l", b"x" * 3_000_000), request("get", b"l"),
                             store("set", b"l", b"x" * 3_000_000), request("get", b"l"))
    assert [a.status for a in answers] == [TOO_LARGE, OK, TOO_LARGE, OK, TOO_LARGE, NOT_FOUND]


def test_unknown_body_with_key_and_extras(client):
    if REFERENCE:
        pytest.skip("1.6.18 swallows key and extras twice")
    answers = client.answers(request(0x77, b"k" * 250, b"v" * 99, b"e" * 255, opaque=6))
    assert [(a.status, a.opaque) for a in answers] == [(UNKNOWN, 6)]


def test_large_unknown_body_is_swallowed(shared, client):
    """64 MiB of it, without taking memory for that."""
    before = shared.rss_bytes()
    client.send(request(0x77, body_bytes=64 << 20))
    for _ in range(64):
        client.send(bytes(1 << 20))
    answers = client.answers()
    assert [a.status for a in answers] == [UNKNOWN]
    if not harness.is_sanitized(harness.BINARY):
        assert shared.rss_bytes() - before < 8 << 20


MALFORMED = {
    "no key": (request("get"), INVALID),
    "value": (request("get", b"a", b"v"), INVALID),
    "extras": (request("get", b"a", extras=b"x"), INVALID),
    "no extras": (request("set", b"a", b"v"), INVALID),
    "short extras": (request("increment", b"a", extras=bytes(12)), INVALID),
    "key of 251": (request("get", b"k" * 251), INVALID),
    "key for noop": (request("noop", b"a"), INVALID),
    "key for flush": (request("flush", b"a"), INVALID),
    "extras of stat": (request("stat", extras=b"x"), INVALID),
    "key beyond body": (request("get", b"abc", body_bytes=2), UNKNOWN),
    "extras beyond body": (request("set", b"abc", extras=bytes(8), body_bytes=4), UNKNOWN),
    "body over 1 GiB": (request("set", b"a", extras=bytes(8), body_bytes=(1 << 30) + 1), INVALID),
    "body of 4 GiB": (request(0x77, body_bytes=0xffffffff), INVALID),
    "magic of an answer": (request("noop", magic=0x81), None),
    "text": (b"get some.key.of.24.bytes\r\n", None),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(client, name):
    """Answers before it are sent, then the error if there is one, then the end."""
    packet, status = MALFORMED[name]
    if REFERENCE and name.startswith("body"):
        pytest.skip("1.6.18 takes them for lengths")
    client.answers()
    client.send(packet)
    if status is not None:
        answer = client.answer()
        assert (answer.status, answer.value) == (status, TEXTS[status])
    client.conn.expect_close()


@pytest.mark.parametrize("opcode", ["quit", "quitq"])
def test_quit(client, opcode):
    client.send(request("version"), request(opcode, opaque=5), request("version"))
    assert client.answer().opcode == OPCODES["version"]
    if opcode == "quit":
        assert client.answer().opaque == 5
    client.conn.expect_close()


def test_sasl_is_unknown_without_s(client):
    answers = client.answers(request("sasl_list"), request("sasl_auth", b"PLAIN", b"\0u\0p"),
                             request("sasl_step", b"PLAIN", bytes(16384)))
    assert [a.status for a in answers] == [UNKNOWN] * 3


def test_large_login_does_not_stall(client):
    """Too long to be a login; what follows is read on."""
    assert client.answers(request("sasl_auth", b"PLAIN", bytes(100000)))[0].status != OK


def test_stat(shared, client):
    rows = client.stats()
    with shared.connect() as text:
        assert list(rows) == list(text.stats())
        assert list(client.stats(b"settings")) == list(text.stats(b"settings"))
        assert list(client.stats(b"slabs")) == list(text.stats(b"slabs"))
        assert list(client.stats(b"items")) == list(text.stats(b"items"))
    assert client.stats(b"sizes") == {"sizes_status": "disabled"}
    for key in (b"conns", b"cachedump 1 1", b"nothing", b"detail"):
        assert client.ask(request("stat", key)).status == NOT_FOUND


def test_stat_detail(client):
    for key in (b"reset", b"detail on"):
        assert client.stats(key) == {}
    client.answers(store("set", b"p:1", b"x"), request("get", b"p:1"), request("get", b"p:2"))
    assert client.stats(b"detail dump") == {
        "detailed": "PREFIX p get 2 hit 1 set 1 del 0\r\nEND\r\n"}
    assert client.stats(b"detail off") == {}


def packets(rng, count):
    """A pipeline whose answers are known: (bytes, expected values in order)."""
    sent, want = [], []
    for i in range(count):
        value = rng.randbytes(rng.choice([0, 1, 10, 500, 20000, 300000]))
        quiet = rng.random() < 0.5
        key = b"p%d" % rng.randrange(5)
        sent += [store("setq" if quiet else "set", key, value, opaque=i),
                 request("getkq", key, opaque=i), request("getq", b"none%d" % i)]
        want += [] if quiet else [(i, b"", b"")]
        want += [(i, key, value)]
    return b"".join(sent), want


@pytest.mark.parametrize("seed", range(8))
def test_pipelines_cut_anywhere(shared, seed):
    rng = random.Random(seed)
    data, want = packets(rng, 40)
    places = sorted(rng.randrange(len(data)) for _ in range(200))
    with Binary(shared.connect()) as client:
        got, sent = [], 0
        for place in [*places, len(data)]:
            client.conn.send(data[sent:place])
            sent = place
            while len(got) < len(want) and harness.readable(client.conn, 0):
                answer = client.answer()
                got.append((answer.opaque, answer.key, answer.value))
        got += [(a.opaque, a.key, a.value) for a in client.answers()]
    assert got == want


def test_every_cut_of_a_conversation(shared):
    """Bytes in two writes, cut at each place in turn."""
    data = (store("set", b"e", b"value") + request("getk", b"e") +
            arith("increment", b"e.n", 1, 5) + request(0x77, value=b"body") +
            touch("gatk", b"e", 100) + request("deleteq", b"e.n"))
    with harness.Server("-t", "1") as server:
        barrier = harness.Barrier(server)
        for place in range(1, len(data)):
            with Binary(server.connect()) as client:
                client.conn.send(data[:place])
                barrier.wait()
                client.conn.send(data[place:])
                got = [(a.opcode, a.status, a.key, a.value) for a in client.answers()]
            assert got == [(0x01, OK, b"", b""), (0x0c, OK, b"e", b"value"),
                           (0x05, OK, b"", struct.pack(">Q", 5)),
                           (0x77, UNKNOWN, b"", TEXTS[UNKNOWN]), (0x23, OK, b"e", b"value")]
        barrier.close()


def test_value_that_ends_with_a_read(shared, client):
    """The last byte of a large value comes alone, and nothing behind it."""
    value = bytes(200000)
    packet = store("set", b"ends", value)
    with harness.Server("-t", "1") as server:
        barrier = harness.Barrier(server)
        for last in (1, 2, 1000, 32768):
            with Binary(server.connect()) as client:
                client.conn.send(packet[:-last])
                barrier.wait()
                client.conn.send(packet[-last:])
                assert client.answer().status == OK
                assert client.ask(request("get", b"ends")).value == value
        barrier.close()


def test_quiet_storm(client):
    """100000 quiet requests; noop tells the end."""
    for i in range(100):
        client.send(*(store("setq", b"s%d" % (i % 10), b"%d" % j) for j in range(500)),
                    *(request("getq", b"none") for _ in range(500)))
    assert client.answers() == []


def test_protocol_is_chosen_by_the_first_byte(shared):
    with shared.connect() as conn:
        conn.send(b"\x80")
        conn.send(request("noop")[1:] + b"version\r\n" + bytes(24))
        assert Binary(conn).answer().opcode == OPCODES["noop"]
        conn.expect_close()
    with shared.connect() as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
        conn.ask(request("version") + b"\r\n", b"ERROR\r\n")


def test_one_protocol_alone():
    with harness.Server("-B", "binary") as server:
        with Binary(server.connect()) as client:
            assert client.stats(b"settings")["binding_protocol"] == "binary"
        with server.connect() as conn:
            conn.send(b"version\r\n" * 3)
            conn.expect_close()
    with harness.Server("-B", "ascii") as server:
        with server.connect() as conn:
            assert conn.stats(b"settings")["binding_protocol"] == "ascii"
            conn.ask(request("version") + b"\r\n", b"ERROR\r\n")


@pytest.mark.skipif(REFERENCE, reason="1.6.18 has no proto[] in -l")
def test_protocol_of_a_listener():
    """Each port has its own; -B is for those that do not say."""
    with harness.Server("-B", "binary", listen="127.0.0.1,proto[ascii]:127.0.0.2:0,"
                        "proto[negotiating]:127.0.0.3:0") as server:
        with Binary(server.connect()) as client:
            assert client.ask(request("noop")).status == OK
        where = listening(server)
        with harness.Conn(("127.0.0.2", where["127.0.0.2"])) as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
        with harness.Conn(("127.0.0.2", where["127.0.0.2"])) as conn:
            conn.ask(request("version") + b"\r\n", b"ERROR\r\n")
        for ask in (b"mn\r\n", request("noop")):
            with harness.Conn(("127.0.0.3", where["127.0.0.3"])) as conn:
                conn.send(ask)
                assert conn.take(1) in (b"M", b"\x81")


def listening(server):
    """{address: port} of a server, from /proc."""
    inodes = set()
    folder = f"/proc/{server.process.pid}/fd"
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # a connection that was closed just now
            match = re.match(r"socket:\[(\d+)\]", os.readlink(f"{folder}/{fd}"))
            if match:
                inodes.add(match[1])
    found = {}
    for line in open("/proc/net/tcp").readlines()[1:]:
        words = line.split()
        if words[9] in inodes and words[3] == "0A":
            address, port = words[1].split(":")
            found[socket.inet_ntoa(bytes.fromhex(address)[::-1])] = int(port, 16)
    return found


def test_switches():
    with harness.Server("-F", "-X") as server:
        with Binary(server.connect()) as client:
            assert [a.status for a in client.answers(request("flush"), request("flushq"))] == \
                [AUTH_ERROR, AUTH_ERROR]
            if not REFERENCE:  # 1.6.18 counts the text command alone, and -X does not hide detail
                assert client.stats()["cmd_flush"] == "2"
                for word in (b"on", b"off", b"dump"):
                    answer = client.ask(request("stat", b"detail " + word))
                    assert answer.status == NOT_FOUND
    with harness.Server("-C") as server:
        with Binary(server.connect()) as client:
            assert client.ask(store("set", b"a", b"1")).cas == 0
            assert client.ask(request("get", b"a")).cas == 0
