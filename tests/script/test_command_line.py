# SPDX-License-Identifier: BSD-3-Clause
"""The command line: help, refusals, listeners, pid file, limits, the end."""

import os
import pathlib
import pwd
import random
import re
import resource
import signal
import socket
import stat
import subprocess
import time

import pytest

import harness

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def run(*args):
    """Run to the end; for what must not start a server."""
    return subprocess.run([harness.BINARY, *args], capture_output=True, text=True, timeout=20)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# ── texts ──────────────────────────────────────────────────────────────────────────────────────


def test_version(reference):
    done = run("-V")
    assert done.returncode == 0
    assert re.search(r"1\.6\.18" if reference else r"1\.6\.45", done.stdout)
    assert done.stderr == ""
    assert run("--version").stdout == done.stdout


def test_help_fits_people(reference):
    done = run("-h")
    assert done.returncode == 0
    assert done.stderr == ""
    for word in ("--port", "--memory-limit", "--threads", "--listen", "idle_timeout"):
        assert word in done.stdout
    assert run("--help").stdout == done.stdout
    if not reference:
        assert max(map(len, done.stdout.split("\n"))) <= 100


# ── refusals ───────────────────────────────────────────────────────────────────────────────────

BAD = [
    ("-p", "abc"), ("-p", "65536"), ("-p", "-2"), ("-p", "12x"), ("-p", ""),
    ("-m", "abc"), ("-m", "0"), ("-m", "-1"), ("-m", "99999999999999999999"),
    ("-c", "0"), ("-c", "abc"), ("-c", "-5"), ("-t", "0"), ("-t", "abc"), ("-t", "-1"),
    ("-R", "0"), ("-R", "x"), ("-b", "x"), ("-b", "-1"), ("-a", "999"), ("-a", "xyz"),
    ("-B", "smtp"), ("-f", "1.0"), ("-f", "x"), ("-n", "0"), ("-n", "x"),
    ("-I", "0"), ("-I", "1000"), ("-I", "x"), ("-I", "2g"), ("-I", "1m3"),
    ("-m", "64", "-I", "40m"), ("-o", "idle_timeout=x"), ("-o", "idle_timeout"),
    ("-o", "hashpower=99"), ("-o", "hash_algorithm=md5"), ("-o", "no_such_thing"), ("-Q",),
    ("--no-such-option",), ("-l", "no.such.host.invalid"), ("-l", "127.0.0.1:99999"),
    ("-l", "256.1.1.1"), ("-l", "[::1"), ("-u", "no_such_user_here"), ("extra",),
    ("--memory-limit", "abc"), ("--threads=0",),
]


@pytest.mark.parametrize("args", BAD, ids=[" ".join(args) for args in BAD])
def test_bad_value_is_refused_with_a_reason(args, reference):
    if reference:
        pytest.skip("memcached takes many of them")
    user = ["-u", "root"] if os.geteuid() == 0 and "-u" not in args else []
    end = [] if args[0] in ("-p", "-l") or args[0].startswith("extra") else ["-p", "-1"]
    done = run(*user, *end, *args)
    assert done.returncode in (1, 64, 67, 71), (done.returncode, done.stderr)
    assert done.stdout == ""
    assert 10 < len(done.stderr) < 2000
    named = [word.split("=")[0].lstrip("-") for word in args[-2:]]
    assert any(word and word in done.stderr for word in named), f"does not say what: {done.stderr}"


def test_options_apply_in_order():
    assert run("-V", "-o", "no_such_thing").returncode == 0
    done = run("-o", "no_such_thing", "-V")
    assert done.returncode != 0
    assert "llegal suboption" in done.stdout + done.stderr


def test_licence(reference):
    for option in ("-i", "--license", "--lic"):
        done = run(option)
        assert done.returncode == 0
        assert done.stdout.startswith("memcached 1.6.")
        assert "Redistributions in binary form" in done.stdout
        assert done.stderr == ""
    if not reference:
        assert 'CONTRIBUTORS "AS IS"' in done.stdout


@pytest.mark.parametrize("args,code", [
    (("-c", "0"), 1), (("-u", "no_such_user_here"), 67), (("-B", "smtp"), 64),
    (("-o", "no_such_thing"), 1), (("-o", "proxy_config=x"), 1), (("-f", "1"), 1), (("-n", "0"), 1),
    (("-R", "0"), 1), (("-t", "0"), 1), (("-N", "0"), 1), (("-N", "5"), 64), (("-I", "100"), 64),
    (("-I", "40m"), 64), (("-o", "hashpower=11"), 1), (("-o", "idle_timeout"), 1),
    (("-o", "slab_automove_window=2"), 1), (("-o", "lru_crawler_sleep=1000001"), 1),
    (("--no-such",), 1), (("-p",), 1), (("--p=1",), 1)], ids=str)
def test_exit_codes(args, code):
    user = ["-u", "root"] if os.geteuid() == 0 and "-u" not in args else []
    assert run(*user, "-p", "-1", *args).returncode == code


@ROOT_ONLY
def test_root_must_name_a_user():
    done = run("-p", "-1")
    assert done.returncode == 64
    assert "root" in done.stderr


@ROOT_ONLY
def test_user_is_taken_on():
    with harness.Server("-u", "nobody") as server, server.connect() as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        assert re.search(r"^Uid:\s+(\d+)", status, re.M)[1] == str(pwd.getpwnam("nobody").pw_uid)


def test_busy_port_is_refused():
    with harness.Server() as server:
        done = subprocess.run(harness.command(harness.BINARY, "-l", "127.0.0.1", "-U", "0", "-p",
                                              server.port), capture_output=True, text=True,
                              timeout=20)
        assert done.returncode == 71
        assert "in use" in done.stderr


# ── listeners ──────────────────────────────────────────────────────────────────────────────────


def test_port_file_names_the_port():
    with harness.Server() as server:
        assert server.ports() == {"TCP INET": server.port}
        assert not server.port_file.with_suffix(".lck").exists()


def start_with(*args):
    """A server whose listeners are given by `args` alone; (process, port)."""
    port = free_port()
    process = subprocess.Popen(harness.command(harness.BINARY, "-U", "0", *[
        str(a).replace("PORT", str(port)) for a in args]), stderr=subprocess.PIPE)
    return process, port


def reach(process, where):
    end = time.monotonic() + harness.START_S
    while True:
        try:
            return harness.Conn(where)
        except OSError:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.01)


def finish(process):
    process.terminate()
    process.stderr.close()
    assert process.wait(harness.START_S) == 0


@pytest.mark.parametrize("args,hosts", [
    (("-p", "PORT"), ["127.0.0.1"]),
    (("-p", "PORT", "-l", "127.0.0.1"), ["127.0.0.1"]),
    (("-p", "PORT", "-l", "::1"), ["::1"]),
    (("-p", "PORT", "-l", "[::1]"), ["::1"]),
    (("-l", "[::1]:PORT"), ["::1"]),
    (("-l", "127.0.0.1:PORT"), ["127.0.0.1"]),
    (("-l", "127.0.0.1:PORT,[::1]:PORT"), ["127.0.0.1", "::1"]),
    (("-l", "127.0.0.1:PORT;127.0.0.2:PORT"), ["127.0.0.1", "127.0.0.2"]),
    (("-p", "PORT", "-l", "127.0.0.1", "-l", "127.0.0.2"), ["127.0.0.1", "127.0.0.2"]),
    (("-p", "PORT", "-l", "localhost"), ["127.0.0.1"]),
    (("-p", "PORT", "-l", "*"), ["127.0.0.1", "::1"]),
    (("--port=PORT", "--listen=127.0.0.1"), ["127.0.0.1"])], ids=str)
def test_listen(args, hosts):
    process, port = start_with(*args)
    try:
        for host in hosts:
            with reach(process, (host, port)) as conn:
                conn.ask(b"mn\r\n", b"MN\r\n")
    finally:
        finish(process)


def test_default_is_loopback_alone(reference):
    if reference:
        pytest.skip("memcached binds every address")
    process, port = start_with("-p", "PORT")
    try:
        reach(process, ("127.0.0.1", port)).close()
        with pytest.raises(OSError):
            harness.Conn(("127.0.0.2", port), 1)
        listening = pathlib.Path("/proc/net/tcp").read_text()
        assert f"0100007F:{port:04X} 00000000:0000 0A" in listening
        assert f"00000000:{port:04X} 00000000:0000 0A" not in listening
    finally:
        finish(process)


def test_unix_socket_and_mask(tmp_path):
    path = str(tmp_path / "cache.sock")
    for args, mode in (((), 0o700), (("-a", "0766"), 0o766), (("--unix-mask=660",), 0o660)):
        with harness.Server(*args, unix=path) as server, server.connect() as conn:
            conn.set(b"a", b"x")
            assert stat.S_IMODE(os.stat(path).st_mode) == mode
            assert conn.stats(b"settings")["domain_socket"] == path


def test_unix_socket_takes_the_place_of_an_old_one(tmp_path):
    path = str(tmp_path / "cache.sock")
    server = harness.Server(unix=path)
    server.stop(signal.SIGKILL)
    assert os.path.exists(path)
    with harness.Server(unix=path) as again, again.connect() as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")


def test_unix_socket_alone_serves_no_port(tmp_path, reference):
    path = str(tmp_path / "cache.sock")
    with harness.Server(unix=path) as server, server.connect() as conn:
        assert not any(value.startswith("tcp") for value in conn.stats(b"conns").values())


# ── pid file, daemon, the end ──────────────────────────────────────────────────────────────────


def test_pid_file(tmp_path):
    path = tmp_path / "pid"
    with harness.Server("-P", path) as server, server.connect() as conn:
        harness.until(path.exists)
        assert path.read_text().strip() == str(server.process.pid)
        assert not (tmp_path / "pid.tmp").exists()
        conn.ask(b"mn\r\n", b"MN\r\n")


def test_daemon(tmp_path):
    path, port = tmp_path / "pid", free_port()
    done = subprocess.run(harness.command(harness.BINARY, "-d", "-P", path, "-l", "127.0.0.1",
                                          "-U", "0", "-p", port), timeout=20)
    assert done.returncode == 0
    harness.until(path.exists)
    pid = int(path.read_text())
    try:
        with harness.Conn(("127.0.0.1", port)) as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    finally:
        os.kill(pid, signal.SIGTERM)
    harness.until(lambda: not path.exists())


def test_daemon_that_is_ended_at_once(tmp_path):
    """Whoever knows its number from the pid file may be faster than its start."""
    path = tmp_path / "pid"
    for _ in range(20):
        starter = subprocess.Popen(harness.command(
            harness.BINARY, "-d", "-P", path, "-l", "127.0.0.1", "-U", "0", "-p", "-1"))
        end = time.monotonic() + harness.START_S
        while not path.exists():
            assert time.monotonic() < end
        os.kill(int(path.read_text()), signal.SIGTERM)
        assert starter.wait(harness.START_S) == 0
        harness.until(lambda: not path.exists())


def test_daemon_with_core_files_stays_in_its_folder(tmp_path):
    path, port = tmp_path / "pid", free_port()
    command = harness.command(os.path.abspath(harness.BINARY), "-d", "-r", "-v", "-P", path, "-l",
                              "127.0.0.1", "-U", "0", "-p", port)
    done = subprocess.run(command, timeout=20, cwd=tmp_path, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
    assert done.returncode == 0
    harness.until(path.exists)
    pid = int(path.read_text())
    try:
        harness.until(lambda: os.readlink(f"/proc/{pid}/cwd") == str(tmp_path))
        assert os.getsid(pid) == pid
    finally:
        os.kill(pid, signal.SIGTERM)
    harness.until(lambda: not path.exists())


def test_pid_file_stays_without_daemon(tmp_path):
    path = tmp_path / "pid"
    with harness.Server("-P", path):
        harness.until(path.exists)
    assert path.exists()


def test_usr1_says_so_and_ends():
    server = harness.Server()
    with server.connect() as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
    assert server.stop(signal.SIGUSR1) == 0
    assert "Gracefully stopping" in server.errors() or "handled" in server.errors()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signal_ends_gracefully(how):
    server = harness.Server()
    idle, busy = server.connect(), server.connect()
    busy.send(b"set a 0 0 1000\r\nxxx")
    idle.ask(b"mn\r\n", b"MN\r\n")
    begin = time.monotonic()
    assert server.stop(how) == 0
    assert time.monotonic() - begin < 5
    idle.expect_close()
    assert "Sanitizer" not in server.errors(), server.errors()
    idle.close()
    busy.close()


def test_sigpipe_and_sighup_do_not_kill():
    with harness.Server() as server, server.connect() as conn:
        server.process.send_signal(signal.SIGPIPE)
        server.process.send_signal(signal.SIGHUP)
        conn.ask(b"mn\r\n", b"MN\r\n")


def test_shutdown_command(reference):
    with harness.Server() as server, server.connect() as conn:
        if not reference:
            conn.ask(b"shutdown\r\n", b"SERVER_ERROR: shutdown not enabled\r\n")
            conn.ask(b"mn\r\n", b"MN\r\n")
    server = harness.Server("-A")
    with server.connect() as conn:
        conn.send(b"shutdown\r\n")
        conn.expect_close()
    assert server.process.wait(harness.START_S) == 0


# ── limits ─────────────────────────────────────────────────────────────────────────────────────


def test_connection_limit_tells_at_once():
    """Some descriptors are the server's own, so fewer than -c fit on memcached."""
    with harness.Server("-c", "40", "-t", "1") as server:
        conns, refused = [], None
        while refused is None and len(conns) < 60:
            conn = server.connect()
            conn.send(b"mn\r\n")
            line = conn.line()
            if line == b"MN":
                conns.append(conn)
            else:
                refused = line
                conn.expect_close()
                conn.close()
        assert refused == b"ERROR Too many open connections"
        assert 20 <= len(conns) <= 40
        assert int(conns[0].stats()["rejected_connections"]) >= 1
        conns.pop().close()

        def served_again():
            with server.connect() as conn:
                conn.send(b"mn\r\n")
                return conn.line() == b"MN"
        harness.until(served_again)
        for conn in conns:
            conn.close()


def served(server, wait_s=0.5):
    """A connection that gets an answer, or None when it has to wait."""
    try:
        conn = server.connect(wait_s)
    except TimeoutError:
        return None
    conn.send(b"mn\r\n")
    if harness.readable(conn, wait_s):
        conn.expect(b"MN\r\n")
        return conn
    conn.close()
    return None


def test_connection_limit_lets_wait():
    with harness.Server("-c", "40", "-t", "1", "-o", "no_maxconns_fast") as server:
        conns = []
        while len(conns) < 60 and (conn := served(server)):
            conns.append(conn)
        assert 20 <= len(conns) <= 40
        conns[0].sock.settimeout(harness.WAIT_S)
        stats = conns[0].stats()
        assert stats["accepting_conns"] == "0"
        assert int(stats["listen_disabled_num"]) >= 1
        for _ in range(5):
            conns.pop().close()
        harness.until(lambda: served(server) is not None)
        for conn in conns:
            conn.close()


def test_requests_per_event_let_others_in():
    """-R 1: a pipeline of thousands does not hold up the only worker."""
    with harness.Server("-t", "1", "-R", "1") as server:
        greedy, other = server.connect(), server.connect()
        greedy.send(b"get nothing\r\n" * 3000)
        other.ask(b"mn\r\n", b"MN\r\n")
        greedy.expect(b"END\r\n" * 3000)
        assert int(other.stats()["conn_yields"]) > 0
        greedy.close()
        other.close()


def test_idle_timeout():
    with harness.Server("-o", "idle_timeout=1") as server:
        idle, busy = server.connect(), server.connect()
        idle.ask(b"mn\r\n", b"MN\r\n")
        begin = time.monotonic()
        while not harness.readable(idle, 0.2):
            busy.ask(b"mn\r\n", b"MN\r\n")
            assert time.monotonic() - begin < 10
        idle.expect_close()
        assert time.monotonic() - begin >= 0.9
        busy.ask(b"mn\r\n", b"MN\r\n")
        assert busy.stats()["idle_kicks"] == "1"
        idle.close()
        busy.close()


def test_idle_timeout_spares_unix_sockets(tmp_path):
    path = str(tmp_path / "cache.sock")
    with harness.Server("-o", "idle_timeout=1", unix=path) as server, server.connect() as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
        assert not harness.readable(conn, 2.5)
        conn.ask(b"mn\r\n", b"MN\r\n")


def test_flush_all_can_be_refused():
    with harness.Server("-F") as server, server.connect() as conn:
        conn.set(b"a", b"x")
        conn.ask(b"flush_all\r\n", b"CLIENT_ERROR flush_all not allowed\r\n")
        assert conn.get(b"a") == b"x"
        assert conn.stats(b"settings")["flush_enabled"] == "no"


def test_verbosity_writes_to_stderr():
    with harness.Server("-v") as server, server.connect() as conn:
        conn.ask(b"verbosity 2\r\n", b"OK\r\n")
        conn.ask(b"verbosity 99\r\n", b"OK\r\n")
        assert int(conn.stats(b"settings")["verbosity"]) in (2, 99)
        conn.ask(b"verbosity 0\r\n", b"OK\r\n")


def test_very_verbose_shows_commands_and_replies(reference):
    if reference:
        pytest.skip("looks a little different")
    with harness.Server("-vv", "-t", "1") as server:
        with server.connect() as conn:
            conn.send(b"set a 0 0 6\r\nsecret\r\nget a b\r\nmg a v\r\nincr a 1\r\nx\x1b\r\n")
            conn.expect(b"STORED\r\nVALUE a 0 6\r\nsecret\r\nEND\r\nVA 6\r\nsecret\r\n"
                        b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
                        b"ERROR\r\n")
            conn.set(b"large", b"\n" * 100_000)
            conn.send(b"get large\r\nmg large v\r\nmn\r\n")
            conn.take_match(re.compile(rb"(?s).*MN\r\n"))
        with server.connect() as conn:
            conn.send(b"\x80\x00\x00\x01" + bytes(4) + b"\0\0\0\1" + bytes(12) + b"a")
            assert len(conn.take(24 + 4 + 6)) == 34
            conn.send(b"\x80\x07" + bytes(22))
            conn.take(24)
            conn.expect_close()
        text = server.errors()
    lines = [re.sub(r"^([<>])\d+ ", r"\1 ", line) for line in text.splitlines()]
    first = lines.index("< set a 0 0 6")
    assert lines[first:first + 11] == [
        "< set a 0 0 6", "< get a b", "< mg a v", "< incr a 1", "< x\\x1b", "> STORED",
        "> VALUE a 0 6", "> END", "> VA 6",
        "> CLIENT_ERROR cannot increment or decrement non-numeric value", "> ERROR"]
    for line in ("< set large 0 0 100000", "> VALUE large 0 100000", "> VA 100000", "> MN",
                 "< binary 0x00, 1 bytes a", "> binary 0x00, 10 bytes, status 0x0000",
                 "< connection closed."):
        assert line in lines, (line, text)
    assert "secret" not in text
    assert len(lines) < 60
    assert re.search(r"^\d+: Client using the ascii protocol", text, re.M)
    assert re.search(r"^\d+: Client using the binary protocol", text, re.M)


def test_very_verbose_has_a_limit(reference):
    if reference:
        pytest.skip("without limit")
    with harness.Server("-vv", "-t", "1") as server, server.connect() as conn:
        conn.send(b"get nothing\r\n" * 20_000)
        conn.expect(b"END\r\n" * 20_000)
        time.sleep(1.1)
        conn.ask(b"mn\r\n", b"MN\r\n")
        text = server.errors()
    assert text.count("\n") < 20_000
    assert re.search(r"^\.\.\. \d+ more lines", text, re.M)


def test_very_verbose_shows_requests_that_take_long(reference):
    if reference:
        pytest.skip("of its own")
    with harness.Server("-vv", "-t", "1") as server, server.connect() as conn:
        for i in range(300):
            conn.send(b"set k%d 0 0 1 noreply\r\nx\r\n" % i)
        conn.send(b"mn\r\nlru_crawler metadump all\r\nmn\r\n")
        conn.expect(b"MN\r\n")
        while conn.line() != b"END":
            pass
        conn.expect(b"MN\r\n")
        text = server.errors()
    assert len(re.findall(r"^<\d+ lru_crawler metadump all$", text, re.M)) == 1
    assert len(re.findall(r"^<\d+ mn$", text, re.M)) == 2


def test_very_verbose_with_garbage(reference):
    """What is shown is parsed once more: whatever it is, the server must live."""
    if reference:
        pytest.skip("of its own")
    rng = random.Random(7)
    words = [b"get", b"set", b"ms", b"mg", b"k", b"0", b"1", b"9", b" ", b"\r\n", b"\n", b"\0",
             b"v", b"VALUE", b"-1", b"99999999999", b"\x80", b"\x80\x00\x00\x01", b"x" * 300]
    with harness.Server("-vv", "-t", "1") as server:
        for _ in range(150):
            data = b"".join(rng.choice(words) + rng.choice([b"", b" ", b"\r\n"])
                            for _ in range(rng.randrange(1, 100)))
            with server.connect() as conn:
                conn.send(data)
                conn.sock.shutdown(socket.SHUT_WR)
                conn.take(1 << 20)
        with server.connect() as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")


# Every setting of sections 1 and 2 that a server can be started with, and what it then says of it.
SETTINGS = [
    (("-c", "100"), {"maxconns": "100"}),
    (("--conn-limit=100",), {"maxconns": "100"}),
    (("-m", "128"), {"maxbytes": str(128 << 20)}),
    (("-M",), {"evictions": "off"}),
    (("-a", "755"), {"umask": "755"}),
    (("-A",), {"shutdown_command": "yes"}),
    (("-f", "1.5"), {"growth_factor": "1.50"}),
    (("-n", "64"), {"chunk_size": "64"}),
    (("-t", "2"), {"num_threads": "2", "num_threads_per_udp": "2"}),
    (("-D", "/"), {"stat_key_prefix": "/", "detail_enabled": "yes"}),
    (("-R", "7"), {"reqs_per_event": "7"}),
    (("-C",), {"cas_enabled": "no"}),
    (("-b", "50"), {"tcp_backlog": "50"}),
    (("-b", "0"), {"tcp_backlog": "0"}),
    (("-B", "ascii"), {"binding_protocol": "ascii"}),
    (("-B", "auto"), {"binding_protocol": "auto-negotiate"}),
    (("-I", "2m"), {"item_size_max": str(2 << 20)}),
    (("-I", "512K"), {"item_size_max": str(512 << 10)}),
    (("-F",), {"flush_enabled": "no"}),
    (("-X",), {"dump_enabled": "no"}),
    (("-v",), {"verbosity": "1"}),
    (("-vvv",), {"verbosity": "3"}),
    (("-k",), {}),
    (("-r",), {}),
    (("-L",), {}),
    (("-U", "0"), {"udpport": "0"}),
    (("-N", "2"), {"num_napi_ids": "2"}),
    (("-o", "maxconns_fast"), {"maxconns_fast": "yes"}),
    (("-o", "no_maxconns_fast"), {"maxconns_fast": "no"}),
    (("-o", "maxconns_fast,no_maxconns_fast"), {"maxconns_fast": "no"}),
    (("-o", "no_maxconns_fast", "-o", "maxconns_fast"), {"maxconns_fast": "yes"}),
    (("-o", "hashpower=20"), {"hashpower_init": "20"}),
    (("-o", "no_hashexpand"), {}),
    (("-o", "hash_algorithm=jenkins"), {"hash_algorithm": "jenkins"}),
    (("-o", "hash_algorithm=murmur3"), {"hash_algorithm": "murmur3"}),
    (("-o", "hash_algorithm=xxh3"), {"hash_algorithm": "xxh3"}),
    (("-o", "tail_repair_time=10"), {"tail_repair_time": "10"}),
    (("-o", "slab_reassign"), {"slab_reassign": "yes"}),
    (("-o", "no_slab_reassign"), {"slab_reassign": "no"}),
    (("-o", "slab_automove"), {"slab_automove": "1"}),
    (("-o", "slab_automove=2"), {"slab_automove": "2"}),
    (("-o", "no_slab_automove"), {"slab_automove": "0"}),
    (("-o", "slab_automove_ratio=0.5"), {"slab_automove_ratio": "0.50"}),
    (("-o", "slab_automove_window=5"), {"slab_automove_window": "5"}),
    (("-o", "slab_sizes=100-200-400"), {}),
    (("-o", "slab_chunk_max=256"), {"slab_chunk_max": str(256 << 10)}),
    (("-o", "no_chunked_items"), {"slab_chunk_max": str(1 << 20)}),
    (("-o", "no_lru_crawler"), {"lru_crawler": "no"}),
    (("-o", "lru_crawler_sleep=1000"), {"lru_crawler_sleep": "1000"}),
    (("-o", "lru_crawler_tocrawl=9"), {"lru_crawler_tocrawl": "9"}),
    (("-o", "no_lru_maintainer"), {"lru_maintainer_thread": "no"}),
    (("-o", "hot_lru_pct=10,warm_lru_pct=30"), {"hot_lru_pct": "10", "warm_lru_pct": "30"}),
    (("-o", "hot_max_factor=0.3"), {"hot_max_factor": "0.30"}),
    (("-o", "warm_max_factor=3"), {"warm_max_factor": "3.00"}),
    (("-o", "temporary_ttl=30"), {"temporary_ttl": "30", "temp_lru": "yes"}),
    (("-o", "idle_timeout=77"), {"idle_timeout": "77"}),
    (("-o", "watcher_logbuf_size=128"), {"watcher_logbuf_size": str(128 << 10)}),
    (("-o", "worker_logbuf_size=32"), {"worker_logbuf_size": str(32 << 10)}),
    (("-o", "read_buf_mem_limit=16"), {"read_buf_mem_limit": str(16 << 20)}),
    (("-o", "resp_obj_mem_limit=16"), {}),
    (("-o", "track_sizes"), {"track_sizes": "yes"}),
    (("-o", "track_sizes=no"), {"track_sizes": "yes"}),
    (("-o", "modern"), {"slab_reassign": "yes", "maxconns_fast": "yes"}),
    (("-o", "no_modern"), {"slab_reassign": "no", "maxconns_fast": "no", "lru_crawler": "no",
                           "slab_automove": "0", "hash_algorithm": "jenkins",
                           "lru_maintainer_thread": "no", "slab_chunk_max": str(1 << 20)}),
    (("-o", "inline_ascii_resp"), {"inline_ascii_response": "no"}),
    (("-o", "no_inline_ascii_resp"), {"inline_ascii_response": "no"}),
    (("-o", "no_drop_privileges"), {}),
    (("-o", "sock_cookie_id=0"), {}),
    (("--extended=track_sizes",), {"track_sizes": "yes"}),
]


@pytest.mark.parametrize("args,want", SETTINGS, ids=[" ".join(args) for args, _ in SETTINGS])
def test_setting(args, want, reference):
    if reference:
        pytest.skip("1.6.18 differs in places")
    with harness.Server(*args) as server, server.connect() as conn:
        settings = conn.stats(b"settings")
        assert {name: settings.get(name) for name in want} == want
        conn.set(b"a", b"x")
        assert conn.get(b"a") == b"x"


ABSENT = ["ext_path=/tmp/x:1g", "ext_threads=2", "slab_automove_freeratio=0.1", "proxy_config=x"]


@pytest.mark.parametrize("option", ABSENT)
def test_absent_mechanism_is_refused(option, reference):
    if reference:
        pytest.skip("built with them")
    done = run("-o", option)
    assert done.returncode == 1
    assert "Illegal suboption" in done.stderr and "there is no" in done.stderr


def test_help_names_features(reference):
    """Scripts and memcached's own tests ask -h for what is built."""
    text = run("-h").stdout
    for word in ("sasl", "enable-ssl", "enable-sasl", "auth-file", "memory-file", "disable-watch",
                 "disable-dumping", "unix-socket", "napi", "enable-coredumps", "enable-largepages",
                 "drop_privileges", "ssl_chain_cert", "idle_timeout"):
        if word != "drop_privileges" or not reference:
            assert word in text, word
    if not reference:
        assert "no_drop_privileges" in text
        for word in ("ext_path", "proxy_config"):
            assert word not in text


def test_ineffective_options_are_named(reference):
    if reference:
        pytest.skip("they have an effect there")
    with harness.Server("-v", "-f", "1.1", "-o", "no_lru_maintainer,idle_timeout=100") as server:
        text = server.errors()
    assert re.search(r"-f, --slab-growth-factor .* no effect", text)
    assert "-o lru_maintainer is accepted" in text
    assert "idle_timeout is" not in text and "hashpower is" not in text
    with harness.Server("-f", "1.1") as server:
        text = server.errors()
    assert "no effect" not in text


def limit_core(cur, most):
    return lambda: resource.setrlimit(resource.RLIMIT_CORE, (cur, most))


def core_limit(pid):
    text = pathlib.Path(f"/proc/{pid}/limits").read_text()
    return re.search(r"^Max core file size\s+(\S+)", text, re.M)[1]


def test_coredumps_raise_the_limit(reference):
    with harness.Server("-r") as server:
        assert core_limit(server.process.pid) != "0"
    if reference or os.geteuid() != 0:
        return
    if not os.access("/usr/bin/setpriv", os.X_OK):
        pytest.skip("no setpriv")
    done = subprocess.run(["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource",
                           harness.BINARY, "-u", "root", "-r", "-p", "-1"], capture_output=True,
                          text=True, timeout=20, preexec_fn=limit_core(0, 0))
    assert done.returncode == 71
    assert "corefile" in done.stderr


def test_large_pages_take_all_memory(reference):
    if reference:
        pytest.skip("takes some of it")
    modes = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not modes.exists() or "[never]" in modes.read_text():
        done = run("-u", "root", "-L", "-p", "-1")
        assert done.returncode == 1 and "large pages" in done.stderr
        return
    with harness.Server("-L", "-m", "64") as server, server.connect() as conn:
        assert server.rss_bytes() >= 60 << 20
        assert conn.stats(b"settings")["maxbytes"] == str(64 << 20)
        for i in range(300):
            conn.set(b"k%d" % i, b"x" * 500_000)
        assert conn.get(b"k299") == b"x" * 500_000
        assert int(conn.stats()["evictions"]) > 0
        if not harness.is_sanitized(harness.BINARY):
            assert server.rss_bytes() <= 84 << 20


def test_napi_ids_fall_back_on_loopback():
    with harness.Server("-N", "2") as server, server.connect() as conn:
        stats = conn.stats()
        assert stats["unexpected_napi_ids"] == "0"
        assert int(stats["round_robin_fallback"]) >= 1


def test_many_threads_warn():
    with harness.Server("-t", "65") as server, server.connect() as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
        assert "arning" in server.errors() or "WARNING" in server.errors()


@ROOT_ONLY
def test_socket_mark():
    """SO_MARK needs a right that only some have: without it there is a warning."""
    with harness.Server("-o", "sock_cookie_id=7") as server, server.connect() as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
        text = server.errors()
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, 36, 7)  # SO_MARK
        except PermissionError:
            assert "cookie" in text
        else:
            assert text == ""


def test_no_new_rights(reference):
    if reference:
        pytest.skip("not there")
    with harness.Server() as server:
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        assert re.search(r"^NoNewPrivs:\s+1", status, re.M)


@pytest.mark.parametrize("option", [
    "modern", "no_modern", "hashpower=20", "no_hashexpand", "hash_algorithm=xxh3",
    "tail_repair_time=100", "slab_reassign", "no_slab_reassign", "slab_automove=1",
    "slab_automove_ratio=0.5", "slab_automove_window=5", "slab_chunk_max=512", "lru_crawler",
    "no_lru_crawler", "lru_crawler_sleep=100", "lru_crawler_tocrawl=10", "lru_maintainer",
    "no_lru_maintainer", "hot_lru_pct=10", "warm_lru_pct=30", "hot_max_factor=0.3",
    "warm_max_factor=3", "temporary_ttl=30", "watcher_logbuf_size=128",
    "worker_logbuf_size=64", "track_sizes", "maxconns_fast,idle_timeout=30,hashpower=16"])
def test_sub_option_is_accepted(option, reference):
    if reference and option in ("no_lru_maintainer",):
        pytest.skip("needs others with it")
    with harness.Server("-o", option) as server, server.connect() as conn:
        conn.set(b"a", b"x")
        assert conn.get(b"a") == b"x"


def test_leading_blanks_of_a_value(reference):
    if reference:
        pytest.skip("newer than 1.6.18")
    with harness.Server("-m", " 100") as server, server.connect() as conn:
        assert conn.stats()["limit_maxbytes"] == str(100 << 20)


def test_one_thread_takes_the_signals(reference):
    """A handler in another thread could be half-way through while that one takes all down."""
    if reference:
        pytest.skip("our own threads")
    wanted = sum(1 << (number - 1) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM,
                                                  signal.SIGUSR1))

    def takers(pid):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
            if int(status["SigBlk"], 16) & wanted != wanted:
                yield int(task.name)

    with harness.Server("-t", "3") as server:
        pid = server.process.pid
        # none while it starts a thread, which begins with the mask of its creator
        harness.until(lambda: list(takers(pid)) == [pid])
