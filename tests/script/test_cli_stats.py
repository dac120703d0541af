# SPDX-License-Identifier: BSD-3-Clause
"""The operator's program `matte`: stats, hotkeys, clients, config, drain."""

import json

import pytest

from cli import matte
from fake import Fake, listing
from harness import BINARY, PEER, Server, answers_version, is_reference


@pytest.fixture(scope="module", params=[BINARY, PEER], ids=["ours", "memcached"])
def server(request):
    if not answers_version(request.param):
        pytest.skip(f"no {request.param}")
    with Server(binary=request.param) as one:
        yield one


@pytest.fixture
def to(server):
    return f"--server=127.0.0.1:{server.port}"


# ── stats ───────────────────────────────────────────────────────────────────────────────────────


def test_general_stats(server, to):
    assert matte("set", to, "a", "b")[0] == 0
    assert matte("get", to, "a")[0] == 0
    code, out, errors = matte("stats", to)
    assert code == 0 and errors == b""
    text = out.decode()
    heads = [line for line in text.splitlines() if line and line[0] != " "]
    assert heads == ["Server", "Items", "Commands", "Connections", "Other"]
    rows = dict(line.strip().split(None, 1) for line in text.splitlines() if line[:2] == "  ")
    assert rows["limit_maxbytes"] == "64.0 MiB" and rows["max_connections"] == "1,024"
    assert rows["hit"].split()[-1] == "%"
    with server.connect() as conn:  # every row is there, and only once
        names = list(conn.stats())
    shown = [line.split()[0] for line in text.splitlines() if line[:2] == "  "]
    assert sorted(set(names)) == sorted(set(shown) - {"hit", "memory"})
    assert len(shown) == len(set(shown))


def test_stats_as_they_are(server, to):
    raw = dict(line.split(" ", 1) for line in matte("stats", to, "--raw")[1].decode().splitlines())
    told = json.loads(matte("stats", to, "--json")[1])
    assert list(raw) == list(told)
    assert raw["limit_maxbytes"] == "67108864" and told["limit_maxbytes"] == 67108864
    assert isinstance(told["version"], str) and isinstance(told["rusage_user"], float)
    settings = json.loads(matte("stats", to, "settings", "--json")[1])
    assert settings["maxconns"] == 1024
    assert b"64.0 MiB" in matte("stats", to, "settings")[1]


def test_stats_of_groups_within(to):
    assert matte("set", to, "a", "b")[0] == 0
    lines = matte("stats", to, "items")[1].decode().splitlines()
    assert lines[0] == "items:1" and lines[1].split()[0] == "number"


def test_stats_refusals(to):
    code, out, errors = matte("stats", to, "frobnicate")
    assert (code, out) == (1, b"") and b"no such group" in errors
    assert matte("stats", to, "a\r\nflush_all")[0] == 64
    assert matte("stats", to, "a" * 300)[0] == 64


def test_stats_of_a_stranger():
    answers = {b"stats": listing(("a\x1b[2J", "\x1b[31m"), ("n", "007"), ("f", "1."), ("m", "-5"))}
    with Fake(answers) as fake:
        code, out, _ = matte("stats", fake.to)
        assert code == 0 and b"\x1b" not in out and rb"\x1b[2J" in out
        assert b"\x1b" not in matte("stats", fake.to, "--raw")[1]
        assert json.loads(matte("stats", fake.to, "--json")[1]) == {
            "a\x1b[2J": "\x1b[31m", "n": "007", "f": "1.", "m": -5}


# ── hotkeys and clients ─────────────────────────────────────────────────────────────────────────

HOT = listing(("hot_key:1:key", "user%3A1"), ("hot_key:1:ops_per_s", "12345.6"),
              ("hot_key:1:share", "0.250"), ("hot_key:2:key", "b"),
              ("hot_key:2:ops_per_s", "7.5"), ("hot_key:2:share", "0.001"),
              ("hot_prefix:1:prefix", "user"), ("hot_prefix:1:ops_per_s", "20000"),
              ("hot_prefix:1:share", "0.5"))


def test_hotkeys():
    with Fake({b"stats hotkeys": HOT}) as fake:
        code, out, _ = matte("hotkeys", fake.to)
        assert code == 0
        assert [line.split() for line in out.decode().splitlines()] == [
            ["key", "ops_per_s", "share"], ["user%3A1", "12,346", "25.0", "%"],
            ["b", "7.5", "0.1", "%"], [],
            ["prefix", "ops_per_s", "share"], ["user", "20,000", "50.0", "%"]]
        assert json.loads(matte("hotkeys", fake.to, "--json")[1]) == {
            "keys": [{"key": "user%3A1", "ops_per_s": 12345.6, "share": 0.25},
                     {"key": "b", "ops_per_s": 7.5, "share": 0.001}],
            "prefixes": [{"prefix": "user", "ops_per_s": 20000, "share": 0.5}]}
        assert b"12345.6" in matte("hotkeys", fake.to, "--raw")[1]
    with Fake({b"stats hotkeys": b"END\r\n"}) as fake:
        assert matte("hotkeys", fake.to)[:2] == (0, b"No hot keys.\n\nNo hot prefixes.\n")
        assert json.loads(matte("hotkeys", fake.to, "--json")[1]) == {"keys": [], "prefixes": []}
    with Fake({}) as fake:
        code, out, errors = matte("hotkeys", fake.to)
        assert (code, out) == (1, b"") and b"does not tell" in errors


def test_clients():
    rows = listing(("26:addr", "tcp:127.0.0.1:5000"), ("26:requests", "1234567"),
                   ("26:requests_per_s", "3.5"), ("26:bytes_read", "1048576"),
                   ("26:bytes_written", "10"), ("26:pending_bytes", "2048"), ("26:slow_s", "61"),
                   ("27:addr", "tcp:[::1]:1"), ("27:requests", "1"))
    with Fake({b"stats clients": rows}) as fake:
        code, out, _ = matte("clients", fake.to)
        lines = out.decode().splitlines()
        assert code == 0 and lines[0].split()[:3] == ["fd", "addr", "requests"]
        for word in ("1,234,567", "1.00 MiB", "2.00 KiB", "1 min 1 s"):
            assert word in lines[1]
        assert json.loads(matte("clients", fake.to, "--json")[1])[1] == {
            "fd": 27, "addr": "tcp:[::1]:1", "requests": 1}


def test_clients_of_real_servers(server, to):
    with server.connect() as conn:
        port = conn.sock.getsockname()[1]
        told = json.loads(matte("clients", to, "--json")[1])
    assert any(row["addr"] == f"tcp:127.0.0.1:{port}" for row in told)


# ── config and drain ────────────────────────────────────────────────────────────────────────────


def test_config_get():
    one = listing(("idle_timeout", "10 file:/etc/matted.conf:12"), word="CONFIG")
    every = listing(("idle_timeout", "10 file"), ("listen", "a b default"), ("user", " default"),
                    word="CONFIG")
    answers = {b"config get *": every, b"config get idle_timeout": one,
               b"config get nothing": b"CLIENT_ERROR no such setting\r\n"}
    with Fake(answers) as fake:
        code, out, _ = matte("config", fake.to, "get")
        assert code == 0 and out.decode().splitlines() == [
            "idle_timeout  10   file", "listen        a b  default", "user               default"]
        assert json.loads(matte("config", fake.to, "get", "--json")[1])[1] == {
            "name": "listen", "value": "a b", "source": "default"}
        assert b"/etc/matted.conf:12" in matte("config", fake.to, "get", "idle_timeout")[1]
        code, _, errors = matte("config", fake.to, "get", "nothing")
        assert code == 1 and b"no such setting" in errors


def test_config_set_and_reload():
    answers = {b"config set idle_timeout 10": b"OK\r\n", b"config reload": b"OK\r\n",
               b"config set listen a b": b"CLIENT_ERROR needs a restart\r\n"}
    with Fake(answers) as fake:
        assert matte("config", fake.to, "set", "idle_timeout", 10) == (0, b"", b"")
        assert matte("config", fake.to, "reload", "--json") == (0, b'{"done":true}\n', b"")
        code, _, errors = matte("config", fake.to, "set", "listen", "a b")
        assert code == 1 and b"needs a restart" in errors
        for words in (("set", "a"), ("get", "a", "b"), ("reload", "a"), ("frobnicate",),
                      ("set", "a b", "c"), ("set", "a", "b\r\nflush_all"), ("get", "")):
            assert matte("config", fake.to, *words)[0] == 64
    with Fake({}) as fake:
        code, _, errors = matte("config", fake.to, "set", "a", "b")
        assert code == 1 and b"does not know `config`" in errors


def test_drain():
    with Fake({b"drain": b"OK\r\n", b"drain stop": b"OK\r\n"}) as fake:
        assert matte("drain", fake.to) == (0, b"", b"")
        assert matte("drain", fake.to, "stop") == (0, b"", b"")
        assert matte("drain", fake.to, "x")[0] == 64
        assert fake.lines == [b"drain", b"drain stop"]
    with Fake({}) as fake:
        code, _, errors = matte("drain", fake.to)
        assert code == 1 and b"does not know `drain`" in errors


@pytest.mark.skipif(is_reference(BINARY), reason="memcached has no drain")
def test_drain_of_our_server():
    with Server() as server:
        to = f"--server=127.0.0.1:{server.port}"
        assert matte("drain", to) == (0, b"", b"")
        code, _, errors = matte("get", to, "k")
        assert code == 1 and b"draining" in errors
        assert matte("drain", to, "stop") == (0, b"", b"")
        assert matte("set", to, "k", "v") == (0, b"", b"")
