# SPDX-License-Identifier: BSD-3-Clause
"""Logins by text (-Y) and SASL PLAIN (-S): what may be done before, files of users, reloads."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess

import pytest

import binary
import harness
from binary import AUTH_ERROR, INVALID, OK, Binary, request
from test_tls import TlsConn, certs, client, tls_args  # noqa: F401 pylint: disable=unused-import

UNAUTHENTICATED = b"CLIENT_ERROR unauthenticated\r\n"
FAILED = b"CLIENT_ERROR authentication failure\r\n"
STORED = b"STORED\r\n"
MECHANISMS = b"SCRAM-SHA-256 PLAIN"
# Tests fail to log in more often than an address may.
UNLIMITED = ["-o", "limit_logins=0,limit_logins_prefix=0"]


def login(user=b"foo", password=b"bar", line=b"set auth 0 0 %d\r\n"):
    token = user + b" " + password
    return line % len(token) + token + b"\r\n"


@pytest.fixture
def users(tmp_path):
    """A file of users; the server may be another user than we."""
    os.chmod(tmp_path, 0o755)
    path = tmp_path / "users"
    path.write_bytes(b"foo:bar\nzoo:bear\r\nfoo:old")
    return path


@pytest.fixture
def guarded(users, reference):
    if reference:
        pytest.skip("1.6.18 loses answers and waits where newer releases refuse")
    with harness.Server("-t", "1", "-Y", users, *UNLIMITED) as server:
        yield server


def counted(server, user=b"foo", password=b"bar"):
    """(auth_cmds, auth_errors), less our own login."""
    with server.connect() as conn:
        conn.ask(login(user, password), STORED)
        stats = conn.stats()
        return int(stats["auth_cmds"]) - 1, int(stats["auth_errors"])


# ── text ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("request_", [
    login(), login(b"zoo", b"bear"), login(b"foo", b"old"),
    login(line=b"set anything at all %d noreply\r\n"), login(line=b"set a 0 0 %d\n"),
])
def test_login(guarded, request_):
    with guarded.connect() as conn:
        conn.ask(request_, STORED)
        conn.ask(b"set a 0 0 1\r\nx\r\nget a auth\r\n", b"STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n")
        conn.ask(b"nonsense\r\n", b"ERROR\r\n")
    assert counted(guarded) == (1, 0)


@pytest.mark.parametrize("request_, answer", [
    (login(b"foo", b"bear"), FAILED),
    (login(b"foo", b"ba"), FAILED),
    (login(b"foo", b"barr"), FAILED),
    (login(b"bar", b"foo"), FAILED),
    (login(b"nobody", b"bar"), FAILED),
    (login(b"foo:bar", b"x"), FAILED),
    (b"set a 0 0 3\r\nfoo\r\n", b"CLIENT_ERROR bad authentication token format\r\n"),
    (b"set a 0 0 0\r\n\r\n", b"CLIENT_ERROR bad authentication token format\r\n"),
    (b"set a 0 0 7\r\nfoo bar\n\r", b"CLIENT_ERROR bad command line termination\r\n"),
    (b"set a 0 0 16385\r\n", b"CLIENT_ERROR auth token too long\r\n"),
    (b"set a 0 0 99999999999999999999\r\n", UNAUTHENTICATED),
    (b"set a 0 0 16384\r\n" + b"a" * 16384 + b"\r\n",
     b"CLIENT_ERROR bad authentication token format\r\n"),
    (login(b"u" * 8000, b"p" * 8383), FAILED),
])
def test_failure_leaves_nothing(guarded, request_, answer):
    with guarded.connect() as conn:
        for _ in range(3):
            conn.ask(request_, answer)
            conn.ask(b"get a b\r\n", UNAUTHENTICATED)
        conn.ask(request_ + b"version\r\n", answer + UNAUTHENTICATED)
        conn.ask(login() + b"get a\r\n", b"STORED\r\nEND\r\n")
    tries = 4 * (answer == FAILED)
    assert counted(guarded) == (tries + 1, tries)


@pytest.mark.parametrize("request_", [
    b"\n", b"\r\n", b"quit\r\n", b"mn\r\n", b"get a\n", b"x" * 2049, b"x" * 3000 + b"\r\n",
    b"set a 0 0 7" + b" " * 2048,
])
def test_not_worth_an_answer(guarded, request_):
    with guarded.connect() as conn:
        conn.send(request_)
        conn.expect_close()


def test_behind_a_login_in_one_packet(guarded):
    with guarded.connect() as conn:
        conn.ask(b"get a\r\n" + login(b"foo", b"no") + login() +
                 b"set k 0 0 1\r\nx\r\nget k\r\nmn\r\n",
                 UNAUTHENTICATED + FAILED + STORED +
                 STORED + b"VALUE k 0 1\r\nx\r\nEND\r\nMN\r\n")


def test_logged_in_the_login_is_a_plain_set(guarded):
    with guarded.connect() as conn:
        conn.ask(login() + login(b"a", b"b") + b"get auth\r\n",
                 STORED + STORED + b"VALUE auth 0 3\r\na b\r\nEND\r\n")
    assert counted(guarded) == (1, 0)


def test_cut_at_every_byte(guarded):
    """In two packets at each place, and once byte by byte; the barrier has logged in as well."""
    barrier = guarded.connect()
    barrier.ask(login(), STORED)
    whole = login(b"foo", b"nono") + b"version\r\n" + login() + b"mn\r\n"
    answer = FAILED + UNAUTHENTICATED + STORED + b"MN\r\n"
    for cut in range(1, len(whole)):
        with guarded.connect() as conn:
            conn.send(whole[:cut])
            barrier.ask(b"mn\r\n", b"MN\r\n")
            conn.send(whole[cut:])
            conn.expect(answer)
    with guarded.connect() as conn:
        for i in range(len(whole)):
            conn.send(whole[i:i + 1])
            barrier.ask(b"mn\r\n", b"MN\r\n")
        conn.expect(answer)
    barrier.close()


def words():
    """Every command's word, from the table, and what it could be followed by."""
    rows = (harness.ROOT / "src/tbl/commands.def").read_text()
    found = re.findall(r'^COMMAND\(\w+,\s*"(\w+)"', rows, re.M)
    assert len(found) > 20
    return [word.encode() for word in found]


def test_no_command_before_the_login(guarded):
    """Any verb in several forms: one refusal per line of 6 characters or more, else the end."""
    lines = [word + tail for word in words() for tail in
             (b"", b" a", b" a 0 0 1", b" a 0 0 1 noreply", b" settings", b" a v q k O1")]
    with guarded.connect() as other:
        other.ask(login(), STORED)
        other.ask(b"set a 0 0 1\r\nx\r\n", STORED)
        for line in lines:
            if line.startswith(b"set a 0 0 1"):
                continue
            with guarded.connect() as conn:
                conn.send(line + b"\r\n")
                if len(line) + 1 >= 6:
                    conn.expect(UNAUTHENTICATED)
                    conn.send(b"\n")
                conn.expect_close()
        other.ask(b"get a\r\n", b"VALUE a 0 1\r\nx\r\nEND\r\n")
        assert other.stats()["auth_errors"] == "0"


def test_unix_socket_wants_a_login(users, tmp_path):
    with harness.Server("-Y", users, unix=str(tmp_path / "socket")) as server:
        with server.connect() as conn:
            conn.ask(b"version\r\n", UNAUTHENTICATED)
            conn.ask(login(), STORED)


def test_tls_wants_a_login(users, certs, reference):  # noqa: F811
    if reference:
        pytest.skip("built without TLS")
    with harness.Server("-S", "-Y", users, *tls_args(certs)) as server:
        with TlsConn(server.port, client(certs)) as conn:
            conn.ask(b"version\r\n" + login(b"foo", b"no") + login() + b"mn\r\n",
                     UNAUTHENTICATED + FAILED + STORED + b"MN\r\n")
        with Binary(TlsConn(server.port, client(certs))) as packets:
            packets.send(plain(), request("noop"), plain(b"foo", b"no"), request("noop"))
            assert [packets.answer().status for _ in range(4)] == [OK, OK, AUTH_ERROR, AUTH_ERROR]
            assert packets.answer() is None


def test_a_password_is_never_logged(users, reference):
    if reference:
        pytest.skip("-vv shows what it reads")
    with harness.Server("-vvv", "-S", "-Y", users) as server:
        with server.connect() as conn:
            conn.ask(login(b"zoo", b"wrong") + login(b"zoo", b"bear"), FAILED + STORED)
        for line in (b"  set auth 0 0 %d\r\n", b"set " + b"a" * 300 + b" 0 0 %d\r\n",
                     b"set a x y %d noreply\r\n"):  # no requests, but a login
            with server.connect() as conn:
                conn.ask(login(b"zoo", b"bear", line=line), STORED)
        for line in (b"set auth 0 0 3\r\n", b"set auth 0 0 x\r\n", b"get auth 0 0 8\r\n",
                     b"set auth 0 0 99999\r\n"):  # neither
            with server.connect() as conn:
                conn.send(line + b"zoo bear\r\nzoo wrong\r\n")
                conn.sock.shutdown(socket.SHUT_WR)
                conn.take(1000)
        with Binary(server.connect()) as packets:
            assert packets.ask(plain(b"zoo", b"wrong")).status == AUTH_ERROR
            assert packets.ask(plain(b"zoo", b"bear")).status == OK
        assert "bear" not in server.errors() and "wrong" not in server.errors()


def test_idle_connection_stays_logged_in(guarded):
    conns = [guarded.connect() for _ in range(20)]
    for conn in conns:
        conn.ask(login(), STORED)
    for conn in conns:
        conn.ask(b"mn\r\n", b"MN\r\n")
        conn.close()
    with guarded.connect() as conn:  # the place of one that was
        conn.ask(b"version\r\n", UNAUTHENTICATED)


# ── SASL ───────────────────────────────────────────────────────────────────────────────────────


def plain(user=b"foo", password=b"bar", authzid=b""):
    return request("sasl_auth", b"PLAIN", authzid + b"\0" + user + b"\0" + password, opaque=0xfeed)


@pytest.fixture
def sasl(users, reference):
    if reference:
        pytest.skip("needs a configured Cyrus library")
    with harness.Server("-t", "1", "-S", "-Y", users, *UNLIMITED) as server:
        yield server


@pytest.fixture
def sasl_only(users, reference, monkeypatch):
    if reference:
        pytest.skip("needs a configured Cyrus library")
    monkeypatch.setenv("MEMCACHED_SASL_PWDB", str(users))
    with harness.Server("-t", "1", "-S", *UNLIMITED) as server:
        yield server


def sasl_counted(server):
    """(auth_cmds, auth_errors), less our own login."""
    with Binary(server.connect()) as client:
        assert client.ask(plain()).status == OK
        stats = client.stats()
        return int(stats["auth_cmds"]) - 1, int(stats["auth_errors"])


def test_sasl_login(sasl_only):
    with Binary(sasl_only.connect()) as client:
        assert client.ask(request("version"))[1:5] == (OK, b"", b"", b"1.6.45")
        assert client.ask(request("sasl_list"))[1:5] == (OK, b"", b"", MECHANISMS)
        assert client.ask(plain()) == (0x21, OK, b"", b"", b"Authenticated", 0xfeed, 0)
        assert client.ask(binary.store("set", b"a", b"x")).status == OK
        assert client.ask(request("get", b"a")).value == b"x"
        assert client.ask(request("sasl_list")).value == MECHANISMS
        assert client.ask(request(0x77)).status == binary.UNKNOWN
    assert sasl_counted(sasl_only) == (1, 0)


@pytest.mark.parametrize("packet", [
    plain(b"foo", b"bear"), plain(b"nobody", b"bar"), plain(b"foo", b"bar\0"),
    plain(b"foo", b""), plain(b"", b"bar"), plain(b"foo", b"bar", b"zoo"),
    plain(b"u" * 8000, b"p" * 8000),
    request("sasl_auth", b"PLAIN"), request("sasl_auth", b"PLAIN", b"foo bar"),
    request("sasl_auth", b"plain", b"\0foo\0bar"), request("sasl_auth", b"CRAM-MD5", b"x"),
    request("sasl_auth", b"PLAIN2", b"\0foo\0bar"), request("sasl_auth", b"M" * 32, b"x"),
    request("sasl_step", b"PLAIN", b"\0foo\0bar"),
])
def test_sasl_failure(sasl, packet):
    with Binary(sasl.connect()) as client:
        for _ in range(3):
            answer = client.ask(packet)
            assert (answer.status, answer.value) == (AUTH_ERROR, b"Auth failure.")
        assert client.ask(plain()).status == OK
        assert client.ask(request("get", b"a")).status == binary.NOT_FOUND
        # Whoever tries again is nobody until it went well.
        client.send(packet, request("get", b"a"), plain(), request("get", b"a"))
        assert client.answer().status == AUTH_ERROR
        assert client.answer().status == AUTH_ERROR
        assert client.answer() is None
    assert sasl_counted(sasl) == (5, 4)


def test_sasl_second_login_in_one_packet(sasl_only):
    with Binary(sasl_only.connect()) as client:
        client.send(plain(), request("noop"), plain(b"zoo", b"bear"), request("get", b"a"),
                    plain(b"zoo", b"bar"), plain(), request("noop"))
        assert [client.answer().status for _ in range(7)] == [
            OK, OK, OK, binary.NOT_FOUND, AUTH_ERROR, OK, OK]


def test_sasl_mechanism_too_long(sasl_only):
    with Binary(sasl_only.connect()) as client:
        packet = request("sasl_auth", b"M" * 33, b"x")
        assert client.ask(packet).status == INVALID
        client.send(plain(), packet, request("noop"))
        assert [client.answer().status for _ in range(3)] == [OK, INVALID, AUTH_ERROR]
        assert client.answer() is None


@pytest.mark.parametrize("size", [16390, 100000, 1 << 30, 0xffffffff])
def test_sasl_login_too_large(sasl_only, size):
    """It is refused by its header, before and after a login."""
    for before in ([], [plain()]):
        with Binary(sasl_only.connect()) as client:
            client.send(*before, request("sasl_auth", b"PLAIN", body_bytes=size))
            assert [client.answer().status for _ in before] == [OK] * len(before)
            answer = client.answer()
            assert answer.status in (AUTH_ERROR, INVALID)
            assert client.answer() is None


@pytest.mark.parametrize("server", ["sasl", "sasl_only"])
def test_no_opcode_before_the_login(server, request):  # pylint: disable=redefined-outer-name
    """Any opcode, known or not, of any form: refused, then the end."""
    server = request.getfixturevalue(server)
    request = binary.request
    with Binary(server.connect()) as other:
        assert other.ask(plain()).status == OK
        assert other.ask(binary.store("set", b"a", b"x")).status == OK
        for opcode in set(range(256)) - {0x0b, 0x20, 0x21, 0x22}:
            for packet in (request(opcode), request(opcode, b"a"),
                           request(opcode, b"a", b"x", bytes(8)),
                           request(opcode, b"a", extras=bytes(20)),
                           request(opcode, b"a", body_bytes=1 << 29)):
                with Binary(server.connect()) as client:
                    client.send(packet, plain())
                    answer = client.answer()
                    assert answer[1:5] == (AUTH_ERROR, b"", b"", b"Auth failure."), packet
                    assert client.answer() is None
        assert other.ask(request("get", b"a")).value == b"x"
        assert other.stats()["auth_errors"] == "0"


def test_sasl_cut_at_every_byte(sasl_only):
    with Binary(sasl_only.connect()) as barrier:
        assert barrier.ask(plain()).status == OK
        whole = plain(b"foo", b"no") + request("version") + plain() + request("noop")
        cuts = [[whole[:cut], whole[cut:]] for cut in range(1, len(whole))]
        for pieces in cuts + [[whole[i:i + 1] for i in range(len(whole))]]:
            with Binary(sasl_only.connect()) as client:
                for piece in pieces:
                    client.send(piece)
                    barrier.ask(request("noop"))
                assert [client.answer().status for _ in range(4)] == [AUTH_ERROR, OK, OK, OK]


FRAGMENTS = [
    b"get a\r\n", b"version\r\n", b"stats\r\n", b"flush_all\r\n", b"set a 0 0 1\r\nx\r\n", b"set",
    b"set a 0 0 7\r\n", b"foo bar", b"foo ba\r\n", b"\r\n", b"\n", b" ", b"\0", b"set a 0 0 0\r\n",
    login(b"foo", b"no"), login(b"zoo", b"bar"), b"watch\r\n", b"shutdown\r\n", b"mn\r\n", b"\x80",
    b"x" * 700,
]
PACKETS = [
    request("get", b"a"), request("noop"), request("version"), request("sasl_list"), request(0x99),
    plain(b"foo", b"no"), plain(b"foo", b"bar", b"zoo"), request("sasl_auth", b"M" * 40, b"x"),
    request("sasl_step", b"PLAIN", b"\0foo\0bar"), request("flush"), request("stat"), b"\x80",
    request("sasl_auth", b"PLAIN", b"\0foo\0bar", extras=b"1234"), b"get a\r\n", bytes(24),
    request("sasl_auth", b"PLAIN", b"\0foo\0bar", body_bytes=12), b"\x80\x21",
]
REFUSALS = {UNAUTHENTICATED.strip(), FAILED.strip(), b"CLIENT_ERROR auth token too long",
            b"CLIENT_ERROR bad command line termination",
            b"CLIENT_ERROR bad authentication token format"}


def send_end(conn):
    with contextlib.suppress(OSError):  # the server may have been faster
        conn.sock.shutdown(socket.SHUT_WR)


def test_random_bytes_open_nothing(sasl):
    seed = int(os.environ.get("MATTE_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    rng = random.Random(seed)
    with sasl.connect() as other:
        other.ask(login() + b"set a 0 0 1\r\ny\r\n", STORED + STORED)
        for _ in range(400):
            with sasl.connect() as conn:
                sent = b"".join(rng.choices(FRAGMENTS, k=rng.randrange(1, 12)))
                if b"foo bar\r\n" in sent or sent.startswith(b"\x80"):
                    continue  # may be a login
                conn.send(sent)
                send_end(conn)
                lines = conn.take(1 << 30).split(b"\r\n")
                assert lines.pop() == b"" and set(lines) <= REFUSALS, (sent, lines)
            with Binary(sasl.connect()) as packets:
                sent = rng.choices(PACKETS, k=rng.randrange(1, 12))
                packets.send(PACKETS[2], *sent)
                send_end(packets.conn)
                while (answer := packets.answer()) is not None:
                    assert (answer.status in (AUTH_ERROR, INVALID) or
                            answer.value in (b"1.6.45", MECHANISMS)), (sent, answer)
        other.ask(b"get a\r\n", b"VALUE a 0 1\r\ny\r\nEND\r\n")


def test_each_protocol_has_its_login(sasl):
    with sasl.connect() as conn:
        conn.ask(b"version\r\n" + login(), UNAUTHENTICATED + STORED)
        conn.ask(b"set a 0 0 1\r\nx\r\n", STORED)
        settings = conn.stats(b"settings")
    assert settings["auth_enabled_sasl"] == "yes"
    assert settings["auth_enabled_ascii"] != "no"
    assert settings["binding_protocol"] == "auto-negotiate"
    with Binary(sasl.connect()) as client:
        assert client.ask(plain(b"zoo", b"bear")).status == OK
        assert client.ask(request("get", b"a")).value == b"x"
    with sasl.connect() as conn:  # a text login does not open for packets
        conn.send(login() + request("get", b"a"))
        conn.expect(STORED)
    with Binary(sasl.connect()) as client:  # nor the other way round
        client.send(plain(), login())
        assert client.answer().status == OK
        assert client.answer() is None


def test_sasl_only_speaks_no_text(sasl_only):
    with sasl_only.connect() as conn:
        conn.send(login() + b"version\r\n" * 3)
        conn.expect_close()
    with Binary(sasl_only.connect()) as client:
        assert client.ask(plain()).status == OK
        settings = client.stats(b"settings")
    assert settings["auth_enabled_sasl"] == "yes"
    assert settings["auth_enabled_ascii"] == "no"
    assert settings["binding_protocol"] == "binary"


def test_users_of_both_files(users, tmp_path, monkeypatch, reference):
    if reference:
        pytest.skip("not both")
    other = tmp_path / "pwdb"
    other.write_bytes(b"second:file\n")
    monkeypatch.setenv("MEMCACHED_SASL_PWDB", str(other))
    with harness.Server("-S", "-Y", users) as server:
        assert opens(server, b"second", b"file") and opens(server, b"foo", b"bar")
        with Binary(server.connect()) as client:
            assert client.ask(plain(b"second", b"file")).status == OK
            assert client.ask(plain()).status == OK
    with harness.Server("-Y", users) as server:  # -Y alone has nothing to do with it
        assert not opens(server, b"second", b"file")


def test_without_logins_sasl_is_unknown(reference):
    if reference:
        pytest.skip("1.6.18 swallows the packet")
    with harness.Server() as server, Binary(server.connect()) as client:
        for packet in (request("sasl_list"), plain(), request("sasl_step", b"PLAIN", b"x")):
            assert client.ask(packet).status == binary.UNKNOWN
        assert client.ask(request("noop")).status == OK


# ── files ──────────────────────────────────────────────────────────────────────────────────────


def refused(*args, **environment):
    """(exit status, stderr) of a start that must fail."""
    done = subprocess.run(
        harness.command(harness.BINARY, "-p", "-1", "-l", "127.0.0.1", *args),
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=20)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize("text, line, why", [
    (b"foo", 1, "no ':'"), (b"a:b\n\n", 2, "empty"), (b"a:b\n:x\n", 2, "no user"),
    (b"a:b\nc:d\nsecret:\n", 3, "no password"), (b"secret\0:x\n", 1, "NUL"),
    (b"u" * 256 + b":x", 1, "255"), (b"u:" + b"p" * 1025, 1, "1024"),
])
def test_malformed_file_stops_the_start(users, text, line, why, reference):
    if reference:
        pytest.skip("other texts")
    users.write_bytes(text)
    status, errors = refused("-Y", users)
    assert status == 1
    assert str(users) in errors and f"line {line}" in errors and why in errors
    assert "secret" not in errors


def test_missing_file_stops_the_start(tmp_path):
    status, errors = refused("-Y", tmp_path / "none")
    assert status == 1 and "none" in errors and "No such file" in errors


def test_empty_file_lets_nobody_in(users, reference):
    if reference:
        pytest.skip("says nothing")
    users.write_bytes(b"")
    with harness.Server("-Y", users) as server:
        assert "nobody can log in" in server.errors()
        with server.connect() as conn:
            conn.ask(login(), FAILED)


def test_ten_thousand_users(users, reference):
    if reference:
        pytest.skip("8 at most")
    users.write_bytes(b"".join(b"user%d:pass%d\n" % (i, i) for i in range(10000)))
    with harness.Server("-Y", users) as server, server.connect() as conn:
        for i in (0, 1, 4999, 9998, 9999):
            with server.connect() as other:
                other.ask(login(b"user%d" % i, b"pass%d" % (i + 1)), FAILED)
                other.ask(login(b"user%d" % i, b"pass%d" % i), STORED)
        conn.ask(login(b"user10000", b"pass10000"), FAILED)


@contextlib.contextmanager
def reloading(server, says):
    """Send SIGHUP at the end and wait for the line about it."""
    before = server.errors().count(says)
    yield
    server.process.send_signal(signal.SIGHUP)
    harness.until(lambda: server.errors().count(says) > before)


def opens(server, user, password):
    with server.connect() as conn:
        conn.send(login(user, password))
        return conn.line() == b"STORED"


def test_reload(users, reference):
    if reference:
        pytest.skip("other texts")
    with harness.Server("-v", "-Y", users) as server, server.connect() as conn:
        conn.ask(login(), STORED)
        with reloading(server, "users who may log in: 3"):
            users.write_bytes(b"new:1\nfoo:changed\nthird:3\n")
        assert opens(server, b"new", b"1") and opens(server, b"foo", b"changed")
        assert not opens(server, b"foo", b"bar") and not opens(server, b"zoo", b"bear")
        conn.ask(b"mn\r\n", b"MN\r\n")  # who is in stays in
        with reloading(server, f"malformed entry in {users}, line 2"):
            users.write_bytes(b"foo:bar\nsecret\n")
        assert "users and access stay as they were" in server.errors()
        assert opens(server, b"new", b"1") and not opens(server, b"foo", b"bar")
        with reloading(server, f"could not open {users}"):
            users.unlink()
        assert opens(server, b"new", b"1")
        with reloading(server, "users who may log in: 1"):
            users.write_bytes(b"foo:bar\n")
        assert opens(server, b"foo", b"bar") and not opens(server, b"new", b"1")
        assert "secret" not in server.errors()


# ── options ────────────────────────────────────────────────────────────────────────────────────


def test_settings(guarded, users):
    with guarded.connect() as conn:
        conn.ask(login(), STORED)
        settings = conn.stats(b"settings")
    assert settings["auth_enabled_ascii"] == str(users)
    assert settings["auth_enabled_sasl"] == "no"
    assert settings["binding_protocol"] == "ascii"


@pytest.mark.parametrize("args", [
    ("-Y", "F", "-B", "auto"), ("-Y", "F", "-B", "binary"), ("-S", "-B", "auto"),
    ("-S", "-B", "ascii"), ("-S", "-Y", "F", "-B", "ascii"), ("-S", "-Y", "F", "-B", "binary"),
    ("-Y", "F", "-l", "proto[binary]:127.0.0.1"), ("-S", "-l", "proto[ascii]:127.0.0.1"),
    ("-S", "-l", "proto[negotiating]:127.0.0.1"),
])
def test_combinations_refused(users, args, reference):
    if reference and ("-l" in args or args[:3] == ("-S", "-Y", "F")):
        pytest.skip("not both, and no proto[]")
    status, errors = refused(*[users if arg == "F" else arg for arg in args])
    assert status == 64 and errors


def test_sasl_without_users_does_not_start(monkeypatch, reference):
    if reference:
        pytest.skip("another text")
    monkeypatch.delenv("MEMCACHED_SASL_PWDB", raising=False)
    status, errors = refused("-S")
    assert status == 1 and "MEMCACHED_SASL_PWDB" in errors and "-Y" in errors
    status, errors = refused("-S", MEMCACHED_SASL_PWDB="/none")
    assert status == 1 and "/none" in errors


def test_reload_of_a_confined_server(users, reference):
    if reference:
        pytest.skip("no filter")
    option = "drop_privileges"
    if harness.is_sanitized(harness.BINARY):
        option += ",relaxed_privileges"
    with harness.Server("-v", "-o", option, "-Y", users) as server:
        with reloading(server, "users who may log in: 1"):
            users.write_bytes(b"new:1\n")
        assert opens(server, b"new", b"1")
