# SPDX-License-Identifier: BSD-3-Clause
"""Security events: docs/events.md against the table and the lines, sinks, rotation, loss."""

import collections
import ipaddress
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
import rr
from binary import Binary
from harness import Conn, Server, until
from test_tls import certs, tls_args  # noqa: F401 pylint: disable=unused-import

TABLE = harness.ROOT / "src/tbl/events.def"
DOCUMENT = harness.ROOT / "docs/events.md"
TIME = re.compile(r"20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{6}\+0000")
ROW = re.compile(r'^EVENT\(\w+,\s*(\d+), "(\w+)",\s*(\w+),\s*(\d), (\w+),\s*(\w+),\s*"([^"]+)",'
                 r'\s*"([^"]+)"\)$', re.M)
HTTP = b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture(autouse=True)
def ours(reference):
    if reference:
        pytest.skip("knows no security events")


class Row:
    """A row of tbl/events.def."""

    def __init__(self, number, name, action, severity, transport, when, category, text):
        self.signature_id, self.name = 11211000 + int(number), name
        self.action, self.severity, self.transport = action.lower(), int(severity), transport
        self.when, self.category, self.text = when, category, text


def table():
    rows = [Row(*match.groups()) for match in ROW.finditer(TABLE.read_text())]
    assert len(rows) == TABLE.read_text().count("\nEVENT(")
    return {row.name: row for row in rows}


def schema():
    """{field: (value, when)} as the document's table says."""
    rows = re.findall(r"^\| `([\w.]+)` \| (\w+) \| (always|mostly|sometimes) \|",
                      DOCUMENT.read_text(), re.M)
    return {name: (value, when) for name, value, when in rows}


def examples():
    """[(heading, event), ...]"""
    text = DOCUMENT.read_text()
    return [(name, json.loads(line)) for name, line in
            re.findall(r"^### (\w+)$.*?^```json\n(.*?)\n```$", text, re.M | re.S)]


def flat(event):
    """{"alert.action": ..., ...}; no key twice."""
    fields = {}
    for name, value in event.items():
        for inner, deep in value.items() if isinstance(value, dict) else [("", value)]:
            fields[name + "." + inner if inner else name] = deep
    return fields


def is_value(kind, value):
    if kind == "number":
        return type(value) is int and 0 <= value < 1 << 64
    if kind == "true":
        return value is True
    if not isinstance(value, str):
        return False
    if kind == "time":
        return bool(TIME.fullmatch(value))
    if kind == "address":
        return str(ipaddress.ip_address(value)) == value
    if kind == "prefix":
        network = ipaddress.ip_network(value)
        return network.prefixlen == (24 if network.version == 4 else 56)
    assert kind == "text", kind
    return value != ""


def check(event):
    """The event is as the document and the table say; returns it flat."""
    fields, known = flat(event), schema()
    assert not set(fields) - set(known), event
    for name, (kind, when) in known.items():
        if name in fields:
            assert is_value(kind, fields[name]), (name, fields[name])
        else:
            assert when != "always", (name, event)
    row = table()[fields["mc.type"]]
    dry = fields.get("mc.dry_run", False)
    assert fields["event_type"] == "alert" and fields["app_proto"] == "memcached"
    assert fields["mc.action"] == ("allowed" if dry else row.action)
    assert fields["alert.action"] == ("allowed" if fields["mc.action"] == "allowed" else "blocked")
    assert (fields["alert.signature_id"], fields["alert.signature"], fields["alert.category"],
            fields["alert.severity"]) == (row.signature_id, row.text, row.category, row.severity)
    assert (fields["alert.gid"], fields["alert.rev"]) == (1, 1)
    if row.transport == "NONE":
        assert not {"src_ip", "proto"} & set(fields)
    elif "proto" in fields:
        assert fields["proto"] == row.transport
    assert ("src_ip" in fields) == ("mc.prefix" in fields) == ("mc.sources" in fields)
    if "src_ip" in fields:
        assert ipaddress.ip_address(fields["src_ip"]) in ipaddress.ip_network(fields["mc.prefix"])
        assert 1 <= fields["mc.sources"] <= min(256, fields["mc.count"])
    assert fields["mc.count"] >= 1
    assert fields["mc.first"] <= fields["mc.last"] == fields["timestamp"]
    if fields["mc.count"] == 1:
        assert fields["mc.first"] == fields["mc.last"]
    return fields


def test_document_has_one_example_of_each_type():
    found = examples()
    assert [name for name, _ in found] == list(table())
    assert DOCUMENT.read_text().count("```json") == len(found)
    for name, event in found:
        assert check(event)["mc.type"] == name


def test_numbers_and_names_are_unique():
    rows = table()
    assert len({row.signature_id for row in rows.values()}) == len(rows)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in rows)


def test_document_names_every_sink_and_option():
    text = subprocess.run([harness.BINARY, "-h"], capture_output=True, check=True).stdout.decode()
    for word in ("events=", "events_window=", "events_all"):
        assert word in text and f"-o {word}" in DOCUMENT.read_text(), word


# ── real events ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def folder(tmp_path):
    os.chmod(tmp_path, 0o777)  # the server may become another user
    return tmp_path


def events_of(path):
    """All lines of a file, checked; an unfinished one fails."""
    text = path.read_text() if path.exists() else ""
    assert text == "" or text.endswith("\n")
    return [check(json.loads(line)) for line in text.splitlines()]


def wait_for(path, *names):
    """The first event of each of these types."""
    first = {}

    def found():
        text = path.read_text() if path.exists() else ""
        for line in text[:text.rfind("\n") + 1].splitlines():
            fields = check(json.loads(line))
            first.setdefault(fields["mc.type"], fields)
        return all(name in first for name in names)

    until(found)
    return [first[name] for name in names]


def expect(fields, conn, want):
    """All fields but times and what the table says are exactly these."""
    known = {"timestamp", "event_type", "app_proto", "mc.first", "mc.last", "mc.action",
             "dest_port"}
    got = {name: value for name, value in fields.items()
           if name not in known and not name.startswith("alert.")}
    base = {"src_ip": "127.0.0.1", "mc.prefix": "127.0.0.0/24", "proto": "TCP", "mc.count": 1,
            "mc.sources": 1, "mc.bytes_in": 0, "mc.bytes_out": 0}
    if conn is not None:
        base["src_port"] = conn.sock.getsockname()[1]
        assert fields["dest_port"] == conn.sock.getpeername()[1]
    base.update({name.replace("__", "."): value for name, value in want.items()})
    assert got == {name: value for name, value in base.items() if value is not None}


def test_connections(folder):
    log = folder / "log"
    with Server("-A", "-o", f"events=file:{log},events_window=1") as server:
        with server.connect() as foreign, server.connect() as admin:
            foreign.send(HTTP + b"flush_all\r\n")
            foreign.expect_close()
            admin.ask(b"flush_all\r\n", b"OK\r\n")
            closed, used = wait_for(log, "foreign_protocol", "admin_verb")
            expect(closed, foreign, {"mc.type": "foreign_protocol", "mc.rule": "http"})
            expect(used, admin, {"mc.type": "admin_verb", "mc.verb": "flush_all"})
            rows = admin.stats(b"security")
            assert (rows["foreign_protocol"], rows["admin_verb"]) == ("1", "1")
            assert rows["sink:0:name"] == f"file:{log}"
            assert (rows["sink:0:lines"], rows["sink:0:lines_lost"]) == ("2", "0")
            assert list(rows)[:len(table())] == list(table())
            with server.connect() as conn, Binary(conn) as client:
                assert list(client.stats(b"security")) == list(rows)
            admin.ask(b"stats reset\r\n", b"RESET\r\n")
            rows = admin.stats(b"security")
            assert (rows["foreign_protocol"], rows["admin_verb"]) == ("0", "0")
    assert len(events_of(log)) == 3


def test_every_command_of_administration_is_told(folder):
    log = folder / "log"
    verbs = {b"flush_all": 1, b"verbosity 0": 1, b"cache_memlimit 64": 1, b"refresh_certs": 1,
             b"slabs automove 1": 1, b"lru temp_ttl 60": 1, b"lru_crawler sleep 1": 1,
             b"stats detail off": 2, b"stats reset": 2, b"lru_crawler metadump all": 1,
             b"lru_crawler mgdump all": 1, b"stats cachedump 1 1": 1, b"watch": 1,
             b"config set conn_limit 500": 2, b"config reload": 2,
             b"shutdown": 1}
    with Server("-A", "-o", f"events=file:{log},events_window=1") as server:
        with server.connect() as conn:
            conn.ask(b"set a 0 0 1\r\n1\r\n", b"STORED\r\n")
            for quiet in (b"get a", b"stats", b"stats settings", b"stats items", b"version",
                          b"slabs reassign x", b"lru nonsense", b"cache_memlimit 1",
                          b"config get *", b"stats config"):
                conn.send(quiet + b"\r\nmn\r\n")
                conn.take_match(re.compile(rb"(.*\r\n)*?MN\r\n"))
        for verb in verbs:
            with server.connect() as conn:
                conn.send(verb + b"\r\n")
                assert conn.line() is not None or verb == b"shutdown"
        assert server.process.wait(10) == 0
    names = collections.Counter(fields["mc.verb"] for fields in events_of(log)
                                if fields["mc.type"] == "admin_verb")
    want = {"metadump", "mgdump", "cachedump"} | {
        " ".join(verb.decode().split()[:words]) for verb, words in verbs.items()
        if b"dump" not in verb}
    assert set(names) == want


def test_logins(folder):
    users, log = folder / "users", folder / "log"
    users.write_bytes(b"foo:bar\n")
    os.chmod(users, 0o644)
    with Server("-Y", users, "-o", f"events=file:{log},events_window=1,events_all") as server:
        with server.connect() as good, server.connect() as bad:
            good.ask(b"set x 0 0 7\r\nfoo bar\r\n", b"STORED\r\n")
            for name in (b'"\x1b[2J', b"\xff\xfe", b"foo"):
                token = name + b" geheim"
                bad.send(b"set x 0 0 %d\r\n%s\r\n" % (len(token), token))
                assert bad.line().startswith(b"CLIENT_ERROR")
            bad.ask(b"get a\r\n", b"CLIENT_ERROR unauthenticated\r\n")
            ok, failed, denied = wait_for(log, "login_ok", "login_failed", "verb_denied")
            expect(denied, bad, {"mc.type": "verb_denied", "mc.rule": "not logged in"})
            expect(ok, good, {"mc.type": "login_ok", "mc.verb": "set", "mc.user": "foo"})
            expect(failed, bad, {"mc.type": "login_failed", "mc.verb": "set", "mc.count": 3,
                                 "mc.user": '"\x1b[2J', "mc.users_differ": True})
    assert b"\x1b" not in log.read_bytes() and b"geheim" not in log.read_bytes()


def test_unix_socket_has_no_address(folder):
    log, path = folder / "log", str(folder / "server")
    with Server("-o", f"events=file:{log},events_window=1", unix=path) as server:
        with Conn(path) as conn:
            conn.send(HTTP)
            conn.expect_close()
        [fields] = wait_for(log, "foreign_protocol")
        expect(fields, None, {"mc.type": "foreign_protocol", "mc.rule": "http", "mc.local": True,
                              "src_ip": None, "mc.prefix": None, "proto": None,
                              "mc.sources": None})
        assert "dest_port" not in fields
        assert server.alive()


def test_tls_failures(folder, certs):  # noqa: F811
    log = folder / "log"
    with Server(*tls_args(certs), "-o", f"events=file:{log},events_window=1") as server:
        with server.connect() as conn:
            conn.send(b"get a\r\n" * 10)
            conn.expect_close()
            [fields] = wait_for(log, "tls_failed")
            expect(fields, conn, {"mc.type": "tls_failed", "mc.rule": fields["mc.rule"]})
            assert fields["mc.rule"] in ("wrong version number", "http request")


def test_datagrams(folder):
    log = folder / "log"
    with Server("-U", "-1", "-o", f"events=file:{log},events_window=1,events_all") as server:
        with rr.Client("127.0.0.1", server.ports()["UDP INET"]) as client:
            client.greet()
            client.ask(b"get a\r\n")
            sent = {
                "udp_malformed": ("frame-kind", rr.header(1, kind=7) + b"get a\r\n"),
                "udp_cut": ("frame-sequence", rr.header(1, sequence=1, total=2) + b"get a\r\n"),
                "udp_loop": ("kind-of-server", rr.header(1, kind=rr.CHALLENGE)
                             + rr.extension(client.nonce)),
                "udp_answer_shaped": ("answer-shaped", rr.header(1) + b"END\r\n"),
                "udp_legacy_dropped": ("legacy", rr.header(1) + b"get a\r\n"),
                "udp_cookie_forged": ("cookie-forged", rr.header(1, kind=rr.PROVEN)
                                      + rr.extension(client.nonce, rr.now()) + b"get a\r\n"),
            }
            for _, datagram in sent.values():
                client.send(datagram)
            found = wait_for(log, "udp_challenge_sent", *sent)
            port = client.here[1]
            for fields in found:
                name = fields["mc.type"]
                expect(fields, None, {
                    "mc.type": name, "proto": "UDP", "dest_ip": "127.0.0.1", "src_port": port,
                    "mc.rule": sent[name][0] if name in sent else "hello",
                    "mc.bytes_in": len(sent[name][1]) if name in sent else fields["mc.bytes_in"],
                    "mc.bytes_out": fields["mc.bytes_out"],
                    "mc.count": 1 if name in sent else 2})  # for the hello, and the bad cookie
                if table()[name].action == "dropped":
                    assert fields["mc.bytes_out"] == 0
                assert fields["mc.bytes_out"] <= fields["mc.bytes_in"]


def test_reloads(folder):
    users, log = folder / "users", folder / "log"
    users.write_bytes(b"foo:bar\n")
    os.chmod(users, 0o644)
    with Server("-Y", users, "-o", f"events=file:{log},events_window=3600") as server:
        server.process.send_signal(signal.SIGHUP)
        [fields] = wait_for(log, "rules_reloaded")  # at once, long before the window ends
        nobody = {"src_ip": None, "mc.prefix": None, "proto": None, "mc.sources": None}
        expect(fields, None,
               {"mc.type": "rules_reloaded", "mc.rule": "users and access", **nobody})
        users.write_bytes(b"no colon\n")
        server.process.send_signal(signal.SIGHUP)
        [fields] = wait_for(log, "rules_rejected")
        expect(fields, None,
               {"mc.type": "rules_rejected", "mc.rule": "users and access", **nobody})


def test_other_protocols_are_closed(folder):
    heads = {b"*1\r\n$4\r\nPING\r\n": "redis", b"SSH-2.0-x\r\n": "ssh", b"EHLO x\r\n": "smtp",
             b"\x16\x03\x01\x00\x05": "tls", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n": "proxy",
             b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\0": "proxy", b"POST / HTTP/1.0\r\n": "http"}
    log = folder / "log"
    with Server("-t", "1", "-o", f"events=file:{log}") as server:
        for head in heads:
            with server.connect() as conn:
                barrier = harness.Barrier(server)
                cut = 1 if head[:1] not in b"\r" else len(head)
                conn.send(head[:cut])  # in two pieces
                barrier.wait()
                conn.send(head[cut:])
                conn.expect_close()
        with server.connect() as conn:  # what somebody may have typed is answered as ever
            for line in (b"GET key\r\n", b"\r\n", b"*\r\n", b"SSH\r\n", b"PING\r\n"):
                assert b"ERROR" in conn.command(line[:-2])
            conn.ask(b"SSH-2.0-x\r\n", b"ERROR\r\n")  # and what is not the first line
    found = collections.Counter(fields["mc.rule"] for fields in events_of(log)
                                for _ in range(fields["mc.count"]))
    assert found == collections.Counter(heads.values())


def test_a_storm_is_one_line(folder):
    log = folder / "log"
    with Server("-o", f"events=file:{log},events_window=2") as server:
        for _ in range(300):
            with server.connect() as conn:
                conn.send(HTTP)
                conn.expect_close()
    lines = events_of(log)
    assert sum(fields["mc.count"] for fields in lines) == 300
    assert len(lines) <= 5
    assert all(fields["mc.sources"] == 1 for fields in lines)


# ── sinks ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("confined", [[], ["-o", "drop_privileges"]])
def test_rotation_under_load_loses_nothing(folder, confined):
    log = folder / "log"
    stop = threading.Event()
    sent = []

    def load(server):
        count = 0
        while not stop.is_set():
            with server.connect() as conn:
                conn.send(HTTP)
                conn.expect_close()
            count += 1
        sent.append(count)

    with Server("-o", f"events=file:{log},events_window=1", *confined) as server:
        threads = [threading.Thread(target=load, args=(server,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for turn in range(4):
            until(lambda: log.exists() and log.stat().st_size > 0)
            log.rename(folder / f"log.{turn}")
            server.process.send_signal([signal.SIGUSR2, signal.SIGHUP][turn % 2])
            until(log.exists)
        stop.set()
        for thread in threads:
            thread.join()
        with server.connect() as conn:
            rows = conn.stats(b"security")
        assert int(rows["foreign_protocol"]) == sum(sent)
        assert rows["sink:0:lines_lost"] == "0"
    total = collections.Counter()
    for path in folder.glob("log*"):
        for fields in events_of(path):
            total[fields["mc.type"]] += fields["mc.count"]
        assert path.stat().st_mode & 0o137 == 0
    assert total == {"foreign_protocol": sum(sent), "rules_reloaded": 2}


def flood(server, seconds, each=b"verbosity 0\r\nslabs automove 1\r\nlru temp_ttl 60\r\n"
                                b"flush_all\r\nlru_crawler sleep 1\r\n"):
    """Many different lines at once: commands of administration from many networks."""
    conns = []
    for net in range(48):
        sock = socket.create_connection(("127.0.0.1", server.port), harness.WAIT_S,
                                        source_address=(f"127.0.{net}.1", 0))
        conns.append(sock)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for sock in conns:
            sock.sendall(each)
        for sock in conns:
            got = b""
            while got.count(b"OK\r\n") < each.count(b"\n"):
                got += sock.recv(65536)
        yield
    for sock in conns:
        sock.close()


def slowest_answer(server):
    with server.connect() as conn:
        start = time.monotonic()
        conn.ask(b"mn\r\n", b"MN\r\n")
        return time.monotonic() - start


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("confined", [[], ["-o", "drop_privileges"]])
def test_a_reader_that_does_not_read_slows_nobody(folder, kind, confined):
    path, log = str(folder / "sink"), folder / "log"
    with socket.socket(socket.AF_UNIX, kind) as sink:
        sink.bind(path)
        os.chmod(path, 0o777)
        if kind == socket.SOCK_STREAM:
            sink.listen()
        with Server("-o", f"events=unix:{path}+file:{log},events_window=1", *confined) as server:
            with server.connect() as conn:
                for _ in flood(server, 20):
                    assert slowest_answer(server) < 2.0
                    if int(conn.stats(b"security")["sink:0:lines_lost"]) > 0:
                        break
                rows = conn.stats(b"security")
            assert int(rows["sink:0:lines_lost"]) > 0
            assert rows["sink:1:lines_lost"] == "0"
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 8.0  # it waits a second for the sink, not for ever
    assert sum(fields["mc.count"] for fields in events_of(log)) > 0


@pytest.mark.parametrize("confined", [[], ["-o", "drop_privileges"]])
def test_a_reader_that_comes_dies_and_comes_again(folder, confined):
    path = str(folder / "sink")

    def listen():
        sink = socket.socket(socket.AF_UNIX)
        sink.bind(path)
        os.chmod(path, 0o777)
        sink.listen()
        sink.settimeout(harness.WAIT_S * 2)
        return sink

    def one(server, stream):
        with server.connect() as conn:
            conn.ask(b"flush_all\r\n", b"OK\r\n")
        fields = check(json.loads(stream.readline()))
        assert fields["mc.type"] == "admin_verb"

    with Server("-o", f"events=unix:{path}", *confined) as server:
        assert "cannot be written to" in server.errors()
        with server.connect() as conn:
            conn.ask(b"flush_all\r\n", b"OK\r\n")  # waits for the reader
        for turn in range(2):
            if turn == 1:
                with server.connect() as conn:
                    conn.ask(b"flush_all\r\n", b"OK\r\n")
            with listen() as sink:
                stream, _ = sink.accept()
                with stream, stream.makefile("rb") as reader:
                    stream.settimeout(harness.WAIT_S)
                    assert check(json.loads(reader.readline()))["mc.verb"] == "flush_all"
                    one(server, reader)
            os.unlink(path)
        with server.connect() as conn:
            assert conn.stats(b"security")["sink:0:lines_lost"] == "0"
        assert "can be written to again" in server.errors()


SYSLOG = re.compile(rb"<(\d+)>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (\S+) matted (\d+) "
                    rb"(\w+) - (\{.*\})")


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6])
def test_syslog(folder, family):
    with socket.socket(family, socket.SOCK_DGRAM) as sink:
        if family == socket.AF_UNIX:
            where = str(folder / "syslog")
            sink.bind(where)
            os.chmod(where, 0o777)
        elif family == socket.AF_INET:
            sink.bind(("127.0.0.1", 0))
            where = f"127.0.0.1:{sink.getsockname()[1]}"
        else:
            sink.bind(("::1", 0))
            where = f"[::1]:{sink.getsockname()[1]}"
        sink.settimeout(harness.WAIT_S)
        with Server("-o", f"events=syslog:{where},events_window=1") as server:
            with server.connect() as conn:
                conn.ask(b"flush_all\r\n", b"OK\r\n")
            with server.connect() as conn:
                conn.send(HTTP)
                conn.expect_close()
            for kind, priority in (("admin_verb", 85), ("foreign_protocol", 85)):
                match = SYSLOG.fullmatch(sink.recv(65536))
                fields = check(json.loads(match[6]))
                assert match[5].decode() == fields["mc.type"] == kind
                assert int(match[1]) == priority
                assert match[2].decode()[:-1] + "+0000" == fields["timestamp"]
                assert int(match[4]) == server.process.pid


def test_stderr(folder):
    with Server("-o", "events=stderr") as server:
        with server.connect() as conn:
            conn.ask(b"flush_all\r\n", b"OK\r\n")
        def lines():
            return [line for line in server.errors().splitlines() if line.startswith("{")]
        until(lines)
        assert check(json.loads(lines()[0]))["mc.verb"] == "flush_all"


@pytest.mark.parametrize("value, words", [
    ("events", "needs a value"),
    ("events=", "is empty"),
    ("events=foo", "not a sink"),
    ("events=stderr+", "not a sink"),
    ("events=file:", "needs a path"),
    ("events=file:/nowhere/at/all", "No such file"),
    ("events=syslog:host", "not syslog:HOST:PORT"),
    ("events=syslog:[::1]:x", "1..65535"),
    ("events_window=0", "1..3600"),
])
def test_what_cannot_be_used_is_refused(value, words):
    done = subprocess.run(harness.command(harness.BINARY, "-p", "-1", "-U", "0", "-o", value),
                          capture_output=True, timeout=30)
    assert done.returncode == 1
    text = done.stderr.decode()
    assert words in text and text.count("\n") == 1, text
