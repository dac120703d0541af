# SPDX-License-Identifier: BSD-3-Clause
"""Who may come in: access lists, what they leave of each command, reloads, protected mode.

Clients come from addresses of 127.0.0.0/8, which are all this machine's; "another machine" is this
one by an address of its network card, and such tests are skipped where it has none.
"""

import os
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest

import binary
import harness
from test_tls import TlsConn, certs, client, tls_args  # noqa: F401 pylint: disable=unused-import

READ, WRITE, ADMIN, FLUSH = 1, 2, 4, 8
CLASSES = {"READ": READ, "WRITE": WRITE, "ADMIN": ADMIN, "FLUSH": FLUSH, "LOGIN": 0}
NAMES = {READ: "read", WRITE: "write", ADMIN: "admin", FLUSH: "flush_prefix"}
DENIED = b"CLIENT_ERROR access denied"
DENIED_STATUS = 0x24
PROTECTED = b"SERVER_ERROR protected mode: "
TABLES = harness.ROOT / "src" / "tbl"


@pytest.fixture(scope="module", autouse=True)
def ours(reference):
    if reference:
        pytest.skip("memcached has no access lists")


class From(harness.Conn):
    """A connection from that address of this machine."""

    def __init__(self, port, source="127.0.0.1", host="127.0.0.1"):
        self.sock = socket.create_connection((host, port), harness.WAIT_S,
                                             source_address=(source, 0))
        self.sock.settimeout(harness.WAIT_S)
        self.buffer = bytearray()


class Listed:
    """A server with a file of rules.  A context manager."""

    def __init__(self, folder, rules, *args, **more):
        os.chmod(folder, 0o755)
        self.path = folder / "access"
        self.write(rules)
        self.server = harness.Server("-t", "2", "-v", "-o", f"access_file={self.path}", *args,
                                     **more)
        self.port = self.server.port

    def write(self, rules):
        """As an operator should: a file that is only half there is a list of fewer rules."""
        self.path.with_suffix(".new").write_text(rules)
        self.path.with_suffix(".new").rename(self.path)

    def reload(self, rules, words="rules of the access list: "):
        """Read these rules, and wait for the line that says so."""
        before = self.server.errors().count(words)
        self.write(rules)
        self.server.process.send_signal(signal.SIGHUP)
        harness.until(lambda: self.server.errors().count(words) > before)

    def come(self, source="127.0.0.1"):
        return From(self.port, source)

    def is_denied(self, source):
        """Closed at once, without a word."""
        with self.come(source) as conn:
            try:
                return conn.sock.recv(100) == b""
            except ConnectionResetError:
                return True

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.server.__exit__(*what)


def classes_text(classes):
    return ",".join(name for bit, name in NAMES.items() if classes & bit)


def granted(classes):
    """Who may flush everything may flush a part of it."""
    return classes | (FLUSH if classes & ADMIN else 0)


def source_of(classes):
    return f"127.0.1.{classes + 1}"


@pytest.fixture(scope="module")
def by_class(tmp_path_factory):
    """A server on which 127.0.1.N may use the classes N - 1."""
    rules = "".join(f"allow {source_of(classes)} {classes_text(classes)}\n"
                    for classes in range(1, 16))
    # Whom nothing is left does not get in at all; a user with no class is the users' matter.
    with Listed(tmp_path_factory.mktemp("access"), rules + "allow 127.0.0.1") as listed:
        yield listed


@pytest.fixture
def here(by_class):
    """A key of that server that is there."""
    with by_class.come() as conn:
        conn.ask(b"flush_all\r\n", b"OK\r\n")
        conn.set(b"here", b"1")


# ── every command and every set of classes, from the tables ────────────────────────────────────


def table(name, row):
    text = re.sub(r"/\*.*?\*/", "", (TABLES / name).read_text(), flags=re.S)
    text = re.sub(r"#ifdef.*?#endif", "", text, flags=re.S)
    rows = [[field.strip().strip('"') for field in line.split(",")]
            for line in re.findall(row + r"\((.*?)\)\n", text)]
    assert len(rows) > 15
    return rows


SHAPES = {
    "KEYS": "{} here", "TOUCH_KEYS": "{} 0 here", "STORE": "{} k 0 0 1\r\nx",
    "CAS": "{} k 0 0 1 1\r\nx", "KEY": "{} k", "NUMBER": "{} k 1", "EXPTIME": "{} k 0",
    "META": "{} k k", "META_VALUE": "{} k 1\r\nx", "LINE": "{}", "ARGS": "{}", "PREFIX": "{} k",
}
NEEDS_NOTHING = {"version", "quit", "mn"}
COMMANDS = [(SHAPES[shape].format(word), 0 if word in NEEDS_NOTHING else CLASSES[class_])
            for _, word, shape, _, class_, _ in table("commands.def", "COMMAND")
            if word not in ("stats", "drain")]
COMMANDS += [
    ("stats", READ), ("stats settings", ADMIN), ("stats conns", ADMIN), ("stats reset", ADMIN),
    ("stats access", ADMIN), ("stats nonsense", ADMIN), ("stats  items", ADMIN),
    ("mg k t", READ), ("mg k N60", WRITE), ("mg k v T60", WRITE), ("mg k v E5", READ),
    ("gets a b c", READ), ("set k 0 0 1 noreply\r\nx", WRITE), ("delete k noreply", WRITE),
    ("touch k 0 noreply", WRITE), ("incr k 1 noreply", WRITE), ("flush_all noreply", ADMIN),
    ("flush_all 100", ADMIN), ("verbosity 1 noreply", ADMIN), ("ms k 1 q\r\nx", WRITE),
    ("md k q", WRITE), ("ma k q", WRITE), ("mg k q", READ), ("watch", ADMIN),
    ("lru_crawler metadump all", ADMIN), ("lru_crawler mgdump hash", ADMIN),
    ("cache_memlimit 64 noreply", ADMIN), ("slabs reassign 1 2", ADMIN), ("nonsense", 0),
    ("drain stop", ADMIN),  # not drain: others use this server, too
]


@pytest.mark.parametrize("text,needed", COMMANDS, ids=[row[0][:30] for row in COMMANDS])
def test_text(by_class, text, needed):
    for classes in range(1, 16):
        with by_class.come(source_of(classes)) as conn:
            if needed & ~granted(classes):
                conn.send(text.encode() + b"\r\nmn\r\n")
                if "noreply" not in text:
                    conn.expect(DENIED + b"\r\n")
                conn.expect(b"MN\r\n")  # its data block was taken off, and nothing else said
            elif text not in ("quit", "shutdown"):
                conn.send(text.encode() + b"\r\nmn\r\n")
                assert conn.line() != DENIED


EXTRAS = {"NO": b"", "MAYBE": b"", "STORE": struct.pack(">II", 0, 0),
          "ARITH": struct.pack(">QQI", 1, 0, 0), "EXPTIME": struct.pack(">I", 0)}
OPCODES = []
for _id, _code, _quiet, _extras, _key, _value, _class, _ in table("opcodes.def", "OPCODE"):
    for _number in (_code, _quiet):
        if _number != "NONE":
            _packet = binary.request(int(_number, 0), b"k" if _key == "YES" else b"",
                                     b"1" if _value == "ANY" else b"", EXTRAS[_extras])
            _needed = {"QUIT": 0, "NOOP": 0, "STAT": READ}.get(_id, CLASSES[_class])
            OPCODES.append((f"{_id}-{_number}", int(_number, 0), _packet, _needed))
OPCODES += [(f"stat {key}", 0x10, binary.request("stat", key.encode()), ADMIN)
            for key in ("settings", "reset", "access", "items")]


@pytest.mark.parametrize("code,packet,needed", [row[1:] for row in OPCODES],
                         ids=[row[0] for row in OPCODES])
def test_binary(by_class, code, packet, needed):
    for classes in range(1, 16):
        with binary.Binary(by_class.come(source_of(classes))) as conn:
            conn.send(packet, binary.request("noop", opaque=7))
            answer = conn.answer()
            if needed & ~granted(classes):
                assert (answer.opcode, answer.status) == (code, DENIED_STATUS)
                assert conn.answer().opaque == 7
            else:
                assert answer is None or answer.status != DENIED_STATUS


@pytest.mark.usefixtures("here")
def test_large_value_is_taken_off(by_class):
    """An upload that may not be: refused when all of it has come, and nothing of it is kept."""
    with by_class.come(source_of(READ)) as conn:
        for size in (16 * 1024, 100 * 1024, 600 * 1024):
            conn.send(b"set large 0 0 %d\r\n" % size + b"x" * size + b"\r\nget large here\r\n")
            conn.expect(DENIED + b"\r\nVALUE here 0 1\r\n1\r\nEND\r\n")
            conn.send(b"set large 0 0 %d noreply\r\n" % size + b"x" * size + b"\r\nmn\r\n")
            conn.expect(b"MN\r\n")
            conn.send(b"ms large %d\r\n" % size + b"x" * size + b"\r\nmn\r\n")
            conn.expect(DENIED + b"\r\nMN\r\n")
    with binary.Binary(by_class.come(source_of(READ))) as conn:
        conn.send(binary.store("set", b"large", b"x" * 600000), binary.request("noop"))
        assert conn.answer().status == DENIED_STATUS
        assert conn.answer().status == binary.OK
        conn.send(binary.store("setq", b"large", b"x" * 600000), binary.request("noop"))
        assert conn.answer().status == DENIED_STATUS
        assert conn.answer().status == binary.OK


def test_value_in_pieces(by_class):
    with by_class.come(source_of(READ)) as conn:
        for piece in (b"set larg", b"e 0 0 100000\r\n", b"x" * 50000, b"x" * 50000 + b"\r", b"\nm",
                      b"n\r\n"):
            conn.send(piece)
            time.sleep(0.02)  # likely, not surely, a read of its own
        conn.expect(DENIED + b"\r\nMN\r\n")


@pytest.mark.usefixtures("here")
def test_pipeline(by_class):
    """Each request is judged by itself, whatever stands around it."""
    with by_class.come(source_of(READ)) as conn:
        conn.send(100 * b"get here\r\nset k 0 0 1\r\nx\r\nflush_all\r\nmg here v\r\nmd here\r\n")
        conn.expect(100 * (b"VALUE here 0 1\r\n1\r\nEND\r\n" + DENIED + b"\r\n" + DENIED + b"\r\n" +
                           b"VA 1\r\n1\r\n" + DENIED + b"\r\n"))
    with by_class.come(source_of(WRITE)) as conn:
        conn.send(50 * b"set w 0 0 1\r\nx\r\nget w\r\ndelete w\r\n")
        conn.expect(50 * (b"STORED\r\n" + DENIED + b"\r\nDELETED\r\n"))


def test_refusals_are_told_as_events(tmp_path):
    with Listed(tmp_path, "allow 127.0.1.2 read\nallow 127.0.0.1\n") as listed:
        with listed.come("127.0.1.2") as conn:
            conn.ask(b"set a 0 0 1\r\nx\r\n", DENIED + b"\r\n")
            conn.ask(b"flush_all\r\n", DENIED + b"\r\n")
        assert listed.is_denied("127.0.2.2")
        with listed.come() as conn:
            stats = conn.stats(b"security")
    assert stats["verb_denied"] == "2"
    assert stats["conn_denied"] == "1"


# ── lists and their reload ─────────────────────────────────────────────────────────────────────


def test_options(tmp_path):
    """-o deny and allow come before the file's rules."""
    with Listed(tmp_path, "allow 127.3.0.0/16\nallow 127.2.0.9\n", "--deny=127.2.0.5+127.2.0.9",
                "-o", "allow=127.2.0.0/16+127.0.0.1") as listed:
        assert listed.is_denied("127.2.0.5")
        assert listed.is_denied("127.2.0.9")
        assert listed.is_denied("127.4.0.1")
        for source in ("127.2.0.6", "127.3.3.3"):
            with listed.come(source) as conn:
                conn.ask(b"mn\r\n", b"MN\r\n")
        with listed.come() as conn:
            stats = conn.stats(b"access")
        assert "access rule line:2 never matches, for deny:2 and others before it match first: " \
               "allow 127.2.0.9" in listed.server.errors()
    assert stats == {
        "protected_mode": "yes", "access_list": "yes", "rules": "6",
        "deny:1": "1 deny 127.2.0.5", "deny:2": "1 deny 127.2.0.9",
        "allow:1": "1 allow 127.2.0.0/16", "allow:2": "1 allow 127.0.0.1",
        "line:1": "1 allow 127.3.0.0/16", "line:2": "0 allow 127.2.0.9", "default": "1 deny all"}


def test_reload(tmp_path):
    with Listed(tmp_path, "allow 127.0.0.0/24\nallow 127.0.1.1 read\n") as listed, \
            listed.come("127.0.1.1") as conn:
        conn.ask(b"set a 0 0 1\r\nx\r\n", DENIED + b"\r\n")
        listed.reload("allow 127.0.1.1 read,write\n")
        conn.ask(b"set a 0 0 1\r\nx\r\n", b"STORED\r\n")  # in mid-connection
        listed.reload("allow 127.0.1.1 read\n")
        conn.ask(b"set a 0 0 1\r\ny\r\nget a\r\n", DENIED + b"\r\nVALUE a 0 1\r\nx\r\nEND\r\n")


def test_reload_that_fails_keeps_the_rules(tmp_path):
    with Listed(tmp_path, "allow 127.0.0.1\n") as listed, listed.come() as conn:
        listed.reload("deny all\nallow 127.0.1.1/8\n", "users and access stay as they were: ")
        assert (f"malformed rule in {listed.path}, line 2, column 7: 127.0.1.1/8 has bits behind "
                "its prefix; the network is 127.0.0.0/8") in listed.server.errors()
        conn.ask(b"mn\r\n", b"MN\r\n")
        assert listed.is_denied("127.0.1.1")
        listed.path.unlink()
        before = listed.server.errors()
        listed.server.process.send_signal(signal.SIGHUP)
        harness.until(lambda: "could not open" in listed.server.errors()[len(before):])
        conn.ask(b"mn\r\n", b"MN\r\n")
        listed.reload("allow 127.0.1.1\nallow 127.0.0.1\n")
        with listed.come("127.0.1.1") as other:
            other.ask(b"mn\r\n", b"MN\r\n")


def test_reload_closes_whom_nothing_is_left(tmp_path):
    """Silent ones as well: before their first byte, between requests, in a value, watching."""
    with Listed(tmp_path, "allow 127.0.0.0/16\n") as listed:
        silent = [listed.come("127.0.1.1") for _ in range(40)]
        spoken = [listed.come("127.0.1.2") for _ in range(40)]
        stay = listed.come("127.0.0.1")
        partly, watcher = listed.come("127.0.1.3"), listed.come("127.0.1.4")
        for conn in spoken + [stay]:
            conn.ask(b"mn\r\n", b"MN\r\n")
        partly.send(b"set k 0 0 100000\r\nabc")
        watcher.ask(b"watch fetchers\r\n", b"OK\r\n")
        listed.reload("deny 127.0.1.0/24\nallow all\n")
        for conn in silent + spoken + [partly, watcher]:
            conn.expect_close()
            conn.close()
        stay.ask(b"mn\r\n", b"MN\r\n")
        assert stay.get(b"k") is None
        harness.until(lambda: int(stay.stats()["curr_connections"]) == 1)
        assert int(stay.stats(b"security")["conn_denied"]) >= 80
        stay.close()


def test_reload_ends_what_watches(tmp_path):
    """A watcher whose class is taken away, though it may come in."""
    with Listed(tmp_path, "allow 127.0.0.0/8\n") as listed, listed.come("127.0.1.1") as watcher:
        watcher.ask(b"watch fetchers\r\n", b"OK\r\n")
        listed.reload("allow 127.0.0.0/8 read,write\n")
        watcher.expect_close()


def test_reload_under_load(tmp_path):
    """Rules that change all the time never let one request of a forbidden class through."""
    with Listed(tmp_path, "allow 127.0.0.1\nallow 127.0.1.1 read\n") as listed, \
            listed.come("127.0.1.1") as conn:
        end = time.monotonic() + 2
        turn = 0
        while time.monotonic() < end:
            turn += 1
            listed.write(f"deny 127.9.0.{turn % 200}\nallow 127.0.0.1\nallow 127.0.1.1 read\n")
            listed.server.process.send_signal(signal.SIGHUP)
            conn.send(50 * b"set k 0 0 1\r\nx\r\nget k\r\n")
            conn.expect(50 * (DENIED + b"\r\nEND\r\n"))


def test_reload_changes_the_hits_shown(tmp_path):
    with Listed(tmp_path, "allow 127.0.0.1\n") as listed:
        for _ in range(3):
            with listed.come() as conn:
                conn.ask(b"mn\r\n", b"MN\r\n")
        with listed.come() as conn:
            assert conn.stats(b"access")["line:1"] == "4 allow 127.0.0.1"
            listed.reload("# new\nallow 127.0.0.0/8\n")
            assert conn.stats(b"access")["line:2"] == "1 allow 127.0.0.0/8"


def test_example_of_the_documentation(tmp_path):
    """docs/access.md: the list is a good one, and the options there exist."""
    text = (harness.ROOT / "docs" / "access.md").read_text()
    rules = re.search(r"^    # who may do what\n(?:    .*\n)+", text, re.M).group(0)
    with Listed(tmp_path, "allow all\n") as listed:
        listed.reload(rules.replace("10.1.0.5:11212", f"127.0.0.1:{listed.port}"))
        with listed.come() as conn:
            stats = conn.stats(b"access")
    assert stats["rules"] == str(len(rules.splitlines()) - 1)
    assert [line.split()[1] for line in rules.splitlines()[1:]] == [
        row.split()[2] for name, row in stats.items() if name.startswith("line:")]


def test_thousands_of_rules(tmp_path):
    rules = "".join(f"allow 10.{i >> 8 & 255}.{i & 255}.0/24 read\n" for i in range(30000))
    with Listed(tmp_path, rules + "allow 127.0.0.1\n") as listed:
        with listed.come() as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
            stats = conn.stats(b"access")
        assert listed.is_denied("127.0.0.2")
    assert stats["rules"] == "30001"
    assert stats["line:30001"] == "1 allow 127.0.0.1"
    assert stats["line:777"] == "0 allow 10.3.8.0/24 read"


def test_binary_stats(tmp_path):
    with Listed(tmp_path, "allow 127.0.0.1\n") as listed, \
            binary.Binary(listed.come()) as conn:
        conn.send(binary.request("stat", b"access"))
        rows = {}
        while (answer := conn.answer()).key:
            rows[answer.key] = answer.value
    assert rows[b"line:1"] == b"1 allow 127.0.0.1"


def free_port():
    with socket.create_server(("0.0.0.0", 0)) as server:
        return server.getsockname()[1]


def test_listeners_apart(tmp_path):
    """One list, two ports: everything by one, reading by the other."""
    one, two = free_port(), free_port()
    os.chmod(tmp_path, 0o755)
    path = tmp_path / "access"
    path.write_text(f"allow 127.0.0.0/8 on 127.0.0.2:{two}\nallow 127.0.0.0/8 read\n")
    with harness.Server("-o", f"access_file={path}", listen=f"127.0.0.1:{one},127.0.0.2:{two}"):
        with From(one) as conn:
            conn.ask(b"set a 0 0 1\r\nx\r\n", DENIED + b"\r\n")
        with From(two, host="127.0.0.2") as conn:
            conn.ask(b"set a 0 0 1\r\nx\r\n", b"STORED\r\n")


def test_unix_socket(tmp_path):
    os.chmod(tmp_path, 0o755)
    path = tmp_path / "access"
    socket_path = str(tmp_path / "socket")
    path.write_text("deny all\n")
    with harness.Server("-o", f"access_file={path}", unix=socket_path) as server:
        with server.connect() as conn:
            conn.ask(b"set a 0 0 1\r\nx\r\n", b"STORED\r\n")
    path.write_text("allow all on unix read\n")
    with harness.Server("-o", f"access_file={path}", unix=socket_path) as server:
        with server.connect() as conn:
            conn.ask(b"set a 0 0 1\r\nx\r\nget a\r\n", DENIED + b"\r\nEND\r\n")


def test_users_and_rules_together(tmp_path):
    """What may be done is what address and user both may."""
    users = tmp_path / "users"
    users.write_text("foo:bar\n")
    with Listed(tmp_path, "allow 127.0.1.1 read\nallow 127.0.0.1\n", "-Y", users) as listed:
        with listed.come("127.0.1.1") as conn:
            conn.ask(b"set a 0 0 7\r\nfoo bar\r\n", b"STORED\r\n")
            conn.ask(b"set a 0 0 1\r\nx\r\nget a\r\n", DENIED + b"\r\nEND\r\n")
        with listed.come() as conn:
            conn.ask(b"get a\r\n", b"CLIENT_ERROR unauthenticated\r\n")
        assert listed.is_denied("127.0.1.2")


def run(*args):
    done = subprocess.run(harness.command(harness.BINARY, "-p", "-1", *args), capture_output=True,
                          timeout=harness.START_S, stdin=subprocess.DEVNULL)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("rules,words", [
    ("allow 10.0.0.0/8\nalow all\n", ", line 2, column 1: 'alow' is neither 'allow' nor 'deny'"),
    ("allow all on 1\n", ", line 1, column 14: nothing listens on this port"),
    ("deny all on [::1]:1\n", ", line 1, column 13: nothing listens on this address and port"),
    ("allow all raed", ", line 1, column 11: 'raed' is no class; "
     "there are read, write, flush_prefix, admin"),
])
def test_bad_files_end_the_start(tmp_path, rules, words):
    os.chmod(tmp_path, 0o755)
    path = tmp_path / "access"
    path.write_text(rules)
    status, errors = run(f"--access-file={path}")
    assert status != 0
    assert f"matted: malformed rule in {path}{words}" in errors


@pytest.mark.parametrize("args,words", [
    (["--access-file=/nowhere"], "could not open /nowhere for reading rules: No such file"),
    (["--access-file"], "-o access_file needs a value"),
    (["--access-file", "/nowhere"], "could not open /nowhere"),
    (["-o", "allow=10.0.0.0/8+::/0+10.1.1.1/8"], "malformed rule in -o allow, line 1, column 17: "
     "10.1.1.1/8 has bits behind its prefix; the network is 10.0.0.0/8"),
    (["--deny", "10.0.0.0/8,x"], "malformed rule in -o deny, line 1, column 12: 'x' is no address"),
    (["--protected-mode=off"], "-o protected_mode: 'off'"),
    (["--lru-crawler"], "unknown option --lru-crawler"),
    (["--access_file=x"], "unknown option --access_file"),
])
def test_bad_options(args, words):
    status, errors = run(*args)
    assert status != 0
    assert words in errors


def test_empty_list_is_told_of(tmp_path):
    with Listed(tmp_path, "# nobody\n") as listed:
        assert "warning: the access list has no rules" in listed.server.errors()
        assert listed.is_denied("127.0.0.1")


def test_a_list_that_only_denies_is_told_of(tmp_path):
    with Listed(tmp_path, "deny 10.0.0.0/8\n") as listed:
        assert "has no rule that allows any, so no address" in listed.server.errors()
        assert listed.is_denied("127.0.0.1")


# ── protected mode ─────────────────────────────────────────────────────────────────────────────


def own_address():
    """An address of this machine that is not loopback; None: it has none. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith("127.") else address


@pytest.fixture(scope="module")
def outside():
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    return address


def come_from_outside(server, outside):
    return harness.Conn((outside, server.port))


def test_protected_mode_refuses_with_words(outside):
    with harness.Server("-t", "1", listen="0.0.0.0") as server:
        with come_from_outside(server, outside) as conn:
            words = conn.line()
            assert words.startswith(PROTECTED)
            for way in (b"-Y FILE", b"--access-file=FILE", b"--allow=CIDR", b"--protected-mode=no"):
                assert way in words
            conn.expect_close()
        with server.connect() as conn:
            conn.set(b"a", b"x")
            assert conn.stats(b"security")["conn_protected"] == "1"


def test_protected_mode_and_a_client_that_speaks_first(outside):
    with harness.Server("-t", "1", listen="0.0.0.0") as server, \
            come_from_outside(server, outside) as conn:
        conn.send(b"set a 0 0 1\r\nx\r\n")
        assert conn.line().startswith(PROTECTED)


@pytest.mark.parametrize("args", [
    ["--protected-mode=no"], ["-o", "protected_mode=no"], ["-o", "no_protected_mode"],
    ["--allow=0.0.0.0/0"], ["--allow", "all"],
])
def test_ways_out_of_protected_mode(outside, args):
    with harness.Server(*args, listen="0.0.0.0") as server, \
            come_from_outside(server, outside) as conn:
        conn.set(b"a", b"x")


def test_users_lift_protected_mode(outside, tmp_path):
    os.chmod(tmp_path, 0o755)
    users = tmp_path / "users"
    users.write_text("foo:bar\n")
    with harness.Server("-Y", users, listen="0.0.0.0") as server, \
            come_from_outside(server, outside) as conn:
        conn.ask(b"get a\r\n", b"CLIENT_ERROR unauthenticated\r\n")
        conn.ask(b"set a 0 0 7\r\nfoo bar\r\n", b"STORED\r\n")


def test_tls_is_protected_without_words(outside, certs):
    with harness.Server(*tls_args(certs), listen="0.0.0.0") as server:
        with come_from_outside(server, outside) as conn:
            conn.expect_close()
        with pytest.raises((ssl.SSLError, OSError)):
            TlsConn(server.port, client(certs), host=outside)


def test_client_certificates_lift_protected_mode(outside, certs):
    """Of that listener alone."""
    args = tls_args(certs, f"ssl_ca_cert={certs.path('ca.pem')}")
    mutual, one_sided = free_port(), free_port()
    with harness.Server(*args, listen=f"mtls:0.0.0.0:{mutual},btls:0.0.0.0:{one_sided}"):
        context = client(certs)
        context.load_cert_chain(certs.path("client.pem"), certs.path("client.key"))
        with TlsConn(mutual, context, host=outside) as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
        with harness.Conn((outside, one_sided)) as conn:
            conn.expect_close()


def test_own_machine_is_always_served():
    with harness.Server(listen="0.0.0.0,::1") as server:
        for host in ("127.0.0.1", "127.8.8.8", "::1"):
            with harness.Conn((host, server.port)) as conn:
                conn.ask(b"mn\r\n", b"MN\r\n")


# ── what the start says ────────────────────────────────────────────────────────────────────────


def glance(*args, listen="127.0.0.1", **more):
    """The rows without addresses, blanks as one, and the warnings."""
    with harness.Server("-v", *args, listen=listen, **more) as server:
        harness.until(lambda: "listening on" in server.errors())  # it could be reached before
        server.process.terminate()
        server.process.wait(harness.WAIT_S)
        lines = server.errors().splitlines()
    rows = [re.sub(r"  +", "|", line.split("listening on ")[1]).split("|", 1)[1]
            for line in lines if "listening on" in line]
    protected = any("(protected mode)" in row for row in rows)
    assert sum("note: protected mode refuses clients" in line for line in lines) == protected
    return rows, [line for line in lines if "is open to everybody" in line]


HERE, SAFE = "this machine", "this machine (protected mode)"


@pytest.mark.parametrize("args,listen,rows,warnings", [
    ([], "127.0.0.1", [f"plain|{HERE}|anybody|all commands"], 0),
    ([], "127.0.0.1,::1", [f"plain|{HERE}|anybody|all commands"] * 2, 0),
    ([], "0.0.0.0", [f"plain|{SAFE}|anybody|all commands"], 0),
    ([], "127.0.0.1,0.0.0.0:0", [f"plain|{HERE}|anybody|all commands",
                                 f"plain|{SAFE}|anybody|all commands"], 0),
    (["--protected-mode=no"], "127.0.0.1", [f"plain|{HERE}|anybody|all commands"], 0),
    (["--protected-mode=no"], "0.0.0.0", ["plain|everywhere|anybody|all commands"], 1),
    (["--protected-mode=no"], "0.0.0.0,::", ["plain|everywhere|anybody|all commands"] * 2, 2),
    (["--allow=10.0.0.0/8"], "0.0.0.0", ["plain|1 rule|anybody|by rule"], 0),
    (["--allow=10.0.0.0/8", "--deny=10.1.0.0/16", "--protected-mode=no"], "127.0.0.1,0.0.0.0:0",
     ["plain|2 rules|anybody|by rule"] * 2, 0),
    (["-U", "-1"], "127.0.0.1", [f"plain|{HERE}|anybody|all commands", f"rr|{HERE}|anybody|reads"],
     0),
    (["-U", "-1", "-o", "udp_writes"], "0.0.0.0",
     [f"plain|{SAFE}|anybody|all commands", f"rr|{SAFE}|anybody|reads, writes"], 0),
    (["-U", "-1", "--protected-mode=no"], "0.0.0.0",
     ["plain|everywhere|anybody|all commands", "rr|everywhere|anybody|reads"], 2),
])
def test_glance(args, listen, rows, warnings):
    got, warned = glance(*args, listen=listen)
    assert sorted(got) == sorted(rows)
    assert len(warned) == warnings


def test_glance_of_users(tmp_path):
    os.chmod(tmp_path, 0o755)
    users = tmp_path / "users"
    users.write_text("foo:bar\n")
    assert glance("-Y", users, listen="0.0.0.0") == (["plain|everywhere|login|by user"], [])
    assert glance("-Y", users, "--allow=127.0.0.1", listen="0.0.0.0") == (
        ["plain|1 rule|login|by rule and user"], [])


def test_glance_of_tls(certs):
    args = tls_args(certs, f"ssl_ca_cert={certs.path('ca.pem')}")
    got = glance(*args, "--protected-mode=no",
                 listen="0.0.0.0,mtls:0.0.0.0:0,notls:127.0.0.1:0,btls:127.0.0.2:0")
    assert sorted(got[0]) == sorted([
        "TLS|everywhere|anybody|all commands", "mTLS|everywhere|certificate|all commands",
        f"plain|{HERE}|anybody|all commands", f"TLS|{HERE}|anybody|all commands"])
    assert len(got[1]) == 1


def test_glance_of_a_unix_socket(tmp_path):
    os.chmod(tmp_path, 0o755)
    path = str(pathlib.Path(tmp_path) / "socket")
    assert glance("-a", "770", unix=path) == (
        ["plain|this machine (mode 770)|anybody|all commands"], [])
