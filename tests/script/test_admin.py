# SPDX-License-Identifier: BSD-3-Clause
"""The admin listener: who may see it, its HTTP, /metrics and what Prometheus makes of it,
/stats.json and /history.json.  The page itself: test_page.py."""

import base64
import http.client
import json
import os
import re
import signal
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request

import pytest

import harness
from harness import Conn, Server, until
from test_tls import certs, client  # noqa: F401 pylint: disable=unused-import

TOKEN = "0123456789abcdef-token"
REQUEST_S = 5  # as in the server
HOME = b"Host: localhost\r\n"


@pytest.fixture(autouse=True)
def ours(reference):
    if reference:
        pytest.skip("has no admin listener")


def start(*args, where="0", **kwargs):
    return Server("-v", "-o", f"admin={where}", *args, **kwargs)


def ports(server):
    return [int(port) for port in re.findall(r"admin page: https?://.*:(\d+)/", server.errors())]


def admin(server):
    """A raw connection to it."""
    return Conn(("127.0.0.1", ports(server)[0]))


def ask(server, path, method="GET", context=None, at="127.0.0.1", **headers):
    """(status, headers, body) of one request."""
    port = ports(server)[0]
    conn = (http.client.HTTPSConnection(at, port, timeout=harness.WAIT_S, context=context)
            if context else http.client.HTTPConnection(at, port, timeout=harness.WAIT_S))
    conn.request(method, path, headers=headers)
    answer = conn.getresponse()
    body = answer.read()
    conn.close()
    return answer.status, answer.headers, body.decode()


def get_json(server, path):
    status, headers, body = ask(server, path)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    return json.loads(body, parse_float=str)  # as it was told


def events(server):
    with server.connect() as conn:
        return {name: int(value) for name, value in conn.stats(b"security").items()
                if name.startswith("admin_") or name.startswith("login_")}


@pytest.fixture(scope="module")
def shared():
    with start("-t", "2") as server:
        yield server


@pytest.fixture
def token_file(tmp_path):
    tmp_path.chmod(0o755)
    path = tmp_path / "token"
    path.write_text(f"# for tests\n{TOKEN}\n")
    path.chmod(0o600)
    return path


# ── HTTP ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path, status, kind", [
    ("/", 200, "text/html; charset=utf-8"),
    ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
    ("/livez", 200, "text/plain; charset=utf-8"),
    ("/readyz?verbose", 200, "text/plain; charset=utf-8"),
    ("/stats.json", 200, "application/json"),
    ("/history.json", 200, "application/json"),
    ("/favicon.ico", 404, "text/plain; charset=utf-8"),
    ("/../etc/passwd", 404, "text/plain; charset=utf-8"),
    ("/%2e%2e/", 404, "text/plain; charset=utf-8"),
])
def test_routes(shared, path, status, kind):
    got, headers, body = ask(shared, path)
    assert (got, headers["Content-Type"]) == (status, kind)
    assert int(headers["Content-Length"]) == len(body.encode()) > 0
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Server" not in headers


def test_head_is_get_without_a_body(shared):
    status, headers, body = ask(shared, "/metrics", method="HEAD")
    assert (status, body) == (200, "") and int(headers["Content-Length"]) > 10000


@pytest.mark.parametrize("request_, status", [
    (b"POST / HTTP/1.1\r\n" + HOME + b"Content-Length: 0\r\n\r\n", 405),
    (b"GET / HTTP/1.1\r\n" + HOME + b"Content-Length: 3\r\n\r\nabc", 413),
    (b"GET /" + b"x" * 2000 + b" HTTP/1.1\r\n" + HOME + b"\r\n", 414),
    (b"GET / HTTP/1.1\r\n" + HOME + b"x: " + b"y" * 9000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + HOME + b"x: y\r\n" * 100 + b"\r\n", 431),
    (b"GET / HTTP/3.0\r\n" + HOME + b"\r\n", 505),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01", 400),
    (b"get a\r\n", 400),
    (b"stats\r\n", 400),
])
def test_what_is_no_request_is_answered_and_closed(shared, request_, status):
    before = events(shared)["admin_malformed"]
    with admin(shared) as conn:
        conn.send(request_)
        assert conn.line().startswith(b"HTTP/1.1 %d " % status)
        conn.take_match(re.compile(rb"(?s).*Connection: close\r\n\r\n%d [^\n]+\n" % status))
        conn.expect_close()
    assert events(shared)["admin_malformed"] == before + 1


def test_requests_in_pieces_and_ahead(shared):
    live = b"GET /livez HTTP/1.1\r\n" + HOME + b"\r\n"
    answer = re.compile(rb"(?s)HTTP/1.1 200 OK\r\n.*?\r\n\r\nok\n")
    with admin(shared) as conn:
        for i in range(len(live)):
            conn.send(live[i:i + 1])
        conn.take_match(answer)
        conn.send(live * 50)
        for _ in range(50):
            conn.take_match(answer)
        conn.send(b"GET /livez HTTP/1.0\r\n\r\n" + live)
        conn.take_match(answer)
        conn.expect_close()


def test_a_slow_request_ends(shared):
    with admin(shared) as silent, admin(shared) as conn:
        begun = time.monotonic()
        try:
            for byte in b"GET / HTTP/1.1\r\n" * 10:
                conn.send(bytes([byte]))
                time.sleep(0.2)
        except OSError:
            pass
        assert time.monotonic() - begun < REQUEST_S + 4
        conn.take_match(re.compile(rb"HTTP/1.1 408 "))
        silent.expect_close()


def test_many_connections_do_not_keep_others_out(shared):
    crowd = [admin(shared) for _ in range(100)]
    for conn in crowd[::2]:
        try:
            conn.send(b"GET / HT")
        except OSError:
            pass
    for _ in range(5):
        assert ask(shared, "/livez")[0] == 200
    for conn in crowd:
        conn.close()


def test_a_client_that_does_not_read_is_left_alone(shared):
    with admin(shared) as conn:
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.send((b"GET / HTTP/1.1\r\n" + HOME + b"\r\n") * 200)
        for _ in range(5):
            assert ask(shared, "/livez")[0] == 200
    used = os.sysconf("SC_CLK_TCK")
    stat = open(f"/proc/{shared.process.pid}/stat").read().rsplit(")", 1)[1].split()
    before = int(stat[11]) + int(stat[12])
    time.sleep(1)
    stat = open(f"/proc/{shared.process.pid}/stat").read().rsplit(")", 1)[1].split()
    assert int(stat[11]) + int(stat[12]) - before < used / 2, "it is busy with nothing"


# ── who may see it ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("host, status", [
    ("localhost", 200), ("127.0.0.1:11280", 200), ("[::1]:80", 200), ("LOCALHOST", 200),
    ("evil.example", 421), ("localhost.evil.example", 421), ("127.0.0.1.nip.example:80", 421),
])
def test_names_of_strangers_are_refused(shared, host, status):
    before = events(shared)["admin_host_denied"]
    for path in ("/", "/livez", "/stats.json"):
        assert ask(shared, path, Host=host)[0] == status
    assert events(shared)["admin_host_denied"] - before == (3 if status == 421 else 0)


def test_several_addresses():
    with start("-o", "admin=127.0.0.1:0") as server:  # adds to that of start()
        assert len(ports(server)) == 2
        for port in ports(server):
            with Conn(("127.0.0.1", port)) as conn:
                conn.send(b"GET /livez HTTP/1.1\r\n" + HOME + b"\r\n")
                conn.take_match(re.compile(rb"HTTP/1.1 200 OK\r\n"))


def test_own_names():
    with start("-o", "admin_hosts=cache1+cache1.example") as server:
        assert ask(server, "/livez", Host="cache1.example:80")[0] == 200
        assert ask(server, "/livez", Host="cache2")[0] == 421


@pytest.mark.parametrize("where", ["0.0.0.0:0", "*:0", "[::]:0"])
def test_other_machines_need_a_token_or_a_certificate(where, token_file):
    said = refused_tcp("-o", f"admin={where}")
    assert "admin_token_file" in said and "admin_tls_ca" in said
    try:
        with start("-o", f"admin_token_file={token_file}", where=where) as server:
            at = "::1" if where.startswith("[") else "127.0.0.1"
            assert ask(server, "/livez", at=at, Host="any.name")[0] == 200
            assert ask(server, "/metrics", at=at, Host="any.name")[0] == 401
    except AssertionError as error:
        if "Cannot assign" not in str(error) and "not supported" not in str(error):
            raise


def refused_tcp(*args):
    done = subprocess.run(harness.command(harness.BINARY, "-p", "-1", *args), capture_output=True,
                          timeout=30, text=True)
    assert done.returncode == 1, done
    return done.stderr


@pytest.mark.parametrize("args, words", [
    (["-o", "admin=x"], "is no address"),
    (["-o", "admin=localhost:x"], "is no address"),
    (["-o", "admin=:80"], "is no address"),
    (["-o", "admin=::1:80"], "is no address"),
    (["-o", "admin=65536"], "is no address"),
    (["-o", "admin=192.0.2.1:1,admin_token_file=TOKEN"], "cannot listen"),
    (["-o", "admin=0,admin_token_file=/nowhere/x"], "cannot read /nowhere/x"),
    (["-o", "admin=0,admin_token_file=/dev/null"], "is not a file"),
])
def test_what_cannot_be_used_ends_the_start(args, words, token_file):
    args = [arg.replace("TOKEN", str(token_file)) for arg in args]
    assert words in refused_tcp(*args)


def test_keys_without_a_certificate():
    done = subprocess.run(harness.command(harness.BINARY, "-p", "-1", "-o", "admin_tls_key=/x"),
                          capture_output=True, timeout=30, text=True)
    assert done.returncode == 64 and "need admin_tls_cert" in done.stderr


def test_token_file_of_everybody(token_file):
    token_file.chmod(0o644)
    assert "may be used by others" in refused_tcp("-o", f"admin=0,admin_token_file={token_file}")


def basic(password, user="x"):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_tokens(token_file):
    with start("-o", f"admin_token_file={token_file}") as server:
        for path in ("/livez", "/readyz"):
            assert ask(server, path)[0] == 200
        status, headers, _ = ask(server, "/metrics")
        assert status == 401 and headers["WWW-Authenticate"].startswith("Basic realm=")
        for good in (f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN), basic(TOKEN, "")):
            assert ask(server, "/metrics", Authorization=good)[0] == 200
        assert ask(server, "/nowhere", Authorization=f"Bearer {TOKEN}")[0] == 404
        assert ask(server, "/nowhere")[0] == 401
        assert ask(server, f"/metrics?token={TOKEN}")[0] == 401
        assert events(server)["admin_token_failed"] == 0
        for bad in (f"Bearer {TOKEN}x", "Bearer x", basic("x"), "Basic x", "Digest x"):
            assert ask(server, "/metrics", Authorization=bad)[0] == 401
        assert events(server)["admin_token_failed"] == 5


def test_guessing_tokens_is_limited(token_file):
    with start("-o", f"admin_token_file={token_file},limit_logins=1:3") as server:
        statuses = [ask(server, "/", Authorization=f"Bearer {i}")[0] for i in range(6)]
        assert statuses[0] == 401 and statuses[-1] == 429
        assert events(server)["login_limited"] > 0
        assert ask(server, "/livez")[0] == 200


def test_tokens_are_read_again(token_file):
    with start("-o", f"admin_token_file={token_file}") as server:
        token_file.write_text("another-token-of-ours\n")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: ask(server, "/", Authorization="Bearer another-token-of-ours")[0] == 200)
        assert ask(server, "/", Authorization=f"Bearer {TOKEN}")[0] == 401
        token_file.write_text("short\n")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "tokens stay as they were" in server.errors())
        assert ask(server, "/", Authorization="Bearer another-token-of-ours")[0] == 200


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────────


def test_tls(certs):  # noqa: F811
    args = f"admin_tls_cert={certs.path('server.pem')},admin_tls_key={certs.path('server.key')}"
    with start("-o", args) as server:
        assert "https://" in server.errors()
        context = client(certs)
        for path in ("/", "/metrics", "/livez"):
            assert ask(server, path, context=context)[0] == 200
        with admin(server) as plain:
            plain.send(b"GET / HTTP/1.1\r\n" + HOME + b"\r\n")
            plain.expect_close()
        with admin(server) as half:  # a handshake that does not come to its end
            half.send(b"\x16\x03\x01\x02\x00\x01\x00\x01")
            assert ask(server, "/livez", context=context)[0] == 200
            begun = time.monotonic()
            half.expect_close()
            assert time.monotonic() - begun < REQUEST_S + 3
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "certificates of -o admin again" in server.errors())
        assert ask(server, "/", context=context)[0] == 200


def test_client_certificates(certs):  # noqa: F811
    args = (f"admin_tls_cert={certs.path('server.pem')},admin_tls_key={certs.path('server.key')},"
            f"admin_tls_ca={certs.path('server.pem')}")
    with start("-o", args, where="0.0.0.0:0") as server:
        with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
            ask(server, "/", context=client(certs))
        context = client(certs)
        context.load_cert_chain(certs.path("server.pem"), certs.path("server.key"))
        assert ask(server, "/", context=context)[0] == 200


# ── figures ─────────────────────────────────────────────────────────────────────────────────────


def rows_of(body):
    """{'name{labels}': value} of the text format."""
    rows = {}
    for line in body.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in rows, name
            rows[name] = float(value)
    return rows


def test_metrics_tell_what_happens():
    with start() as server, server.connect() as conn:
        for i in range(10):
            conn.set(b"k%d" % i, b"x" * 100)
        for i in range(15):
            conn.get(b"k%d" % i)
        conn.ask(b"incr nothing 1\r\n", b"NOT_FOUND\r\n")
        conn.ask(b"cas k1 0 0 1 1\r\nx\r\n", b"EXISTS\r\n")
        rows = rows_of(ask(server, "/metrics")[2])
        stats = conn.stats()
        want = {
            "memcached_up": 1,
            'memcached_version{version="1.6.45"}': 1,
            'memcached_commands_total{command="get",status="hit"}': 10,
            'memcached_commands_total{command="get",status="miss"}': 5,
            'memcached_commands_total{command="set",status="hit"}': 10,
            'memcached_commands_total{command="cas",status="badval"}': 1,
            'memcached_commands_total{command="incr",status="miss"}': 1,
            "memcached_current_items": 10,
            "memcached_items_total": 10,
            "memcached_limit_bytes": 64 << 20,
            "memcached_current_bytes": int(stats["bytes"]),
            "memcached_current_connections": int(stats["curr_connections"]),
            "memcached_max_connections": 1024,
            'memcached_slab_items_outofmemory_total{slab="1"}': 0,
            'memcached_slab_current_items{slab="1"}': 10,
            "matte_items": 10,
            'matte_commands_total{command="get"}': 15,
            'matte_lookups_total{command="get",result="miss"}': 5,
            'matte_security_events_total{event="conn_denied"}': 0,
        }
        assert {name: rows.get(name) for name in want} == want
        assert rows["matte_resident_memory_bytes"] > 1 << 20


def test_promtool_finds_nothing_wrong(shared):
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed (tools/install-deps test)")
    body = ask(shared, "/metrics")[2]
    done = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_a_real_prometheus_scrapes_it(tmp_path, token_file):
    prometheus = shutil.which("prometheus")
    if not prometheus:
        pytest.skip("prometheus is not installed (tools/install-deps test)")
    with start("-o", f"admin_token_file={token_file}") as server, server.connect() as conn:
        conn.set(b"a", b"b")
        config = tmp_path / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: matte\n"
            f"  authorization: {{credentials: {TOKEN}}}\n"
            f"  static_configs: [{{targets: ['127.0.0.1:{ports(server)[0]}']}}]\n")
        port = free_port()
        log = open(tmp_path / "prometheus.log", "wb")
        process = subprocess.Popen(
            [prometheus, f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=tmp_path)

        def value(query):
            try:
                with urllib.request.urlopen(
                        f"http://127.0.0.1:{port}/api/v1/query?query={query}", timeout=5) as answer:
                    found = json.load(answer)["data"]["result"]
            except OSError:
                return None
            return found[0]["value"][1] if found else None
        try:
            until(lambda: value("up") == "1", wait_s=60)
            until(lambda: value("memcached_current_items") == "1", wait_s=30)
            assert value("memcached_up") == "1"
            assert value("scrape_samples_scraped") is not None
        finally:
            process.terminate()
            process.wait(30)
            log.close()
    assert "level=error" not in (tmp_path / "prometheus.log").read_text(errors="replace")


def test_stats_json():
    with start() as server, server.connect() as conn:
        conn.ask(b"\r\n", b"CLIENT_ERROR bad command line format\r\n")
        found = get_json(server, "/stats.json")
        assert list(found) == ["server", "general", "settings", "security", "latency", "limits",
                               "access", "udp", "prefixes", "conns", "hotkeys", "clients",
                               "reachable", "recent"]
        for group in ("settings", "security"):
            rows = conn.stats(group.encode())
            assert {name: str(value) for name, value in found[group].items()} == rows
        assert list(found["general"]) == list(conn.stats())
        assert type(found["general"]["curr_connections"]) is int
        assert found["settings"]["maxbytes"] == 64 << 20
        where = {row["address"]: row for row in found["reachable"]}
        assert where[f"tcp:127.0.0.1:{server.port}"]["where"] == "this machine"
        assert where[f"http://127.0.0.1:{ports(server)[0]}/"]["what"] == "admin page, metrics"


def test_recent_events():
    with start("-o", "events_window=1") as server:
        with server.connect() as conn:
            conn.send(b"GET / HTTP/1.1\r\n\r\n")
            conn.expect_close()
        with server.connect() as conn:
            for _ in range(100):  # prompt ones
                conn.ask(b"verbosity 1\r\n", b"OK\r\n")

        def recent():
            return get_json(server, "/stats.json")["recent"]
        until(lambda: "foreign_protocol" in {event["mc"]["type"] for event in recent()})
        until(lambda: sum(event["mc"]["count"] for event in recent()
                          if event["mc"]["type"] == "admin_verb") == 100)
        assert len(recent()) <= 64
        with server.connect() as conn:
            assert not [name for name in conn.stats(b"security") if name.startswith("sink:")]
    with Server() as server, server.connect() as conn:  # without the listener: no thread
        conn.ask(b"mn\r\n", b"MN\r\n")
        names = [open(f"/proc/{server.process.pid}/task/{task}/comm").read().strip()
                 for task in os.listdir(f"/proc/{server.process.pid}/task")]
        assert "events" not in names and "admin" not in names


def test_history():
    with start() as server, server.connect() as conn:
        with admin(server) as other:
            other.send(b"POST / HTTP/1.1\r\n\r\n")
            other.take_match(re.compile(rb"HTTP/1.1 405"))

        def samples(since=0):
            found = get_json(server, f"/history.json?step=1&since={since}")
            assert found["step"] == 1 and "get_hits" in found["fields"]
            return found["samples"]
        conn.set(b"a", b"b")
        for _ in range(100):
            conn.get(b"a")
        until(lambda: len(samples()) >= 3)
        found = get_json(server, "/history.json")
        hits = found["fields"].index("get_hits") + 1
        assert sum(float(row[hits]) for row in found["samples"]) >= 50
        assert all(len(row) == len(found["fields"]) + 1 for row in found["samples"])
        last = found["samples"][-1][0]
        assert abs(last / 1000 - time.time()) < 10
        until(lambda: samples(last))
        assert all(row[0] > last for row in samples(last))
        until(lambda: len(get_json(server, "/history.json?step=10")["samples"]) >= 1, wait_s=20)


def test_draining():
    with start() as server, server.connect() as conn:
        assert ask(server, "/readyz")[0] == 200
        conn.ask(b"drain\r\n", b"OK\r\n")
        until(lambda: ask(server, "/readyz")[::2] == (503, "draining\n"))
        assert ask(server, "/livez")[0] == 200
        assert rows_of(ask(server, "/metrics")[2])["matte_draining"] == 1
        assert get_json(server, "/stats.json")["server"]["draining"] is True
        conn.ask(b"drain stop\r\n", b"OK\r\n")
        until(lambda: ask(server, "/readyz")[0] == 200)


def test_while_confined(token_file):
    with start("-o", f"drop_privileges,admin_token_file={token_file}") as server:
        token = {"Authorization": f"Bearer {TOKEN}"}
        for path in ("/", "/metrics", "/stats.json", "/history.json", "/livez"):
            assert ask(server, path, **token)[0] == 200
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "certificates of -o admin again" in server.errors())
        time.sleep(2.5)
        assert ask(server, "/metrics", **token)[0] == 200
