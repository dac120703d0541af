# SPDX-License-Identifier: BSD-3-Clause
"""Servers and connections for the black-box tests.

Server starts the program named by MATTE_SERVER on a free port and ends it by pid; Conn is a raw
socket with `send` and `expect`; Barrier proves that the server has read what was sent, so that a
request can be cut in two without a sleep.  Knows nothing of the rows (rows.py) and of pytest.
"""

import os
import pathlib
import resource
import select
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("MATTE_SERVER", str(ROOT / "build/debug/matted"))
PEER = os.environ.get("MATTE_PEER", "/usr/bin/memcached")
# The operator's program: of the same build as the server, where that is ours.
CLI = os.environ.get("MATTE_CLI") or next(
    (str(path) for path in [pathlib.Path(BINARY).with_name("matte"), ROOT / "build/debug/matte"]
     if path.is_file()), "matte")
WAIT_S = 10.0  # for an answer that must come; sanitizers and a busy machine are slow
START_S = 30.0


def answers_version(binary):
    """First line of -V, or an empty string when the program cannot run."""
    try:
        done = subprocess.run([binary, "-V"], capture_output=True, timeout=START_S)
    except OSError:
        return ""
    return done.stdout.decode(errors="replace").split("\n")[0].strip()


def is_reference(binary):
    """True for Debian's memcached: rows that tell of newer behaviour do not hold there."""
    return os.path.basename(os.path.realpath(binary)) == "memcached"


def is_sanitized(binary):
    """True for a build with AddressSanitizer: its memory figures say nothing."""
    return b"__asan_init" in pathlib.Path(binary).read_bytes()


def command(binary, *args):
    """The command line of a server, with -u when root starts it.

    MATTE_SERVER_ARGS stands first, to run all tests with an option more.
    """
    head = [binary]
    if os.geteuid() == 0 and "-u" not in args:
        head += ["-u", "root"]
    if not is_reference(binary):
        head += os.environ.get("MATTE_SERVER_ARGS", "").split()
    return head + [str(a) for a in args]


def files_limit_raise(count):
    """Allow `count` open files; False when the hard limit forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count <= hard or hard == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= count


class Server:
    """One server process; a context manager.  `args` replace nothing but add to the defaults."""

    def __init__(self, *args, binary=BINARY, listen="127.0.0.1", unix=None, env=None):
        self.binary = binary
        self.folder = tempfile.TemporaryDirectory(prefix="matte-test-")
        os.chmod(self.folder.name, 0o777)  # the server may become another user
        self.port_file = pathlib.Path(self.folder.name) / "port"
        self.unix = unix
        where = ["-s", unix] if unix else ["-p", "-1", "-U", "0", "-l", listen]
        env = dict(os.environ, MEMCACHED_PORT_FILENAME=str(self.port_file), **(env or {}))
        self.log_path = pathlib.Path(self.folder.name) / "stderr"
        self.log = open(self.log_path, "wb")
        self.process = subprocess.Popen(
            command(binary, *where, *args), env=env, stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log)
        self.port = None if unix else self._wait_port()
        if unix:
            self._wait_unix()

    def _wait(self, ready):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(
                    f"server ended with {self.process.returncode}: {self.errors()}")
            got = ready()
            if got:
                return got
            time.sleep(0.005)
        self.stop()
        raise AssertionError(f"server did not start: {self.errors()}")

    def ports(self):
        """{'TCP INET': 1234, ...} as the port file tells."""
        rows = [line.split(":") for line in self.port_file.read_text().splitlines() if ":" in line]
        return {row[0]: int(row[1]) for row in rows}

    def _wait_port(self):
        def ready():
            if not self.port_file.exists():
                return None
            ports = self.ports()
            return ports.get("TCP INET") or ports.get("TCP INET6")
        return self._wait(ready)

    def _wait_unix(self):
        def ready():
            try:
                self.connect().close()
                return True
            except OSError:
                return False
        self._wait(ready)

    def errors(self):
        """What the server wrote to stdout and stderr."""
        return self.log_path.read_bytes().decode(errors="replace")

    def connect(self, wait_s=WAIT_S):
        if self.unix:
            return Conn(self.unix, wait_s)
        host = "::1" if "TCP INET" not in self.ports() else "127.0.0.1"
        return Conn((host, self.port), wait_s)

    def alive(self):
        return self.process.poll() is None

    def rss_bytes(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def stop(self, how=signal.SIGTERM):
        """End it; returns the exit status."""
        if self.alive():
            self.process.send_signal(how)
        try:
            status = self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("server did not end") from None
        finally:
            self.log.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status = self.stop()
        errors = self.errors()
        self.folder.cleanup()
        if kind is None:
            assert "Sanitizer" not in errors, errors
            assert status == 0, f"exit status {status}: {errors}"


class Conn:
    """A raw connection.  `expect` compares bytes and shows both sides when they differ."""

    def __init__(self, where, wait_s=WAIT_S):
        if isinstance(where, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(wait_s)
            self.sock.connect(where)
        else:
            self.sock = socket.create_connection(where, wait_s)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(wait_s)
        self.buffer = bytearray()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def _fill(self):
        """Read once; False at the end of the stream."""
        try:
            data = self.sock.recv(262144)
        except (ConnectionResetError, BrokenPipeError):
            return False
        except TimeoutError:
            raise AssertionError(f"no (more) answer; so far {bytes(self.buffer[:300])!r}") from None
        self.buffer += data
        return bool(data)

    def _cut(self, count):
        """Take `count` bytes off the front of what was read."""
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def line(self):
        """One line without its end; None at the end of the stream."""
        while b"\n" not in self.buffer:
            if not self._fill():
                return None
        end = self.buffer.index(b"\n") + 1
        return self._cut(end).rstrip(b"\r\n")

    def take(self, count):
        """Exactly `count` bytes (fewer at the end of the stream)."""
        while len(self.buffer) < count and self._fill():
            pass
        return self._cut(count)

    def take_match(self, pattern):
        """Read until the compiled `pattern` matches at the start; returns the match."""
        while True:
            match = pattern.match(bytes(self.buffer))
            if match:
                self._cut(match.end())
                return match
            try:
                more = self._fill()
            except AssertionError:
                more = False
            if not more:
                shown = pattern.pattern.decode("latin-1")
                raise AssertionError(f"expected /{shown}/\n     got {bytes(self.buffer[:1000])!r}")

    def expect(self, want):
        """The next bytes are `want`."""
        while len(self.buffer) < len(want) and want.startswith(self.buffer[:4096]):
            if not self._fill():
                break
        got = self._cut(len(want))
        assert got == want, f"expected {want[:600]!r}\n     got {(got + self.buffer)[:600]!r}"

    def expect_close(self):
        """Nothing more comes and the server ends the connection."""
        while self._fill():
            pass
        assert self.buffer == b"", f"expected the end, got {bytes(self.buffer[:600])!r}"

    def ask(self, request, want):
        self.send(request)
        self.expect(want)

    def command(self, request):
        """Send one line, return the answer's first line."""
        self.send(request + b"\r\n")
        return self.line()

    def stats(self, kind=b""):
        """A `stats` listing as an ordered {name: value} of strings."""
        self.send(b"stats " + kind + b"\r\n" if kind else b"stats\r\n")
        rows = {}
        while True:
            line = self.line()
            if line == b"END":
                return rows
            word, name, value = (line + b" ").split(b" ", 2)
            assert word == b"STAT", line
            rows[name.decode()] = value.decode().strip()

    def get(self, key):
        """The value of `key`, or None."""
        self.send(b"get " + key + b"\r\n")
        line = self.line()
        if line == b"END":
            return None
        assert line is not None and line.startswith(b"VALUE " + key + b" "), line
        size = int(line.split()[3])
        value = self.take(size + 2)[:-2]
        self.expect(b"END\r\n")
        return value

    def set(self, key, value, flags=0, exptime=0, reply=b"STORED\r\n"):
        self.send(b"set %s %d %d %d\r\n%s\r\n" % (key, flags, exptime, len(value), value))
        self.expect(reply)


class Barrier:
    """Proves that a server with one worker (-t 1) has read all that was sent before.

    Ready sockets are served in the order in which they became ready; when the answer to `mn` on
    this connection is here, earlier bytes on any other connection have been read.
    """

    def __init__(self, server):
        self.conn = server.connect()

    def wait(self):
        self.conn.ask(b"mn\r\n", b"MN\r\n")

    def close(self):
        self.conn.close()


def until(true, wait_s=WAIT_S):
    """Ask until it is so: for what a server does after its last answer."""
    end = time.monotonic() + wait_s
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def readable(conn, wait_s):
    return bool(select.select([conn.sock], [], [], wait_s)[0])


class Clock:
    """Moves a server's clock: by `debugtime` where it exists, else by sleeping when allowed."""

    def __init__(self, server):
        self.conn = server.connect()
        self.has_command = self.conn.command(b"debugtime p") == b"OK"
        self.may_sleep = bool(os.environ.get("MATTE_REAL_TIME"))

    def usable(self, seconds):
        return self.has_command or (self.may_sleep and seconds <= 10)

    def forward(self, seconds):
        if self.has_command:
            assert self.conn.command(b"debugtime %d" % seconds) == b"OK"
        else:
            time.sleep(seconds + 0.2)

    def close(self):
        self.conn.close()
