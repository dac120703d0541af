# SPDX-License-Identifier: BSD-3-Clause
"""What the faults of other cache servers have taught: each test names the one that it repeats.

Numbers are those of the CVE list; without another name they are memcached's.  The server under test
has all verbosity, since several of them lay in what was logged.
"""

import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import time

import pytest

import binary
import harness
from binary import AUTH_ERROR, Binary, request

WITNESS = b"unharmed"
UNAUTHENTICATED = b"CLIENT_ERROR unauthenticated\r\n"
PAST_32_BITS = (-1, -2, -(1 << 31), (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 8,
                (1 << 63) - 1, 1 << 63, 1 << 64)


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    folder = tmp_path_factory.mktemp("users")
    folder.chmod(0o755)
    path = folder / "users"
    path.write_bytes(b"foo:bar\n")
    return path


class Watched:
    """A server with a witness on it who must never notice anything."""

    def __init__(self, *args):
        self.server = harness.Server("-t", "2", "-m", "64", *args)
        self.connect = self.server.connect

    def start(self, login=b""):
        self.witness = self.connect()
        if login:
            self.witness.ask(login, b"STORED\r\n")
        self.witness.set(b"witness", WITNESS)
        return self

    def check(self):
        assert self.server.alive(), self.server.errors()[-2000:]
        assert self.witness.get(b"witness") == WITNESS

    def stop(self):
        self.check()
        self.witness.close()
        self.server.__exit__(None, None, None)


@pytest.fixture(scope="module")
def loud():
    watched = Watched("-vvv").start()
    yield watched
    watched.stop()


@pytest.fixture(scope="module")
def guarded(users):
    if harness.is_reference(harness.BINARY):
        pytest.skip("1.6.18 has no logins by both protocols")
    unlimited = "limit_logins=0,limit_logins_prefix=0"  # what fails here is to be looked at
    watched = Watched("-vvv", "-S", "-Y", users, "-o", unlimited)
    watched.start(b"set auth 0 0 7\r\nfoo bar\r\n")
    yield watched
    watched.stop()


@pytest.fixture(autouse=True)
def others_are_served(request):
    yield
    for name in ("loud", "guarded"):
        if name in request.fixturenames:
            request.getfixturevalue(name).check()


def send_and_leave(watched, *parts):
    """Send, end, read what comes; the server's close is fine at any time."""
    with watched.connect() as conn:
        try:
            for part in parts:
                conn.send(part)
            conn.sock.shutdown(socket.SHUT_WR)
            return conn.take(1 << 20)
        except OSError:
            return b""


# ── lengths ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("length", PAST_32_BITS)
@pytest.mark.parametrize("line", [b"set k 0 0 %d", b"append k 0 0 %d", b"cas k 0 0 %d 1",
                                  b"ms k %d"])
def test_lengths_in_text(loud, reference, line, length):
    """CVE-2009-2415: a length near 2^32 became a small buffer and a large copy."""
    if reference and not 0 <= length < 1 << 31:
        pytest.skip("1.6.18 reduces some lengths modulo 2^32")
    before = loud.server.rss_bytes()
    send_and_leave(loud, line % length + b"\r\n" + b"x" * 5000 + b"\r\n")
    if not harness.is_sanitized(harness.BINARY):
        assert loud.server.rss_bytes() - before < 8 << 20
    assert loud.witness.get(b"k") is None


@pytest.mark.parametrize("body_bytes", [0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff])
@pytest.mark.parametrize("opcode", range(0x25))
def test_body_lengths_in_packets(loud, opcode, body_bytes):
    """CVE-2011-4971 and CVE-2017-9951: a body length above 2^31 was a negative one."""
    packet = request(opcode, b"k", b"x", bytes(8), body_bytes=body_bytes)
    send_and_leave(loud, packet, b"y" * 5000)


@pytest.mark.parametrize("opcode", ["set", "add", "replace", "append", "prepend", "setq", "appendq",
                                    "prependq", "sasl_auth", "sasl_step"])
@pytest.mark.parametrize("key_bytes, extras_bytes, body_bytes", [
    (250, 0, 0), (250, 8, 8), (0xffff, 8, 0xffff), (2, 255, 3), (250, 8, 257), (0xffff, 255, 0),
])
def test_key_longer_than_body(loud, opcode, key_bytes, extras_bytes, body_bytes):
    """CVE-2016-8704, -8705, -8706: body less key and extras fell below zero."""
    packet = request(opcode, b"k" * 300, b"x" * 300, key_bytes=key_bytes, extras_bytes=extras_bytes,
                     body_bytes=body_bytes)
    send_and_leave(loud, packet)


@pytest.mark.parametrize("opcode", range(0x25))
def test_extras_larger_than_any_buffer(loud, opcode):
    """CVE-2020-10931: 255 bytes of extras were copied over a buffer of 24."""
    send_and_leave(loud, request(opcode, b"k", b"x", b"e" * 255), request("noop"))


def test_many_readers_of_one_value(loud):
    """CVE-2018-1000127: a count of users of an item ran over when many held the same value."""
    loud.witness.set(b"shared", b"s" * 500_000)
    conns = [loud.connect() for _ in range(300)]
    for conn in conns:
        conn.send(b"get shared\r\n")
    for conn in conns[::2]:
        conn.close()
    loud.witness.set(b"shared", b"t")
    for conn in conns[1::2]:
        size = int(conn.line().split()[3])  # who was read late gets the new one
        conn.expect({500_000: b"s" * 500_000, 1: b"t"}[size] + b"\r\nEND\r\n")
        conn.close()
    assert loud.witness.get(b"shared") == b"t"


# ── lines ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("where", ["loud", "guarded"])
@pytest.mark.parametrize("start", [b"", b"get ", b"set a 0 0 "])
def test_a_line_without_an_end(where, start, request):  # pylint: disable=redefined-outer-name
    """CVE-2010-1152: memory grew for as long as no line end came; before a login as well."""
    if harness.is_reference(harness.BINARY):
        pytest.skip("1.6.18 reads a get line of any length")
    watched = request.getfixturevalue(where)
    before = watched.server.rss_bytes()
    with watched.connect() as conn:
        sent = 0
        try:
            conn.send(start)
            while sent < 64 << 20:
                conn.send(b"k" * 65536)
                sent += 65536
        except OSError:
            pass
    assert sent < 32 << 20, "nobody stopped it"
    if not harness.is_sanitized(harness.BINARY):
        assert watched.server.rss_bytes() - before < 8 << 20


@pytest.mark.parametrize("line", [
    b"lru", b"lru mode", b"lru mode ", b"lru temp_ttl", b"lru temp_ttl ", b"lru tune",
    b"lru tune 10 25 0.1", b"lru_crawler", b"lru_crawler sleep", b"lru_crawler tocrawl",
    b"lru_crawler crawl", b"lru_crawler metadump", b"slabs", b"slabs automove", b"slabs reassign",
    b"slabs reassign 1", b"watch", b"verbosity", b"cache_memlimit", b"flush_all noreply x y z",
    b"stats detail", b"stats cachedump", b"stats cachedump 1", b"extstore",
    b"extstore free_memchunks", b"incr", b"incr k", b"touch", b"touch k", b"gat", b"gat 1", b"cas",
    b"cas k 0 0 1", b"mg", b"ms", b"ms k", b"md", b"ma", b"me", b"set", b"set k", b"set k 0",
    b"set k 0 0", b"delete", b"shutdown x", b"debugtime", b"debugitem", b"config", b"config get",
    b"quit x",
])
def test_missing_words(loud, line):
    """CVE-2019-11596: `lru mode` and `lru temp_ttl` without a number followed a null pointer."""
    for end in (b"\r\n", b"\n", b" \r\n", b"   \r\n", b"\0\r\n"):
        answer = send_and_leave(loud, line + end)
        assert answer == b"" or answer.endswith(b"\n"), answer


@pytest.mark.parametrize("words", [8, 24, 25, 100, 1000, 10_000])
@pytest.mark.parametrize("start", [b"mg k", b"ms k 1", b"md k", b"ma k", b"mg k v k O1", b"get",
                                   b"lru tune", b"stats", b"gat 1"])
def test_too_many_words(loud, start, words):
    """CVE-2019-11596 and CVE-2023-46852: more words than the table of them has places, or only
    blanks between."""
    for word in (b" v", b" Oabc", b" k", b" ", b"  \t"):
        line = start + word * words
        if len(line) < 900_000:
            send_and_leave(loud, line + b"\r\nx\r\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r\n", b"\0\n", b" \n"])
def test_either_end_of_a_line(loud, end):
    """CVE-2023-46853: a line that ends with \\n alone was measured as if it ended with \\r\\n."""
    with loud.connect() as conn:
        conn.send(b"set e 0 0 2" + end + b"ab" + b"\r\n" + b"get e" + end + b"mn\r\n")
        while (line := conn.line()) != b"MN":
            assert line is not None
            assert line in (b"STORED", b"END", b"VALUE e 0 2", b"ab", b"ERROR") or \
                line.startswith(b"CLIENT_ERROR"), line


# ── what is logged ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("opcode", ["get", "delete", "deleteq", "set", "add", "append", "touch",
                                    "gat", "increment", "getk", "stat"])
def test_keys_in_the_log(loud, opcode):
    """CVE-2013-0179, -7290, -7291: with -vv a key without a NUL behind it was printed as a string,
    and what lay behind it in memory as well."""
    if harness.is_reference(harness.BINARY):
        pytest.skip("1.6.18 prints a key as it is, line ends and all")
    head = loud.server.errors()
    behind = b"BEHIND-THE-KEY" * 20
    for key in (b"q" * 250, b"%s%n%x" * 40, b"\x1b[31m\x07\xff\x00" * 60,
                b"k\r\nSTAT forged 1\r\n"):
        packet = request(opcode, key[:250], extras={
            "set": bytes(8), "add": bytes(8), "touch": bytes(4), "gat": bytes(4),
            "increment": bytes(20)}.get(opcode, b""))
        send_and_leave(loud, packet + request("noop") + request("set", b"z", behind, bytes(8)))
    logged = loud.server.errors()[len(head):]
    for line in logged.splitlines():
        assert not line.startswith("STAT forged"), "a key has made a line of its own"
        if "q" * 250 in line:
            assert "BEHIND" not in line
    assert "\x1b" not in logged and "\x07" not in logged, "a terminal would obey"


def test_the_log_of_a_connection_on_a_unix_socket(reference):
    """CVE-2019-15026: the name of a unix socket's peer was printed from a buffer too small."""
    if reference:
        pytest.skip("1.6.18 prints more than the name")
    path = tempfile.mkdtemp(prefix="matte-")
    os.chmod(path, 0o777)
    path += "/" + "s" * (107 - len(path) - 1)  # the longest that there is
    with harness.Server("-vvv", unix=path) as server, server.connect() as conn:
        conn.ask(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        rows = conn.stats(b"conns")
        assert any(path in value for value in rows.values()), rows
    shutil.rmtree(os.path.dirname(path))


def test_no_map_of_memory(loud):
    """CVE-2009-1255: `stats maps` told where everything lies."""
    with loud.connect() as conn:
        for word in (b"maps", b"malloc", b"memory", b"/proc/self/maps"):
            answer = conn.command(b"stats " + word)
            assert answer in (b"ERROR", b"END", b"CLIENT_ERROR bad command line format") or \
                answer.startswith(b"STAT ") and b"/" not in answer, answer
            while answer.startswith(b"STAT "):
                answer = conn.line()
                assert b"r-xp" not in answer


# ── logins ──────────────────────────────────────────────────────────────────────────────────────


def plain(password, more=b""):
    return request("sasl_auth", b"PLAIN", b"\0foo\0" + password + more)


def test_after_a_failed_login(guarded):
    """CVE-2013-7239: whoever asked again after a failed login was let in."""
    for tries in range(1, 4):
        with Binary(guarded.connect()) as client:
            for _ in range(tries):
                assert client.ask(plain(b"wrong")).status == AUTH_ERROR
            client.send(request("get", b"witness"))
            assert client.answer().status == AUTH_ERROR
            assert client.answer() is None
        with guarded.connect() as conn:
            for _ in range(tries):
                conn.ask(b"set a 0 0 9\r\nfoo wrong\r\n",
                         b"CLIENT_ERROR authentication failure\r\n")
            conn.ask(b"get witness\r\n", UNAUTHENTICATED)


def test_a_step_is_no_login(guarded):
    """CVE-2013-7239, its second half: a step without a beginning left the connection open."""
    for message in (b"", b"x", b"\0foo\0bar", b"\0foo\0bar\0"):
        with Binary(guarded.connect()) as client:
            assert client.ask(request("sasl_step", b"PLAIN", message)).status == AUTH_ERROR
            client.send(request("get", b"witness"))
            assert client.answer().status == AUTH_ERROR


@pytest.mark.parametrize("password", [b"", b"b", b"ba", b"barr", b"bar\0", b"\0", b"BAR"])
def test_part_of_a_password(guarded, password):
    """Comparing by the shorter of two lengths lets in whoever sends none: all of it or nothing."""
    with Binary(guarded.connect()) as client:
        assert client.ask(plain(password)).status == AUTH_ERROR
    token = b"foo " + password
    with guarded.connect() as conn:
        conn.send(b"set a 0 0 %d\r\n%s\r\n" % (len(token), token))
        assert conn.line().startswith(b"CLIENT_ERROR")
        conn.ask(b"get witness\r\n", UNAUTHENTICATED)


@pytest.mark.parametrize("size", [256, 1024, 1025, 2048, 16384, 16385, 65536, 1 << 20, 1 << 30])
def test_over_long_tokens(guarded, size):
    """CVE-2021-37519 (users read from a file) and CVE-2016-8706 (from a packet): longer than the
    buffer."""
    before = guarded.server.rss_bytes()
    real = min(size, 1 << 20)
    for token in (b"u" * real, b"foo " + b"p" * (real - 4), b"u" * (real - 4) + b" bar"):
        send_and_leave(guarded, b"set a 0 0 %d\r\n" % size + token + b"\r\nget witness\r\n")
    for message in (b"\0" * real, b"\0foo\0" + b"p" * real, b"\0" + b"u" * real + b"\0bar"):
        packet = request("sasl_auth", b"PLAIN", message, body_bytes=5 + max(size, len(message)))
        answer = send_and_leave(guarded, packet)
        assert WITNESS not in answer and answer[6:8] != b"\0\0"
    packet = request("sasl_auth", b"M" * min(real, 60000), b"\0foo\0bar")
    assert send_and_leave(guarded, packet)[6:8] != b"\0\0"
    if not harness.is_sanitized(harness.BINARY):
        assert guarded.server.rss_bytes() - before < 8 << 20


@pytest.mark.parametrize("text", [b"u" * 300 + b":p\n", b"a:" + b"p" * 5000 + b"\n", b":\n" * 3,
                                  b"a:b" * 5000, b"\0" * 5000, b"\xff" * 300])
def test_a_strange_file_of_users(tmp_path, text, reference):
    """CVE-2021-37519: a line longer than its buffer, in a file that an operator made."""
    if reference:
        pytest.skip("1.6.18 has the fault")
    path = tmp_path / "users"
    path.write_bytes(text)
    command = harness.command(harness.BINARY, "-p", "-1", "-l", "127.0.0.1", "-Y", path)
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode in (1, 64) and done.stderr.count("\n") <= 3, done


def test_datagrams_are_no_way_around_a_login(users, reference):
    """UDP had no login where TCP asked for one: the start is refused, or they get nothing."""
    if reference:
        pytest.skip("has no logins by both protocols")
    for args in (("-Y", users), ("-S", "-Y", users)):
        try:
            server = harness.Server(*args, "-p", "-1", "-U", str(free_udp_port()))
        except AssertionError as error:
            assert "-U" in str(error) or "UDP" in str(error), error
            continue
        with server, server.connect() as conn:
            conn.ask(b"set auth 0 0 7\r\nfoo bar\r\n", b"STORED\r\n")
            conn.set(b"secret", WITNESS)
            port = next(n for name, n in server.ports().items() if "UDP" in name)
            assert unproven_and_proven(port) == set()


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def unproven_and_proven(port):
    """What datagrams draw that has to do with the store; by any means."""
    import rr  # pylint: disable=import-outside-toplevel
    leaked = set()
    with rr.Client("127.0.0.1", port, wait_s=0.3) as client:
        for ask in (client.ask, client.ask_legacy):
            for command in (b"get secret\r\n", b"mg secret v\r\n", b"gets secret\r\n",
                            request("get", b"secret"), b"set secret 0 0 1\r\nx\r\n"):
                try:
                    answer = ask(command)
                except (TimeoutError, OSError):
                    continue
                if WITNESS in answer or b"END" in answer or b"STORED" in answer:
                    leaked.add(answer)
    return leaked


def test_datagrams_cut_in_parts(reference):
    """CVE-2022-48571: a set in several datagrams followed a null pointer."""
    if reference:
        pytest.skip("1.6.18 refuses them, other releases before it crash")
    port = free_udp_port()
    try:
        server = harness.Server("-p", "-1", "-U", str(port))
    except AssertionError as error:
        assert "-U" in str(error), error
        pytest.skip("serves no UDP yet")
    with server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for sequence, total in ((0, 2), (1, 2), (1, 0), (5, 3), (0, 0), (0xffff, 0xffff)):
            for body in (b"set k 0 0 3000\r\n", b"", b"x" * 1400, b"\r\n"):
                sock.sendto(struct.pack(">HHHH", 7, sequence, total, 0) + body,
                            ("127.0.0.1", port))
        time.sleep(0.1)
        with server.connect() as conn:
            conn.ask(b"get k\r\n", b"END\r\n")


# ── too much of it ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("request_", [
    b"get " + b"k" * 100_000 + b"\r\n", b"mg " + b"k" * 100_000 + b" v\r\n",
    b"ms " + b"k" * 10_000 + b" 1\r\nx\r\n", b"ms k 100000000000000000000\r\n",
    b"ms k 1 " + b"F" + b"9" * 5000 + b"\r\nx\r\n", b"mg " + b"A" * 3000 + b"= b v\r\n",
    b"ms k 3 I" + b"x" * 3000 + b"\r\nabc\r\n", b"mn" + b" x" * 5000 + b"\r\n",
    b"mg /" + b"a/" * 3000 + b" v\r\n", b"PROXY TCP4 " + b"1" * 3000 + b"\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nget witness\r\n", b"\r\n\r\n\0\r\nQUIT\n!" + bytes(300),
])
def test_what_would_be_too_large_for_a_proxy(loud, request_):
    """CVE-2023-46852, -46853: requests that its proxy took as they came."""
    answer = send_and_leave(loud, request_)
    assert b"VALUE k" not in answer


def test_files_come_back(loud, reference):
    """All of the above left nothing behind."""
    if reference:
        pytest.skip("1.6.18 keeps some of these connections waiting")
    fds = pathlib.Path(f"/proc/{loud.server.process.pid}/fd")
    harness.until(lambda: len(list(fds.iterdir())) < 45)
    assert binary.OPCODES["noop"] == 0x0a
