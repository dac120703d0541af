# SPDX-License-Identifier: BSD-3-Clause
"""What the server tells of its own work: stats latency, stats hotkeys, stats clients."""

import re
import socket
import time

import binary
import harness

CLASSES = ["get", "store", "delete", "arith", "touch", "other"]
TIMES = ["count", "mean_us", "p50_us", "p90_us", "p99_us", "p999_us", "max_us"]
NUMBERS = ["count", "mean", "p50", "p90", "p99", "p999", "max"]


def counts(conn):
    stats = conn.stats(b"latency")
    return {name: int(stats[f"{name}:count"]) for name in [*CLASSES, "value_bytes", "ttl_s"]}


def fresh(conn):
    conn.ask(b"stats reset\r\n", b"RESET\r\n")


# ── stats latency ─────────────────────────────────────────────────────────────────────────────


def test_latency_rows(conn):
    stats = conn.stats(b"latency")
    wanted = [f"{name}:{what}" for name in CLASSES for what in TIMES]
    wanted += [f"{name}:{what}" for name in ("value_bytes", "ttl_s") for what in NUMBERS]
    assert list(stats) == wanted
    for name, value in stats.items():
        assert re.fullmatch(r"\d+\.\d" if name.endswith("_us") else r"\d+", value), (name, value)


def test_each_command_has_its_class():
    commands = {
        "store": [b"set a 0 0 1\r\n1\r\n", b"add b 0 60 2\r\n22\r\n", b"replace a 0 0 1\r\n1\r\n",
                  b"append a 0 0 1\r\n1\r\n", b"prepend a 0 0 1\r\n1\r\n", b"ms a 1\r\n1\r\n",
                  b"cas a 0 0 1 1\r\n1\r\n"],
        "get": [b"get a\r\n", b"gets a\r\n", b"mg a v\r\n", b"get a b c d\r\n"],
        "arith": [b"incr a 1\r\n", b"decr a 1\r\n", b"ma a\r\n"],
        "touch": [b"touch a 5\r\n", b"gat 5 a\r\n", b"gats 5 a\r\n"],
        "delete": [b"delete b\r\n", b"md a\r\n"],
        "other": [b"version\r\n", b"nonsense\r\n", b"me a\r\n"],
    }
    with harness.Server("-t", "1") as server, server.connect() as conn:
        for name, requests in commands.items():
            for request in requests:
                before = counts(conn)
                conn.send(request + b"mn\r\n")
                while conn.line() != b"MN":
                    pass
                after = counts(conn)
                grown = {key: after[key] - before[key] for key in CLASSES if key != "other"}
                assert grown == {key: int(key == name) for key in grown}, request
                # mn, and the stats before it
                assert after["other"] - before["other"] == 2 + (name == "other"), request


def test_binary_commands_are_timed():
    with harness.Server("-t", "1") as server, server.connect() as conn:
        with server.connect() as other:
            other.send(binary.request("set", b"a", b"1", extras=bytes(8)))
            other.take(24)
            other.send(binary.request("get", b"a") * 3)
            other.take(3 * (24 + 4 + 1))
            other.send(binary.request("increment", b"a", extras=bytes(7) + b"\1" + bytes(12)))
            other.take(24 + 8)
        assert {name: count for name, count in counts(conn).items() if count} == {
            "store": 1, "get": 3, "arith": 1, "value_bytes": 1}


def test_times_are_those_of_the_server():
    with harness.Server("-t", "1") as server, server.connect() as conn:
        begin = time.monotonic()
        for _ in range(50):
            conn.get(b"nothing")
        took_us = (time.monotonic() - begin) * 1e6
        stats = conn.stats(b"latency")
        assert stats["get:count"] == "50"
        values = [float(stats[f"get:{what}"]) for what in TIMES[2:]]
        assert values == sorted(values)
        assert 0 < values[0]
        assert float(stats["get:mean_us"]) * 50 < took_us
        assert values[-1] < took_us


def test_requests_of_a_batch_share_its_time():
    with harness.Server("-t", "1") as server, server.connect() as conn:
        conn.ask(b"get a\r\n" * 20, b"END\r\n" * 20)
        stats = conn.stats(b"latency")
        assert stats["get:count"] == "20"
        assert abs(float(stats["get:mean_us"]) - float(stats["get:max_us"])) < 0.2 or \
            int(stats["get:count"]) == 20  # the kernel may have cut it in two


def test_sizes_and_lifetimes():
    with harness.Server("-t", "1") as server, server.connect() as conn:
        conn.set(b"a", b"v" * 10)
        conn.set(b"b", b"v" * 1000, exptime=60)
        conn.set(b"c", b"v" * 100_000, exptime=3600)  # by an upload
        conn.ask(b"add c 0 5 1\r\n1\r\n", b"NOT_STORED\r\n")  # nothing is stored
        conn.ask(b"ms d 3 T10\r\nabc\r\n", b"HD\r\n")
        stats = conn.stats(b"latency")
        assert stats["value_bytes:count"] == "4"
        assert stats["value_bytes:max"] == "100000"
        assert int(stats["value_bytes:mean"]) == round((10 + 1000 + 100_000 + 3) / 4)
        assert 880 <= int(stats["value_bytes:p50"]) <= 1130 or stats["value_bytes:p50"] == "10"
        assert stats["ttl_s:count"] == "3"
        assert stats["ttl_s:max"] == "3600"
        assert 55 <= int(stats["ttl_s:p50"]) <= 68
        assert stats["store:count"] == "5"
        fresh(conn)
        stats = conn.stats(b"latency")
        assert stats["value_bytes:count"] == stats["value_bytes:max"] == stats["ttl_s:mean"] == "0"
        assert stats["store:max_us"] == "0.0"


def test_latency_off():
    with harness.Server("-o", "no_latency_stats") as server, server.connect() as conn:
        conn.set(b"a", b"1")
        assert set(counts(conn).values()) == {0}
        assert conn.stats(b"settings")["latency_stats"] == "no"


# ── stats hotkeys ─────────────────────────────────────────────────────────────────────────────


def hot(conn, group, name):
    stats = conn.stats(b"hotkeys")
    found = {}
    for number in range(1, 21):
        if f"{group}:{number}:{name}" in stats:
            found[stats[f"{group}:{number}:{name}"]] = (
                float(stats[f"{group}:{number}:ops_per_s"]),
                float(stats[f"{group}:{number}:share"]))
    return found


def test_hot_keys_and_prefixes():
    with harness.Server("-t", "2") as server, server.connect() as conn:
        with server.connect() as other:  # with the other worker
            for one in (conn, other):
                one.ask(b"get user:7\r\n" * 30 + b"get page:%d\r\n" % 1 * 10, b"END\r\n" * 40)
                one.ask(b"get user:8 user:9 plain\r\n", b"END\r\n")
        keys, prefixes = hot(conn, "hot_key", "key"), hot(conn, "hot_prefix", "prefix")
        assert list(keys)[0] == "user%3A7"
        assert set(keys) == {"user%3A7", "page%3A1", "user%3A8", "user%3A9", "plain"}
        assert abs(keys["user%3A7"][1] - 60 / 86) < 0.02
        assert keys["user%3A7"][0] > keys["page%3A1"][0] > keys["plain"][0] > 0
        assert list(prefixes) == ["user", "page"]
        assert abs(prefixes["user"][1] - 64 / 86) < 0.02


def test_a_hot_key_among_many():
    with harness.Server("-t", "1") as server, server.connect() as conn:
        number = 0
        for _ in range(150):
            batch = b""
            for i in range(200):
                number += 1
                batch += b"get celebrity\r\n" if i % 20 == 0 else b"get k%d\r\n" % number
            conn.ask(batch, b"END\r\n" * 200)
        keys = hot(conn, "hot_key", "key")
        assert list(keys)[0] == "celebrity"
        assert 0.02 < keys["celebrity"][1] < 0.09
        assert all(share < 0.01 for _, share in list(keys.values())[1:])


def test_any_key_is_told_safely():
    with harness.Server("-t", "1") as server, server.connect() as conn:
        conn.ask(b"get <b>\xff\x01%\r\n" * 9, b"END\r\n" * 9)
        conn.ask(b"mg Zm9vIGJhcg== b\r\n", b"EN\r\n")  # "foo bar"
        with server.connect() as other:
            other.send(binary.request("get", b"a\r\nSTAT b"))
            other.take(24 + 9)
        assert set(hot(conn, "hot_key", "key")) == {
            "%3Cb%3E%FF%01%25", "foo%20bar", "a%0D%0ASTAT%20b"}


def test_what_is_no_key_is_not_told():
    with harness.Server("-t", "1") as server, server.connect() as conn:
        conn.send(b"version\r\nget " + b"k" * 251 + b"\r\nmn\r\n")
        while conn.line() != b"MN":
            pass
        with server.connect() as other:
            other.send(binary.request("stat", b"settings"))
            other.take(24)
        assert conn.stats(b"hotkeys") == {}


def test_hot_keys_are_not_for_everybody():
    for options in (["-o", "no_hotkeys"], ["-X"]):
        with harness.Server(*options) as server, server.connect() as conn:
            conn.ask(b"stats hotkeys\r\n", b"CLIENT_ERROR stats hotkeys not allowed\r\n")
            assert conn.stats(b"settings")["hotkeys"] == "no"
            with server.connect() as other:
                answer = binary.Binary(other).ask(binary.request("stat", b"hotkeys"))
                assert answer.status == binary.NOT_FOUND


# ── stats clients ─────────────────────────────────────────────────────────────────────────────


def clients(conn):
    found = {}
    for name, value in conn.stats(b"clients").items():
        fd, _, what = name.partition(":")
        found.setdefault(int(fd), {})[what] = value
    return {client["addr"]: client for client in found.values()}


def address(conn):
    return "tcp:%s:%d" % conn.sock.getsockname()


def test_clients():
    with harness.Server("-t", "2") as server, server.connect() as conn:
        with server.connect() as other:
            other.ask(b"get a\r\n" * 40, b"END\r\n" * 40)
            # Another worker counts what it has sent when it has been sent.
            harness.until(lambda: clients(conn)[address(other)]["bytes_written"] != "0")
            told = clients(conn)
            assert set(told) == {address(conn), address(other)}
            client = told[address(other)]
            assert list(client) == ["addr", "requests", "requests_per_s", "bytes_read",
                                    "bytes_written", "pending_bytes"]
            assert client["requests"] == "40"
            assert client["bytes_read"] == str(7 * 40)
            assert client["bytes_written"] == str(5 * 40)
            assert client["pending_bytes"] == "0"
            assert 0 < float(client["requests_per_s"]) <= 40
        harness.until(lambda: len(clients(conn)) == 1)
        with server.connect() as third:  # perhaps the same fd: it begins at 0
            third.ask(b"mn\r\n", b"MN\r\n")
            assert clients(conn)[address(third)]["requests"] == "1"


def test_a_slow_reader():
    with harness.Server("-t", "1", "-I", "8m") as server, server.connect() as conn:
        conn.set(b"large", b"v" * 4_000_000)
        slow = socket.create_connection(("127.0.0.1", server.port))
        slow.sendall(b"get large\r\n" * 10)
        name = "tcp:%s:%d" % slow.getsockname()

        def pending():
            return int(clients(conn)[name]["pending_bytes"])

        harness.until(lambda: name in clients(conn))  # the kernel connects before matted accepts
        harness.until(lambda: pending() > 0)
        harness.until(lambda: int(clients(conn)[name]["slow_s"]) >= 1)
        slow.settimeout(harness.WAIT_S)
        left = sum(len(line) for line in [b"VALUE large 0 4000000\r\n", b"\r\nEND\r\n"]) * 10
        left += 40_000_000
        while left > 0:
            got = len(slow.recv(1 << 20))
            assert got > 0
            left -= got
        harness.until(lambda: pending() == 0)
        assert "slow_s" not in clients(conn)[name]
        assert clients(conn)[name]["requests"] == "10"
        slow.close()


def test_rates_fade():
    with harness.Server("-t", "1") as server, server.connect() as conn:
        with server.connect() as other:
            other.ask(b"mn\r\n" * 100, b"MN\r\n" * 100)
            clock = harness.Clock(server)
            try:
                if not clock.usable(1):
                    return
                clock.forward(100)
                assert float(clients(conn)[address(other)]["requests_per_s"]) <= 1.1
                other.ask(b"mn\r\n" * 100, b"MN\r\n" * 100)
                assert 10 <= float(clients(conn)[address(other)]["requests_per_s"]) <= 20
            finally:
                clock.close()


# ── the binary protocol ───────────────────────────────────────────────────────────────────────


def test_binary_stat():
    with harness.Server("-t", "1") as server, server.connect() as text:
        text.ask(b"get a\r\n", b"END\r\n")
        with server.connect() as conn, binary.Binary(conn) as other:
            assert list(other.stats(b"latency")) == list(text.stats(b"latency"))
            assert other.stats(b"hotkeys")["hot_key:1:key"] == "a"
            told = other.stats(b"clients")
            assert sorted(value for name, value in told.items() if name.endswith(":addr")) == \
                sorted([address(text), address(conn)])
