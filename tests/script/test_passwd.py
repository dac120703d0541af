# SPDX-License-Identifier: BSD-3-Clause
"""`matte passwd`: files of users, made and changed; what it writes, the server reads."""

import concurrent.futures
import os
import pty
import random
import select
import signal
import stat
import subprocess
import time

import pytest

import harness
import scram
from binary import Binary
from cli import matte
from harness import CLI
from test_auth import FAILED, STORED, UNLIMITED, login

MARK = b"$scram-sha-256$4096:"


@pytest.fixture
def users(tmp_path):
    os.chmod(tmp_path, 0o755)
    return tmp_path / "users"


def passwd(file, user, password=b"secret", *words):  # pylint: disable=keyword-arg-before-vararg
    return matte("passwd", file, user, "--stdin", *words, stdin=password + b"\n")


def rights(file, user):
    """What stands behind the user's hash; one line must be his."""
    lines = [line for line in file.read_bytes().splitlines() if line.startswith(user + b":")]
    assert len(lines) == 1 and lines[0].startswith(user + b":" + MARK), lines
    return lines[0].partition(b" ")[2]


def test_make_and_change(users):
    assert passwd(users, "alice", b"one") == (0, b"", b"")
    first = users.read_bytes()
    assert stat.S_IMODE(users.stat().st_mode) == 0o600
    assert first.startswith(b"alice:" + MARK) and first.endswith(b"=\n") and b"one" not in first
    assert passwd(users, "bob", b"two", "--rights=read", "--prefix=a:", "--prefix", "%20b")[0] == 0
    assert users.read_bytes().startswith(first)
    assert rights(users, b"bob") == b"read prefix=a: prefix=%20b"
    assert passwd(users, "alice", b"three")[0] == 0  # stays first, with another salt
    changed = users.read_bytes()
    assert changed.startswith(b"alice:") and not changed.startswith(first)
    assert passwd(users, "bob", b"four")[0] == 0
    assert rights(users, b"bob") == b"read prefix=a: prefix=%20b"  # kept
    assert matte("passwd", users, "bob", "--keep-password", "--prefix=c")[0] == 0
    assert rights(users, b"bob") == b"prefix=c"
    assert matte("passwd", users, "alice", "--delete")[0] == 0
    assert users.read_bytes().count(b"\n") == 1 and rights(users, b"bob") == b"prefix=c"
    assert os.listdir(users.parent) == ["users"]
    with harness.Server("-Y", users) as server, server.connect() as conn:
        conn.ask(login(b"bob", b"two"), FAILED)
        conn.ask(login(b"bob", b"four"), STORED)


def test_other_lines_stay_as_they_are(users):
    others = b"plain:a b:c\r\n" + scram.line(b"zoe", b"x", b"admin,read ")
    users.write_bytes(others + b"bob:old\nbob:older\nlast:$x")
    users.chmod(0o640)
    assert passwd(users, "bob", b"new")[0] == 0
    content = users.read_bytes()
    assert content.startswith(others + b"bob:" + MARK) and content.endswith(b"\nlast:$x\n")
    assert content.count(b"\n") == 4 and stat.S_IMODE(users.stat().st_mode) == 0o640
    assert passwd(users, "las", b"new")[0] == 0
    assert users.read_bytes().startswith(content)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_owner_stays(users):
    users.write_bytes(b"a:b\n")
    os.chown(users, 65534, 65534)
    assert passwd(users, "a")[0] == 0
    assert (users.stat().st_uid, users.stat().st_gid) == (65534, 65534)


def test_symbolic_link_stays(users):
    link = users.parent / "link"
    users.write_bytes(b"")
    link.symlink_to(users)
    assert passwd(link, "a")[0] == 0
    assert link.is_symlink() and rights(users, b"a") == b""


def test_symbolic_link_to_nowhere(users):
    link = users.parent / "link"
    link.symlink_to(users)
    assert passwd(link, "a")[0] == 2
    assert link.is_symlink() and not users.exists()


@pytest.mark.parametrize("words, complaint, code", [
    (("u:v",), b"a user's name", 64),
    (("",), b"a user's name", 64),
    (("u" * 256,), b"a user's name", 64),
    (("u", "--rights=reed"), b"read, write, flush_prefix and admin", 64),
    (("u", "--rights=admin", "--prefix=a"), b"exclude", 64),
    (("u", "--prefix=%zz"), b"hexadecimal", 64),
    (("u", "--prefix=" + "x" * 251), b"longer than 250", 64),
    (("u", *["--prefix=" + "x" * 250] * 5), b"1024", 64),
    (("u", "--iterations=4095"), b"not a number", 64),
    (("u", "--delete", "--rights=read"), b"--delete", 64),
    (("u", "--keep-password", "--stdin"), b"--keep-password", 64),
    (("u", "secret"), b"one word too many", 64),
    (("nobody", "--delete"), b"no user", 1),
    (("nobody", "--keep-password", "--rights=read"), b"no user", 1),
    (("plain", "--keep-password", "--rights=read"), b"in plain", 1),
])
def test_refused(users, words, complaint, code):
    users.write_bytes(b"plain:x\n")
    got, out, errors = matte("passwd", users, *words)
    assert (got, out) == (code, b"") and complaint in errors
    assert users.read_bytes() == b"plain:x\n" and os.listdir(users.parent) == ["users"]


@pytest.mark.parametrize("password, complaint", [
    (b"", b"empty"), (b"x" * 1025, b"1024"), (b"a\0b", b"no NUL"),
])
def test_password_refused(users, password, complaint):
    code, _, errors = passwd(users, "a", password)
    assert code == 2 and complaint in errors and not users.exists()


def test_malformed_file_is_left_alone(users):
    users.write_bytes(b"a:b\nnonsense\n")
    code, _, errors = passwd(users, "a")
    assert code == 2 and b"line 2" in errors and users.read_bytes() == b"a:b\nnonsense\n"
    code, _, errors = passwd(users.parent, "a")
    assert code == 2 and b"users" not in errors
    code, _, errors = passwd(users.parent / "no" / "file", "a")
    assert code == 2 and b"No such file" in errors


def test_no_terminal(users):
    done = subprocess.run([CLI, "passwd", users, "a"], stdin=subprocess.DEVNULL,
                          capture_output=True, start_new_session=True, timeout=60)
    assert done.returncode == 2 and b"--stdin" in done.stderr and not users.exists()


def test_writers_wait_for_each_other(users):
    names = [f"user{i}" for i in range(30)]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        assert all(got[0] == 0 for got in pool.map(lambda name: passwd(users, name), names))
    assert {line.split(b":")[0].decode() for line in users.read_bytes().splitlines()} == set(names)
    assert os.listdir(users.parent) == ["users"]


def test_what_it_writes_the_server_reads(users):
    seed = int(os.environ.get("MATTE_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    rng = random.Random(seed)
    people = {}
    for i in range(25):
        letters = [c for c in range(1, 256) if c not in b":\r\n"]
        name = bytes(rng.choices(letters, k=rng.randrange(1, 250))) + b"%d" % i
        if name.startswith(b"-"):
            name = b"x" + name[1:]
        password = bytes(rng.choices([c for c in letters if c != 32], k=rng.randrange(1, 300)))
        prefix = "".join(rng.choices("abc:/", k=3)) if rng.random() < 0.5 else ""
        done = subprocess.run(
            [os.fsencode(CLI), b"passwd", os.fsencode(users), name, b"--stdin",
             b"--iterations=%d" % rng.choice([4096, 5000]),
             *([b"--prefix=" + prefix.encode()] if prefix else [])],
            input=password + b"\n", capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        people[name] = (password, prefix.encode())
    with harness.Server("-S", "-Y", users, *UNLIMITED) as server:
        for name, (password, prefix) in people.items():
            with Binary(server.connect()) as client:
                assert scram.log_in(client, name, password)
                assert not scram.log_in(client, name, password + b"x")
            if b" " in name:
                continue
            with server.connect() as conn:
                conn.ask(login(name, password), STORED)
                conn.set(prefix + b"k", b"x")


# ── the terminal ────────────────────────────────────────────────────────────────────────────────


class Terminal:
    """The program with a terminal of its own, and somebody who types."""

    def __init__(self, *words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(CLI, [str(CLI), *(str(word) for word in words)])
        self.seen = b""

    def expect(self, text):
        end = time.monotonic() + 30
        while text not in self.seen:
            assert time.monotonic() < end, (text, self.seen)
            if not select.select([self.fd], [], [], 0.1)[0]:
                continue
            try:
                self.seen += os.read(self.fd, 4096)
            except OSError:
                break
        assert text in self.seen, (text, self.seen)
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        os.write(self.fd, text)

    def end(self):
        """(exit status, what was shown last)"""
        shown = self.seen
        while True:
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                break
            if not data:
                break
            shown += data
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return status, shown


def test_asked_on_the_terminal(users):
    terminal = Terminal("passwd", users, "alice")
    terminal.expect(b"New password of alice: ")
    terminal.type(b"sesame\n")
    assert b"sesame" not in terminal.expect(b"Again: ")
    terminal.type(b"sesam\n")
    terminal.expect(b"They differ.")
    terminal.expect(b"New password of alice: ")
    terminal.type(b"open\n")
    terminal.expect(b"Again: ")
    assert not users.exists()
    terminal.type(b"open\n")
    status, shown = terminal.end()
    assert status == 0 and b"open" not in shown
    with harness.Server("-Y", users) as server, server.connect() as conn:
        conn.ask(login(b"alice", b"open"), STORED)


@pytest.mark.parametrize("typed", [b"\n", b"\x04", b"\x03"])
def test_nothing_is_typed(users, typed):
    terminal = Terminal("passwd", users, "alice")
    terminal.expect(b"New password of alice: ")
    terminal.type(typed)
    status, _ = terminal.end()
    if typed == b"\x03":
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT
    else:
        assert os.WEXITSTATUS(status) == 2
    assert not users.exists()


def test_terminal_echoes_again_after_a_signal(users):
    shell = Terminal.__new__(Terminal)
    shell.pid, shell.fd = pty.fork()
    if shell.pid == 0:
        os.execv("/bin/sh", ["sh", "-c", 'trap "" INT; "$0" passwd "$1" a; stty -a; :', str(CLI),
                             str(users)])
    shell.seen = b""
    shell.expect(b"New password of a: ")
    shell.type(b"x\n")
    shell.expect(b"Again: ")
    shell.type(b"y\n")
    for _ in range(2):
        shell.expect(b"New password of a: ")
        shell.type(b"x\n")
        shell.expect(b"Again: ")
        shell.type(b"y\n")
    _, shown = shell.end()
    assert b" echo " in shown and b"-echo " not in shown and b"differ" in shown
