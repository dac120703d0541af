# SPDX-License-Identifier: BSD-3-Clause
"""Warm restart: -e FILE, SIGUSR1, `shutdown graceful`.

A server that comes back answers what it knew or misses; it never answers anything else, and it
always comes back.
"""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from harness import BINARY, Server, command, is_reference

pytestmark = pytest.mark.skipif(is_reference(BINARY), reason="words and checks of our own")
SEED = int(os.environ.get("MATTE_SEED") or random.randrange(10**9))


class Depot:
    """A memory file and the servers that use it one after the other."""

    def __init__(self):
        shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="matte-restart-", dir=shm))
        os.chmod(self.folder, 0o777)
        self.path = self.folder / "memory"
        self.meta = self.folder / "memory.meta"
        self.said = ""

    def server(self, *args):
        memory = [] if "-m" in args else ["-m", "16"]
        return Server("-e", self.path, "-v", "-t", "2", *memory, *args)

    def life(self, *args, how=signal.SIGUSR1, do=None):
        """One server from start to end; returns what `do` returns."""
        server = self.server(*args)
        try:
            with server.connect() as conn:
                got = do(conn) if do else None
        finally:
            status = server.stop(how)
            self.said = server.errors()
            server.folder.cleanup()
        assert "Sanitizer" not in self.said, self.said
        assert status == (-9 if how == signal.SIGKILL else 0), self.said
        return got

    def clean(self):
        shutil.rmtree(self.folder)


@pytest.fixture
def depot():
    made = Depot()
    yield made
    made.clean()


def value_of(number):
    return (b"%d." % number) * (1 + number % 97)


def fill(conn, count=2000):
    for i in range(count):
        conn.send(b"set key%d %d 0 %d noreply\r\n%s\r\n" % (i, i, len(value_of(i)), value_of(i)))
    conn.set(b"large", b"0123456789" * 50000)


def count_hits(conn, count=2000):
    """How many keys are there; all that are have the value that was stored."""
    hits = 0
    for i in range(0, count, 50):
        keys = list(range(i, i + 50))
        conn.send(b"get " + b" ".join(b"key%d" % k for k in keys) + b"\r\n")
        while (line := conn.line()) != b"END":
            _, key, flags, size = line.split()
            number = int(key[3:])
            assert conn.take(int(size) + 2) == value_of(number) + b"\r\n"
            assert int(flags) == number
            hits += 1
    large = conn.get(b"large")
    assert large in (None, b"0123456789" * 50000)
    return hits + (large is not None)

def test_deleted_prefix(depot):
    """What was deleted just before the stop does not come back, what was stored then does."""
    def first(conn):
        for i in range(500):
            conn.send(b"set g%d:%d 0 0 1 noreply\r\n1\r\n" % (i % 2, i))
        conn.ask(b"delete_prefix g1:\r\n", b"DELETED\r\n")
        conn.set(b"g1:7", b"2")

    def then(conn):
        assert conn.get(b"g1:7") == b"2" and conn.get(b"g0:8") == b"1"
        assert all(conn.get(b"g1:%d" % i) is None for i in range(1, 500, 2) if i != 7)
    depot.life(do=first)
    for _ in range(2):
        depot.life(do=then)
        assert "251 items restored" in depot.said, depot.said



# ── what stays ─────────────────────────────────────────────────────────────────────────────────

def test_sigusr1_keeps_every_item(depot):
    def first(conn):
        fill(conn)
        assert conn.command(b"delete key7") == b"DELETED"
        assert conn.stats("settings".encode())["memory_file"] == str(depot.path)
    depot.life(do=first)
    assert "2000 items kept in" in depot.said and depot.meta.exists()

    def second(conn):
        assert not depot.meta.exists()
        assert conn.stats()["curr_items"] == "2000"
        assert conn.get(b"key7") is None
        assert int(conn.stats()["uptime"]) < 30
        return count_hits(conn)
    assert depot.life(do=second) == 2000
    assert "2000 items restored from" in depot.said
    assert depot.life(do=count_hits) == 2000


def test_shutdown_graceful(depot):
    server = depot.server("-A")
    with server.connect() as conn:
        fill(conn)
        conn.send(b"shutdown graceful\r\n")
        conn.expect_close()
    assert server.process.wait(30) == 0
    server.stop()
    assert depot.life("-A", do=count_hits) == 2001


def test_shutdown_graceful_without_a_file():
    server = Server("-A")
    with server.connect() as conn:
        conn.send(b"shutdown graceful\r\n")
        conn.expect_close()
    assert server.process.wait(30) == 0
    assert server.stop() == 0
    assert "kept" not in server.errors()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_other_ends_keep_nothing(depot, how):
    depot.life(do=fill, how=how)
    assert not depot.meta.exists()
    assert depot.life(do=count_hits) == 0
    assert "starting empty, nothing was kept" in depot.said


def test_shutdown_keeps_nothing(depot):
    server = depot.server("-A")
    with server.connect() as conn:
        fill(conn)
        conn.send(b"shutdown\r\n")
        conn.expect_close()
    assert server.process.wait(30) == 0
    server.stop()
    assert not depot.meta.exists()


def test_kill_after_a_restart_keeps_nothing(depot):
    depot.life(do=fill)
    assert depot.life(do=count_hits, how=signal.SIGKILL) == 2001
    assert depot.life(do=count_hits) == 0


def test_uniques_flags_and_ttl(depot):
    def first(conn):
        conn.ask(b"ms a 3 T100 F77 c\r\nabc\r\n", b"HD c")
        cas = int(conn.line())
        conn.ask(b"md b I\r\nms b 1\r\nb\r\nmd b I T30\r\n", b"NF\r\nHD\r\nHD\r\n")
        return cas
    cas = depot.life(do=first)
    time.sleep(1.1)

    def second(conn):
        conn.send(b"mg a c f t v\r\n")
        words = conn.line().split()
        assert words[:4] == [b"VA", b"3", b"c%d" % cas, b"f77"] and conn.line() == b"abc"
        assert 90 <= int(words[4][1:]) <= 99
        conn.ask(b"mg b v\r\n", b"VA 1 X W\r\nb\r\n")
        conn.ask(b"ms a 3 C%d\r\nabd\r\n" % (cas + 1), b"EX\r\n")
        conn.ask(b"ms a 3 C%d\r\nabd\r\n" % cas, b"HD\r\n")
    depot.life(do=second)


def test_time_asleep_ends_items(depot):
    def first(conn):
        conn.set(b"short", b"v", exptime=2)
        conn.set(b"long", b"v", exptime=60)
    depot.life(do=first)
    time.sleep(2.1)
    depot.life(do=lambda conn: (conn.ask(b"get short long\r\n",
                                         b"VALUE long 0 1\r\nv\r\nEND\r\n")))


def test_flush_stays_flushed(depot):
    def first(conn):
        fill(conn)
        conn.ask(b"flush_all\r\n", b"OK\r\n")
        conn.set(b"after", b"v")
    depot.life(do=first)
    assert depot.life(do=lambda conn: (count_hits(conn), conn.get(b"after"))) == (0, b"v")
    assert depot.life(do=lambda conn: (count_hits(conn), conn.get(b"after"))) == (0, b"v")


def test_an_unfinished_upload_is_no_item(depot):
    server = depot.server()
    with server.connect() as conn, server.connect() as slow, server.connect() as reader:
        fill(conn, 100)
        slow.send(b"set slow 0 0 900000\r\n" + b"s" * 700000)
        reader.send(b"get large\r\n" * 20)  # pins of answers under way
        conn.ask(b"mn\r\n", b"MN\r\n")
        assert server.stop(signal.SIGUSR1) == 0
    assert "Sanitizer" not in server.errors()

    def second(conn):
        assert conn.get(b"slow") is None
        assert conn.stats()["curr_items"] == "101"
        return count_hits(conn, 100)
    assert depot.life(do=second) == 101


def test_memlimit_cannot_be_changed(depot):
    depot.life(do=lambda conn: conn.ask(
        b"cache_memlimit 32\r\n", b"MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n"))


# ── when nothing stays ─────────────────────────────────────────────────────────────────────────

CHANGES = [
    (["-m", "32"], "-m 16777216 to -m 33554432"),
    (["-I", "2m"], "-I 1048576 to -I 2097152"),
    (["-f", "1.5"], "-f 1.25 to -f 1.5"),
    (["-n", "64"], "-n 48 to -n 64"),
    (["-C"], "-C off to -C on"),
    (["-o", "slab_chunk_max=256"], "slab_chunk_max"),
    (["-o", "no_slab_reassign"], "slab_reassign on to slab_reassign off"),
    (["-o", "slab_sizes=100-200-1000"], "slab_sizes none to slab_sizes 100-200-1000"),
]


@pytest.mark.parametrize("args,reason", CHANGES, ids=[" ".join(a) for a, _ in CHANGES])
def test_changed_configuration_starts_empty(depot, args, reason):
    depot.life(do=fill)
    assert depot.life(*args, do=count_hits) == 0
    assert "starting empty" in depot.said and reason in depot.said
    assert depot.life(*args, do=lambda conn: count_hits(conn)) == 0  # what was kept is gone


def test_other_options_may_change(depot):
    depot.life(do=fill)
    assert depot.life("-t", "3", "-M", "-c", "100", do=count_hits) == 2001


def damage(depot, dice):
    """Do something to one of the files."""
    path = dice.choice([depot.path, depot.meta])
    size = path.stat().st_size
    kind = dice.choice(["cut", "flip", "flip", "zeros", "longer"])
    at = dice.randrange(size)
    with open(path, "r+b") as file:
        if kind == "cut":
            file.truncate(dice.choice([0, at, size - 1]))
        elif kind == "longer":
            file.seek(size)
            file.write(b"\0")
        else:
            file.seek(at)
            old = file.read(1)[0]
            file.seek(at)
            file.write(bytes(4096) if kind == "zeros" else bytes([old ^ 1 << dice.randrange(8)]))
    return f"{kind} {path.name} at {at}"


def test_damage_gives_misses_and_nothing_else(depot):
    dice = random.Random(SEED)
    kept = 0
    for _ in range(30):
        depot.life("-m", "4", do=fill)
        what = damage(depot, dice)
        hits = depot.life("-m", "4", do=count_hits, how=signal.SIGTERM)
        assert hits in (0, 2001), f"{hits} hits after {what}, seed {SEED}"
        assert (hits == 0) == ("starting empty" in depot.said), f"{what}, seed {SEED}"
        kept += hits > 0
    assert kept < 25  # bits of unused memory are no damage


def test_another_file_under_the_name(depot):
    depot.life(do=fill)
    depot.path.write_bytes(os.urandom(16 << 20))
    assert depot.life(do=count_hits) == 0
    depot.life(do=fill)
    depot.meta.unlink()
    depot.meta.mkdir()  # cannot be removed like a file: an error, and the server says which
    done = subprocess.run(command(BINARY, "-p", "0", "-s", depot.folder / "s", "-m", "16", "-e",
                                  depot.path), capture_output=True, timeout=30)
    assert done.returncode == 71 and b"cannot remove" in done.stderr
    depot.meta.rmdir()
    assert depot.life(do=count_hits) == 0


# ── the file ───────────────────────────────────────────────────────────────────────────────────

def refused(*args):
    done = subprocess.run(command(BINARY, "-p", "-1", "-l", "127.0.0.1", *args),
                          capture_output=True, timeout=30)
    assert done.returncode == 71
    return done.stderr.decode()


def test_two_servers_on_one_file(depot):
    server = depot.server()
    with server.connect() as conn:
        fill(conn)
        assert "another server uses it" in refused("-m", "16", "-e", depot.path)
        assert count_hits(conn) == 2001
    server.stop()


def test_start_that_fails_keeps_what_was_kept(depot):
    depot.life(do=fill)
    with Server() as other:
        text = refused("-m", "16", "-e", depot.path, "-p", str(other.port))
    assert "2001 items kept in" in text
    assert depot.life(do=count_hits) == 2001


def test_signals_while_it_starts(depot):
    """Whenever the order to stop comes, what was kept stays, unless it was served since then."""
    depot.life(do=fill)
    begun = time.monotonic()
    depot.life(do=count_hits)
    most_s = time.monotonic() - begun
    run = command(BINARY, "-p", "-1", "-U", "0", "-l", "127.0.0.1", "-e", depot.path, "-m", "16")
    rng = random.Random(SEED)
    for how in [signal.SIGUSR1] * 24 + [signal.SIGTERM, signal.SIGINT] * 6:
        server = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(rng.uniform(0, most_s))
        for _ in range(rng.randint(1, 3)):
            server.send_signal(how)
        said = server.communicate(timeout=30)[1]
        assert server.returncode in (0, -how), (SEED, how, said)
        if server.returncode == -how:
            assert depot.meta.exists(), f"too early to be caught, but it has begun; {SEED}"
        if how == signal.SIGUSR1:
            assert depot.meta.exists(), (SEED, said)
        elif not depot.meta.exists():  # it served
            depot.life(do=fill)
    assert depot.life(do=count_hits) == 2001


def test_many_signals_at_the_end(depot):
    """The first one decides; those that come while it saves change nothing."""
    server = depot.server()
    with server.connect() as conn:
        fill(conn)
    server.process.send_signal(signal.SIGUSR1)
    while server.alive():
        for how in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):
            server.process.send_signal(how)
    assert server.stop() == 0, server.errors()
    assert depot.life(do=count_hits) == 2001


def test_missing_directory(depot):
    text = refused("-e", depot.folder / "no" / "file")
    assert "cannot open the memory file" in text and "No such file or directory" in text
    assert "not a regular file" in refused("-e", "/dev/null")
    assert "cannot open the memory file" in refused("-e", depot.folder)


def test_the_file_is_private_and_as_long_as_the_limit(depot):
    depot.life("-m", "5")
    assert depot.path.stat().st_mode & 0o777 == 0o600
    assert depot.path.stat().st_size == 5 << 20
    assert depot.meta.stat().st_mode & 0o777 == 0o600


def test_no_space(depot):
    mount = depot.folder / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount)],
                      capture_output=True).returncode != 0:
        pytest.skip("NO TMPFS CAN BE MOUNTED HERE: a full disk was not tested")
    try:
        text = refused("-m", "16", "-e", mount / "memory")
        assert "cannot have 16777216 bytes for the memory file" in text
        assert "No space left on device" in text
        assert (mount / "memory").stat().st_blocks == 0
        depot.path, depot.meta = mount / "memory", mount / "memory.meta"
        depot.life("-m", "6", do=lambda conn: fill(conn, 1000))
        assert depot.life("-m", "6", do=lambda conn: count_hits(conn, 1000)) == 1001
        server = depot.server("-m", "6")  # no room for FILE.meta: said, and no crash
        rest = os.open(mount / "rest", os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(rest, bytes(4096))
        os.close(rest)
        assert server.stop(signal.SIGUSR1) == 71
        assert "cannot write" in server.errors()
    finally:
        subprocess.run(["umount", str(mount)], check=False)


def test_daemon_keeps_its_file(depot):
    pid_file = depot.folder / "pid"
    run = command(BINARY, "-d", "-P", pid_file, "-p", "0", "-s", depot.folder / "s", "-m", "16",
                  "-e", depot.path)
    assert subprocess.run(run, timeout=30).returncode == 0
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGUSR1)
    end = time.monotonic() + 30
    while pid_file.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    assert depot.meta.exists()  # the pid file goes last
    assert depot.life(do=count_hits) == 0
    assert "0 items restored" in depot.said


def test_with_dropped_privileges(depot):
    """The system call filter lets the file be saved, in several threads."""
    options = ["-t", "4", "-o", "drop_privileges"]
    done = subprocess.run(command(BINARY, *options, "-h"), capture_output=True, timeout=30)
    if done.returncode != 0:
        pytest.skip("NO SYSTEM CALL FILTER IN THIS BUILD")
    depot.life(*options, do=fill)
    assert depot.life(*options, do=count_hits) == 2001
