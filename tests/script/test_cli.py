# SPDX-License-Identifier: BSD-3-Clause
"""The operator's program `matte`: its command line, and ping, get, set, delete."""

import json
import os
import random
import socket
import subprocess
import tempfile

import pytest

from cli import Stranger, matte
from harness import BINARY, CLI, Server, is_reference
from rr_server import RrServer


@pytest.fixture(scope="module")
def server():
    with Server("-I", "8m") as one:
        yield one


@pytest.fixture
def to(server):
    """The option that names the server."""
    return f"--server=127.0.0.1:{server.port}"


# ── the command line ────────────────────────────────────────────────────────────────────────────


def test_help_and_version():
    code, out, _ = matte("--help")
    assert code == 0 and b"usage: matte" in out
    lines = out.decode().splitlines()
    assert max(len(line) for line in lines) < 80
    names = [line.split()[0] for line in lines if line[:2] == "  " and line[2] != " "]
    assert {"ping", "get", "set", "delete", "help"} <= set(names)
    for name in names:
        code, text, _ = matte("help", name)
        assert code == 0 and text.startswith(b"usage: matte " + name.encode())
        assert matte(name, "--help") == (0, text, b"")
    assert matte("--version")[1].startswith(b"matte ")


@pytest.mark.parametrize("words, complaint", [
    ((), b"usage: matte"),
    (("frobnicate",), b"no subcommand 'frobnicate'"),
    (("help", "frobnicate"), b"no subcommand"),
    (("get",), b"KEY..."),
    (("ping", "a", "b"), b"one word too many"),
    (("get", "--frobnicate", "k"), b"no option"),
    (("get", "--exptime=1", "k"), b"not for this subcommand"),
    (("get", "k", "--timeout"), b"needs a value"),
    (("get", "k", "--timeout=0"), b"not a time"),
    (("get", "k", "--timeout=1.2345"), b"not a time"),
    (("get", "--json=1", "k"), b"takes no value"),
    (("set", "k", "v", "--flags=4294967296"), b"not a number"),
    (("set", "k", "v", "-e", "x"), b"not a number"),
    (("get", "a b"), b"a key has"),
    (("get", "a\r\nflush_all"), b"a key has"),
    (("get", "k" * 251), b"a key has"),
    (("get", "k", "-s", "[::1"), b"']' is missing"),
    (("get", "k", "-s", "[::1]x"), b"behind the ']'"),
    (("get", "k", "-s", "a:0"), b"a port is"),
    (("get", "k", "-s", "a:65536"), b"a port is"),
    (("get", "k", "-s", ":1"), b"a host has"),
    (("get", "k", "-s", "unix:"), b"unix socket"),
    (("ping", "a", "-s", "b"), b"named twice"),
    (("get", "k", "--user=a b"), b"no blank"),
])
def test_usage(words, complaint):
    code, out, errors = matte(*words)
    assert code == 64 and out == b"" and complaint in errors


def test_answer_cannot_be_written(to):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CLI, "ping", to], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2 and b"cannot write" in done.stderr


# ── items ───────────────────────────────────────────────────────────────────────────────────────


def test_ping(server, to):
    code, out, _ = matte("ping", f"127.0.0.1:{server.port}")
    assert code == 0 and b"answers in" in out and b"version 1." in out
    code, out, _ = matte("ping", "--json", to)
    assert code == 0 and json.loads(out)["address"] == f"127.0.0.1:{server.port}"


def test_set_get_delete(server, to):
    assert matte("set", to, "cli:a", "hello") == (0, b"", b"")
    assert matte("get", to, "cli:a") == (0, b"hello", b"")
    assert matte("set", to, "-f7", "-e", "100", "cli:b", stdin=b"x\r\n\0") == (0, b"", b"")
    assert matte("get", to, "cli:b") == (0, b"x\r\n\0", b"")
    with server.connect() as conn:
        conn.ask(b"mg cli:b f t\r\n", b"HD f7 t100\r\n")
    assert matte("get", to, "cli:a", "cli:c", "cli:b")[:2] == (
        1, b"VALUE cli:a 0 5\nhello\nVALUE cli:b 7 4\nx\r\n\0\n")
    assert matte("delete", to, "cli:a", "cli:c")[0] == 1
    assert matte("delete", to, "cli:b")[0] == 0
    code, out, errors = matte("get", to, "cli:a")
    assert (code, out) == (1, b"") and b"not found" in errors


def test_a_refused_get_is_not_a_miss():
    with tempfile.NamedTemporaryFile("w") as rules:
        rules.write("allow 127.0.0.1 write\n")
        rules.flush()
        os.chmod(rules.name, 0o644)
        with Server(f"--access-file={rules.name}") as server:
            to = f"--server=127.0.0.1:{server.port}"
            code, out, errors = matte("get", to, "cli:a")
            assert (code, out) == (1, b"") and b"access denied" in errors
            assert b"not found" not in errors
            code, out, _ = matte("get", to, "--json", "cli:a")
            assert code == 1 and json.loads(out) == {"items": [], "missing": []}


def test_get_json(to):
    assert matte("set", to, "cli:text", 'say "ö"\n')[0] == 0
    assert matte("set", to, "cli:bytes", stdin=b"\xff\x00")[0] == 0
    code, out, _ = matte("get", to, "--json", "cli:text", "cli:bytes", "cli:no")
    assert code == 1
    assert json.loads(out) == {
        "items": [{"key": "cli:text", "flags": 0, "value": 'say "ö"\n'},
                  {"key": "cli:bytes", "flags": 0, "value_base64": "/wA="}],
        "missing": ["cli:no"]}


def test_large_value(to):
    value = os.urandom(5_000_000)
    assert matte("set", to, "cli:large", stdin=value)[0] == 0
    assert matte("get", to, "cli:large")[:2] == (0, value)
    code, _, errors = matte("set", to, "cli:large", stdin=value * 2)
    assert code == 1 and b"too large" in errors


def test_unix_socket(tmp_path):
    path = str(tmp_path / "socket")
    with Server(unix=path):
        assert matte("set", "-s", f"unix:{path}", "k", "v")[0] == 0
        assert matte("get", "-s", f"unix:{path}", "k")[1] == b"v"


def test_login(tmp_path):
    users, good, bad = (tmp_path / name for name in ("users", "good", "bad"))
    users.write_text("anna:secret\n")
    users.chmod(0o644)
    good.write_text("secret\nand more\n")
    bad.write_text("wrong\n")
    with Server("-Y", str(users)) as server:
        to = f"--server=127.0.0.1:{server.port}"
        assert matte("get", to, "k")[0] == 1
        assert matte("set", to, "k", "v", "--user=anna", f"--password-file={good}")[0] == 0
        assert matte("get", to, "k", "--user=anna", env={"MATTE_PASSWORD": "secret"})[1] == b"v"
        code, out, errors = matte("get", to, "k", "--user=anna", f"--password-file={bad}")
        assert (code, out) == (1, b"") and b"authentication failure" in errors
        assert b"wrong" not in errors
        code, _, errors = matte("get", to, "k", "--user=anna")
        assert code == 2 and b"MATTE_PASSWORD" in errors


# ── servers that are none ───────────────────────────────────────────────────────────────────────


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    code, out, errors = matte("get", "k", "-s", f"127.0.0.1:{port}")
    assert (code, out) == (2, b"") and b"refused" in errors


@pytest.mark.parametrize("answer, times, complaint", [
    (b"", 0, b"closed"),
    (b"HTTP/1.1 400 Bad Request\r\n", 1, b"makes no sense"),
    (b"\x1b]0;title\x07\r\n", 1, rb"\x1b]0;title\x07"),
    (b"x" * 65536, None, b"makes no sense"),
    (b"VALUE k 0 4\r\nabcdefg", 1, b"makes no sense"),
    (b"VALUE other 0 1\r\na\r\nEND\r\n", 1, b"makes no sense"),
    (b"VALUE k 0 99999999999\r\n", 1, b"makes no sense"),
    (b"VALUE k 0 5\r\nab", 1, b"closed"),
    (b"SERVER_ERROR out of\ttune\r\n", 1, rb"out of\x09tune"),
])
def test_strange_answer(answer, times, complaint):
    with Stranger(answer, times) as stranger:
        code, out, errors = matte("get", "k", "-s", f"127.0.0.1:{stranger.port}")
    assert code == (1 if b"SERVER_ERROR" in answer else 2)
    assert out == b"" and complaint in errors


def test_no_answer():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, out, errors = matte("get", "k", "-t0.2", "-s",
                                  f"127.0.0.1:{silent.getsockname()[1]}")
    assert (code, out) == (2, b"") and b"in time" in errors


# ── UDP ─────────────────────────────────────────────────────────────────────────────────────────


def udp(server, *words, stdin=b"", timeout=10):
    return matte(words[0], "--udp", f"--timeout={timeout}", f"--server=127.0.0.1:{server.port}",
                 *words[1:], stdin=stdin)


@pytest.mark.parametrize("how", [{}, {"fresh": True}, {"shuffle": True, "double": True},
                                 {"cookies": 1}, {"fresh": True, "cookies": 1}])
def test_udp(how):
    value = os.urandom(70000)
    with RrServer(**how) as server:
        code, out, _ = udp(server, "ping")
        assert code == 0 and b"version 1.6.45" in out
        assert udp(server, "set", "a", "hello") == (0, b"", b"")
        assert udp(server, "get", "a") == (0, b"hello", b"")
        assert udp(server, "get", "a", "b")[:2] == (1, b"VALUE a 0 5\nhello\n")
        server.items[b"large"] = value
        assert udp(server, "get", "large") == (0, value, b"")
        assert udp(server, "set", "c", stdin=value[:60000])[0] == 0
        assert server.items[b"c"] == value[:60000]
        assert udp(server, "delete", "a", "c", "a")[0] == 1
        assert set(server.items) == {b"large"}


@pytest.mark.parametrize("seed", range(3))
def test_udp_with_loss(seed):
    """Of 4 datagrams one is lost, in both directions, but no answer to a write."""
    lots = random.Random(seed)

    def lose(way, _, data):
        return lots.random() < 1 / 4 and not (way == "in" and b"set " in data) and \
            b"STORED" not in data
    with RrServer(lose=lose) as server:
        assert udp(server, "set", "a", "hello", timeout=60)[0] == 0
        assert udp(server, "get", "a", timeout=60) == (0, b"hello", b"")
        assert sum(line.startswith(b"set") for line in server.commands) == 1


def test_udp_first_of_each_is_lost():
    """Every step is repeated, with a request id of its own."""
    lost = set()

    def lose(way, _, data):
        step = (way, data[6:8])
        return step not in lost and not lost.add(step)
    with RrServer(lose=lose) as server:
        server.items[b"k"] = b"v"
        assert udp(server, "get", "k")[:2] == (0, b"v")
        assert len(lost) == 4 and server.commands == [b"get k"] * 2


def test_udp_write_is_not_repeated():
    with RrServer(lose=lambda way, _, data: b"STORED" in data) as server:
        code, _, errors = udp(server, "set", "a", "1", timeout=1.5)
        assert code == 2 and b"not known" in errors
        assert server.commands == [b"set a 0 0 1"]


def test_udp_refusals():
    with RrServer(never=True) as server:
        code, _, errors = udp(server, "get", "k")
        assert code == 2 and b"as RR UDP should" in errors
        assert len(server.seen) < 10
    with RrServer(lose=lambda *_: True) as server:
        code, _, errors = udp(server, "get", "k", timeout=0.6)
        assert code == 2 and b"in time" in errors
        assert server.seen == []
    code, _, errors = udp(server, "get", "k")  # it is gone
    assert code == 2 and b"no UDP" in errors
    with RrServer() as server:
        server.items[b"k"] = b"v" * 1_500_000
        code, _, errors = udp(server, "get", "k")
        assert code == 2 and b"too long for UDP" in errors
        code, _, errors = udp(server, "set", "k", stdin=b"v" * 65500)
        assert code == 2 and b"at most" in errors
    for more in (["--tls"], ["--user=a"]):
        assert udp(server, "get", "k", *more)[0] == 64
    assert matte("get", "k", "--udp", "-s", "unix:/nowhere")[0] == 64


@pytest.mark.skipif(is_reference(BINARY), reason="memcached knows no RR")
def test_udp_of_our_server():
    value = os.urandom(60000)
    with Server("-U", "-1", "-o", "udp_writes") as server:
        port = server.ports()["UDP INET"]
        udp = ["--udp", f"--server=127.0.0.1:{port}"]
        tcp = f"--server=127.0.0.1:{server.port}"
        assert matte("ping", *udp)[0] == 0
        assert matte("set", *udp, "a", stdin=value)[0] == 0
        assert matte("get", tcp, "a")[1] == value
        assert matte("get", *udp, "a") == (0, value, b"")
        assert matte("get", *udp, "a", "b")[0] == 1
        assert matte("set", tcp, "large", stdin=value * 2)[0] == 0
        code, out, errors = matte("get", *udp, "large")
        assert (code, out) == (1, b"") and b"TCP" in errors
        assert matte("delete", *udp, "a")[0] == 0
        assert matte("delete", *udp, "a")[0] == 1
    with Server("-U", "-1") as server:
        udp = ["--udp", f"--server=127.0.0.1:{server.ports()['UDP INET']}"]
        code, _, errors = matte("set", *udp, "a", "1")
        assert code == 1 and b"writes" in errors
