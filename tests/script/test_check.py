# SPDX-License-Identifier: BSD-3-Clause
"""`matte check`: what it finds at servers of several kinds, and at what is no server."""

import json
import os
import socket
import subprocess
import threading
import time

import pytest

import harness
from cli import Stranger, matte
from harness import Server


pytestmark = pytest.mark.skipif(harness.is_reference(harness.BINARY), reason="about our server")


def check(server, *words, host="127.0.0.1"):
    """Check a server or a port; returns (exit status, the JSON)."""
    port = server if isinstance(server, int) else server.port
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    code, out, errors = matte("check", "--json", where, *words)
    assert out, errors
    return code, json.loads(out)


def grades(found, topic):
    return [row["grade"] for row in found["findings"] if row["topic"] == topic]


def text(found, topic):
    return " ".join(row["text"] for row in found["findings"] if row["topic"] == topic)


def peer(*args, **more):
    if not os.path.exists(harness.PEER):
        pytest.skip(f"{harness.PEER} is not installed")
    return Server(*args, binary=harness.PEER, **more)


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    path = tmp_path_factory.mktemp("check") / "users"
    path.write_text("anna:secret\n")
    path.parent.chmod(0o755)
    path.chmod(0o644)
    return str(path)


# ── ours ────────────────────────────────────────────────────────────────────────────────────────


def test_default(pool):
    server = pool.get()
    code, found = check(server)
    assert (code, found["worst"]) == (0, "note")
    assert found["matted"] and found["tcp"] and not found["tls"]
    assert found["udp"]["state"] == "closed"
    assert grades(found, "login") == ["note"]
    assert "flush_all" in text(found, "admin") and "metadump" in text(found, "admin")
    code, out, _ = matte("check", f"localhost:{server.port}")
    assert code == 0 and out.rstrip().split(b"\n")[-1].startswith(b"nothing to worry about")
    assert max(len(line) for line in out.splitlines()) < 80


def test_nothing_is_changed(pool):
    server = pool.get()
    with server.connect() as conn:
        conn.set(b"check:kept", b"v")
        before = conn.stats()
        assert check(server)[0] == 0
        after = conn.stats()
        assert conn.get(b"check:kept") == b"v"
    for name in ("cmd_set", "cmd_flush", "cmd_touch", "curr_items"):
        assert before[name] == after[name]
    assert int(after["cmd_get"]) - int(before["cmd_get"]) <= 1
    assert int(after["total_connections"]) - int(before["total_connections"]) <= 4


def test_forbidden_verbs():
    with Server("-F", "-X") as server:
        code, found = check(server)
    assert code == 0
    assert "flush_all" not in text(found, "admin") and "metadump" not in text(found, "admin")


def test_shutdown_is_a_warning():
    with Server("-A") as server:
        code, found = check(server)
    assert code == 1 and "shutdown" in text(found, "admin") and found["worst"] == "warning"


def test_ipv6(pool):
    with Server(listen="::1") as server:
        code, found = check(server, host="::1")
    assert code == 0 and found["address"] == f"[::1]:{server.port}"


def test_unix_socket(tmp_path):
    path = str(tmp_path / "socket")
    with Server(unix=path):
        code, out, _ = matte("check", "--json", f"unix:{path}")
    found = json.loads(out)
    assert code == 0 and found["udp"]["state"] == "unasked" and not grades(found, "udp")


@pytest.mark.parametrize("args, mechanisms", [(["-Y"], ""), (["-S", "-Y"], "PLAIN")])
def test_login(users, args, mechanisms):
    with Server(*args, users) as server:
        code, found = check(server)
    assert code == 0 and grades(found, "login") == ["ok"]
    assert "a login is required" in text(found, "login") and mechanisms in text(found, "login")


def test_tls(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
                    "/CN=cache one", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "30",
                    "-keyout", "key.pem", "-out", "cert.pem"],
                   cwd=tmp_path, check=True, capture_output=True)
    tls = f"ssl_chain_cert={tmp_path}/cert.pem,ssl_key={tmp_path}/key.pem"
    with Server("-Z", "-o", tls) as server:
        code, found = check(server)
        assert code == 0 and found["tls"] and found["matted"]
        assert grades(found, "tls") == ["ok"] and "TLSv1.3" in text(found, "tls")
        assert grades(found, "certificate") == ["ok", "note"]
        assert "more days" in text(found, "certificate")
        assert "cache one" in text(found, "certificate")
        code, found = check(server, f"--ca={tmp_path}/cert.pem")
        assert code == 0 and grades(found, "certificate") == ["ok"]
        # The other subcommands do check it.
        to = f"--server=127.0.0.1:{server.port}"
        code, _, errors = matte("ping", "--tls", to)
        assert code == 2 and b"certificate" in errors
        assert matte("ping", "--insecure", to)[0] == 0
        assert matte("set", f"--ca={tmp_path}/cert.pem", to, "k", stdin=b"v" * 100000)[0] == 0
        assert matte("get", f"--ca={tmp_path}/cert.pem", to, "k")[1] == b"v" * 100000
    with Server("-Z", "-o", f"{tls},ssl_verify_mode=2,ssl_ca_cert={tmp_path}/cert.pem") as server:
        code, found = check(server)
    assert code == 0 and "client certificate" in text(found, "protocol")


@pytest.mark.parametrize("policy, rr, udp_grade", [
    ("rr", ["ok"], ["ok"]), ("rr+miss", ["ok"], ["note"]), ("drop", [], ["ok"]),
    ("open", [], ["warning"])])
def test_udp(policy, rr, udp_grade):
    with Server("-U", "-1", "-o", f"udp_policy={policy}") as server:
        port = server.ports()["UDP INET"]
        code, found = check(server)
    assert code == (1 if "warning" in udp_grade else 0)
    assert found["udp"]["port"] == port and found["udp"]["rr"] == bool(rr)
    assert (grades(found, "rr"), grades(found, "udp")) == (rr, udp_grade)
    if rr:
        hello = found["udp"]["requests"][-1]
        assert hello["sent_bytes"] == hello["got_bytes"] == 60


# ── memcached ───────────────────────────────────────────────────────────────────────────────────


def test_memcached():
    with peer() as server:
        code, found = check(server)
    assert code == 0 and not found["matted"] and found["udp"]["state"] == "closed"
    if found["version"] == "1.6.18":
        assert "CVE-2023-46852" in text(found, "advisory")
        assert "CVE-2020-10931" not in text(found, "advisory")


def test_memcached_with_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with peer("-U", str(port)) as server:
        code, found = check(server)
        with server.connect() as conn:
            assert conn.command(b"version").startswith(b"VERSION")
    udp = found["udp"]
    assert code == 1 and grades(found, "udp") == ["warning"]
    assert (udp["state"], udp["port"], udp["rr"]) == ("answers", port, False)
    assert udp["amplification"] > 20
    version, get, stats, hello = udp["requests"]
    assert version["sent_bytes"] == 20 + 8 + 8 + len("version\r\n")
    assert version["got_bytes"] == 20 + 8 + 8 + len(f"VERSION {found['version']}\r\n")
    assert 0 < get["got_bytes"] < get["sent_bytes"] and stats["got_datagrams"] >= 2
    assert hello["sent_bytes"] == 60


def test_memcached_with_logins(users):
    with peer("-Y", users) as server:
        code, found = check(server)
    assert code == 0 and grades(found, "login") == ["ok"]


# ── no servers ──────────────────────────────────────────────────────────────────────────────────


def test_closed():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    code, _, errors = matte("check", f"127.0.0.1:{port}")
    assert code == 2 and b"cannot be reached" in errors and b"refused" in errors


@pytest.mark.parametrize("answer, times", [
    (b"", 0),                                        # closes after it has read something
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", 1),
    (b"\x1b[2J\r\n", 1),
    (b"x" * 65536, None),                            # without an end, without a line
    (b"STAT a b\r\n" * 5000, None),                  # without an end
    (b"VERSION 1.4.5\r\n" + b"STAT a b\r\n" * 5000, None),
    (b"VALUE k 0 1000000000\r\n" + b"v" * 65536, None),
    (b"\x81\x0b" + b"\xff" * 22, 1),
    (bytes(range(256)) * 16, 1),
    (b"VERSION 99999999999999999999.1.1\r\n", 1),
])
def test_stranger(answer, times):
    """Bounded time and memory, nothing unprintable, and a status that says something is odd."""
    with Stranger(answer, times) as stranger:
        start = time.monotonic()
        code, out, errors = matte("check", "--timeout=0.3", f"127.0.0.1:{stranger.port}")
        assert time.monotonic() - start < 10
    assert code in (0, 1) and errors == b""
    assert all(byte >= 0x20 or byte == 0x0A for byte in out)


def test_silent():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, found = check(silent.getsockname()[1], "--timeout=0.2")
    assert code == 1 and "says nothing" in text(found, "protocol")


class Flooder:
    """Answers the first datagram without an end."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.done = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        self.sock.settimeout(20)
        _, who = self.sock.recvfrom(65536)
        while not self.done:
            try:
                self.sock.sendto(b"\x00" * 1400, who)
            except OSError:
                return

    def close(self):
        self.done = True
        self.thread.join(10)
        self.sock.close()


def test_udp_without_an_end():
    flooder = Flooder()
    try:
        start = time.monotonic()
        code, found = check(flooder.port, "--timeout=0.3")
        assert time.monotonic() - start < 10
        assert code == 1 and found["udp"]["state"] == "answers" and "danger" in grades(found, "rr")
    finally:
        flooder.close()
