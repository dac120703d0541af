# SPDX-License-Identifier: BSD-3-Clause
"""Bad input and bad manners: a clear answer or a close, others unaffected, no growth of memory."""

import os
import pathlib
import random
import re
import socket
import struct
import threading
import time

import pytest

import harness

SEEDS = [1, 2, 3, 5, 8, 13, 21, 34]


@pytest.fixture(scope="module")
def guarded():
    """A server with somebody on it who must never notice anything."""
    with harness.Server("-t", "2", "-m", "64", "-c", "4096") as server:
        server.witness = server.connect()
        server.witness.set(b"witness", b"unharmed")
        yield server
        server.witness.close()


@pytest.fixture(autouse=True)
def others_are_served(request):
    yield
    if "guarded" in request.fixturenames:
        server = request.getfixturevalue("guarded")
        assert server.alive(), server.errors()
        assert server.witness.get(b"witness") == b"unharmed"


def until_closed(conn, data):
    """Send and read to the end; the server must close."""
    try:
        conn.send(data)
        conn.expect_close()
    except (BrokenPipeError, ConnectionResetError):
        pass
    conn.close()


def test_line_without_an_end(guarded):
    until_closed(guarded.connect(), b"x" * 3000)


def test_line_without_an_end_in_drips(guarded):
    with guarded.connect() as conn:
        closed = False
        for _ in range(300):
            try:
                conn.send(b"set " + b"k" * 16)
            except (BrokenPipeError, ConnectionResetError):
                closed = True
                break
        if not closed:
            conn.expect_close()


def test_nothing_but_zeros(guarded):
    until_closed(guarded.connect(), b"\0" * 3000)


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /set HTTP/1.1\r\nContent-Length: 30\r\n\r\n",
    b"OPTIONS * HTTP/1.0\r\n\r\n"])
def test_web_requests_are_closed(guarded, data):
    until_closed(guarded.connect(), data)


@pytest.mark.parametrize("size", [
    b"-1", b"-2147483648", b"-9223372036854775808", b"2147483646", b"2147483647", b"2147483648",
    b"3221225472", b"4294967295", b"9223372036854775807", b"9223372036854775808",
    b"18446744073709551615", b"18446744073709551616", b"1" + b"0" * 60, b"0x10", b"1e3", b"",
    b"\0", b"1\0", b"abc"])
@pytest.mark.parametrize("line", [b"set k 0 0 %s", b"add k 0 0 %s noreply", b"cas k 0 0 %s 1",
                                  b"ms k %s", b"ms k %s q", b"append k 0 0 %s"])
def test_impossible_lengths_are_refused_at_once(guarded, reference, line, size):
    if reference:
        pytest.skip("1.6.18 reduces some lengths modulo 2^32")
    with guarded.connect() as conn:
        conn.send(line % size + b"\r\nmn\r\n")
        answer = conn.line()
        if answer != b"MN":
            assert answer == b"CLIENT_ERROR bad command line format"
            conn.expect(b"MN\r\n")
        else:
            assert b"noreply" in line


def test_three_gigabytes_announced(guarded, reference):
    """A length that is allowed but above the item limit: swallowed, not stored, not kept."""
    with guarded.connect() as conn:
        before = guarded.rss_bytes()
        conn.send(b"set huge 0 0 2000000000\r\n")
        for _ in range(64):
            conn.send(b"z" * (1 << 20))
        assert guarded.rss_bytes() - before < 16 << 20
    with guarded.connect() as conn:
        assert conn.get(b"huge") is None


@pytest.mark.parametrize("data", [
    b"\r\n" * 500, b"\n" * 500, b"\0\r\n" * 100, b" \r\n" * 100, b"\t\r\n" * 100,
    b"set\r\n" * 50, b"get \0\0\0 \0\r\n" * 50, b"set k\0 0 0 0\r\n\r\n" * 50,
    b"incr k 99999999999999999999999\r\n" * 50, b"touch k -99999999999999999999\r\n" * 20,
    b"mg\r\nms\r\nmd\r\nma\r\nme\r\n" * 20, b"mg " + b"k" * 300 + b" v\r\n",
    b"mg k v" + b" O" * 100 + b"\r\n", b"mg k O" + b"o" * 1000 + b"\r\n",
    b"ms k 1 " + b"MS " * 50 + b"\r\nx\r\n", b"mg " + b"=" * 200 + b" b\r\n",
    b"gat 99999999999 k\r\n" * 10, b"flush_all 99999999999999999999\r\n",
    b"cas k 0 0 0 99999999999999999999999\r\n\r\n", b"verbosity 99999999999999999999\r\n",
    b"stats " + b"x" * 1000 + b"\r\n", b"stats detail \0\r\n", b"cache_memlimit -5\r\n",
    b"cache_memlimit 99999999999999999999\r\n", b"\xff\xfe\xfd\r\n" * 50])
def test_nonsense_is_answered(guarded, data):
    """Every answer is a line that the protocol knows; the connection goes on or is closed."""
    with guarded.connect() as conn:
        conn.send(data + b"mn\r\n")
        lines = []
        while (line := conn.line()) not in (None, b"MN"):
            lines.append(line)
        known = re.compile(rb"ERROR|CLIENT_ERROR .*|SERVER_ERROR .*|END|EN|NF|HD|NS|OK|STORED|"
                           rb"NOT_FOUND|NOT_STORED|EXISTS|\d+|MEMLIMIT.*|")
        for line in lines:
            assert known.fullmatch(line), line


@pytest.mark.parametrize("data", [
    b"s", b"set k 0 0 10", b"set k 0 0 10\r", b"set k 0 0 10\r\n", b"set k 0 0 10\r\nabc",
    b"set k 0 0 10\r\n0123456789", b"set k 0 0 10\r\n0123456789\r", b"get k", b"get k\r",
    b"ms k 10\r\nabc", b"set k 0 0 900000\r\n" + b"x" * 500000,
    b"set k 0 0 3000000\r\n" + b"x" * 99])
def test_half_a_request_then_close(guarded, data):
    for _ in range(5):
        with guarded.connect() as conn:
            conn.send(data)
        with guarded.connect() as conn:
            conn.send(data)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with guarded.connect() as conn:
        assert conn.get(b"k") is None


def test_half_closed_connection_gets_its_answers(guarded):
    with guarded.connect() as conn:
        conn.send(b"mn\r\nget witness\r\n")
        conn.sock.shutdown(socket.SHUT_WR)
        conn.expect(b"MN\r\nVALUE witness 0 8\r\nunharmed\r\nEND\r\n")
        conn.expect_close()


def test_uploads_that_never_end_do_not_pile_up(guarded):
    """Aborted uploads give back what they had: a gigabyte of them stays within -m 64."""
    if harness.is_sanitized(harness.BINARY):
        pytest.skip("a sanitizer keeps freed memory")
    body = b"set piece 0 0 900000\r\n" + b"x" * 800000
    for _ in range(1300):
        with guarded.connect() as conn:
            conn.send(body)
    assert guarded.witness.get(b"piece") is None
    assert guarded.rss_bytes() < 88 << 20


@pytest.mark.parametrize("seed", SEEDS)
def test_random_garbage(guarded, seed):
    """Bytes of all kinds, then a clean end; whatever is answered, nobody else notices."""
    rng = random.Random(seed)
    words = [b"get", b"set", b"ms", b"mg", b"ma", b"md", b"incr", b"k", b"0", b"1", b"10", b" ",
             b"\r\n", b"\n", b"\0", b"noreply", b"v", b"q", b"O1", b"-1", b"99999999999", b"b",
             b"touch", b"gat", b"cas", b"append", b"xxxxxxxxxxxx", b"HTTP/1.1", b"stats", b"T5"]
    for _ in range(40):
        if rng.random() < 0.3:
            data = rng.randbytes(rng.randrange(1, 4000))
        else:
            data = b"".join(rng.choice(words) + rng.choice([b"", b" ", b" ", b"\r\n"])
                            for _ in range(rng.randrange(1, 300)))
        with guarded.connect() as conn:
            conn.sock.settimeout(0.5)
            for _ in range(rng.randrange(1, 4)):
                place = rng.randrange(len(data) + 1)
                try:
                    conn.send(data[:place])
                except (BrokenPipeError, ConnectionResetError):
                    break
                data = data[place:]
            try:
                conn.sock.shutdown(socket.SHUT_WR)
            except OSError:
                continue
            try:
                conn.take(1 << 20)  # to the end
            except AssertionError:
                pytest.fail(f"seed {seed}: not closed after the client's end")
    guarded.witness.set(b"witness", b"unharmed")  # there may have been a flush_all


# ── many and slow ──────────────────────────────────────────────────────────────────────────────


def test_ten_thousand_idle_connections():
    """Each costs the process less than 1 KiB."""
    count = 10_000
    if not harness.files_limit_raise(count + 200):
        pytest.skip("the limit of open files is too low")
    with harness.Server("-c", str(count + 100), "-t", "2") as server:
        first = server.connect()
        for _ in range(200):
            first.ask(b"mn\r\n", b"MN\r\n")
        before = server.rss_bytes()
        conns = []
        for low in range(0, count, 500):
            batch = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(500)]
            for sock in batch:
                sock.sendall(b"mn\r\n")
            for sock in batch:
                assert sock.recv(4) == b"MN\r\n"
            conns += batch
        assert int(first.stats()["curr_connections"]) >= count
        each = (server.rss_bytes() - before) / count
        for sock in conns[::500]:
            sock.sendall(b"mn\r\n")
            assert sock.recv(4) == b"MN\r\n"
        for sock in conns:
            sock.close()
        harness.until(lambda: int(first.stats()["curr_connections"]) < 10, 30)
        first.close()
        print(f"{each:.0f} bytes per idle connection")
        if not (harness.is_sanitized(harness.BINARY) or harness.is_reference(harness.BINARY)):
            assert each < 1024, f"{each:.0f} bytes per idle connection"


@pytest.mark.parametrize("size", [1000, 20_000, 500_000])
def test_client_that_never_reads(size):
    """It is bounded; others are served."""
    with harness.Server("-t", "1", "-m", "64", "-R", "100") as server:
        lazy, other = server.connect(), server.connect()
        other.set(b"v", b"x" * size)
        other.set(b"small", b"y")
        other.get(b"v")
        before = server.rss_bytes()
        asked = min(200_000, 400_000_000 // size)
        sender = threading.Thread(target=send_all_one_can, args=(lazy, b"get v\r\n" * asked))
        sender.start()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            assert other.get(b"small") == b"y"
        if not harness.is_sanitized(server.binary):
            assert server.rss_bytes() - before < 8 << 20
        lazy.close()
        sender.join(30)
        assert other.get(b"v") == b"x" * size


def send_all_one_can(conn, data):
    try:
        conn.sock.settimeout(3)
        conn.send(data)
    except (OSError, TimeoutError):
        pass


def test_slow_reader_gets_everything():
    """The value is changed and evicted while its answers wait for the reader."""
    with harness.Server("-t", "1", "-m", "16") as server:
        slow, other = server.connect(), server.connect()
        body, count = os.urandom(300_000), 60  # more than the sockets hold
        other.set(b"v", body)
        slow.send(b"get v\r\n" * count)
        assert slow.sock.recv(1) == b"V"
        other.set(b"v", b"changed")
        for i in range(300):  # more than the memory
            other.set(b"fill%d" % i, b"f" * 200_000)
        old = b"VALUE v 0 300000\r\n" + body + b"\r\nEND\r\n"
        new = b"VALUE v 0 7\r\nchanged\r\nEND\r\n"
        answers = [b"V" + slow.take(len(old) - 1)]
        while len(answers) < count:
            head = slow.take(5)
            kind = next(k for k in (old, new, b"END\r\n") if k.startswith(head))
            if kind != b"END\r\n":  # old and new begin alike
                head += slow.take(7)
                kind = old if old.startswith(head) else new
            answers.append(head + slow.take(len(kind) - len(head)))
        order = [(old, new, b"END\r\n").index(answer) for answer in answers]
        assert order == sorted(order)
        slow.close()
        other.close()


def test_long_multiget_is_flushed_in_parts():
    """Hundreds of large values by one line do not have to fit the memory of the answer."""
    with harness.Server("-t", "1", "-m", "256") as server, server.connect(30) as conn:
        size, count = 100_000, 900
        for i in range(count):
            conn.set(b"big%d" % i, b"%d" % (i % 10) * size)
        before = server.rss_bytes()
        conn.send(b"get " + b" ".join(b"big%d" % i for i in range(count)) + b"\r\n")
        for i in range(count):
            conn.expect(b"VALUE big%d 0 %d\r\n" % (i, size) + b"%d" % (i % 10) * size + b"\r\n")
        conn.expect(b"END\r\n")
        if not harness.is_sanitized(server.binary):
            assert server.rss_bytes() - before < 8 << 20


def test_get_line_of_a_megabyte(guarded):
    """Grows the buffer for a get; beyond 1 MiB the connection ends."""
    with guarded.connect() as conn:
        keys = b" ".join(b"missing%d" % i for i in range(50_000)) + b" witness"
        conn.ask(b"get " + keys + b"\r\n", b"VALUE witness 0 8\r\nunharmed\r\nEND\r\n")
    if not harness.is_reference(harness.BINARY):
        conn = guarded.connect()
        try:
            conn.send(b"get " + b"k" * 100 + b" k" * (1 << 20))
        except (BrokenPipeError, ConnectionResetError):
            pass
        data = conn.take(1000)
        assert data == b"" or data.startswith((b"CLIENT_ERROR", b"SERVER_ERROR")), data
        conn.close()


def test_a_long_get_lets_others_have_their_turn(guarded, reference):
    """Half a million keys, none of them there: no answer grows that would end a turn."""
    if reference:
        pytest.skip("1.6.18 looks all keys of a line up at once")
    before = int(guarded.witness.stats()["conn_yields"])
    with guarded.connect() as conn:
        conn.ask(b"get " + b"k " * (500 * 1024) + b"\r\n", b"END\r\n")
    assert int(guarded.witness.stats()["conn_yields"]) - before > 200


def test_connections_come_and_go(guarded):
    """No descriptor and no memory stays behind."""
    for _ in range(300):
        with guarded.connect() as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
    fds = pathlib.Path(f"/proc/{guarded.process.pid}/fd")
    harness.until(lambda: len(list(fds.iterdir())) < 40)
