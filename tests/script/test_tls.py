# SPDX-License-Identifier: BSD-3-Clause
"""TLS: -Z, the ssl_ sub-options, notls: btls: mtls:, refresh_certs and SIGHUP.

Clients are Python's ssl module; certificates are made by the openssl tool, once per run.
"""

import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time

import pytest

import harness
from harness import Conn, Server, until

MIB = 1 << 20
HANDSHAKE_S = 10  # as in the server


def openssl(*args, folder):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


def make_cert(folder, name, signer=None, key=("-newkey", "rsa:2048"), days=30):
    """NAME.pem and NAME.key; signed by itself or by `signer`."""
    args = ["req", "-x509", *key, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem",
            "-days", str(days), "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    if signer:
        args += ["-CA", f"{signer}.pem", "-CAkey", f"{signer}.key"]
    openssl(*args, folder=folder)


def sign_by(folder, name, signer):
    """A certificate by a CA, in the way that openssl 3.0 can."""
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key",
            "-out", f"{name}.csr", "-subj", f"/CN={name}", folder=folder)
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{signer}.pem", "-CAkey",
            f"{signer}.key", "-CAcreateserial", "-out", f"{name}.pem", "-days", "30",
            folder=folder)


class Certs:
    """A folder of keys and certificates; `certs.server` is the path server.pem."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="matte-certs-"))
        os.chmod(self.folder, 0o755)
        make_cert(self.folder, "server")
        make_cert(self.folder, "other", key=("-newkey", "ec", "-pkeyopt",
                                             "ec_paramgen_curve:prime256v1"))
        make_cert(self.folder, "ca")
        make_cert(self.folder, "stranger")
        sign_by(self.folder, "client", "ca")
        openssl("rsa", "-in", "server.key", "-outform", "DER", "-out", "server.der",
                folder=self.folder)
        openssl("rsa", "-in", "server.key", "-aes128", "-passout", "pass:secret", "-out",
                "locked.key", folder=self.folder)
        both = (self.folder / "server.key").read_text() + (self.folder / "server.pem").read_text()
        (self.folder / "both.pem").write_text(both)
        (self.folder / "text.pem").write_text("this is no certificate\n")
        for path in self.folder.iterdir():
            path.chmod(0o644)

    def path(self, name):
        return str(self.folder / name)


@pytest.fixture(scope="session")
def certs():
    certs = Certs()
    yield certs
    shutil.rmtree(certs.folder)


def tls_args(certs, *more, cert="server.pem", key="server.key"):
    subs = [f"ssl_chain_cert={certs.path(cert)}"]
    if key:
        subs.append(f"ssl_key={certs.path(key)}")
    return ["-Z", "-o", ",".join(subs + list(more))]


def client(certs, trust="server.pem", **attributes):
    """A client's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if trust:
        context.load_verify_locations(certs.path(trust))
    else:
        context.verify_mode = ssl.CERT_NONE
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


class TlsConn(Conn):
    """A Conn through TLS; `plain` is the socket below."""

    def __init__(self, port, context, session=None, host="127.0.0.1"):
        super().__init__((host, port))
        self.sock = context.wrap_socket(self.sock, session=session, server_hostname=host)

    def _fill(self):
        try:
            return super()._fill()
        except ssl.SSLError:
            return False


@pytest.fixture(scope="module")
def server(certs):
    """A server with defaults and one worker."""
    with Server("-t", "1", "-m", "1024", "-I", "128m", *tls_args(certs)) as server:
        yield server


@pytest.fixture
def conn(server, certs):
    with TlsConn(server.port, client(certs)) as conn:
        yield conn


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


# ── values and pipelines ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("version", VERSIONS)
def test_get_and_set(server, certs, version):
    context = client(certs, minimum_version=version, maximum_version=version)
    with TlsConn(server.port, context) as conn:
        assert conn.sock.version() == version.name.replace("_", ".")
        conn.set(b"small", b"value")
        assert conn.get(b"small") == b"value"
        assert conn.get(b"absent") is None
        conn.send(b"quit\r\n")
        conn.expect_close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [0, 1, 8191, 16383, 16384, 16385, 40000, MIB, 5 * MIB + 7])
def test_values_of_all_sizes(server, certs, version, size):
    value = random.Random(size).randbytes(size)
    context = client(certs, maximum_version=version)
    with TlsConn(server.port, context) as conn:
        conn.set(b"sized", value)
        assert conn.get(b"sized") == value


def test_value_of_100_mib(conn):
    value = random.Random(1).randbytes(MIB) * 100
    conn.set(b"huge", value)
    assert conn.get(b"huge") == value
    conn.ask(b"delete huge\r\n", b"DELETED\r\n")


def test_slow_reader_of_large_values(server, certs, conn):
    """Answers that the socket does not take go on where they stopped."""
    value = random.Random(2).randbytes(3 * MIB)
    conn.set(b"slow", value)
    with TlsConn(server.port, client(certs)) as slow:
        slow.send(b"get slow\r\nget none\r\n" * 4)
        time.sleep(0.2)  # let the socket fill
        for _ in range(4):
            slow.expect(b"VALUE slow 0 %d\r\n" % len(value))
            assert slow.take(len(value)) == value
            slow.expect(b"\r\nEND\r\nEND\r\n")


@pytest.mark.parametrize("seed", range(4))
def test_pipeline_in_random_records(server, certs, seed):
    """Requests cut at random places into records, and records into segments."""
    rng = random.Random(seed)
    asked, wanted = bytearray(), bytearray()
    for i in range(300):
        value = rng.randbytes(rng.choice([0, 3, 100, 2000, 30000]))
        key = b"p%d" % (i % 50)
        asked += b"set %s 5 0 %d\r\n%s\r\nget %s x\r\n" % (key, len(value), value, key)
        wanted += b"STORED\r\nVALUE %s 5 %d\r\n%s\r\nEND\r\n" % (key, len(value), value)
    with TlsConn(server.port, client(certs)) as conn:
        at = 0
        conn.sock.setblocking(False)  # answers must be read meanwhile, or both sides wait
        while at < len(asked):
            size = rng.choice([1, 2, 7, 100, 1000, 16384, 50000])
            try:
                while True:
                    conn.buffer += conn.sock.recv(65536)
            except ssl.SSLWantReadError:
                pass
            try:
                at += conn.sock.send(asked[at:at + size])
            except ssl.SSLWantWriteError:
                select.select([conn.sock], [conn.sock], [], 10)
        conn.sock.settimeout(10)
        conn.expect(bytes(wanted))


def test_small_answers_share_a_record(server, certs):
    """What one read asked for is answered in one record, not in a hundred."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client(certs).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", server.port), 10) as plain:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        plain.sendall(outgoing.read())
        tls.write(b"mn\r\n")
        plain.sendall(outgoing.read())
        time.sleep(0.1)
        incoming.write(plain.recv(65536))  # tickets and MN
        assert tls.read(100) == b"MN\r\n"
        tls.write(b"get none\r\nmn\r\n" * 50)
        plain.sendall(outgoing.read())
        time.sleep(0.2)
        data = plain.recv(65536)
    length = struct.unpack(">H", data[3:5])[0]
    assert data[0] == 23 and len(data) == 5 + length, "more than one record"
    incoming.write(data)
    assert tls.read(65536) == b"END\r\nMN\r\n" * 50


def test_two_hundred_connections(certs):
    with Server("-t", "2", *tls_args(certs)) as server:
        context = client(certs)
        conns = [TlsConn(server.port, context) for _ in range(200)]
        for i, conn in enumerate(conns):
            conn.send(b"set k%d 0 0 5\r\nhello\r\nget k%d\r\n" % (i, i))
        for i, conn in enumerate(conns):
            conn.expect(b"STORED\r\nVALUE k%d 0 5\r\nhello\r\nEND\r\n" % i)
        assert int(conns[0].stats()["curr_connections"]) == 200
        for conn in conns[1:]:
            conn.close()
        until(lambda: int(conns[0].stats()["curr_connections"]) == 1)
        assert conns[0].stats()["ssl_handshake_errors"] == "0"
        conns[0].close()


def test_end_of_a_connection(server, certs):
    """The server says close_notify; a client that just goes harms nobody."""
    with TlsConn(server.port, client(certs)) as conn:
        conn.send(b"quit\r\n")
        assert conn.sock.recv(10) == b""  # an end without close_notify would be SSLEOFError
    conn = TlsConn(server.port, client(certs))
    raw = socket.socket(fileno=conn.sock.detach())
    raw.close()
    with TlsConn(server.port, client(certs)) as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
        assert conn.stats()["ssl_proto_errors"] == "0"


# ── versions, ciphers, resumption ──────────────────────────────────────────────────────────────


def refused(port, context):
    """The handshake (or with TLS 1.3, the first read) fails; what the client says about it."""
    try:
        with TlsConn(port, context) as conn:
            conn.send(b"mn\r\n")
            data = conn.sock.recv(10)
            return None if data else "end"
    except (ssl.SSLError, ConnectionError) as error:
        return str(error)


def test_min_version(certs):
    with Server(*tls_args(certs, "ssl_min_version=3")) as server:
        assert refused(server.port, client(certs, maximum_version=VERSIONS[0]))
        with TlsConn(server.port, client(certs)) as conn:
            assert conn.sock.version() == "TLSv1.3"
            assert conn.stats(b"settings")["ssl_min_version"] == "tlsv1.3"
            assert conn.stats()["ssl_handshake_errors"] == "1"


def test_ciphers(certs):
    name = "ECDHE-RSA-AES128-GCM-SHA256"
    with Server(*tls_args(certs, f"ssl_ciphers={name}")) as server:
        context = client(certs, maximum_version=VERSIONS[0])
        with TlsConn(server.port, context) as conn:
            assert conn.sock.cipher()[0] == name
        context.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
        assert refused(server.port, context)


def test_default_ciphers_have_forward_secrecy(server, certs):
    context = client(certs, maximum_version=VERSIONS[0])
    context.set_ciphers("kRSA")
    assert refused(server.port, context)
    context.set_ciphers("ECDHE-RSA-AES128-SHA")
    assert not refused(server.port, context)


def is_resumed(port, context):
    with TlsConn(port, context) as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")  # with TLS 1.3, tickets come behind the handshake
        assert not conn.sock.session_reused
        session = conn.sock.session
    with TlsConn(port, context, session) as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
        return conn.sock.session_reused


@pytest.mark.parametrize("cache", ["", "ssl_session_cache"])
@pytest.mark.parametrize("version", VERSIONS)
def test_resumption_by_ticket(certs, version, cache):
    with Server(*tls_args(certs, cache)) as server:
        assert is_resumed(server.port, client(certs, maximum_version=version))


@pytest.mark.parametrize("cache", ["", "ssl_session_cache"])
def test_resumption_without_tickets_needs_the_cache(certs, cache):
    with Server("-t", "1", *tls_args(certs, cache)) as server:
        context = client(certs, maximum_version=VERSIONS[0])
        context.options |= ssl.OP_NO_TICKET
        assert is_resumed(server.port, context) == bool(cache)
        with TlsConn(server.port, context) as conn:
            stats = conn.stats()
            assert ("ssl_new_sessions" in stats) == bool(cache)
            assert not cache or int(stats["ssl_new_sessions"]) >= 1
            settings = conn.stats(b"settings")
            assert settings["ssl_session_cache"] == ("yes" if cache else "no")


def test_renegotiation_is_refused(server, certs):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"]
    tool = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)
    for text in (b"mn\r\n", b"R\n"):
        tool.stdin.write(text)
        tool.stdin.flush()
        time.sleep(0.5)
    said, _ = tool.communicate(timeout=30)
    assert b"MN" in said and b"RENEGOTIATING" in said and b"no renegotiation" in said


# ── client certificates ────────────────────────────────────────────────────────────────────────


def with_cert(certs, name, **attributes):
    context = client(certs, **attributes)
    context.load_cert_chain(certs.path(f"{name}.pem"), certs.path(f"{name}.key"))
    return context


@pytest.mark.parametrize("mode,none,good,bad", [
    (0, True, True, True), (1, True, True, False), (2, False, True, False),
    (3, False, True, False)])
@pytest.mark.parametrize("version", VERSIONS)
def test_verify_mode(certs, mode, none, good, bad, version):
    subs = [f"ssl_verify_mode={mode}", f"ssl_ca_cert={certs.path('ca.pem')}"]
    with Server(*tls_args(certs, *subs)) as server:
        got = [not refused(server.port, context) for context in (
            client(certs, maximum_version=version),
            with_cert(certs, "client", maximum_version=version),
            with_cert(certs, "stranger", maximum_version=version))]
        assert got == [none, good, bad]


class Mixed:
    """A server with one listener of each kind on 127.0.0.1 to 127.0.0.4."""

    def __init__(self, certs, *more):
        listen = "127.0.0.1,notls:127.0.0.2,btls:127.0.0.3,mtls:127.0.0.4"
        subs = [f"ssl_ca_cert={certs.path('ca.pem')}", *more]
        self.server = Server("-t", "1", *tls_args(certs, *subs), listen=listen)
        self.ports = {}

    def __enter__(self):
        with self.plain() as conn:
            rows = conn.stats(b"conns")
        for name, value in rows.items():
            found = re.fullmatch(r"tcp:(127\.0\.0\.\d):(\d+)", value)
            if found and rows.get(name.replace(":addr", ":state")) == "conn_listening":
                self.ports[found[1]] = int(found[2])
        return self

    def __exit__(self, *error):
        self.server.__exit__(*error)

    def plain(self):
        return Conn(("127.0.0.2", self.server.port))

    def refused(self, host, context):
        try:
            with TlsConn(self.ports[host], context, host=host) as conn:
                conn.send(b"mn\r\n")
                return conn.sock.recv(10) == b""
        except (ssl.SSLError, ConnectionError):
            return True


def test_kinds_of_listeners(certs):
    with Mixed(certs, "ssl_verify_mode=2") as mixed:
        nothing, good = client(certs), with_cert(certs, "client")
        with mixed.plain() as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
        assert mixed.refused("127.0.0.1", nothing) and not mixed.refused("127.0.0.1", good)
        assert mixed.refused("127.0.0.2", good)
        assert not mixed.refused("127.0.0.3", nothing)
        assert mixed.refused("127.0.0.4", nothing) and not mixed.refused("127.0.0.4", good)


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_do_not_cross_listeners(certs, version):
    """A session made without a client certificate is nothing where one is required."""
    with Mixed(certs, "ssl_session_cache") as mixed:
        context = client(certs, maximum_version=version)
        with TlsConn(mixed.ports["127.0.0.3"], context, host="127.0.0.3") as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
            session = conn.sock.session
        with pytest.raises((ssl.SSLError, AssertionError, ConnectionError)):
            with TlsConn(mixed.ports["127.0.0.4"], context, session, "127.0.0.4") as conn:
                conn.ask(b"mn\r\n", b"MN\r\n")


# ── certificates that change ───────────────────────────────────────────────────────────────────


class Renewable:
    """A server whose certificate files can be replaced."""

    def __init__(self, certs, tmp_path):
        self.certs, self.tmp_path = certs, tmp_path
        tmp_path.chmod(0o755)
        self.put("server")
        self.chain, self.key = str(tmp_path / "live.pem"), str(tmp_path / "live.key")

    def put(self, name, part="both"):
        for kind in ("pem", "key"):
            if part in (kind, "both"):
                shutil.copy(self.certs.path(f"{name}.{kind}"), self.tmp_path / f"live.{kind}")

    def serial(self, port):
        """Whose certificate new connections get."""
        pem = ssl.get_server_certificate(("127.0.0.1", port))
        for name in ("server", "other"):
            if pem.split() == pathlib.Path(self.certs.path(f"{name}.pem")).read_text().split():
                return name
        return None


@pytest.fixture
def renewable(certs, tmp_path):
    return Renewable(certs, tmp_path)


def test_refresh_certs(certs, renewable):
    args = ["-Z", "-o", f"ssl_chain_cert={renewable.chain},ssl_key={renewable.key}"]
    with Server("-t", "2", *args) as server, TlsConn(server.port, client(certs)) as conn:
        conn.ask(b"debugtime 5\r\n", b"OK\r\n")
        assert int(conn.stats()["time_since_server_cert_refresh"]) >= 5
        renewable.put("other")
        conn.ask(b"refresh_certs\r\n", b"OK\r\n")
        assert int(conn.stats()["time_since_server_cert_refresh"]) <= 1
        assert renewable.serial(server.port) == "other"
        conn.ask(b"mn\r\n", b"MN\r\n")  # those that are connected stay so
        renewable.put("server", "key")
        assert conn.command(b"refresh_certs") == (
            b"Error loading the key: %s: the key does not belong to the certificate"
            % renewable.key.encode())
        assert renewable.serial(server.port) == "other"
        os.remove(renewable.chain)
        assert conn.command(b"refresh_certs") == (
            b"Error loading the certificate chain: %s: No such file or directory"
            % renewable.chain.encode())
        assert renewable.serial(server.port) == "other"
        renewable.put("server")
        conn.ask(b"refresh_certs\r\n", b"OK\r\n")
        assert renewable.serial(server.port) == "server"


def test_sighup(certs, renewable):
    args = ["-Z", "-o", f"ssl_chain_cert={renewable.chain},ssl_key={renewable.key}"]
    with Server(*args) as server:
        renewable.put("other")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: renewable.serial(server.port) == "other")
        renewable.put("server", "key")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "the TLS certificates stay as they were" in server.errors())
        assert "does not belong" in server.errors()
        assert renewable.serial(server.port) == "other"


def test_no_resumption_across_a_refresh(certs):
    with Server(*tls_args(certs)) as server:
        context = client(certs)
        with TlsConn(server.port, context) as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
            session = conn.sock.session
            conn.ask(b"refresh_certs\r\n", b"OK\r\n")
        with TlsConn(server.port, context, session) as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
            assert not conn.sock.session_reused


def test_refresh_while_clients_come_and_go(certs):
    with Server("-t", "4", *tls_args(certs)) as server:
        context = client(certs)
        conns = [TlsConn(server.port, context) for _ in range(4)]
        for _ in range(25):
            for conn in conns:
                conn.send(b"refresh_certs\r\nmn\r\n")
            with TlsConn(server.port, context) as fresh:
                fresh.ask(b"mn\r\n", b"MN\r\n")
            for conn in conns:
                conn.expect(b"OK\r\nMN\r\n")
        for conn in conns:
            conn.close()


def test_confined(certs, renewable):
    """With -o drop_privileges the files can be read, and answers still come."""
    relaxed = ["relaxed_privileges"] if harness.is_sanitized(harness.BINARY) else []
    subs = [f"ssl_chain_cert={renewable.chain}", f"ssl_key={renewable.key}", "ssl_session_cache",
            "drop_privileges", *relaxed]
    with Server("-Z", "-o", ",".join(subs)) as server:
        with TlsConn(server.port, client(certs)) as conn:
            conn.set(b"k", bytes(100000))
            assert conn.get(b"k") == bytes(100000)
            renewable.put("other")
            conn.ask(b"refresh_certs\r\n", b"OK\r\n")
            assert renewable.serial(server.port) == "other"
            renewable.put("server", "key")
            assert b"does not belong" in conn.command(b"refresh_certs")
            renewable.put("server")
            server.process.send_signal(signal.SIGHUP)
            until(lambda: renewable.serial(server.port) == "server")


def test_refresh_without_tls(pool):
    with pool.get("-t", "1").connect() as conn:
        assert conn.command(b"refresh_certs") == b"Error TLS not enabled"
        assert not [name for name in conn.stats() if name.startswith("ssl") or "cert" in name]
        assert conn.stats(b"settings")["ssl_enabled"] == "no"


def test_relative_paths_in_the_background(certs, tmp_path):
    """-d changes the directory; the files are found all the same, now and later."""
    pidfile = tmp_path / "pid"
    port_file = tmp_path / "port"
    command = harness.command(
        os.path.abspath(harness.BINARY), "-d", "-p", "-1", "-l", "127.0.0.1", "-P", pidfile,
        "-Z", "-o", "ssl_chain_cert=server.pem,ssl_key=server.key")
    env = dict(os.environ, MEMCACHED_PORT_FILENAME=str(port_file))
    subprocess.run(command, cwd=certs.folder, env=env, check=True, timeout=30)
    try:
        port = int(re.search(r"TCP INET: (\d+)", port_file.read_text())[1])
        with TlsConn(port, client(certs)) as conn:
            conn.ask(b"refresh_certs\r\n", b"OK\r\n")
    finally:
        pid = int(pidfile.read_text())
        os.kill(pid, signal.SIGTERM)
        until(lambda: not pidfile.exists())


# ── clients that do not know how ───────────────────────────────────────────────────────────────


def errors_of(conn):
    rows = conn.stats()
    return int(rows["ssl_handshake_errors"]), int(rows["ssl_proto_errors"])


def ends(sock):
    """The server ends the connection, after whatever it has to say."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_plain_text_on_a_tls_port(server, conn):
    before = errors_of(conn)
    for text in (b"get a\r\n", b"GET / HTTP/1.0\r\n\r\n", b"\x80" + bytes(23), b"stats\r\n" * 9000):
        with Conn(("127.0.0.1", server.port)) as plain:
            try:
                plain.send(text)
            except ConnectionError:
                pass
            assert ends(plain.sock)
    assert errors_of(conn) == (before[0] + 4, before[1])


def test_errors_can_be_watched(certs):
    with Mixed(certs) as mixed, mixed.plain() as watcher, mixed.plain() as clock:
        def count():
            return int(clock.stats()["curr_connections"])

        time.sleep(0.1)  # Mixed has had a connection of its own
        before = count()
        watcher.ask(b"watch connevents\r\n", b"OK\r\n")
        port = mixed.ports["127.0.0.1"]
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            plain.sendall(b"get a\r\n")
            assert ends(plain)
        pattern = rb"(?s).*type=conntlserr fd=\d+ msg=(error:[^\n]*)\n"
        assert b"wrong version number" in watcher.take_match(re.compile(pattern))[1]
        until(lambda: count() == before)
        with socket.create_connection(("127.0.0.1", port), 10) as silent:
            until(lambda: count() == before + 1)
            clock.ask(b"debugtime 20\r\n", b"OK\r\n")
            assert ends(silent)
        watcher.take_match(re.compile(rb"(?s).*type=conntlserr fd=\d+ msg=the handshake has t"))


def test_tls_on_a_plain_port(certs):
    """The client is told at once, and the error is counted where TLS is."""
    with Mixed(certs) as mixed, mixed.plain() as conn:
        with socket.create_connection(("127.0.0.2", mixed.server.port), 10) as sock:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                client(certs).wrap_socket(sock, server_hostname="127.0.0.2")
        assert conn.stats()["ssl_proto_errors"] == "1"


def hello(certs):
    """A client's first message."""
    outgoing = ssl.MemoryBIO()
    tls = client(certs).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_in_the_handshake(server, certs, conn, seed):
    rng = random.Random(seed)
    first = hello(certs)
    for _ in range(40):
        data = bytearray(first[:rng.randrange(len(first) + 1)] if rng.random() < 0.5 else first)
        for _ in range(rng.choice([0, 1, 3])):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        data += rng.randbytes(rng.choice([0, 1, 50, 20000]))
        with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            assert ends(sock)
    conn.ask(b"mn\r\n", b"MN\r\n")


@pytest.mark.parametrize("version", VERSIONS)
def test_random_bytes_behind_the_handshake(server, certs, conn, version):
    before = errors_of(conn)
    rng = random.Random(3)
    for i in range(20):
        tls = TlsConn(server.port, client(certs, maximum_version=version))
        tls.ask(b"mn\r\n", b"MN\r\n")
        with socket.socket(fileno=tls.sock.detach()) as raw:
            raw.settimeout(10)
            data = rng.randbytes(rng.choice([5, 30, 20000]))
            if i % 2:  # a record whose content is wrong
                data = b"\x17\x03\x03" + struct.pack(">H", 100) + rng.randbytes(100)
            try:
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has closed already
            assert ends(raw)
    after = errors_of(conn)
    assert after[0] == before[0] and before[1] + 10 <= after[1] <= before[1] + 20


def test_endless_handshake_is_cut_by_bytes(server, certs, conn):
    """A ClientHello of 16 MiB, in records, is not collected."""
    before = errors_of(conn)
    with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
        try:
            sock.sendall(b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + bytes(0x3ffc))
            for _ in range(1000):
                sock.sendall(b"\x16\x03\x01\x40\x00" + bytes(0x4000))
        except OSError:
            pass
        assert ends(sock)
    assert errors_of(conn)[0] == before[0] + 1


def test_slow_handshakes_end(certs):
    """Who connects and says nothing, or not enough, is closed; who is served is not."""
    with Server("-t", "2", "-c", "20", *tls_args(certs)) as server:
        conn = TlsConn(server.port, client(certs))
        conn.ask(b"mn\r\n", b"MN\r\n")
        silent = [socket.create_connection(("127.0.0.1", server.port), 30) for _ in range(5)]
        slow = [socket.create_connection(("127.0.0.1", server.port), 30) for _ in range(5)]
        for sock in slow:
            sock.sendall(hello(certs)[:100])
        until(lambda: int(conn.stats()["curr_connections"]) == 11)
        time.sleep(0.3)
        conn.ask(b"debugtime %d\r\n" % (HANDSHAKE_S - 2), b"OK\r\n")
        time.sleep(1.2)
        for sock in slow:
            sock.sendall(b"\x00")  # a byte more is no progress
        time.sleep(0.2)
        conn.ask(b"debugtime 3\r\n", b"OK\r\n")
        for sock in slow + silent:
            assert ends(sock)
            sock.close()
        conn.ask(b"mn\r\n", b"MN\r\n")
        rows = conn.stats()
        assert rows["curr_connections"] == "1" and rows["ssl_handshake_errors"] == "10"
        conn.close()


def test_idle_timeout(certs):
    with Server("-t", "1", *tls_args(certs, "idle_timeout=60")) as server:
        idle = TlsConn(server.port, client(certs))
        idle.ask(b"mn\r\n", b"MN\r\n")
        with TlsConn(server.port, client(certs)) as conn:
            conn.ask(b"debugtime 55\r\n", b"OK\r\n")
            time.sleep(2.2)
            idle.ask(b"mn\r\n", b"MN\r\n")  # not by the bound of the handshake
            for _ in range(2):  # once would be too long for this one, too
                conn.ask(b"debugtime 40\r\n", b"OK\r\n")
                conn.ask(b"mn\r\n", b"MN\r\n")
            idle.expect_close()
            assert conn.stats()["idle_kicks"] == "1"
            assert conn.stats()["ssl_handshake_errors"] == "0"
        idle.close()


def test_too_many_connections(certs):
    """At the limit, a TLS client sees an end and no plain words."""
    with Server("-t", "1", "-c", "2", *tls_args(certs)) as server:
        conns = [TlsConn(server.port, client(certs)) for _ in range(2)]
        for conn in conns:
            conn.ask(b"mn\r\n", b"MN\r\n")
        with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
            assert sock.recv(100) == b""
        assert conns[0].stats()["rejected_connections"] == "1"
        for conn in conns:
            conn.close()


# ── start ──────────────────────────────────────────────────────────────────────────────────────


def start(*args):
    """Exit status and words of a server that cannot start."""
    command = harness.command(harness.BINARY, "-p", "-1", "-l", "127.0.0.1", *args)
    done = subprocess.run(command, capture_output=True, timeout=30, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("cert,key,more,words", [
    ("absent.pem", "server.key", [], "certificate chain: {}/absent.pem: No such file"),
    ("server.pem", "absent.key", [], "key: {}/absent.key: No such file"),
    ("text.pem", "server.key", [], "chain: {}/text.pem: nothing of that kind in PEM format"),
    ("server.key", "server.key", [], "chain: {}/server.key: nothing of that kind in PEM format"),
    ("server.pem", "text.pem", [], "key: {}/text.pem: no private key in the format"),
    ("server.pem", "server.der", [], "key: {}/server.der: no private key in the format"),
    ("server.pem", "locked.key", [], "password"),
    ("server.pem", "other.key", [], "key: {}/other.key: the key does not belong to the cert"),
    ("server.pem", None, [], "key: {}/server.pem: no private key in the format"),
    ("", "server.key", [], "certificate chain: {}: Is a directory"),
    ("server.pem", "server.key", ["ssl_ciphers=nonsense"], "ciphers: nonsense: no cipher match"),
    ("server.pem", "server.key", ["ssl_ca_cert=/absent"], "CA certificate: /absent: No such"),
])
def test_bad_files(certs, cert, key, more, words):
    status, errors = start(*tls_args(certs, *more, cert=cert, key=key))
    assert status == 64
    assert words.replace("{}", str(certs.folder)) in errors and errors.startswith("matted: Error")
    assert errors.count("\n") == 1


def test_kinds_of_key_files(certs):
    for subs, key in ((["ssl_keyformat=2"], "server.der"), ([], None)):
        args = tls_args(certs, *subs, cert="server.pem" if key else "both.pem", key=key)
        with Server(*args) as server, TlsConn(server.port, client(certs)) as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")


def test_expired_certificate_is_named(certs, tmp_path):
    openssl("x509", "-in", certs.path("server.pem"), "-signkey", certs.path("server.key"),
            "-days", "-1", "-out", str(tmp_path / "old.pem"), folder=tmp_path)
    subs = f"ssl_chain_cert={tmp_path}/old.pem,ssl_key={certs.path('server.key')}"
    with Server("-Z", "-o", subs) as server:
        assert f"{tmp_path}/old.pem has expired" in server.errors()


def test_verify_without_ca_is_named(certs):
    with Server(*tls_args(certs, "ssl_verify_mode=2")) as server:
        assert "ssl_verify_mode=2 without ssl_ca_cert" in server.errors()
        assert refused(server.port, with_cert(certs, "client"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_key_for_root_only(certs, tmp_path):
    """The key is read before the server becomes another user."""
    tmp_path.chmod(0o755)
    key = tmp_path / "root.key"
    key.write_bytes((certs.folder / "server.key").read_bytes())
    key.chmod(0o600)
    subs = f"ssl_chain_cert={certs.path('server.pem')},ssl_key={key}"
    with Server("-u", "nobody", "-Z", "-o", subs) as server:
        with TlsConn(server.port, client(certs)) as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
            assert conn.command(b"refresh_certs").endswith(b"root.key: Permission denied")


def test_unix_socket_stays_plain(certs, tmp_path):
    tmp_path.chmod(0o777)
    with Server(*tls_args(certs), unix=str(tmp_path / "socket")) as server:
        with server.connect() as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")


def test_settings(certs):
    subs = ["ssl_verify_mode=1", f"ssl_ca_cert={certs.path('ca.pem')}", "ssl_wbuf_size=4",
            "ssl_ciphers=HIGH", "ssl_kernel_tls"]
    with Server("-t", "1", *tls_args(certs, *subs)) as server:
        with TlsConn(server.port, client(certs)) as conn:
            rows = conn.stats(b"settings")
            got = {name: value for name, value in rows.items() if name.startswith("ssl_")}
            assert got == {
                "ssl_enabled": "yes", "ssl_chain_cert": certs.path("server.pem"),
                "ssl_key": certs.path("server.key"), "ssl_verify_mode": "1",
                "ssl_keyformat": "1", "ssl_ciphers": "HIGH",
                "ssl_ca_cert": certs.path("ca.pem"), "ssl_wbuf_size": "4096",
                "ssl_session_cache": "no", "ssl_kernel_tls": "yes",
                "ssl_min_version": "tlsv1.2"}
            value = bytes(range(256)) * 4000  # records of 4 KiB and of 16, with kernel TLS
            conn.set(b"k", value)
            assert conn.get(b"k") == value
            names = list(conn.stats())
            at = names.index("ssl_handshake_errors")
            assert names[at:at + 3] == ["ssl_handshake_errors", "ssl_proto_errors",
                                        "time_since_server_cert_refresh"]


# ── clients ────────────────────────────────────────────────────────────────────────────────────


def test_pymemcache(server, certs):
    pymemcache = pytest.importorskip("pymemcache.client.base")
    cache = pymemcache.Client(("127.0.0.1", server.port), tls_context=client(certs), timeout=10)
    value = random.Random(5).randbytes(300000)
    assert cache.set("pymem", value)
    assert cache.get("pymem") == value
    assert cache.set_many({f"m{i}": b"v%d" % i for i in range(100)}) == []
    assert len(cache.get_many([f"m{i}" for i in range(100)])) == 100
    assert cache.incr("none", 1) is None
    cache.close()
