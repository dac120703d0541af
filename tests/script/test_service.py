# SPDX-License-Identifier: BSD-3-Clause
"""Under a service manager: what it is told, sockets that it hands over, the watchdog; and going out
of service: `drain`, -o drain_time.

The manager is this program: a datagram socket, and a parent that leaves fds open.
"""

import os
import re
import signal
import socket
import subprocess
import time

import pytest

import harness
from harness import BINARY, Conn, Server, command, is_reference, until

pytestmark = pytest.mark.skipif(is_reference(BINARY), reason="memcached knows none of this")


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, folder, abstract=False):
        path = str(folder / "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + path if abstract else path)
        self.sock.settimeout(harness.START_S)
        if not abstract:
            os.chmod(path, 0o777)
        self.env = {"NOTIFY_SOCKET": "@" + path if abstract else path}

    def told(self):
        """The next message as {name: value}."""
        text = self.sock.recv(4096).decode()
        return dict(line.split("=", 1) for line in text.splitlines())

    def pending(self):
        """All that has come already."""
        rows = []
        self.sock.setblocking(False)
        try:
            while True:
                rows.append(self.told())
        except BlockingIOError:
            return rows
        finally:
            self.sock.settimeout(harness.START_S)


@pytest.fixture
def manager(tmp_path):
    made = Manager(tmp_path)
    yield made
    made.sock.close()


# ── telling ────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("abstract", [False, True])
@pytest.mark.parametrize("confined", [False, True])
def test_start_reload_stop(tmp_path, abstract, confined):
    manager = Manager(tmp_path, abstract)
    args = ["-o", "drop_privileges"] if confined else []
    with Server(*args, env=manager.env) as server:
        told = manager.told()
        assert told["READY"] == "1"
        assert told["STATUS"] == f"serving tcp:127.0.0.1:{server.port}"
        before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        server.process.send_signal(signal.SIGHUP)
        told = manager.told()
        assert told["RELOADING"] == "1"
        after_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert before_us <= int(told["MONOTONIC_USEC"]) <= after_us
        assert manager.told() == {"READY": "1"}
        server.process.send_signal(signal.SIGTERM)
        assert manager.told() == {"STOPPING": "1", "STATUS": "stopping"}
    assert manager.pending() == []
    manager.sock.close()


def test_several_addresses_are_told_shortly(manager):
    with Server("-l", "127.0.0.2,127.0.0.3", env=manager.env) as server:
        assert manager.told()["STATUS"] == f"serving tcp:127.0.0.1:{server.port} and 2 more"


def test_the_background_process_is_named(manager, tmp_path):
    pid_file = tmp_path / "pid"
    tmp_path.chmod(0o777)
    done = subprocess.run(command(BINARY, "-d", "-P", pid_file, "-l", "127.0.0.1", "-p", "-1"),
                          env={**os.environ, **manager.env}, timeout=harness.START_S)
    assert done.returncode == 0
    told = manager.told()
    assert told["READY"] == "1"
    assert told["MAINPID"] == pid_file.read_text().strip()
    os.kill(int(told["MAINPID"]), signal.SIGTERM)
    assert manager.told()["STOPPING"] == "1"


@pytest.mark.parametrize("where, why", [
    ("/nowhere/at/all", "No such file"),
    ("relative", "Invalid argument"),
    ("/" + "x" * 200, "File name too long"),
    ("@", "Invalid argument"),
])
def test_nobody_to_tell_is_a_warning(where, why):
    with Server(env={"NOTIFY_SOCKET": where}) as server, server.connect() as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
        assert why in server.errors() and "cannot tell the service manager" in server.errors()


# ── watchdog ───────────────────────────────────────────────────────────────────────────────────

def watchdog_env(manager, interval_s, pid=None):
    env = {**manager.env, "WATCHDOG_USEC": str(int(interval_s * 1e6))}
    return {**env, "WATCHDOG_PID": pid} if pid else env


@pytest.mark.parametrize("confined", [False, True])
def test_idle_server_gives_signs_of_life(manager, confined):
    args = ["-o", "drop_privileges"] if confined else []
    with Server(*args, env=watchdog_env(manager, 0.8)):
        assert "READY" in manager.told()
        for _ in range(3):
            assert manager.told() == {"WATCHDOG": "1"}


def test_a_stuck_worker_silences_it(manager):
    with Server("-t", "2", env=watchdog_env(manager, 0.8)) as server:
        with server.connect() as conn:
            if conn.command(b"debugtime r") != b"OK":
                pytest.skip("no test build")
            assert "READY" in manager.told()
            assert manager.told() == {"WATCHDOG": "1"}
            conn.send(b"misbehave hang\r\n")
            time.sleep(0.5)  # what was asked for before it hung
            manager.pending()
            with server.connect() as other:  # the other worker serves on
                other.ask(b"mn\r\n", b"MN\r\n")
            time.sleep(1)
            assert manager.pending() == []
            conn.line()
            assert manager.told() == {"WATCHDOG": "1"}


def test_the_watchdog_of_another_process_is_not_ours(manager):
    with Server(env=watchdog_env(manager, 0.4, pid="1")):
        assert "READY" in manager.told()
        time.sleep(0.6)
        assert manager.pending() == []


# ── sockets handed over ────────────────────────────────────────────────────────────────────────

def listening(family=socket.AF_INET, where=("127.0.0.1", 0)):
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(where)
    sock.listen(64)
    return sock


class Activated:
    """A server that is started with sockets from fd 3 on."""

    def __init__(self, socks, *args, names=None, pid=None, count=None, env=None):
        fds = [sock.fileno() for sock in socks]
        words = command(BINARY, *args)
        # The child moves the fds (by way of high ones, for they may be in each other's way).
        move = "".join(f"exec {100 + i}<&{fd}; " for i, fd in enumerate(fds))
        move += "".join(f"exec {3 + i}<&{100 + i}; exec {100 + i}<&-; " for i in range(len(fds)))
        script = move + f'export LISTEN_PID={pid or "$$"}; exec "$@"'
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", *words], pass_fds=fds, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {}), "LISTEN_FDS": str(count or len(fds)),
                 **({"LISTEN_FDNAMES": names} if names is not None else {})})

    def end(self, how=signal.SIGTERM):
        """Returns (exit status, what it said)."""
        if how:
            self.process.send_signal(how)
        said, _ = self.process.communicate(timeout=harness.START_S)
        return self.process.returncode, said.decode()


def test_handed_over_sockets_count_instead_of_addresses(tmp_path):
    tmp_path.chmod(0o777)
    path = str(tmp_path / "sock")
    socks = [listening(), listening(socket.AF_UNIX, path)]
    os.chmod(path, 0o777)
    server = Activated(socks, "-v", "-l", "192.0.2.1", "-p", "1")
    for where in (socks[0].getsockname(), path):
        with Conn(where) as conn:
            conn.ask(b"set a 0 0 1\r\nx\r\n", b"STORED\r\n")
            assert conn.get(b"a") == b"x"
            assert conn.stats(b"settings")["tcpport"] == str(socks[0].getsockname()[1])
            rows = conn.stats(b"conns").values()
            assert "unix:" + path in rows
            assert "tcp:127.0.0.1:%d" % socks[0].getsockname()[1] in rows
    status, said = server.end()
    assert status == 0, said
    assert "sockets that were handed over: 2" in said


def test_a_restart_refuses_nobody():
    """Who connects while no server runs waits for the next one."""
    with listening() as sock:
        where = sock.getsockname()
        first = Activated([sock])
        with Conn(where) as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
        assert first.end()[0] == 0
        waiting = [Conn(where) for _ in range(20)]
        for conn in waiting:
            conn.send(b"mn\r\n")
        second = Activated([sock])
        for conn in waiting:
            conn.expect(b"MN\r\n")
            conn.close()
        assert second.end()[0] == 0


def test_an_orderly_end_leaves_the_queue_to_the_next_server():
    with listening() as sock:
        where = sock.getsockname()
        first = Activated([sock], "-o", "drain_time=20")
        with Conn(where) as busy:
            busy.ask(b"mn\r\nset a 0 0 2\r\nx", b"MN\r\n")
            first.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            with Conn(where) as early:
                early.send(b"mn\r\n")
                busy.ask(b"y\r\n", b"STORED\r\n")
                busy.expect_close()
                assert first.end(None)[0] == 0
                second = Activated([sock])
                early.expect(b"MN\r\n")
        assert second.end()[0] == 0


@pytest.mark.parametrize("names, protocol", [
    ("binary", b"binary"), ("ascii", b"ascii"), ("matted.socket", b"auto"), ("", b"auto"),
    ("x:y", b"auto"), ("mine-binary", b"binary")])
def test_names_tell_the_protocol(names, protocol):
    with listening() as sock:
        server = Activated([sock], names=names)
        with Conn(sock.getsockname()) as conn:
            noop = b"\x80\x0a" + bytes(22)
            if protocol == b"ascii":
                conn.send(noop + b"\r\n")
                assert b"\x81" not in (conn.line() or b"")
            else:
                conn.send(noop)
                assert conn.take(24)[:2] == b"\x81\x0a"
        assert server.end()[0] == 0


def test_names_of_tls_need_tls():
    with listening() as sock:
        status, said = Activated([sock], names="mtls").end(None)
    assert status == 1 and "valid only with -Z" in said


def test_a_socket_for_both_families_knows_ipv4_addresses():
    """Our own sockets are for one family each; access rules must not miss ::ffff:127.0.0.1."""
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    sock.listen()
    port = sock.getsockname()[1]
    server = Activated([sock], "--deny=127.0.0.0/8", "--allow=::1")
    with Conn(("127.0.0.1", port)) as conn:
        conn.expect_close()
    with Conn(("::1", port)) as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
    assert server.end()[0] == 0
    server = Activated([sock])  # protected mode: this machine may come in
    with Conn(("127.0.0.1", port)) as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
    assert server.end()[0] == 0
    sock.close()


def test_sockets_for_another_process_are_left_alone(tmp_path):
    with listening() as sock:
        port_file = tmp_path / "port"
        tmp_path.chmod(0o777)
        server = Activated([sock], "-l", "127.0.0.1", "-p", "-1", pid="1",
                           env={"MEMCACHED_PORT_FILENAME": str(port_file)})
        until(port_file.exists)
        port = int(port_file.read_text().split(":")[1])
        assert port != sock.getsockname()[1]
        with Conn(("127.0.0.1", port)) as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
        assert server.end()[0] == 0


def datagrams():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


def connected():
    left, right = socket.socketpair()
    left.detach()
    return right


@pytest.mark.parametrize("make, why", [
    (datagrams, "takes datagrams"), (connected, "does not listen"),
    (lambda: open("/dev/null", "rb"), "is no socket")])
def test_what_cannot_be_served_is_refused(make, why):
    with make() as sock:
        status, said = Activated([sock]).end(None)
    assert status == 71 and why in said and "socket 3" in said


@pytest.mark.parametrize("count", ["x", "-1", "65", "99999999999"])
def test_bad_counts_are_refused(count):
    with listening() as sock:
        status, said = Activated([sock], count=count).end(None)
    assert status == 71 and "LISTEN_FDS" in said


# ── an orderly end ─────────────────────────────────────────────────────────────────────────────

def ended_after(server, start):
    assert server.process.wait(harness.START_S) == 0, server.errors()
    return time.monotonic() - start


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_without_the_option_it_ends_at_once(how):
    with Server() as server, server.connect() as conn:
        conn.ask(b"mn\r\nset a 0 0 2\r\nx", b"MN\r\n")
        start = time.monotonic()
        server.process.send_signal(how)
        conn.expect_close()
        assert ended_after(server, start) < 5


def test_idle_connections_do_not_delay_the_end(manager):
    with Server("-v", "-o", "drain_time=30", env=manager.env) as server:
        conns = [server.connect() for _ in range(10)]
        for conn in conns[:5]:
            conn.ask(b"mn\r\n", b"MN\r\n")
        with server.connect() as watcher:  # only listens, so it is idle, too
            watcher.ask(b"watch mutations\r\n", b"OK\r\n")
            start = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert ended_after(server, start) < 10
            watcher.expect_close()
        for conn in conns:
            conn.expect_close()
            conn.close()
        assert "ending in an orderly way, within 30 s" in server.errors()
        assert [told for told in manager.pending() if "STOPPING" in told]


@pytest.mark.parametrize("confined", [False, True])
def test_what_has_begun_is_finished(confined):
    option = "drain_time=30" + (",drop_privileges" if confined else "")
    with Server("-o", option, "-m", "64") as server:
        value = b"v" * 900_000
        with server.connect() as writer, server.connect() as reader, server.connect() as half:
            reader.set(b"big", value)
            reader.send(b"get " + b"big " * 20 + b"\r\n")  # more than the sockets hold
            writer.send(b"set new 0 0 %d\r\n" % len(value) + value[:1000])
            half.ask(b"mn\r\nget ba", b"MN\r\n")
            until(lambda: len(reader.sock.recv(1000, socket.MSG_PEEK)) > 0)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: refuses(server))
            writer.send(value[1000:] + b"\r\n")
            writer.expect(b"STORED\r\n")
            writer.expect_close()
            for _ in range(20):
                reader.expect(b"VALUE big 0 900000\r\n" + value + b"\r\n")
            reader.expect(b"END\r\n")
            reader.expect_close()
            assert server.alive()
            half.ask(b"g\r\n", b"END\r\n")
            half.expect_close()
            assert server.process.wait(harness.START_S) == 0


def refuses(server):
    try:
        server.connect().close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset: the listener closed meanwhile
        return True
    return False


def test_the_time_is_bounded():
    with Server("-o", "drain_time=1") as server, server.connect() as conn:
        conn.ask(b"mn\r\nset a 0 0 2\r\nx", b"MN\r\n")
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        took = ended_after(server, start)
        assert 0.9 < took < 10
        conn.expect_close()


def test_a_second_signal_ends_at_once():
    with Server("-o", "drain_time=600") as server, server.connect() as conn:
        conn.ask(b"mn\r\nset a 0 0 2\r\nx", b"MN\r\n")
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        until(lambda: refuses(server))
        server.process.send_signal(signal.SIGTERM)
        assert ended_after(server, start) < 10


def test_unix_socket_refuses_at_the_end(tmp_path):
    tmp_path.chmod(0o777)
    with Server("-o", "drain_time=30", unix=str(tmp_path / "sock")) as server:
        with server.connect() as conn:
            conn.ask(b"mn\r\nset a 0 0 2\r\nx", b"MN\r\n")
            server.process.send_signal(signal.SIGTERM)
            until(lambda: refuses(server))
            conn.ask(b"y\r\n", b"STORED\r\n")
        assert server.process.wait(harness.START_S) == 0


def test_a_warm_restart_keeps_what_was_written_meanwhile(tmp_path):
    tmp_path.chmod(0o777)
    args = ("-o", "drain_time=30", "-e", str(tmp_path / "items"), "-m", "16")
    with Server(*args) as server, server.connect() as conn:
        conn.ask(b"mn\r\nset a 0 0 2\r\nx", b"MN\r\n")
        server.process.send_signal(signal.SIGUSR1)
        until(lambda: refuses(server))
        conn.ask(b"y\r\n", b"STORED\r\n")
        assert server.process.wait(harness.START_S) == 0
    with Server(*args) as server, server.connect() as conn:
        assert conn.get(b"a") == b"xy"


# ── drain ──────────────────────────────────────────────────────────────────────────────────────

def test_drain_and_back(manager):
    with Server("-A", "-v", env=manager.env) as server:
        assert "READY" in manager.told()
        idle, busy, admin = (server.connect() for _ in range(3))
        idle.ask(b"mn\r\n", b"MN\r\n")
        busy.ask(b"mn\r\nset a 0 0 2\r\nx", b"MN\r\n")
        admin.ask(b"drain\r\n", b"OK\r\n")
        assert manager.told()["STATUS"].startswith("draining")
        idle.expect_close()
        busy.ask(b"y\r\n", b"STORED\r\n")
        busy.expect_close()
        for conn in (idle, busy):
            conn.close()
        time.sleep(0.3)
        admin.ask(b"drain\r\n", b"OK\r\n")  # it stays, and only administrates
        assert admin.stats()["curr_connections"] == "1"
        assert "draining" in server.errors()
        admin.ask(b"get a\r\n", b"SERVER_ERROR draining\r\n")
        admin.expect_close()
        admin.close()
        with server.connect() as conn:
            conn.ask(b"drain stop\r\n", b"OK\r\n")
            assert manager.told()["STATUS"].startswith("serving tcp:")
            assert conn.get(b"a") == b"xy"
            conn.ask(b"drain stop\r\n", b"OK\r\n")
        with server.connect() as conn:
            time.sleep(0.3)
            assert conn.get(b"a") == b"xy"


def test_newcomers_can_only_administrate():
    with Server() as server:
        with server.connect() as conn:
            conn.ask(b"drain\r\n", b"OK\r\n")
        for request in (b"get a\r\n", b"set a 0 0 1\r\nx\r\n", b"mg a v\r\n", b"ma a\r\n"):
            with server.connect() as conn:
                conn.ask(request, b"SERVER_ERROR draining\r\n")
                conn.expect_close()
        with server.connect() as conn:
            conn.send(b"\x80\x00\x00\x01" + bytes(7) + b"\x01" + bytes(12) + b"a")
            assert conn.take(28) == b"\x81\x00" + bytes(5) + b"\x85" + bytes(3) + b"\x04" + \
                bytes(12) + b"Busy"
            conn.expect_close()
        with server.connect() as conn:
            conn.ask(b"version\r\n", b"VERSION 1.6.45\r\n")
            conn.expect_close()  # silent
        with server.connect() as conn:
            assert "pid" in conn.stats()
            conn.ask(b"verbosity 1\r\nverbosity 0\r\n", b"OK\r\nOK\r\n")
            time.sleep(2.5)
            conn.ask(b"drain stop\r\n", b"OK\r\n")
            assert conn.get(b"a") is None


def test_a_watcher_stays_while_draining():
    with Server() as server, server.connect() as watcher, server.connect() as conn:
        watcher.ask(b"watch connevents\r\n", b"OK\r\n")
        conn.ask(b"drain\r\n", b"OK\r\n")
        with server.connect() as other:
            other.ask(b"get a\r\n", b"SERVER_ERROR draining\r\n")
        watcher.take_match(re.compile(rb"(?s).*type=conn_close"))


def test_words_of_drain():
    with Server() as server, server.connect() as conn:
        usage = b"CLIENT_ERROR usage: drain [stop]\r\n"
        conn.ask(b"drain now\r\n", usage)
        conn.ask(b"drain stop it\r\n", usage)
        conn.ask(b"drain stop\r\n", b"OK\r\n")
        conn.ask(b"drain noreply\r\ndrain stop noreply\r\nmn\r\n", b"MN\r\n")


def test_a_stop_while_draining():
    with Server("-o", "drain_time=30") as server, server.connect() as conn:
        conn.ask(b"drain\r\n", b"OK\r\n")
        server.process.send_signal(signal.SIGTERM)
        conn.expect_close()
        assert server.process.wait(harness.START_S) == 0


def test_drain_is_for_administrators():
    with Server("--allow=127.0.0.1+::1", "-o", "access_file=/dev/null") as server:
        with server.connect() as conn:
            conn.ask(b"drain\r\ndrain stop\r\n", b"OK\r\nOK\r\n")


def test_connections_fall_idle_while_they_work():
    """Whoever has been answered is closed; nobody gets half an answer."""
    with Server("-t", "2") as server, server.connect() as admin:
        conns = [server.connect() for _ in range(200)]
        for conn in conns:
            conn.ask(b"mn\r\n", b"MN\r\n")
        admin.send(b"drain\r\n")
        for conn in conns:
            try:
                conn.send(b"mn\r\n")
                got = conn.take(4)
            except (BrokenPipeError, ConnectionResetError):
                got = b""
            assert got in (b"", b"MN\r\n")
            conn.close()
        admin.expect(b"OK\r\n")
        until(lambda: admin.stats()["curr_connections"] == "1")
