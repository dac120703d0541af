# SPDX-License-Identifier: BSD-3-Clause
"""Limits per address and prefix: connections, requests, bytes, failed logins; dry run; trust.

Addresses of 127.0.0.0/8 are the clients; a server with an empty limit_trusted limits them.  A test
that needs time to pass has a rate so low, or a burst so large, that none passes.
"""

import json
import os
import socket
import time

import pytest

import harness
from binary import AUTH_ERROR, OK, Binary, request

STORED = b"STORED\r\n"
FAILED = b"CLIENT_ERROR authentication failure\r\n"

# The limiter's clock goes by the kernel's ticks: what begins within one counts as begun before it.
TICK_S = 0.01


@pytest.fixture(autouse=True)
def ours(reference):
    if reference:
        pytest.skip("memcached has no limits")


def limited(*subs, args=(), trusted=""):
    return harness.Server("-t", "2", *args, "-o", ",".join([f"limit_trusted={trusted}", *subs]))


def connect(server, source="127.0.0.1"):
    """A connection from another address of this machine."""
    conn = harness.Conn.__new__(harness.Conn)
    conn.sock = socket.create_connection(("127.0.0.1", server.port), harness.WAIT_S, (source, 0))
    conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    conn.buffer = bytearray()
    return conn


def is_served(server, source="127.0.0.1"):
    """Does the server answer a new client at this address, rather than close?"""
    with connect(server, source) as conn:
        try:
            return conn.command(b"mn") == b"MN"
        except OSError:
            return False


def counted(server, limit, source="127.0.0.9"):
    """(limited, dry_run, cells) of a limit, by a client of its own address."""
    with connect(server, source) as conn:
        rows = conn.stats(b"limits")
    return tuple(int(rows[f"{limit}:{what}"]) for what in ("limited", "dry_run", "cells"))


def login(password=b"right"):
    token = b"foo " + password
    return b"set auth 0 0 %d\r\n%s\r\n" % (len(token), token)


@pytest.fixture
def users(tmp_path):
    os.chmod(tmp_path, 0o755)
    path = tmp_path / "users"
    path.write_bytes(b"foo:right\n")
    return path


# ── connections ────────────────────────────────────────────────────────────────────────────────


def test_a_storm_of_connections_is_closed():
    with limited("limit_conns=1:20") as server:
        served = sum(is_served(server, "127.0.0.2") for _ in range(200))
        assert 20 <= served <= 30
        assert is_served(server, "127.0.0.3")
        closed, dry_run, cells = counted(server, "limit_conns")
        assert (closed + served, dry_run) == (200, 0)
        assert cells == 3
        with connect(server, "127.0.0.9") as conn:
            assert conn.stats()["rejected_connections"] == "0"  # that tells of -c


def test_a_prefix_has_its_own_limit():
    with limited("limit_conns_prefix=1:10") as server:
        served = sum(is_served(server, f"127.0.7.{i}") for i in range(1, 101))
        assert 10 <= served <= 15
        assert is_served(server, "127.0.8.1")
        assert counted(server, "limit_conns_prefix")[0] == 100 - served


def test_connections_that_are_there_stay():
    with limited("limit_conns=1:2") as server, connect(server, "127.0.0.2") as conn:
        while is_served(server, "127.0.0.2"):
            pass
        for _ in range(100):
            conn.ask(b"mn\r\n", b"MN\r\n")


# ── requests and bytes ─────────────────────────────────────────────────────────────────────────


def asked(conn, count, request_=b"mn\r\n", answer=b"MN\r\n"):
    """Seconds until `count` requests of one packet are answered."""
    begun = time.monotonic()
    conn.send(request_ * count)
    conn.expect(answer * count)
    return time.monotonic() - begun


def test_requests_over_the_limit_wait_and_none_is_lost():
    with limited("limit_requests=1000:200") as server, connect(server, "127.0.0.2") as conn, \
            connect(server, "127.0.0.3") as other:
        # Behind the burst and the last batch, which nobody waits for, the rest takes its time.
        assert asked(conn, 1000) >= (1000 - 200 - 64) / 1000 - TICK_S
        asked(other, 200)  # has its own
        assert counted(server, "limit_requests")[0] > 0


def test_a_new_connection_does_not_begin_anew():
    with limited("limit_requests=200:100") as server:
        begun = time.monotonic()
        for _ in range(20):
            with connect(server, "127.0.0.2") as conn:
                asked(conn, 15)
        assert time.monotonic() - begun >= (300 - 100 - 15) / 200 - TICK_S


def test_others_are_served_while_one_waits():
    """One worker, and a client that has used up its requests for a minute."""
    with limited("limit_requests=10:10", args=("-t", "1")) as server, \
            connect(server, "127.0.0.2") as greedy, connect(server, "127.0.0.3") as modest:
        greedy.send(b"mn\r\n" * 600)
        greedy.expect(b"MN\r\n")
        for _ in range(10):
            modest.ask(b"mn\r\n", b"MN\r\n")
        assert greedy.sock.recv(65536).count(b"MN") < 100


@pytest.mark.parametrize("size", [1000, 300000])
def test_bytes_over_the_limit_wait(size):
    """Values that lie in one read, and such as come in pieces and are sent from where they lie."""
    rate, times = 2 << 20, (3 << 20) // size // 2
    with limited(f"limit_bytes={rate}:256k") as server, connect(server, "127.0.0.2") as conn:
        value = os.urandom(size)
        begun = time.monotonic()
        for i in range(times):
            conn.set(b"a%d" % (i % 8), value)
        for i in range(times):
            assert conn.get(b"a%d" % (i % 8)) == value
        # The burst is free, and for the last answer nobody waits.
        due_s = (2 * times * size - (256 << 10) - size) / rate
        assert time.monotonic() - begun >= due_s - TICK_S
        assert counted(server, "limit_bytes")[0] > 0


def test_who_hangs_up_while_waiting_is_gone():
    with limited("limit_requests=1:1") as server:
        conns = [connect(server, "127.0.0.2") for _ in range(20)]
        for conn in conns:
            conn.send(b"set a 0 0 1\r\nx\r\n" * 40)
        for conn in conns:
            conn.close()
        with connect(server, "127.0.0.3") as other:
            def left():
                return [name for name, value in other.stats(b"conns").items() if ":addr" in name
                        and value.startswith("tcp:127.0.0.2")]
            harness.until(lambda: not left())


def test_binary_requests_wait_as_well():
    with limited("limit_requests=100:50") as server:
        with Binary(connect(server, "127.0.0.2")) as client:
            begun = time.monotonic()
            client.send(request("noop") * 200)
            assert all(client.answer().status == OK for _ in range(200))
            assert time.monotonic() - begun >= (200 - 50 - 64) / 100 - TICK_S


# ── logins ─────────────────────────────────────────────────────────────────────────────────────


def guessed(server, source, guesses):
    """How many of these guesses are answered until the connection is closed, each failing."""
    count = 0
    with connect(server, source) as conn:
        for _ in range(guesses):
            conn.send(login(b"wrong"))
            assert conn.line() == FAILED.rstrip()
            count += 1
            if harness.readable(conn, 0.05) and conn.sock.recv(1, socket.MSG_PEEK) == b"":
                break
    return count


def test_guessing_is_slowed_and_counted(users):
    with limited("limit_logins=1:5", args=("-Y", users)) as server:
        assert guessed(server, "127.0.0.2", 100) in range(6, 20)  # the last one is not checked
        with connect(server, "127.0.0.2") as conn:  # nor is the right one now
            conn.ask(login(), FAILED)
            conn.expect_close()
        with connect(server, "127.0.0.3") as conn:
            conn.ask(login(), STORED)
            rows = conn.stats(b"limits")
            assert int(rows["limit_logins:limited"]) >= 2
            stats = conn.stats()
            assert int(stats["auth_errors"]) >= 7

        def comes_in():
            with connect(server, "127.0.0.2") as conn:
                conn.send(login())
                return conn.line() == STORED.rstrip()
        harness.until(comes_in)  # a second later


def test_sasl_guessing_is_slowed_as_well(users):
    with limited("limit_logins=1:5", args=("-Y", users, "-S")) as server:
        with Binary(connect(server, "127.0.0.2")) as client:
            statuses = []
            for _ in range(50):
                client.send(request("sasl_auth", b"PLAIN", b"\0foo\0wrong"))
                answer = client.answer()
                if answer is None:
                    break
                statuses.append(answer.status)
            assert statuses == [AUTH_ERROR] * len(statuses)
            assert len(statuses) in range(6, 20)
        with Binary(connect(server, "127.0.0.3")) as client:
            client.send(request("sasl_auth", b"PLAIN", b"\0foo\0right"))
            assert client.answer().status == OK


def test_loopback_may_not_guess_either_by_default(users):
    with harness.Server("-Y", users) as server:
        assert guessed(server, "127.0.0.1", 200) < 100


def test_a_unix_socket_is_never_locked_out(users, tmp_path):
    path = str(tmp_path / "socket")
    with harness.Server("-Y", users, "-o", "limit_logins=1:1,limit_trusted=,limit_requests=1:1",
                        unix=path) as server:
        with server.connect() as conn:
            for _ in range(50):
                conn.ask(login(b"wrong"), FAILED)
            conn.ask(login(), STORED)
            asked(conn, 100)


# ── dry run, trust, statistics ─────────────────────────────────────────────────────────────────


def test_a_dry_run_limits_nothing_and_counts(users):
    with limited("limit_dry_run,limit_conns=1:2,limit_requests=1:10,limit_logins=1:2",
                 args=("-Y", users)) as server:
        for _ in range(20):
            with connect(server, "127.0.0.2") as conn:
                conn.ask(login(b"wrong"), FAILED)
                conn.ask(login(), STORED)
        with connect(server, "127.0.0.3") as conn:
            conn.ask(login(), STORED)
            rows = conn.stats(b"limits")
            assert rows["limit_dry_run"] == "yes"
            for limit, most in [("conns", 18), ("requests", 40), ("logins", 38)]:
                assert rows[f"limit_{limit}:limited"] == "0"
                assert 0 < int(rows[f"limit_{limit}:dry_run"]) <= most


def test_the_trusted_are_exempt():
    with limited("limit_conns=1:1,limit_requests=1:1", trusted="127.0.0.2+127.0.5.0/24") as server:
        for source in ("127.0.0.2", "127.0.5.77"):
            for _ in range(20):
                with connect(server, source) as conn:
                    asked(conn, 20)
        assert is_served(server, "127.0.0.4")
        assert not is_served(server, "127.0.0.4")


def test_loopback_is_trusted_by_default():
    with harness.Server("-o", "limit_conns=1:1,limit_requests=1:1,limit_bytes=1:1") as server:
        for _ in range(20):
            with server.connect() as conn:
                asked(conn, 20)
                assert conn.stats(b"limits")["limit_conns:limited"] == "0"


def test_stats_limits(pool):
    with harness.Server("-o", "limit_conns=7:9,limit_bytes_prefix=1m") as server, \
            server.connect() as conn:
        rows = conn.stats(b"limits")
        assert rows["limit_dry_run"] == "no"
        assert rows["limit_trusted"] == "127.0.0.0/8+::1"
        assert rows["limit_conns:per_s"] == "7"
        assert rows["limit_conns:burst"] == "9"
        assert rows["limit_conns_prefix:per_s"] == "0"
        assert rows["limit_bytes_prefix:per_s"] == "1048576"
        assert rows["limit_bytes_prefix:burst"] == "2097152"
        assert rows["limit_logins:per_s"] == "5"
        with Binary(server.connect()) as client:
            assert client.stats(b"limits")["limit_conns:burst"] == "9"


def test_stats_reset_counts_anew():
    with limited("limit_conns=1:2") as server, connect(server, "127.0.0.3") as other:
        while is_served(server, "127.0.0.2"):
            pass
        assert int(other.stats(b"limits")["limit_conns:limited"]) > 0
        other.ask(b"stats reset\r\n", b"RESET\r\n")
        assert other.stats(b"limits")["limit_conns:limited"] == "0"


@pytest.mark.parametrize("option, words", [
    ("limit_trusted=10.0.0.1/8", "limit_trusted: '10.0.0.1/8'"),
    ("limit_trusted=here", "limit_trusted: 'here'"),
    ("limit_requests=1:4000", "limit_requests: '1:4000'"),
])
def test_bad_values_are_named(option, words):
    with pytest.raises(AssertionError, match="server ended") as error:
        harness.Server("-o", option)
    assert words in str(error.value) and "ended with 1:" in str(error.value)


def told(server):
    """End the server. Rule, source and port of its events about limits, by their type."""
    server.stop()
    events = [json.loads(line) for line in server.errors().splitlines() if line.startswith("{")]
    return {event["mc"]["type"]: (event["mc"]["rule"], event["src_ip"], event["dest_port"])
            for event in events if event["mc"]["type"].endswith("_limited")}


def test_events_of_connections():
    with limited("limit_conns=1:3,events=stderr") as server:
        while is_served(server, "127.0.0.3"):
            pass
        assert told(server) == {"conn_limited": ("limit_conns", "127.0.0.3", server.port)}


@pytest.mark.parametrize("limit, type_", [
    ("limit_requests", "request_limited"), ("limit_bytes_prefix", "byte_limited")])
def test_events_of_requests(limit, type_):
    with limited(f"{limit}=1:3,events=stderr") as server, connect(server, "127.0.0.2") as conn, \
            connect(server, "127.0.5.2") as other:
        asked(conn, 4)
        conn.send(b"mn\r\n")
        conn.sock.shutdown(socket.SHUT_WR)
        conn.expect_close()  # by then it has waited
        other.ask(b"mn\r\n", b"MN\r\n")
        assert told(server) == {type_: (limit, "127.0.0.2", server.port)}


def test_events_of_logins(users):
    with limited("limit_logins=1:2,events=stderr", args=("-Y", users)) as server:
        guessed(server, "127.0.0.4", 10)
        assert told(server) == {"login_limited": ("limit_logins", "127.0.0.4", server.port)}
