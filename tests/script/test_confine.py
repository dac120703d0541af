# SPDX-License-Identifier: BSD-3-Clause
"""-o drop_privileges: all that a server needs works, all else ends it.

That the filter allows what is needed is also shown by running every other test with
MATTE_SERVER_ARGS="-o drop_privileges"."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

import harness

FORBIDDEN = ["exec", "socket", "write", "code", "kill"]
OPTION = "drop_privileges"


@pytest.fixture(autouse=True)
def ours(reference):
    if reference:
        pytest.skip("memcached of Debian is built without it")


def is_test_build(conn):
    """Only that has misbehave; elsewhere its answer would be ERROR as well."""
    return conn.command(b"debugtime r") == b"OK"


# What sinks of events need is for their thread alone, not for workers.
@pytest.mark.parametrize("sinks", [[], ["-o", "events=file:/dev/null+unix:/nowhere"]])
@pytest.mark.parametrize("what", FORBIDDEN)
def test_forbidden_call_ends_the_server(what, sinks):
    if harness.is_sanitized(harness.BINARY) and what != "socket":
        pytest.skip("allowed to sanitizers")
    server = harness.Server("-o", OPTION, *sinks)
    with server.connect() as conn:
        if not is_test_build(conn):
            server.stop()
            pytest.skip("no test build")
        conn.send(b"misbehave %s\r\n" % what.encode())
        try:
            answer = conn.line()
        except AssertionError:
            answer = None
    assert answer is None, answer
    assert server.process.wait(harness.START_S) == -signal.SIGSYS
    server.log.close()
    assert re.search(r"system call \d+ is not allowed \(-o drop_privileges\)", server.errors())


def test_without_the_option_it_is_possible():
    with harness.Server("-o", "no_drop_privileges") as server, server.connect() as conn:
        assert conn.command(b"misbehave socket") == b"ERROR"
        conn.ask(b"mn\r\n", b"MN\r\n")
        assert conn.stats(b"settings")["drop_privileges"] == "no"


def test_every_thread_is_confined():
    args = ("-o", OPTION, "-o", "events=stderr,admin=0")
    with harness.Server(*args) as server, server.connect() as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
        assert conn.stats(b"settings")["drop_privileges"] == "yes"
        tasks = list(pathlib.Path(f"/proc/{server.process.pid}/task").iterdir())
        assert len(tasks) >= 7

        def filters():
            found = {}
            for task in tasks:
                text = (task / "status").read_text()
                name = re.search(r"^Name:\s+(.*)", text, re.M)[1]
                assert re.search(r"^Seccomp:\s+2", text, re.M), name
                found[name] = int(re.search(r"^Seccomp_filters:\s+(\d+)", text, re.M)[1])
            return found
        outside = int(re.search(r"^Seccomp_filters:\s+(\d+)",
                                pathlib.Path("/proc/self/status").read_text(), re.M)[1])
        for name in ("worker 0", "housekeeper", "events", "admin"):  # once it has that name
            harness.until(lambda name=name: filters().get(name) == outside + 2)
        assert filters()["matted"] == outside + 1


def test_service_while_confined():
    with harness.Server("-o", OPTION, "-m", "16", "-A") as server:
        with server.connect() as conn:
            for i in range(200):  # to eviction and back
                conn.set(b"k%d" % i, b"x" * 300_000)
            assert conn.get(b"k199") == b"x" * 300_000
            for kind in (b"", b"settings", b"items", b"slabs", b"conns", b"sizes", b"reset"):
                conn.send(b"stats " + kind + b"\r\nmn\r\n")
                conn.take_match(re.compile(rb"(?s).*MN\r\n"))
            conn.ask(b"cache_memlimit 32\r\n", b"OK\r\n")
            conn.ask(b"verbosity 2\r\n", b"OK\r\n")
            server.process.send_signal(signal.SIGHUP)
            conn.ask(b"mn\r\n", b"MN\r\n")
            conns = [server.connect() for _ in range(50)]
            for other in conns:
                other.ask(b"get k199 k198\r\nquit\r\n", b"VALUE k199 0 300000\r\n")
                other.close()
            conn.send(b"shutdown graceful\r\n")
            conn.expect_close()
        assert server.process.wait(harness.START_S) == 0


def test_pid_file_goes_at_the_end_while_confined(tmp_path):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    path = tmp_path / "pid"
    done = subprocess.run(harness.command(harness.BINARY, "-d", "-P", path, "-l", "127.0.0.1",
                                          "-p", port, "-o", OPTION), timeout=30)
    assert done.returncode == 0
    harness.until(path.exists)
    with harness.Conn(("127.0.0.1", port)) as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
    os.kill(int(path.read_text()), signal.SIGTERM)
    harness.until(lambda: not path.exists())


def test_idle_confined_server_lives():
    """Threads that only wake up now and then."""
    with harness.Server("-o", OPTION + ",idle_timeout=1") as server, server.connect() as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
        time.sleep(2.5)
        assert server.alive(), server.errors()


def test_memory_file_is_kept_while_confined(tmp_path):
    tmp_path.chmod(0o777)
    args = ("-o", OPTION, "-e", str(tmp_path / "items"), "-m", "16")
    server = harness.Server(*args)
    with server.connect() as conn:
        for i in range(100):
            conn.set(b"k%d" % i, b"x" * 400_000)
        conn.set(b"kept", b"yes")
    assert server.stop(signal.SIGUSR1) == 0, server.errors()
    with harness.Server(*args) as server, server.connect() as conn:
        assert conn.get(b"kept") == b"yes"
        conn.set(b"more", b"x" * 400_000)
