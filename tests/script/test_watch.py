# SPDX-License-Identifier: BSD-3-Clause
"""watch: every event's line, slow and leaving watchers, statistics, limits.

The lines were compared with memcached 1.6.18; where a row says so, the specification of 1.6.45
knows more (deletions).
"""

import re
import select
import socket
import struct
import threading
import time

import pytest

import harness

ALL = b"fetchers mutations evictions connevents sysevents deletions"
HEAD = re.compile(rb"ts=\d+\.(0|[1-9]\d{0,5}) gid=(\d+) (.*)$")


class Watcher(harness.Conn):
    """A connection that watches."""

    def __init__(self, server, streams=b""):
        super().__init__(server.unix or ("127.0.0.1", server.port))
        self.ask(b"watch %s\r\n" % streams if streams else b"watch\r\n", b"OK\r\n")

    def event(self):
        """The next line, without time and gid."""
        line = self.line()
        assert line is not None, "the watcher was closed"
        match = HEAD.match(line)
        assert match, line
        return match.group(3).decode()

    def silent(self, wait_s=0.2):
        return not self.buffer and not harness.readable(self, wait_s)


@pytest.fixture
def served(pool):
    return pool.get("-t", "2", "-o", "no_slab_automove")


@pytest.fixture
def fresh():
    with harness.Server("-t", "2") as server:
        yield server


# ── lines ──────────────────────────────────────────────────────────────────────────────────────

GET = r"type=item_get key={key} status={status} clsid={clsid} cfd=\d+ size={size}"
STORE = (r"type=item_store key={key} status={status} cmd={cmd} ttl={ttl} clsid={clsid} "
         r"cfd=\d+ size={size}")
DELETED = r"type=deleted key={key} cmd={cmd} clsid=1 size={size}"


def get(key, status="found", size=0):
    return GET.format(key=key, status=status, clsid=1 if status == "found" else 0, size=size)


def store(key, cmd, status="stored", ttl="0", size=1, clsid=1):
    return STORE.format(key=key, status=status, cmd=cmd, ttl=ttl, size=size, clsid=clsid)


def miss(key):
    return get(key, "not_found")


LINES = [
    # request, answer, lines
    (b"get w1\r\n", b"END\r\n", [miss("w1")]),
    (b"set w1 0 0 3\r\nabc\r\n", b"STORED\r\n", [miss("w1"), store("w1", "set", size=3)]),
    (b"get w1\r\n", b"VALUE w1 0 3\r\nabc\r\nEND\r\n", [get("w1", size=3)]),
    (b"get w1 w2\r\n", b"VALUE w1 0 3\r\nabc\r\nEND\r\n", [get("w1", size=3), miss("w2")]),
    (b"set w1 0 100 3\r\nabc\r\n", b"STORED\r\n",
     [get("w1", size=3), store("w1", "set", ttl="(99|100)", size=3)]),
    (b"add w1 0 0 1\r\nx\r\n", b"NOT_STORED\r\n",
     [get("w1", size=3), store("w1", "add", "not_stored")]),
    (b"add w3 0 0 1\r\nx\r\n", b"STORED\r\n", [miss("w3"), store("w3", "add")]),
    (b"replace w2 0 0 1\r\nx\r\n", b"NOT_STORED\r\n",
     [miss("w2"), store("w2", "replace", "not_stored")]),
    (b"append w1 0 0 1\r\nx\r\n", b"STORED\r\n",
     [get("w1", size=3), store("w1", "append", ttl=r"\d\d+", size=4)]),
    (b"prepend w2 0 0 1\r\nx\r\n", b"NOT_STORED\r\n",
     [miss("w2"), store("w2", "prepend", "not_stored")]),
    (b"cas w1 0 0 1 99\r\nx\r\n", b"EXISTS\r\n",
     [get("w1", size=4), store("w1", "cas", "exists")]),
    (b"cas w2 0 0 1 99\r\nx\r\n", b"NOT_FOUND\r\n", [miss("w2"), store("w2", "cas", "not_found")]),
    (b"touch w1 100\r\n", b"TOUCHED\r\n", [get("w1", size=4)]),
    (b"gat 100 w1 w2\r\n", b"VALUE w1 0 4\r\nabcx\r\nEND\r\n", [get("w1", size=4), miss("w2")]),
    (b"incr w1 1\r\n", b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
     [get("w1", size=4)]),
    (b"incr w2 1\r\n", b"NOT_FOUND\r\n", [miss("w2")]),
    (b"delete w1\r\n", b"DELETED\r\n",
     [get("w1", size=4), DELETED.format(key="w1", cmd="delete", size=4)]),
    (b"delete w1\r\n", b"NOT_FOUND\r\n", [miss("w1")]),
    (b"set w1 0 0 1 noreply\r\nx\r\nmn\r\n", b"MN\r\n", [miss("w1"), store("w1", "set")]),
    (b"set w1 0 -1 1\r\nx\r\n", b"STORED\r\n",
     [get("w1", size=1), store("w1", "set", ttl=r"429496\d{4}")]),
    (b"get w1\r\n", b"END\r\n", [get("w1", "expired")]),
    (b"set w1 0 0 2000000\r\n" + b"x" * 2000000 + b"\r\n",
     b"SERVER_ERROR object too large for cache\r\n",
     [store("w1", "set", "too_large", size=0, clsid=0), get("w1", "(expired|not_found)")]),
    (b"set w4 0 0 600000\r\n" + b"x" * 600000 + b"\r\n", b"STORED\r\n",
     [miss("w4"), store("w4", "set", size=600000)]),
    (b"append w4 0 0 600000\r\n" + b"x" * 600000 + b"\r\n", b"NOT_STORED\r\n",
     [get("w4", size=600000), store("w4", "append", "not_stored", size=600000)]),
    (b"mg w5 v\r\n", b"EN\r\n", [miss("w5")]),
    (b"ms w5 2 T100\r\nhi\r\n", b"HD\r\n",
     [miss("w5"), store("w5", "set", ttl="(99|100)", size=2)]),
    (b"mg w5 s\r\n", b"HD s2\r\n", [get("w5", size=2)]),
    (b"ms w5 2 C9\r\nhi\r\n", b"EX\r\n", [get("w5", size=2), store("w5", "cas", "exists", size=2)]),
    (b"mg w6 N30 v\r\n", b"VA 0 W\r\n\r\n", [miss("w6")]),
    (b"ma w7 N0 J55\r\n", b"HD\r\n", [miss("w7"), miss("w7"), store("w7", "add", size=2)]),
    (b"ma w7 v\r\n", b"VA 2\r\n56\r\n", [get("w7", size=2)]),
    (b"md w7 I\r\n", b"HD\r\n", [get("w7", size=2)]),
    (b"md w7\r\n", b"HD\r\n", [get("w7", size=2), DELETED.format(key="w7", cmd="md", size=2)]),
    (b"md w7\r\n", b"NF\r\n", [miss("w7")]),
    (b"ms dzg= 1 b\r\nx\r\n", b"HD\r\n", [miss("w8"), store("w8", "set")]),
    (b"set w\x01\xff~%/ 0 0 1\r\nx\r\n", b"STORED\r\n",
     [miss("w%01%FF~%25%2F"), store("w%01%FF~%25%2F", "set")]),
]


def test_lines_of_commands(fresh):
    with Watcher(fresh, ALL) as watcher, fresh.connect() as conn:
        assert re.fullmatch(r"type=conn_new rip=127\.0\.0\.1 rport=\d+ transport=tcp cfd=\d+",
                            watcher.event())
        for request, answer, events in LINES:
            conn.ask(request, answer)
            for want in events:
                got = watcher.event()
                assert re.fullmatch(want, got), f"{request[:60]!r}:\n want {want}\n got  {got}"
        assert watcher.silent()


def packet(opcode, key, extras=b"", value=b"", cas=0):
    body = extras + key + value
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(body), 0,
                       cas) + body


def test_binary_protocol_logs_alike(fresh):
    rows = [
        (packet(0x01, b"b1", struct.pack(">II", 0, 0), b"abc"),
         [miss("b1"), store("b1", "set", size=3)]),
        (packet(0x00, b"b1"), [get("b1", size=3)]),
        (packet(0x02, b"b1", struct.pack(">II", 0, 0), b"abc"),
         [get("b1", size=3), store("b1", "add", "not_stored", size=3)]),
        (packet(0x01, b"b1", struct.pack(">II", 0, 0), b"abc", cas=99),
         [get("b1", size=3), store("b1", "cas", "exists", size=3)]),
        (packet(0x1c, b"b1", struct.pack(">I", 100)), [get("b1", size=3)]),
        (packet(0x04, b"b1"), [get("b1", size=3), DELETED.format(key="b1", cmd="delete", size=3)]),
        (packet(0x05, b"b2", struct.pack(">QQI", 1, 42, 0)),
         [miss("b2"), miss("b2"), store("b2", "add", size=2)]),
        (packet(0x05, b"b2", struct.pack(">QQI", 1, 42, 0)), [get("b2", size=2)]),
    ]
    with Watcher(fresh, b"fetchers mutations deletions") as watcher, fresh.connect() as conn:
        for request, events in rows:
            conn.send(request)
            head = conn.take(24)
            conn.take(struct.unpack(">I", head[8:12])[0])
            for want in events:
                got = watcher.event()
                assert re.fullmatch(want, got), f"{request!r}:\n want {want}\n got  {got}"
        assert watcher.silent()


def test_flushed(fresh):
    with Watcher(fresh) as watcher, fresh.connect() as conn:
        conn.set(b"f", b"x")
        assert "status=not_found" in watcher.event()
        conn.ask(b"flush_all\r\n", b"OK\r\n")
        assert conn.get(b"f") is None
        assert re.fullmatch(get("f", "(flushed|not_found)"), watcher.event())


def test_prefix_deleted(fresh):
    with Watcher(fresh, b"deletions") as watcher, fresh.connect() as conn:
        conn.set(b"a:1", b"x")
        conn.ask(b"delete_prefix a:\r\n", b"DELETED\r\n")
        conn.ask(b"mdp AP8g b q\r\nmn\r\n", b"MN\r\n")
        conn.ask(b"delete_prefix a: b\r\n", b"CLIENT_ERROR bad command line format\r\n")
        want = r"type=prefix_deleted prefix={} cmd={} cfd=\d+"
        assert re.fullmatch(want.format("a%3A", "delete_prefix"), watcher.event())
        assert re.fullmatch(want.format("%00%FF%20", "mdp"), watcher.event())
        assert watcher.silent()


def test_streams_are_separate(served):
    with Watcher(served) as fetchers, Watcher(served, b"mutations") as mutations, \
            Watcher(served, b"deletions rawcmds proxyreqs proxyevents proxyuser") as deletions, \
            served.connect() as conn:
        conn.set(b"sep", b"x")
        conn.ask(b"delete sep\r\n", b"DELETED\r\n")
        conn.ask(b"get sep\r\n", b"END\r\n")
        assert [fetchers.event().split()[0] for _ in range(3)] == ["type=item_get"] * 3
        assert mutations.event().startswith("type=item_store key=sep ")
        assert deletions.event() == "type=deleted key=sep cmd=delete clsid=1 size=1"
        assert fetchers.silent() and mutations.silent() and deletions.silent()


def test_gids_grow(served):
    with Watcher(served) as watcher, served.connect() as one, served.connect() as two:
        for conn in (one, two) * 20:
            conn.ask(b"get gid\r\n", b"END\r\n")
        gids = [int(HEAD.match(watcher.line()).group(2)) for _ in range(40)]
        assert gids == sorted(set(gids))


# ── other events ───────────────────────────────────────────────────────────────────────────────

def test_connections(fresh):
    with Watcher(fresh, b"connevents") as watcher:
        conn = fresh.connect()
        port = conn.sock.getsockname()[1]
        new = watcher.event()
        assert re.fullmatch(rf"type=conn_new rip=127\.0\.0\.1 rport={port} transport=tcp cfd=\d+",
                            new)
        fd = new.split("cfd=")[1]
        close = f"type=conn_close rip=127.0.0.1 rport={port} transport=tcp reason=%s cfd={fd}"
        conn.close()
        assert watcher.event() == close % "normal"
        with fresh.connect() as conn:
            port = conn.sock.getsockname()[1]
            watcher.event()
            conn.send(b"quit\r\n")
            conn.expect_close()
            assert f"rport={port} transport=tcp reason=normal" in watcher.event()
        with fresh.connect() as conn:
            watcher.event()
            conn.send(b"x" * 5000)
            conn.expect_close()
            assert "reason=error" in watcher.event()
        conn = fresh.connect()  # a reset: the address is known all the same
        port = conn.sock.getsockname()[1]
        watcher.event()
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        conn.close()
        assert re.search(rf"conn_close rip=127\.0\.0\.1 rport={port} .*reason=error",
                         watcher.event())


def test_idle_timeout_closes_others_but_no_watcher():
    with harness.Server("-t", "1", "-o", "idle_timeout=1") as server:
        with Watcher(server, b"connevents") as watcher, server.connect():
            watcher.event()
            assert "reason=idle_timeout" in watcher.event()
            time.sleep(2.5)  # longer than a sweep
            with server.connect() as conn:
                assert "type=conn_new" in watcher.event()
                assert conn.stats()["log_watchers"] == "1"


def test_evictions():
    with harness.Server("-t", "1", "-m", "2") as server:
        with Watcher(server, b"evictions") as watcher, server.connect() as conn:
            value = b"v" * 2000
            for i in range(4000):
                conn.send(b"set e%d 0 %d 2000 noreply\r\n%s\r\n" % (i, 1000 * (i % 2), value))
                if i == 10:
                    conn.ask(b"get e10\r\n", b"VALUE e10 0 2000\r\n" + value + b"\r\nEND\r\n")
            conn.ask(b"mn\r\n", b"MN\r\n")
            for _ in range(200):
                event = watcher.event()
                match = re.fullmatch(r"type=eviction key=e(\d+) fetch=(yes|no) ttl=(-?\d+) la=\d+ "
                                     r"clsid=1 size=2000", event)
                assert match, event
                assert (match[2] == "yes") == (match[1] == "10")
                ttl_s = int(match[3])
                assert ttl_s == -1 if int(match[1]) % 2 == 0 else 980 < ttl_s <= 1000
            stats = conn.stats()
            assert int(stats["log_worker_written"]) + int(stats["log_worker_dropped"]) == \
                int(stats["evictions"])


def test_unix_socket(tmp_path):
    tmp_path.chmod(0o777)
    with harness.Server("-t", "1", "-a", "777", unix=str(tmp_path / "s")) as server:
        with Watcher(server, b"connevents fetchers") as watcher, server.connect() as conn:
            assert re.fullmatch(r"type=conn_new rip=unix rport=0 transport=local cfd=\d+",
                                watcher.event())
            conn.ask(b"get u\r\n", b"END\r\n")
            assert re.fullmatch(miss("u"), watcher.event())


# ── the command ────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("request_, answer", [
    (b"watch foo\r\n", b"ERROR\r\n"),
    (b"watch fetchers foo\r\n", b"ERROR\r\n"),
    (b"watch FETCHERS\r\n", b"ERROR\r\n"),
    (b"watch fetch\r\n", b"ERROR\r\n"),
    (b"watch noreply\r\nmn\r\n", b"MN\r\n"),
    (b"watch fetchers fetchers\r\n", b"OK\r\n"),
    (b"watch sysevents rawcmds\r\n", b"OK\r\n"),
    # memcached sends the answers of these at once, so nothing is in the way (observed 1.6.18)
    (b"get no\r\nwatch\r\n", b"END\r\nOK\r\n"),
    (b"mn\r\nwatch\r\n", b"MN\r\nOK\r\n"),
    (b"version\r\nwatch\r\nmn\r\n",
     b"VERSION 1.6.45\r\nERROR cannot pipeline other commands before watch\r\nMN\r\n"),
    (b"touch no 0 noreply\r\nwatch\r\nmn\r\n",
     b"ERROR cannot pipeline other commands before watch\r\nMN\r\n"),
])
def test_answers(served, request_, answer):
    with served.connect() as conn:
        conn.ask(request_, answer)


def test_what_a_watcher_sends_is_dropped(served):
    with served.connect() as watcher, served.connect() as conn:
        watcher.ask(b"watch mutations\r\nget a\r\nversion\r\nmn\r\n", b"OK\r\n")
        sent = 0
        watcher.sock.setblocking(False)
        end = time.monotonic() + 1
        while time.monotonic() < end and sent < 8 << 20:
            try:
                sent += watcher.sock.send(b"set dropped 0 0 1\r\nx\r\n" * 1000)
            except BlockingIOError:
                select.select([], [watcher.sock], [], 0.1)
        assert sent > 1 << 20  # it is read, and nothing comes of it
        watcher.sock.settimeout(harness.WAIT_S)
        conn.set(b"dropped2", b"x")
        assert b"key=dropped2 " in watcher.line()
        assert conn.get(b"dropped") is None


def test_not_allowed():
    with harness.Server("-W") as server, server.connect() as conn:
        conn.ask(b"watch\r\n", b"CLIENT_ERROR watch commands not allowed\r\n")
        conn.ask(b"watch foo\r\n", b"CLIENT_ERROR watch commands not allowed\r\n")


def test_twenty_watchers(fresh):
    watchers = [Watcher(fresh) for _ in range(20)]
    with fresh.connect() as conn:
        conn.ask(b"watch\r\n", b"WATCHER_TOO_MANY log watcher limit reached\r\n")
        conn.ask(b"get a\r\n", b"END\r\n")  # goes on as it was
        for watcher in watchers:
            assert re.fullmatch(miss("a"), watcher.event())
        assert conn.stats()["log_watchers"] == "20"
        states = [v for k, v in conn.stats(b"conns").items() if k.endswith(":state")]
        assert states.count("conn_watch") == 20
        watchers.pop().close()
        harness.until(lambda: conn.stats()["log_watchers"] == "19")
        watchers.append(Watcher(fresh))
        conn.ask(b"watch\r\n", b"WATCHER_TOO_MANY log watcher limit reached\r\n")
    for watcher in watchers:
        watcher.close()
    with fresh.connect() as conn:
        harness.until(lambda: conn.stats()["log_watchers"] == "0")


def test_half_closed_watcher_goes(served):
    with served.connect() as watcher:
        watcher.ask(b"watch\r\n", b"OK\r\n")
        watcher.sock.shutdown(socket.SHUT_WR)
        watcher.expect_close()


# ── floods ─────────────────────────────────────────────────────────────────────────────────────

def flood(server, seconds, batch=b"get flood\r\n" * 100):
    """Requests as fast as they are answered; returns how many."""
    done = 0
    with server.connect() as conn:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            conn.send(batch)
            conn.take(len(b"END\r\n") * 100)
            done += 100
    return done


def log_stats(conn):
    return {k: int(v) for k, v in conn.stats().items() if k.startswith("log_")}


def test_reader_that_stops(fresh):
    """It misses lines, is told so, and everybody else is served as before."""
    with Watcher(fresh) as watcher, fresh.connect() as conn:
        done = flood(fresh, 2)
        assert done > 1000
        harness.until(lambda: log_stats(conn)["log_watcher_skipped"] > 0)
        # All that was written is either sent or skipped.
        harness.until(lambda: (lambda s: s["log_worker_written"] == s["log_watcher_sent"] +
                               s["log_watcher_skipped"])(log_stats(conn)))
        stats = log_stats(conn)
        assert stats["log_worker_written"] + stats["log_worker_dropped"] == done
        lines = skipped = 0
        finished = threading.Event()

        def one_more():
            while not finished.wait(0.05):
                with fresh.connect() as other:
                    other.ask(b"get end\r\n", b"END\r\n")

        thread = threading.Thread(target=one_more)
        thread.start()
        try:
            while True:
                line = watcher.line()
                if line.startswith(b"skipped="):
                    skipped += int(line[8:])
                    continue
                lines += 1
                if b"key=end " in line:
                    break
        finally:
            finished.set()
            thread.join()
        assert lines > 100
        assert skipped >= stats["log_watcher_skipped"]


def test_watchers_that_come_and_go_while_flooding(fresh):
    stop = threading.Event()
    errors = []

    def come_and_go():
        try:
            while not stop.is_set():
                with Watcher(fresh, b"fetchers mutations") as watcher:
                    for _ in range(30):
                        watcher.line()
        except Exception as error:  # shown by the main thread
            errors.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert flood(fresh, 4) > 100
    stop.set()
    flooding = threading.Thread(target=flood, args=(fresh, 2))  # for those who still wait
    flooding.start()
    for thread in threads:
        thread.join()
    flooding.join()
    assert not errors, errors
    with fresh.connect() as conn:
        harness.until(lambda: conn.stats()["log_watchers"] == "0")


def test_stop_with_watchers():
    with harness.Server("-t", "2") as server:
        watchers = [Watcher(server, ALL) for _ in range(5)]
        flood(server, 0.5)
        assert server.stop() == 0
        for watcher in watchers:
            watcher.close()


def test_confined():
    """The logger thread has all system calls that it needs, and no more than the housekeeper."""
    with harness.Server("-t", "1", "-o", "drop_privileges") as server:
        with Watcher(server) as watcher:
            assert flood(server, 1) > 100
            assert "key=flood" in watcher.event()
        with server.connect() as conn:
            harness.until(lambda: conn.stats()["log_watchers"] == "0")


def test_small_buffers():
    with harness.Server("-t", "1", "-o", "worker_logbuf_size=1,watcher_logbuf_size=1") as server:
        with Watcher(server) as watcher, server.connect() as conn:
            settings = conn.stats(b"settings")
            assert settings["worker_logbuf_size"] == "1024"
            assert settings["watcher_logbuf_size"] == "1024"
            for i in range(200):
                conn.ask(b"get %s%d\r\n" % (b"k" * 240, i), b"END\r\n")
                line = watcher.line()
                if not line.startswith(b"skipped="):
                    assert b"key=kkk" in line
