#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""One small server, every kind of client at once, most of them badly behaved.

    tests/soak/chaos.py --seconds 600 --server build/asan/matted

Good clients (text, meta, binary; plain, TLS 1.2 and 1.3; with a login where the server wants one)
check every answer byte for byte.  Meanwhile wild ones send random bytes, requests and uploads that
are cut off, half handshakes, wrong logins; watch and dump without reading, vanish, or stay silent;
datagrams of every kind; and an operator reloads users, certificates and the access list, some of
them malformed, changes the memory limit, flushes and asks for statistics.  Limits are on, and
security events go to a file and to a socket that nobody listens on.  Then all leave, and
connections, fds and memory must be what they were before.  At last the server is stopped while the
wild ones are at it again.

Prints a verdict; exit status 0 when all is well."""

import argparse
import contextlib
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/script"), str(ROOT / "tests/soak")]
import binary  # noqa: E402
import harness  # noqa: E402
import rr  # noqa: E402
import soak  # noqa: E402

USER, PASSWORD = b"good", b"word"
ROUNDS = 3  # of all kinds of clients; memory is compared after the second and the last
IDLE_S = 4  # idle_timeout of the server; good clients are never silent for so long
THREADS = 2
CONNECTIONS = 40  # -c of the server, less than all clients together
LARGE_BYTES = 400_000
MIB = 1 << 20
VERSIONS = {"tls12": ssl.TLSVersion.TLSv1_2, "tls13": ssl.TLSVersion.TLSv1_3}
NO_MEMORY = "SERVER_ERROR out of memory"
TOLD = (
    "total_connections", "rejected_connections", "listen_disabled_num", "conn_yields", "evictions",
    "auth_cmds", "auth_errors", "ssl_new_sessions", "ssl_handshake_errors", "ssl_proto_errors",
    "log_worker_dropped", "log_watcher_skipped", "idle_kicks", "store_no_memory", "read_buf_oom")


class Refused(Exception):
    """The server has as many clients as it may have."""


# ── the world: a server, its files, ways to reach it ───────────────────────────────────────────


class World:
    """What clients need to know of a server; picklable, the server itself stays outside."""

    def __init__(self, name, options):
        self.name, self.seed = name, options.seed
        self.guarded = name == "guarded"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="matte-chaos-"))
        os.chmod(self.folder, 0o777)
        self.users_write(True)
        for cert in "ab":
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={cert}", "-days", "30",
                 "-keyout", f"{cert}.pem", "-out", f"{cert}.crt"],
                cwd=self.folder, check=True, capture_output=True)
            both = (self.folder / f"{cert}.pem").read_text() + \
                (self.folder / f"{cert}.crt").read_text()
            (self.folder / f"{cert}.pem").write_text(both)
        self.cert_write("a")
        self.access_write(b"allow all\n")
        self.udp_ports = []
        self.plain_port = self.tls_port = self.pid = None

    def replace(self, name, data):
        temp = self.folder / f"{name}.{threading.get_ident()}"
        temp.write_bytes(data)
        temp.chmod(0o644)
        temp.rename(self.folder / name)

    def users_write(self, with_wild):
        self.replace("users", USER + b":" + PASSWORD + (b"\nwild:wild\n" if with_wild else b""))

    def cert_write(self, which):
        self.replace("server.pem", (self.folder / f"{which}.pem").read_bytes())

    def access_write(self, text):
        self.replace("access", text)

    def access_some(self, rng):
        """Lists that allow this machine everything, and one that is none."""
        rules = [b"%s 10.%d.%d.0/24%s" % (
            rng.choice((b"allow", b"deny")), rng.randrange(256), rng.randrange(256),
            rng.choice((b"", b" read", b" admin"))) for _ in range(rng.choice((0, 3, 2000)))]
        rules.append(rng.choice((b"allow 127.0.0.0/8", b"allow all", b"allow 127.0.0.1",
                                 b"deny 127.0.0.1 reat")))
        rules.append(rng.choice((b"deny all", b"allow ::1 read", b"# nobody")))
        self.access_write(b"\n".join(rules) + b"\n")

    def arguments(self):
        unlimited = "limit_logins=0,limit_logins_prefix=0"
        login = (["-Y", self.folder / "users", "-S", "-o", unlimited] if self.guarded else [])
        subs = ["ssl_chain_cert=" + str(self.folder / "server.pem"), "ssl_session_cache",
                f"idle_timeout={IDLE_S}", "watcher_logbuf_size=16", "worker_logbuf_size=8",
                "track_sizes", "read_buf_mem_limit=64", f"access_file={self.folder}/access",
                "limit_trusted=", "limit_requests=100000:50000", "limit_bytes=500m",
                "limit_conns=10000", "events_window=1",
                f"events=file:{self.folder}/events+unix:{self.folder}/nobody"]
        udp = [] if self.guarded else ["-U", "-1", "-o", "udp_writes,udp_policy=rr+miss"]
        if not self.guarded:
            subs.append("no_maxconns_fast")  # those above -c wait; guarded: are refused
        return ["-m", "10", "-t", THREADS, "-c", CONNECTIONS, "-A", "-R", "5", "-Z", "-o",
                ",".join(subs), *login, *udp]

    def listen(self):
        return "notls:127.0.0.1,127.0.0.1"

    def reached(self, server):
        ports = [line.split(":") for line in server.port_file.read_text().splitlines()]
        self.plain_port, self.tls_port = [int(port) for name, port in ports if "TCP" in name]
        self.udp_ports = [int(port) for name, port in ports if "UDP" in name]
        self.pid = server.process.pid

    def connect(self, transport, wait_s=soak.ANSWER_S):
        """A Conn; Refused: no room."""
        port = self.plain_port if transport == "plain" else self.tls_port
        conn = harness.Conn(("127.0.0.1", port), wait_s)
        if transport == "plain":
            return conn
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = VERSIONS[transport]
        try:
            conn.sock = context.wrap_socket(conn.sock)
        except (ssl.SSLError, ConnectionError):
            conn.close()
            raise Refused from None
        return conn

    def login_text(self, user=USER, password=PASSWORD):
        token = user + b" " + password
        return b"set login 0 0 %d\r\n%s\r\n" % (len(token), token)

    def login_binary(self, user=USER, password=PASSWORD):
        return binary.request("sasl_auth", b"PLAIN", b"\0" + user + b"\0" + password)


# ── good clients ───────────────────────────────────────────────────────────────────────────────


def patiently(connect, counts, stop):
    """Connect as soon as there is room."""
    while True:
        try:
            return connect()
        except (Refused, ConnectionError):
            counts["refused"] += 1
            if stop.wait(0.02):
                raise Refused from None


class TextClient(soak.Client):
    """Text and meta, as in the soak test."""

    def __init__(self, world, transport, name, stop):
        self.world, self.transport, self.stop = world, transport, stop
        self.refusals = {"refused": 0, "no_memory": 0}
        super().__init__(world.plain_port, name, f"{world.seed}{name}", 500, 60)

    def connect(self):
        self.conn = patiently(self.enter, self.refusals, self.stop)

    def enter(self):
        conn = self.world.connect(self.transport)
        try:
            if self.world.guarded:
                conn.send(self.world.login_text())
            conn.send(b"version\r\n")
            want = b"STORED\r\n" if self.world.guarded else b""
            first = conn.line()
        except (ConnectionError, ssl.SSLError):
            first = None
        if first in (None, b"ERROR Too many open connections"):
            conn.close()
            raise Refused
        conn.buffer[:0] = first + b"\r\n"
        conn.expect(want + b"VERSION 1.6.45\r\n")
        return conn

    def one(self):
        request, read = super().one()

        def tolerant():
            try:
                read()
            except soak.Wrong as wrong:
                if NO_MEMORY not in str(wrong):  # slow readers may hold half of it
                    raise
                self.refusals["no_memory"] += 1
        return request, tolerant

    def turn(self):
        self.send()
        self.receive()


class BinaryClient:
    """Keys of its own: each holds what was stored last, or nothing."""

    KEYS = 40

    def __init__(self, world, transport, name, stop):
        self.world, self.transport, self.name, self.stop = world, transport, name, stop
        self.rng = random.Random(f"{world.seed}{name}")
        self.held, self.serial, self.opaque = {}, 0, 0
        self.refusals = {"refused": 0, "no_memory": 0}
        self.counts = {"requests": 0, "hits": 0, "misses": 0}
        self.conn = binary.Binary(patiently(self.enter, self.refusals, stop))

    def enter(self):
        conn = self.world.connect(self.transport)
        packets = binary.Binary(conn)
        try:
            if self.world.guarded:
                conn.send(self.world.login_binary())
            conn.send(binary.request("version"))
            head = conn.take(1)
        except (ConnectionError, ssl.SSLError):
            head = b""
        if head in (b"", b"E"):  # or with an ERROR line
            conn.close()
            raise Refused
        conn.buffer[:0] = head
        if self.world.guarded:
            login = packets.answer()
            assert (login.status, login.value) == (binary.OK, b"Authenticated"), login
        version = packets.answer()
        assert version.value == b"1.6.45", version
        return conn

    def value(self):
        self.serial += 1
        size = soak.some_size(self.rng) if self.rng.random() < 0.3 else self.rng.randint(1, 3000)
        return soak.value_of(self.name, self.serial, size)

    def key(self):
        return b"bin.%s.%d" % (self.name, self.rng.randrange(self.KEYS))

    # Each of these returns (packet, function that checks its answers).

    def store(self):
        key, value, flags = self.key(), self.value(), self.rng.randrange(1 << 32)
        word = self.rng.choice(("set", "set", "add", "replace"))
        packet = binary.store(word, key, value, flags, opaque=self.opaque)

        def check(answers):
            status = self.only(answers).status
            if status == binary.OK:
                self.held[key] = (value, flags)
            elif status == binary.NO_MEMORY:
                self.refusals["no_memory"] += 1
            else:
                assert word != "set" and status in (binary.EXISTS, binary.NOT_FOUND), answers
        return packet, check

    def append(self):
        key, more, front = self.key(), b"<%d>" % self.serial, self.rng.random() < 0.5
        packet = binary.request("prepend" if front else "append", key, more, opaque=self.opaque)

        def check(answers):
            status = self.only(answers).status
            if status == binary.OK:
                value, flags = self.held[key]
                self.held[key] = (more + value if front else value + more, flags)
            else:
                assert status in (binary.NOT_STORED, binary.NO_MEMORY, binary.TOO_LARGE), answers
        return packet, check

    def get(self):
        key, word = self.key(), self.rng.choice(("get", "getk", "getq", "getkq"))
        packet = binary.request(word, key, opaque=self.opaque)
        return packet, lambda answers: self.found(answers, key, word)

    def get_and_touch(self):
        key, word = self.key(), self.rng.choice(("gat", "gatk", "gatq", "gatkq"))
        packet = binary.touch(word, key, self.rng.randint(5, 100), opaque=self.opaque)
        return packet, lambda answers: self.found(answers, key, word)

    def found(self, answers, key, word):
        if not answers and word.endswith("q"):
            self.counts["misses"] += 1
            return
        answer = self.only(answers)
        assert answer.key in (b"", key) and (bool(answer.key) == ("k" in word)), answer
        if answer.status == binary.NOT_FOUND:
            assert not word.endswith("q")
            self.counts["misses"] += 1
        elif answer.status == binary.NO_MEMORY:
            self.refusals["no_memory"] += 1
        else:
            value, flags = self.held.get(key) or (None, None)
            assert answer.status == binary.OK and answer.value == value, (key, str(answer)[:200])
            assert answer.extras == struct.pack(">I", flags) and answer.cas != 0, answer
            self.counts["hits"] += 1

    def delete(self):
        key = self.key()

        def check(answers):
            assert self.only(answers).status in (binary.OK, binary.NOT_FOUND), answers
            self.held[key] = None
        return binary.request("delete", key, opaque=self.opaque), check

    def only(self, answers):
        assert len(answers) == 1, answers
        return answers[0]

    def turn(self):
        """A pipeline; each request's answers are told by its opaque, and they come in order."""
        batch = []
        for _ in range(self.rng.randint(1, 10)):
            self.opaque = (self.opaque + 1) & 0xffffffff
            make = self.rng.choices((self.get, self.store, self.append, self.get_and_touch,
                                     self.delete), (40, 30, 8, 10, 6))[0]
            batch.append((self.opaque, *make()))
        self.counts["requests"] += len(batch)
        packets = [packet for _, packet, _ in batch]
        if sum(map(len, packets)) > 100_000:  # more than sockets surely hold while nobody reads
            for entry in batch:
                self.judge([entry], self.conn.answers(entry[1]))
        else:
            self.judge(batch, self.conn.answers(*packets))

    def judge(self, batch, answers):
        order = [opaque for opaque, _, _ in batch]
        told = [answer.opaque for answer in answers]
        assert told == [opaque for opaque in order if opaque in told], (order, told)
        for opaque, _, check in batch:
            check([answer for answer in answers if answer.opaque == opaque])


def good_client(world, kind, transport, name, stop, results):
    client = None
    try:
        client = (TextClient if kind == "text" else BinaryClient)(world, transport, name, stop)
        while not stop.is_set():
            client.turn()
        with contextlib.suppress(OSError):
            client.conn.close()
        results.append((kind, {**client.counts, **client.refusals}, None))
    except Refused:
        results.append((kind, {"never in": 1}, None))
    except Exception:  # pylint: disable=broad-except
        results.append((kind, client.counts if client else {},
                        f"{world.name} {kind} {transport}: {traceback.format_exc()}"))


# ── wild clients ───────────────────────────────────────────────────────────────────────────────


class Wild:
    """One badly behaved client after the other; what it is answered does not matter."""

    def __init__(self, world, seed):
        self.world, self.rng = world, random.Random(seed)
        self.acts = [name for name in dir(self) if name.startswith("act_")]

    def run(self, stop):
        while not stop.is_set():
            act = getattr(self, self.rng.choice(self.acts))
            # A wild client's own troubles are its own.
            with contextlib.suppress(OSError, ssl.SSLError, Refused, AssertionError, ValueError):
                act(stop)

    def raw(self):
        port = self.rng.choice((self.world.plain_port, self.world.tls_port))
        return harness.Conn(("127.0.0.1", port), 2)

    def conn(self, logged_in=True, kind="text"):
        conn = self.world.connect(self.rng.choice(("plain", "plain", "tls12", "tls13")), 5)
        if self.world.guarded and logged_in:
            login = self.world.login_text if kind == "text" else self.world.login_binary
            user = (USER, PASSWORD) if self.rng.random() < 0.7 else (b"wild", b"wild")
            conn.send(login(*user))
            if self.rng.random() < 0.7:
                conn.take(8)
        return conn

    def leave(self, conn):
        """By an orderly end, a reset, half an end first, or without the end that TLS wants."""
        how = self.rng.randrange(4)
        sock = conn.sock
        if how == 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == 1:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(0.2)
                sock.recv(65536)
        elif how == 2 and isinstance(sock, ssl.SSLSocket):
            with contextlib.suppress(OSError):
                socket.socket(fileno=os.dup(sock.fileno())).send(self.rng.randbytes(200))
        conn.close()

    def some_request(self):
        rng = self.rng
        key, size = b"wild%d" % rng.randrange(50), rng.choice((1, 100, 5000, LARGE_BYTES))
        return rng.choice((
            lambda: b"set %s 0 0 %d\r\n%s\r\n" % (key, size, b"x" * size),
            lambda: b"ms %s %d T60 c I\r\n%s\r\n" % (key, size, b"y" * size),
            lambda: b"get %s %s\r\n" % (key, b" ".join(b"wild%d" % i for i in range(40))),
            lambda: b"mg %s v k f t O123 q\r\nmn\r\n" % key,
            lambda: b"gat 10 " + key + b"\r\n",
            lambda: binary.store("set", key, b"z" * size),
            lambda: binary.store("setq", key, b"z" * size) + binary.request("noop"),
            lambda: binary.request("getk", key) * rng.randint(1, 50),
            lambda: binary.arith("increment", key, 5, 7),
            lambda: binary.request("stat") + binary.request("stat", b"settings"),
            lambda: self.world.login_text(), lambda: self.world.login_binary(),
            lambda: b"watch fetchers\r\n" * 2, lambda: b"lru_crawler metadump all\r\n",
        ))()

    def act_random_bytes(self, _):
        conn = self.raw() if self.rng.random() < 0.5 else self.conn(logged_in=False)
        first = self.rng.choice((b"", b"\x80", b"\x16\x03\x01", b"get ", b"set ", b"\x81", b"ms "))
        conn.send(first + self.rng.randbytes(self.rng.randint(1, 40_000)))
        self.leave(conn)

    def act_datagrams(self, stop):
        """From addresses of its own, forged cookies and true ones, much more than it reads."""
        if not self.world.udp_ports:
            return
        host = f"127.0.0.{self.rng.randint(2, 250)}"
        port = self.rng.choice(self.world.udp_ports)
        with rr.Client("127.0.0.1", port, bind=(host, 0), wait_s=1) as udp:
            with contextlib.suppress(TimeoutError):
                udp.greet()
            for _ in range(self.rng.randint(1, 400)):
                command = self.some_request()[:self.rng.choice((20, 1400, 60_000))]
                kinds = (udp.legacy, udp.hello, udp.proven if udp.cookie else udp.hello)
                datagram = self.rng.choice(kinds)(command)
                if self.rng.random() < 0.3:
                    at = self.rng.randrange(len(datagram))
                    datagram = datagram[:at] + self.rng.randbytes(2) + datagram[at + 2:]
                udp.send(datagram)
                if self.rng.random() < 0.1:
                    udp.sock.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        udp.sock.recv(65536)
                    stop.wait(0.001)

    def act_cut_request(self, _):
        request = self.some_request()
        conn = self.conn(self.rng.random() < 0.7, "binary" if request[0] == 0x80 else "text")
        cut = self.rng.randint(1, len(request))
        conn.send(request[:cut // 2])
        conn.send(request[cut // 2:cut])
        self.leave(conn)

    def act_damaged_request(self, _):
        request = bytearray(self.some_request() + self.some_request())
        for _ in range(self.rng.randint(1, 4)):
            request[self.rng.randrange(min(len(request), 60))] = self.rng.randrange(256)
        conn = self.conn(self.rng.random() < 0.7, "binary" if request[0] == 0x80 else "text")
        conn.send(request)
        self.leave(conn)

    def act_cut_upload(self, stop):
        conns = []
        for _ in range(self.rng.randint(1, 4)):
            kind = self.rng.choice(("text", "binary"))
            value = b"u" * LARGE_BYTES
            packet = b"set wild 0 0 %d\r\n%s\r\n" % (len(value), value) if kind == "text" else \
                binary.store("set", b"wild", value)
            conn = self.conn(kind=kind)
            conns.append(conn)
            conn.send(packet[:self.rng.randrange(len(packet))])
        stop.wait(self.rng.random() * 0.3)
        for conn in conns:
            self.leave(conn)

    def act_half_handshake(self, stop):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with contextlib.suppress(ssl.SSLWantReadError):
            context.wrap_bio(incoming, outgoing).do_handshake()
        hello = bytearray(outgoing.read())
        if self.rng.random() < 0.3:
            hello[self.rng.randrange(len(hello))] ^= 1 << self.rng.randrange(8)
        conn = harness.Conn(("127.0.0.1", self.world.tls_port), 2)
        conn.send(hello[:self.rng.randint(1, len(hello))])
        stop.wait(self.rng.random() * 0.5)
        self.leave(conn)

    def act_watch(self, stop):
        conn = self.conn()
        streams = self.rng.sample((b"fetchers", b"mutations", b"evictions", b"connevents",
                                   b"deletions", b"sysevents"), self.rng.randint(1, 6))
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.send(b"watch " + b" ".join(streams) + b"\r\n")
        end = time.monotonic() + self.rng.random() * 2
        read, talk = self.rng.random() < 0.6, self.rng.random() < 0.4
        while time.monotonic() < end and not stop.is_set():
            if read:
                conn.sock.recv(self.rng.randint(1, 3000))
            if talk:
                conn.send(b"get a\r\n" * 1000)
            stop.wait(0.02)
        self.leave(conn)

    def act_dump(self, stop):
        conn = self.conn()
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.send(self.rng.choice((b"lru_crawler metadump all\r\n", b"lru_crawler mgdump hash\r\n",
                                   b"stats cachedump 1 0\r\n", b"stats sizes\r\n")))
        if self.rng.random() < 0.7:
            conn.sock.recv(self.rng.randint(1, 5000))
        stop.wait(self.rng.random())
        self.leave(conn)

    def act_never_read(self, stop):
        kind = self.rng.choice(("text", "binary"))
        conn = self.conn(kind=kind)
        value = b"v" * LARGE_BYTES
        if kind == "text":
            conn.send(b"set wildbig 0 30 %d noreply\r\n%s\r\n" % (len(value), value))
            request = b"get wildbig\r\n"
        else:
            conn.send(binary.store("setq", b"wildbig", value, exptime=30))
            request = binary.request("get", b"wildbig")
        conn.sock.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            for _ in range(20):
                conn.send(request * 2000)
        stop.wait(self.rng.random() * 0.5)
        self.leave(conn)

    def act_endless_line(self, _):
        conn = self.conn()
        conn.send(b"get " + b"k" * 100)
        for _ in range(self.rng.randint(1, 30)):
            conn.send(b" kk" * 12_000)
        self.leave(conn)

    def act_wrong_login(self, _):
        conn = self.conn(logged_in=False)
        for _ in range(self.rng.randint(1, 5)):
            name = self.rng.choice((USER, b"nobody", b"wild", self.rng.randbytes(5)))
            conn.send(self.rng.choice((self.world.login_text, self.world.login_binary))(
                name, self.rng.randbytes(self.rng.randint(1, 20))))
        conn.send(b"get a\r\n" * 10)
        self.leave(conn)

    def act_log_in_again(self, _):
        conn = self.conn(kind="binary")
        packets = [self.world.login_binary(), self.world.login_binary(USER, b"no"),
                   binary.request("get", b"x"), binary.store("set", b"x", b"y" * 20_000)]
        conn.send(b"".join(self.rng.choices(packets, k=20)))
        self.leave(conn)

    def act_silence(self, stop):
        conns = [self.raw() for _ in range(self.rng.randint(1, 4))]
        stop.wait(IDLE_S / 2 * self.rng.random())
        for conn in conns:
            self.leave(conn)

    def act_rush(self, _):
        conns = []
        for _ in range(CONNECTIONS // 3):
            with contextlib.suppress(OSError):
                conns.append(self.raw())
        for conn in conns:
            self.leave(conn)


# ── the operator ───────────────────────────────────────────────────────────────────────────────


def operate(world, number, stop, results):
    """Asks and changes what an administrator may; every answer has a form that is checked."""
    rng = random.Random(f"{world.seed}operator")
    client, done = None, 0
    lines = {b"refresh_certs": b"OK", b"flush_all": b"OK", b"flush_all 2": b"OK",
             b"cache_memlimit 8": b"OK", b"cache_memlimit 10": b"OK",
             b"lru_crawler crawl all": b"OK", b"verbosity 0": b"OK",
             b"config set memory_limit 9": b"OK", b"config set idle_timeout %d" % IDLE_S: b"OK",
             b"config reload": b"OK"}
    if number == 0:
        lines[b"stats reset"] = b"RESET"
    try:
        client = TextClient(world, "plain", b"operator", stop)
        while not stop.is_set():
            act = rng.randrange(4)
            if act == 0:
                world.users_write(rng.random() < 0.7)
                world.cert_write(rng.choice("ab"))
                world.access_some(rng)
                if rng.random() < 0.2:
                    with contextlib.suppress(OSError):  # as logrotate does
                        (world.folder / "events").rename(world.folder / f"events.{number}")
                for _ in range(rng.choice((1, 1, 50))):
                    os.kill(world.pid, signal.SIGHUP)
            elif act == 1:
                line = rng.choice(list(lines))
                got = client.conn.command(line)
                assert got == lines[line] or line.startswith(b"cache_memlimit"), (line, got)
            else:
                kind = rng.choice((b"", b"settings", b"items", b"slabs", b"conns", b"sizes",
                                   b"access", b"limits", b"security", b"udp"))
                rows = client.conn.stats(kind)
                sockets = THREADS * len(world.udp_ports)  # they count as connections
                assert kind or int(rows["curr_connections"]) <= CONNECTIONS + 1 + sockets, rows
            done += 1
            stop.wait(0.03)
        client.conn.close()
        results.append(("operator", {"requests": done}, None))
    except Refused:
        results.append(("operator", {"never in": 1}, None))
    except Exception:  # pylint: disable=broad-except
        results.append(("operator", {}, f"{world.name} operator: {traceback.format_exc()}"))


# ── the whole ──────────────────────────────────────────────────────────────────────────────────


def in_threads(targets, seconds):
    """Run each target(stop) in a thread for so long."""
    stop = threading.Event()
    threads = [threading.Thread(target=target, args=(stop,), daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join(soak.ANSWER_S * 2)
    return sum(thread.is_alive() for thread in threads)


def good_process(world, number, seconds, queue):
    results = []
    kinds = [(kind, transport) for kind in ("text", "binary", "text")
             for transport in ("plain", "tls12", "tls13", "plain")]
    targets = [lambda stop: operate(world, number, stop, results)]
    for i, (kind, transport) in enumerate(kinds):  # their keys are not those of another round
        targets.append(lambda stop, k=kind, t=transport, n=b"%d_%d" % (number, i):
                       good_client(world, k, t, n, stop, results))
    hanging = in_threads(targets, seconds)
    queue.put((results, f"{world.name}: {hanging} clients hang" if hanging else None))


def wild_process(world, seed, seconds, threads):
    in_threads([Wild(world, f"{seed}.{i}").run for i in range(threads)], seconds)


def fd_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Quiet:
    """What a server without clients looks like."""

    def __init__(self, server, world):
        self.server, self.world = server, world
        self.first = self.look()

    def look(self):
        conn = TextClient(self.world, "plain", b"quiet", threading.Event()).conn
        stats = conn.stats()
        found = {name: int(stats[name]) for name in (
            "curr_connections", "log_watchers", "response_obj_count", "response_obj_bytes")}
        found["fds"] = fd_count(self.server.process.pid)
        conn.close()
        return found

    def again(self):
        """A complaint when it does not come back, although some clients stay: silent ones."""
        silent = [harness.Conn(("127.0.0.1", port)) for port in
                  (self.world.plain_port, self.world.tls_port)]
        silent[0].send(b"get half a li")
        end = time.monotonic() + 20 + IDLE_S
        while (found := self.look()) != self.first and time.monotonic() < end:
            time.sleep(0.1)
        for conn in silent:
            conn.close()
        if found != self.first:
            return f"{self.world.name}: {found} is left, it was {self.first}"
        return None


def one_round(world, options, number, seconds):
    queue = multiprocessing.Queue()
    good = multiprocessing.Process(target=good_process, args=(world, number, seconds, queue))
    wild = [multiprocessing.Process(target=wild_process, args=(
        world, f"{options.seed}.{number}.{i}", seconds, options.wild // 2)) for i in range(2)]
    for process in (good, *wild):
        process.start()
    results, hanging = queue.get(timeout=seconds + 5 * soak.ANSWER_S)
    for process in (good, *wild):
        process.join(3 * soak.ANSWER_S)
        process.kill()
    errors = [error for _, _, error in results if error] + ([hanging] if hanging else [])
    total = {}
    for kind, counts, _ in results:
        for name, count in counts.items():
            total[f"{kind} {name}"] = total.get(f"{kind} {name}", 0) + count
    print("  " + ", ".join(f"{count} {name}" for name, count in sorted(total.items())), flush=True)
    for kind in ("text", "binary"):
        if total.get(f"{kind} requests", 0) < 20:
            errors.append(f"{world.name}: hardly any {kind} client was served")
    return errors


def stopped_in_the_middle(world, server, options):
    """It ends at once whatever its clients are at."""
    wild = multiprocessing.Process(target=wild_process, args=(world, options.seed, 1.5, 10))
    wild.start()
    time.sleep(1)
    status = server.stop(random.Random(options.seed).choice((signal.SIGTERM, signal.SIGUSR1)))
    wild.join(soak.ANSWER_S)
    wild.kill()
    return [] if status == 0 else [f"{world.name}: exit status {status}"]


def events_fault(world):
    """Each line is JSON, whatever was noted and however often the file was exchanged."""
    count = 0
    for path in world.folder.glob("events*"):
        for line in path.read_bytes().splitlines():
            count += 1
            try:
                assert json.loads(line)["mc"]["count"] > 0
            except (ValueError, KeyError, AssertionError):
                return [f"{world.name}: no event: {line!r}"]
    print(f"  {count} lines of events")
    return [] if count > 0 else [f"{world.name}: no events"]


def run(name, options):
    world = World(name, options)
    print(f"{name}:", flush=True)
    errors, rss = [], []
    with contextlib.closing(contextlib.ExitStack()) as last:
        last.callback(shutil.rmtree, world.folder)
        server = harness.Server(*world.arguments(), binary=options.server, listen=world.listen())
        world.reached(server)
        quiet = Quiet(server, world)
        for number in range(ROUNDS):
            errors += one_round(world, options, number, options.seconds / ROUNDS)
            if not server.alive():
                break
            errors += filter(None, [quiet.again()])
            rss.append(server.rss_bytes() // MIB)
        if server.alive():
            with TextClient(world, "plain", b"last", threading.Event()).conn as conn:
                stats = conn.stats()
            print("  " + ", ".join(f"{name} {stats[name]}" for name in TOLD if name in stats))
        print(f"  RSS in MiB: {rss}")
        if server.alive():
            errors += stopped_in_the_middle(world, server, options)
        else:
            errors.append(f"{name}: the server has ended with {server.process.returncode}")
        errors += events_fault(world)
        said = server.errors()
        if "Sanitizer" in said or "runtime error" in said or "assert" in said.lower():
            errors.append(said[-20_000:])
        server.folder.cleanup()
    if len(rss) == ROUNDS and rss[-1] > rss[1] * 1.1 + 24:
        errors.append(f"{name}: memory grows: {rss} MiB")
    return errors


def main():
    parser = argparse.ArgumentParser(description="Chaos; see the head of this file.")
    parser.add_argument("--seconds", type=float, default=60, help="for each of the two servers")
    parser.add_argument("--server", default=str(ROOT / "build/asan/matted"))
    parser.add_argument("--wild", type=int, default=24, help="wild clients")
    parser.add_argument("--world", choices=("open", "guarded"), help="only this one")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    # What AddressSanitizer keeps back of freed memory would hide what is not freed.
    os.environ.setdefault("ASAN_OPTIONS", "quarantine_size_mb=8:malloc_context_size=12:"
                          "detect_stack_use_after_return=0")
    print(f"chaos: {options.server}, {options.seconds:g} s each, seed {options.seed}", flush=True)
    errors = []
    for name in [options.world] if options.world else ("open", "guarded"):
        errors += run(name, options)
    for error in errors:
        print(f"WRONG: {error}")
    print("verdict: " + ("FAILED" if errors else "all is well"))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
