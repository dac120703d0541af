# SPDX-License-Identifier: BSD-3-Clause
"""UDP: return-routable requests, what the policies do to others, answers of many datagrams.

All of it over loopback; what only raw packets and other hosts can show is in tests/packets.
"""

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys

import pytest

import binary
import harness
import rr

KEY = bytes(range(16))
OLD_KEY = bytes(range(1, 17))
TOO_LARGE = b"SERVER_ERROR answer too large for UDP, use TCP\r\n"
NO_VERB = b"SERVER_ERROR command is not served over UDP\r\n"
NO_WRITES = b"SERVER_ERROR writes are not served over UDP\r\n"
TOO_MANY = b"SERVER_ERROR too many keys for UDP\r\n"
REPEATED = b"SERVER_ERROR repeated key over UDP\r\n"


@pytest.fixture(autouse=True)
def ours(reference):
    if reference:
        pytest.skip("knows no return-routable UDP")


def udp_port(server):
    ports = server.ports()
    return ports.get("UDP INET") or ports["UDP INET6"]


def serve(*args, **how):
    return harness.Server("-U", "-1", *args, **how)


def client(server, host="127.0.0.1", **how):
    return rr.Client(host, udp_port(server), **how)


@pytest.fixture
def server(pool):
    return pool.get("-t", "2", "-U", "-1")


@pytest.fixture
def writer(pool):
    return pool.get("-t", "2", "-U", "-1", "-o", "udp_writes")


@pytest.fixture
def udp(server):
    with client(server) as udp:
        yield udp


def counted(server):
    with server.connect() as conn:
        return {name: int(value) for name, value in conn.stats(b"udp").items()
                if not name.startswith("udp_")}


@contextlib.contextmanager
def counts(server, **want):
    """What the block adds to `stats udp`; other rows may be anything."""
    before = counted(server)
    yield
    harness.until(lambda: {k: counted(server)[k] - before[k] for k in want} == want)


def drops(server, udp, *datagrams):
    """None of these is answered, and the server is still there."""
    with counts(server, dropped=len(datagrams), challenges=0, served=0, refused=0):
        for data in datagrams:
            udp.send(data)
    assert udp.silent()


def test_stats_show_what_is_set():
    with harness.Server("-U", "-1", "-o", "udp_policy=rr+miss,udp_writes,udp_answer_max=2k",
                        listen="127.0.0.1") as server, server.connect() as conn:
        rows = conn.stats(b"udp")
    assert (rows["udp_policy"], rows["udp_writes"], rows["udp_answer_max"]) == \
        ("rr+miss", "yes", "2048")
    with harness.Server(listen="127.0.0.1") as server, server.connect() as conn:
        assert "udp_policy" not in conn.stats(b"udp")


# ── proven clients ─────────────────────────────────────────────────────────────────────────────


def test_challenge(server, udp):
    with counts(server, challenges=2, served=0):
        first = udp.greet()
        second = udp.greet()
    assert len(first.data) == 32 and first.total == 1 and first.sequence == 0
    assert abs(first.stamp - rr.now()) < 5
    assert first.mac != bytes(8)
    if first.stamp == second.stamp:
        assert first.mac == second.mac


def test_hello_command_is_not_run(writer):
    with client(writer) as udp:
        udp.send(udp.hello(b"set hello 0 0 1\r\nx\r\n"))
        assert udp.receive().kind == rr.CHALLENGE
        assert udp.silent()
        assert udp.ask(b"get hello\r\n") == b"END\r\n"


def test_reads(server, udp, conn):
    del conn
    with server.connect() as tcp:
        tcp.set(b"udp-a", b"hello", flags=7)
        tcp.set(b"udp-b", b"", flags=0)
        assert udp.ask(b"get udp-a\r\n") == b"VALUE udp-a 7 5\r\nhello\r\nEND\r\n"
        assert udp.ask(b"get udp-none\r\n") == b"END\r\n"
        assert udp.ask(b"get udp-a udp-none udp-b\r\n") == (
            b"VALUE udp-a 7 5\r\nhello\r\nVALUE udp-b 0 0\r\n\r\nEND\r\n")
        assert re.fullmatch(rb"VALUE udp-a 7 5 \d+\r\nhello\r\nEND\r\n", udp.ask(b"gets udp-a\r\n"))
        assert udp.ask(b"mg udp-a v f k\r\n") == b"VA 5 f7 kudp-a\r\nhello\r\n"
        assert udp.ask(b"mg udp-none v\r\n") == b"EN\r\n"
        assert udp.ask(b"mn\r\n") == b"MN\r\n"
        assert udp.ask(b"version\r\n") == b"VERSION 1.6.45\r\n"
        assert udp.ask(b"nonsense\r\n") == b"ERROR\r\n"
        assert udp.ask(b"get " + b"k" * 251 + b"\r\n").startswith(b"CLIENT_ERROR")
    assert udp.hellos == 1


def test_quiet_requests_are_not_answered(server, writer):
    with client(server) as udp:
        udp.greet()
        with counts(server, served=1, datagrams_out=0):
            udp.send(udp.proven(b"mg udp-quiet v q\r\n"))
    with client(writer) as udp:
        udp.greet()
        udp.send(udp.proven(b"set quiet 0 0 2 noreply\r\nhi\r\n"))
        assert udp.silent()
        assert udp.ask(b"get quiet\r\n") == b"VALUE quiet 0 2\r\nhi\r\nEND\r\n"


def test_writes(writer):
    with client(writer) as udp:
        assert udp.ask(b"set w 1 0 2\r\n10\r\n") == b"STORED\r\n"
        assert udp.ask(b"incr w 5\r\n") == b"15\r\n"
        assert udp.ask(b"decr w 1\r\n") == b"14\r\n"
        assert udp.ask(b"touch w 100\r\n") == b"TOUCHED\r\n"
        assert udp.ask(b"gat 100 w\r\n") == b"VALUE w 1 2\r\n14\r\nEND\r\n"
        assert udp.ask(b"ms w 1 T0\r\n7\r\n") == b"HD\r\n"
        assert udp.ask(b"ma w v\r\n") == b"VA 1\r\n8\r\n"
        assert udp.ask(b"mg w v t T30\r\n").startswith(b"VA 1 ")
        assert udp.ask(b"delete w\r\n") == b"DELETED\r\n"
        assert udp.ask(b"md w\r\n") == b"NF\r\n"
        assert udp.ask(b"set w:1 0 0 1\r\n1\r\n") == b"STORED\r\n"
        assert udp.ask(b"delete_prefix w:\r\n") == b"DELETED\r\n"
        assert udp.ask(b"get w:1\r\n") == b"END\r\n"
        assert udp.ask(b"mdp w: k\r\n") == b"HD kw:\r\n"


@pytest.mark.parametrize("command", [
    b"set k 0 0 1\r\nx\r\n", b"ms k 1\r\nx\r\n", b"touch k 1\r\n", b"delete k\r\n", b"md k\r\n",
    b"ma k\r\n", b"incr k 1\r\n", b"decr k 1\r\n", b"gat 10 k\r\n", b"gats 10 k\r\n",
    b"delete_prefix k\r\n", b"mdp k\r\n", b"mg k T30\r\n", b"mg k v N30\r\n", b"mg k N30 E5\r\n",
])
def test_writes_are_off(server, udp, command):
    with counts(server, refused=1, served=0):
        assert udp.ask(command) == NO_WRITES


@pytest.mark.parametrize("command", [
    b"stats\r\n", b"stats items\r\n", b"flush_all\r\n", b"shutdown\r\n", b"watch\r\n",
    b"lru tune 1 2 3\r\n", b"lru_crawler metadump all\r\n", b"slabs reassign 1 2\r\n",
    b"verbosity 1\r\n", b"cache_memlimit 8\r\n", b"refresh_certs\r\n", b"quit\r\n", b"me k\r\n",
    b"add k 0 0 1\r\nx\r\n", b"replace k 0 0 1\r\nx\r\n", b"append k 0 0 1\r\nx\r\n",
    b"prepend k 0 0 1\r\nx\r\n", b"cas k 0 0 1 1\r\nx\r\n",
])
def test_verbs_that_are_never_served(writer, command):
    with client(writer) as udp, counts(writer, refused=1, served=0):
        assert udp.ask(command) == NO_VERB


def test_number_of_keys(server, udp):
    keys = b" ".join(b"udp-key-%d" % i for i in range(64))
    assert udp.ask(b"get " + keys + b"\r\n") == b"END\r\n"
    assert udp.ask(b"get " + keys + b" more\r\n") == TOO_MANY
    assert udp.ask(b"get a b c a\r\n") == REPEATED
    assert udp.ask(b"gets " + b"a " * 600 + b"\r\n") == REPEATED


@pytest.mark.parametrize("size", [0, 1, 1300, 1367, 1368, 1369, 1391, 1392, 1393, 2783, 2784, 2785,
                                  16384, 16385, 40000, 65000])
def test_long_answers(server, udp, size):
    """Numbered from 0, 1400 bytes at most, and cut nowhere."""
    with server.connect() as tcp:
        value = os.urandom(size)
        tcp.set(b"udp-long", value)
        want = b"VALUE udp-long 0 %d\r\n%s\r\nEND\r\n" % (size, value)
        assert udp.ask(b"get udp-long\r\n") == want
        parts = None
        udp.send(udp.proven(b"get udp-long\r\n"))
        parts = udp.answer()
        assert len(parts) == max(1, -(-len(want) // 1392))
        assert all(len(part.data) == 1400 for part in parts[:-1])


def test_answer_cap(server, udp):
    head = len(b"VALUE udp-cap 0 65000\r\n\r\nEND\r\n")
    with server.connect() as tcp:
        tcp.set(b"udp-cap", b"x" * (65536 - head))
        assert len(udp.ask(b"get udp-cap\r\n")) == 65536
        tcp.set(b"udp-cap", b"x" * (65537 - head))
        assert udp.ask(b"get udp-cap\r\n") == TOO_LARGE
        tcp.set(b"udp-cap", b"x" * 900_000)
        assert udp.ask(b"get udp-cap\r\n") == TOO_LARGE
        for i in range(20):
            tcp.set(b"udp-cap-%d" % i, b"x" * 15000)
        keys = b" ".join(b"udp-cap-%d" % i for i in range(20))
        assert udp.ask(b"get " + keys + b"\r\n") == TOO_LARGE
        assert udp.ask(b"get udp-cap-1 udp-cap-2 udp-cap-3\r\n").count(b"VALUE") == 3


def test_another_cap():
    with serve("-o", "udp_answer_max=2000") as server, client(server) as udp:
        with server.connect() as tcp:
            tcp.set(b"a", b"x" * 1900)
            assert len(udp.ask(b"get a\r\n")) == 1900 + len(b"VALUE a 0 1900\r\n\r\nEND\r\n")
            tcp.set(b"a", b"x" * 2000)
            assert udp.ask(b"get a\r\n") == TOO_LARGE


def test_binary(server, writer):
    with client(writer) as udp:
        set_ = binary.store("set", b"bin", b"abc")
        assert udp.ask(set_)[:8] == b"\x81\x01\0\0\0\0\0\0"
        got = udp.ask(binary.request("get", key=b"bin"))
        assert got[:2] == b"\x81\x00" and got.endswith(b"abc")
        assert udp.ask(binary.request("stat"))[6:8] == b"\x00\x81"
        assert udp.ask(binary.request("get", key=b"none"))[6:8] == b"\x00\x01"
    with client(server) as udp:
        assert udp.ask(set_)[6:8] == b"\x00\x81"


@pytest.mark.parametrize("args, text, packets", [
    (("-B", "ascii"), True, False), (("-B", "binary"), False, True), ((), True, True)])
def test_protocol_of_the_listener(args, text, packets):
    with serve("-o", "udp_policy=rr", *args) as server, client(server) as udp:
        udp.greet()
        for wanted, command in ((text, b"mn\r\n"), (packets, binary.request("noop"))):
            udp.send(udp.proven(command))
            if wanted:
                assert udp.receive().payload
            else:
                assert udp.silent()


def test_ipv6():
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6")
    with serve("-l", "::1", listen="127.0.0.1") as server:
        with rr.Client("::1", server.ports()["UDP INET6"]) as udp:
            assert udp.ask(b"mn\r\n") == b"MN\r\n"


def test_answers_come_from_the_address_that_was_asked():
    with serve(listen="0.0.0.0") as server:
        for host in ("127.0.0.1", "127.0.0.2", "127.200.1.2"):
            with client(server, host) as udp:  # a connected socket takes nothing else
                assert udp.ask(b"mn\r\n") == b"MN\r\n"


def test_many_clients(server):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client(server)) for _ in range(50)]
        for udp in clients:
            udp.greet()
        for udp in clients:
            for _ in range(8):
                udp.send(udp.proven(b"mn\r\n"))
        for udp in clients:
            assert {udp.receive().payload for _ in range(8)} == {b"MN\r\n"}


# ── cookies ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def keys(tmp_path):
    os.chmod(tmp_path, 0o755)
    path = tmp_path / "keys"
    write_keys(path, KEY)
    return path


def write_keys(path, *keys, mode=0o600):
    path.write_text("# keys\n\n" + "".join(key.hex() + "\n" for key in keys))
    path.chmod(mode)


def forge(udp, key, stamp, nonce=None):
    return stamp, rr.mac(key, nonce or udp.nonce, stamp, udp.here, udp.there)


def test_cookies_are_what_the_spec_says(keys):
    with serve("-o", f"udp_keys={keys}") as server, client(server) as udp:
        answer = udp.greet()
        assert answer.cookie == forge(udp, KEY, answer.stamp)


def test_ages(keys):
    """Good for an hour, renewed after half of it, 300 s ahead at most; else a challenge."""
    with serve("-o", f"udp_keys={keys}") as server, client(server) as udp:
        now = udp.greet().stamp
        for age, kind in ((0, rr.LEGACY), (1700, rr.LEGACY), (1900, rr.FRESH), (3500, rr.FRESH),
                          (3700, rr.CHALLENGE), (100_000, rr.CHALLENGE), (-200, rr.LEGACY),
                          (-290, rr.LEGACY), (-400, rr.CHALLENGE)):
            udp.cookie = forge(udp, KEY, now - age)
            udp.send(udp.proven(b"mn\r\n"))
            answer = udp.answer()[0]
            assert answer.kind == kind, age
            assert answer.payload == (b"" if kind == rr.CHALLENGE else b"MN\r\n")
            if kind != rr.LEGACY:
                assert abs(answer.stamp - now) < 60
                assert answer.cookie == forge(udp, KEY, answer.stamp)


def test_renewal_of_a_long_answer(keys):
    with serve("-o", f"udp_keys={keys}") as server, client(server) as udp:
        with server.connect() as tcp:
            for size in (1300, 1368 - 26, 1368 - 25, 5000, 60000):
                value = os.urandom(size)
                tcp.set(b"a", value)
                udp.cookie = forge(udp, KEY, rr.now() - 2000)
                old = udp.cookie
                assert udp.ask(b"get a\r\n") == b"VALUE a 0 %d\r\n%s\r\nEND\r\n" % (size, value)
                assert udp.cookie != old and udp.hellos == 0


@pytest.mark.parametrize("spoil", [
    lambda udp, cookie: (cookie[0], bytes(8)),
    lambda udp, cookie: (cookie[0], bytes([cookie[1][0] ^ 1]) + cookie[1][1:]),
    lambda udp, cookie: (cookie[0] + 1, cookie[1]),
    lambda udp, cookie: (cookie[0], rr.mac(KEY, bytes(8), cookie[0], udp.here, udp.there)),
    lambda udp, cookie: (cookie[0], rr.mac(KEY, udp.nonce, cookie[0],
                                           (udp.here[0], udp.here[1] ^ 1), udp.there)),
    lambda udp, cookie: (cookie[0], rr.mac(KEY, udp.nonce, cookie[0],
                                           ("127.0.0.9", udp.here[1]), udp.there)),
    lambda udp, cookie: (cookie[0], rr.mac(OLD_KEY, udp.nonce, cookie[0], udp.here, udp.there)),
])
def test_forged_cookies(keys, spoil):
    with serve("-o", f"udp_keys={keys},udp_writes") as server, client(server) as udp:
        good = udp.greet().cookie
        udp.cookie = spoil(udp, good)
        udp.send(udp.proven(b"set a 0 0 1\r\nx\r\n"))
        answer = udp.receive()
        assert answer.kind == rr.CHALLENGE and answer.payload == b""
        assert udp.silent()
        udp.cookie = good
        assert udp.ask(b"get a\r\n") == b"END\r\n"


def test_cookie_of_another_client(server):
    with client(server) as one, client(server) as two:
        one.greet()
        two.nonce, two.cookie = one.nonce, one.cookie
        two.send(two.proven(b"mn\r\n"))
        assert two.receive().kind == rr.CHALLENGE


def test_keys_are_read_again(keys):
    with serve("-o", f"udp_keys={keys}") as server, client(server) as udp:
        now = udp.greet().stamp
        old = udp.cookie

        def answered(cookie):
            udp.cookie = cookie
            udp.send(udp.proven(b"mn\r\n"))
            return udp.answer()[0].kind == rr.LEGACY

        write_keys(keys, OLD_KEY, KEY)
        server.process.send_signal(signal.SIGHUP)
        harness.until(lambda: udp.greet().cookie == forge(udp, OLD_KEY, udp.cookie[0]))
        assert answered(old) and answered(forge(udp, OLD_KEY, now))
        write_keys(keys, OLD_KEY)
        server.process.send_signal(signal.SIGHUP)
        harness.until(lambda: not answered(old))
        write_keys(keys, KEY, mode=0o640)  # refused: what was known stays
        server.process.send_signal(signal.SIGHUP)
        harness.until(lambda: "the keys of -o udp_keys stay as they were" in server.errors())
        assert answered(forge(udp, OLD_KEY, now))


@pytest.mark.parametrize("text, mode, fault", [
    (KEY.hex(), 0o640, "may be used by others; allowed: mode 0600"),
    (KEY.hex(), 0o604, "may be used by others; allowed: mode 0600"),
    ("", 0o600, "has no key"),
    ("# " + KEY.hex(), 0o600, "has no key"),
    (KEY.hex()[:-1], 0o600, "has a line that is not 32 hex digits"),
    (KEY.hex() + " ", 0o600, "has a line that is not 32 hex digits"),
    ("\n".join([KEY.hex()] * 2), 0o600, "has the same key twice"),
    ("\n".join(bytes([i] * 16).hex() for i in range(3)), 0o600, "has more than two keys"),
    ("#" * 5000, 0o600, "is too long for two keys"),
    (None, 0o600, "No such file or directory"),
])
def test_bad_files_of_keys(tmp_path, text, mode, fault):
    path = tmp_path / "keys"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    done = subprocess.run(harness.command(harness.BINARY, "-l", "127.0.0.1", "-U", "-1", "-p", "-1",
                                          "-o", f"udp_keys={path}"),
                          capture_output=True, timeout=harness.START_S)
    assert done.returncode == 1
    assert fault in done.stderr.decode() and str(path) in done.stderr.decode()
    assert done.stderr.decode().count("\n") == 1


def test_a_restart_forgets_drawn_keys(server):
    with client(server) as one:
        cookie = one.greet().cookie
    with serve() as other, client(other) as two:
        two.nonce, two.cookie = one.nonce, cookie
        assert two.ask(b"mn\r\n") == b"MN\r\n"  # by a new challenge
        assert two.cookie != cookie


# ── what is never answered ─────────────────────────────────────────────────────────────────────


def test_frames_that_are_dropped(server, udp):
    udp.greet()
    good = udp.proven(b"mn\r\n")
    drops(server, udp, b"", b"x", good[:7], good[:8], good[:31],
          rr.header(1, rr.PROVEN, sequence=1) + good[8:],
          rr.header(1, rr.PROVEN, total=2) + good[8:],
          rr.header(1, rr.PROVEN, total=0) + good[8:],
          rr.header(1, 0xCE00) + good[8:], rr.header(1, 0xCE05) + good[8:],
          rr.header(1, 1) + b"get a\r\n",
          rr.header(1, rr.CHALLENGE) + good[8:], rr.header(1, rr.FRESH) + good[8:],
          good[:16] + b"\x02" + good[17:], good[:16] + b"\x01\x01" + good[18:])


@pytest.mark.parametrize("payload", [
    b"", b"get a", b"get a\r\nget b\r\n", b"mn\r\nx", b"set a 0 0 5\r\nabc\r\n",
    b"set a 0 0 3\r\nabcde\r\n", b"set a 0 0 3\r\nabcdX", b"set a 0 0 99999999999\r\nx\r\n",
    b"\r\n\r\n", b"\x80", b"\x80\x00" + bytes(21), b"\x80\x00\x00\x01" + bytes(20),
    b"VALUE a 0 1\r\nx\r\nEND\r\n", b"END\r\n", b"STORED\r\n", b"STAT pid 1\r\n", b"ERROR\r\n",
    b"SERVER_ERROR x\r\n", b"CLIENT_ERROR x\r\n", b"HD\r\n", b"VA 1\r\nx\r\n", b"EN\r\n",
    b"\x81" + bytes(23),
])
def test_payloads_that_are_dropped(writer, payload):
    with client(writer) as udp:
        udp.greet()
        drops(writer, udp, udp.proven(payload))


def test_answer_shaped_hello(server, udp):
    drops(server, udp, udp.hello(b"END\r\n"), udp.hello(b"\x81"))


def test_from_our_own_port(server):
    with client(server) as udp:
        port = udp_port(server)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.5.5.5", port))
        sock.connect(("127.0.0.1", port))
        udp.sock = sock
        with counts(server, dropped=1, challenges=0):
            sock.send(rr.header(1, rr.HELLO) + rr.extension(bytes(8)))
        assert udp.silent()


def test_challenges_are_limited():
    with serve("-o", "limit_udp_challenges=1:3") as server, client(server) as udp:
        for _ in range(30):
            udp.send(udp.hello())
        harness.until(lambda: counted(server)["datagrams_in"] == 30)
        assert 3 <= counted(server)["challenges"] <= 8
        assert counted(server)["challenges"] + counted(server)["dropped"] == 30


def test_budget_of_bytes():
    with serve("-o", "limit_udp_bytes=20k:60k,limit_trusted=10.0.0.0/8") as server:
        with client(server) as udp, server.connect() as tcp:
            tcp.set(b"a", b"x" * 20000)
            answers = [udp.ask(b"get a\r\n") for _ in range(6)]
            assert [len(a) for a in answers[:2]] == [20024] * 2
            assert answers[-1] == b"SERVER_ERROR too many answers over UDP, use TCP\r\n"


# ── access lists ───────────────────────────────────────────────────────────────────────────────


def events(server):
    with server.connect() as conn:
        conn.send(b"stats security\r\n")
        rows = {}
        while (line := conn.line()) != b"END":
            name, _, value = line.removeprefix(b"STAT ").partition(b" ")
            rows[name.decode()] = value.decode()
        return rows


@pytest.fixture
def rules(tmp_path):
    os.chmod(tmp_path, 0o755)
    return tmp_path / "access"


def test_denied_addresses(rules):
    rules.write_text("deny 127.0.0.64/26\nallow all\n")
    with serve("-o", f"access_file={rules}") as server:
        with client(server, bind=("127.0.0.65", 0)) as udp:
            drops(server, udp, udp.hello(), udp.legacy(b"get a\r\n"))
        with client(server, bind=("127.0.0.5", 0)) as udp:
            assert udp.ask(b"mn\r\n") == b"MN\r\n"
        assert events(server)["udp_denied"] == "1"
        assert events(server)["udp_legacy_dropped"] == "1"


def test_denied_classes(rules):
    rules.write_text("allow 127.0.0.1 on udp read\nallow all on tcp\nallow 127.0.0.2 read,write\n")
    with serve("-o", f"udp_writes,access_file={rules}") as server:
        with client(server, bind=("127.0.0.2", 0)) as udp:
            assert udp.ask(b"set a 0 0 1\r\nx\r\n") == b"STORED\r\n"
        with client(server) as udp:
            assert udp.ask(b"get a\r\n") == b"VALUE a 0 1\r\nx\r\nEND\r\n"
            for command in (b"set a 0 0 1\r\ny\r\n", b"delete a\r\n", b"mg a T0\r\n"):
                assert udp.ask(command).startswith((b"CLIENT_ERROR", b"SERVER_ERROR"))
            assert udp.ask(binary.request("delete", key=b"a"))[6:8] not in (b"\0\0", b"\0\1")
            assert udp.ask(b"get a\r\n") == b"VALUE a 0 1\r\nx\r\nEND\r\n"
        with client(server, bind=("127.0.0.3", 0)) as udp:
            drops(server, udp, udp.hello())


# ── legacy clients ─────────────────────────────────────────────────────────────────────────────


def legacy_silent(server, *commands):
    with client(server) as udp:
        drops(server, udp, *[udp.legacy(command) for command in commands])


def test_legacy_is_dropped(server):
    legacy_silent(server, b"get a\r\n", b"version\r\n", b"stats\r\n", b"set a 0 0 1\r\nx\r\n", b"x")


def test_policy_drop():
    with serve("-o", "udp_policy=drop") as server:
        legacy_silent(server, b"get a\r\n")
        with client(server) as udp:
            drops(server, udp, udp.hello())


def test_policy_miss():
    with serve("-o", "udp_policy=rr+miss") as server, client(server) as udp:
        with server.connect() as tcp:
            tcp.set(b"a", b"hello")
            before = tcp.stats()["cmd_get"]
            for command in (b"get a\r\n", b"gets a b c\r\n", b"get " + b"k" * 250 + b"\r\n"):
                sent = udp.legacy(command)
                udp.send(sent)
                answer = udp.receive()
                assert answer.payload == b"END\r\n" and answer.kind == rr.LEGACY
                assert answer.request == udp.request and len(answer.data) < len(sent)
            assert tcp.stats()["cmd_get"] == before
            assert int(tcp.stats(b"udp")["misses"]) == 3
        drops(server, udp, udp.legacy(b"set a 0 0 1\r\nx\r\n"), udp.legacy(b"version\r\n"),
              udp.legacy(b"mg a v\r\n"), udp.legacy(b"stats\r\n"), udp.legacy(b"nonsense\r\n"))
        assert udp.ask(b"get a\r\n") == b"VALUE a 0 5\r\nhello\r\nEND\r\n"


def test_policy_open():
    with serve("-o", "udp_policy=open,udp_writes") as server, client(server) as udp:
        assert udp.ask_legacy(b"set a 0 0 5\r\nhello\r\n") == b"STORED\r\n"
        assert udp.ask_legacy(b"get a\r\n") == b"VALUE a 0 5\r\nhello\r\nEND\r\n"
        assert udp.ask_legacy(b"set long 0 0 5000\r\n" + b"x" * 5000 + b"\r\n") == b"STORED\r\n"
        assert udp.ask_legacy(b"get long\r\n").startswith(b"VALUE long 0 5000\r\nxxx")
        drops(server, udp, udp.legacy(b"stats\r\n"), udp.legacy(b"flush_all\r\n"), udp.hello(),
              udp.legacy(b"get a a\r\n"), udp.legacy(b"x\r\n"))


def test_policy_prefixes():
    with serve("-o", "udp_policy=prefixes:10.0.0.0/8+127.0.0.0/30+rr") as server:
        with client(server, bind=("127.0.0.3", 0)) as udp:
            assert udp.ask_legacy(b"mn\r\n") == b"MN\r\n"
        with client(server, bind=("127.0.0.4", 0)) as udp:
            drops(server, udp, udp.legacy(b"mn\r\n"))
            assert udp.ask(b"mn\r\n") == b"MN\r\n"


def test_policy_tcp_vouched():
    with serve("-o", "udp_policy=tcp-vouched") as server:
        def ask(host):
            with client(server, bind=(host, 0)) as udp:
                udp.send(udp.legacy(b"mn\r\n"))
                try:
                    udp.sock.settimeout(rr.SILENCE_S)
                    return udp.receive().payload == b"MN\r\n"
                except TimeoutError:
                    return False
        clock = harness.Clock(server)
        assert ask("127.0.0.1")  # the clock's connection
        assert not ask("127.0.0.77")
        socket.create_connection(("127.0.0.1", server.port),
                                 source_address=("127.0.0.77", 0)).close()
        harness.until(lambda: ask("127.0.0.77"))
        assert not ask("127.0.0.78")
        if clock.usable(301):
            clock.forward(299)
            assert ask("127.0.0.77")
            clock.forward(3)
            assert not ask("127.0.0.77")
        clock.close()


def test_libmemcached():
    """Its UDP sends writes alone, and never waits for an answer.

    It leaves the frame's reserved field as it finds it, which is 0 in a new process.
    """
    pytest.importorskip("pylibmc")
    with serve("-o", "udp_policy=open,udp_writes") as server, server.connect() as conn:
        conn.set(b"gone", b"x")
        program = (f"import pylibmc; c = pylibmc.Client(['udp:127.0.0.1:{udp_port(server)}']);"
                   "assert c.set('lib', 'hello'); assert c.delete('gone')")
        subprocess.run([sys.executable, "-c", program], check=True, timeout=harness.START_S)
        harness.until(lambda: conn.get(b"lib") == b"hello")
        harness.until(lambda: conn.get(b"gone") is None)


@pytest.mark.parametrize("args", [
    ("-l", "0.0.0.0", "-o", "udp_policy=open"),
    ("-l", "0.0.0.0", "-o", "udp_policy=rr+open"),
    ("-l", "0.0.0.0", "-o", "udp_policy=prefixes:10.0.0.0/8+open"),
    ("-l", "127.0.0.1,0.0.0.0", "-o", "udp_policy=open"),
])
def test_open_to_the_world_is_refused(args):
    done = subprocess.run(harness.command(harness.BINARY, "-U", "-1", "-p", "-1", *args),
                          capture_output=True, timeout=harness.START_S)
    assert done.returncode == 64
    assert "udp_policy=open would answer whoever claims to be anybody" in done.stderr.decode()


# ── as memcached ───────────────────────────────────────────────────────────────────────────────


def test_off_by_default():
    with harness.Server() as server:
        assert list(server.ports()) == ["TCP INET"]


def test_port_of_udp_alone():
    """-U without -p names both ports; -p 0 leaves UDP alone."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    process = subprocess.Popen(
        harness.command(harness.BINARY, "-l", "127.0.0.1", "-p", "0", "-U", port))
    try:
        def answered():
            with rr.Client("127.0.0.1", port, wait_s=0.1) as udp:
                try:
                    return udp.ask(b"mn\r\n") == b"MN\r\n"
                except (TimeoutError, ConnectionRefusedError):
                    return False
        harness.until(answered)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    finally:
        process.terminate()
        assert process.wait(harness.START_S) == 0


def test_seen_from_outside():
    with serve("-t", "3") as server, server.connect() as conn:
        port = udp_port(server)
        settings = conn.stats(b"settings")
        assert settings["udpport"] == str(port) and settings["num_threads_per_udp"] == "3"
        rows = conn.stats(b"conns")
        fds = [name.split(":")[0] for name in rows if name.endswith(":UDP")]
        assert len(fds) == 3
        for fd in fds:
            assert rows[f"{fd}:UDP"] == "UDP"
            assert rows[f"{fd}:addr"] == f"udp:127.0.0.1:{port}"
            assert rows[f"{fd}:state"] == "conn_read"
            assert f"{fd}:listen_addr" not in rows
        stats = conn.stats()
        assert (stats["curr_connections"], stats["total_connections"]) == ("4", "5")


def test_bytes_are_counted():
    with serve() as server, client(server) as udp, server.connect() as conn:
        before = {name: int(conn.stats()[name]) for name in ("bytes_read", "bytes_written")}
        with counts(server, datagrams_in=2, bytes_in=32 + 36, datagrams_out=2, bytes_out=32 + 12):
            udp.greet()
            udp.send(udp.proven(b"mn\r\n"))
            udp.answer()
        after = conn.stats()
        assert int(after["bytes_read"]) - before["bytes_read"] >= 68
        assert int(after["bytes_written"]) - before["bytes_written"] >= 44


def test_reset():
    with serve() as server, client(server) as udp:
        udp.ask(b"mn\r\n")
        harness.until(lambda: counted(server)["datagrams_out"] == 2)
        with server.connect() as conn:
            conn.ask(b"stats reset\r\n", b"RESET\r\n")
        assert set(counted(server).values()) == {0}


def test_port_in_use(server):
    done = subprocess.run(harness.command(harness.BINARY, "-l", "127.0.0.1", "-p", "-1", "-U",
                                          udp_port(server)),
                          capture_output=True, timeout=harness.START_S)
    assert done.returncode == 71
    assert f"UDP port {udp_port(server)}: Address already in use" in done.stderr.decode()


def test_confined():
    with serve("-o", "drop_privileges") as server, client(server) as udp:
        assert udp.ask(b"mn\r\n") == b"MN\r\n"
        server.process.send_signal(signal.SIGHUP)  # looks for addresses again
        with server.connect() as conn:
            conn.set(b"a", b"x" * 30000)
        assert len(udp.ask(b"get a\r\n")) == 30024
        assert server.alive()


def test_random_datagrams(server, udp):
    """No garbage disturbs anybody; the header of a good kind stands in front of half of it."""
    random = __import__("random").Random(int(os.environ.get("MATTE_SEED", "7")))
    udp.greet()
    good = udp.proven(b"mn\r\n")
    for i in range(2000):
        data = random.randbytes(random.randrange(0, 200))
        cut = random.choice((0, 8, 16, 32))
        udp.send(good[:cut] + data)
        if i % 200 == 0:
            while True:
                udp.send(udp.proven(b"version\r\n"))
                answer = udp.receive()
                if answer.payload == b"VERSION 1.6.45\r\n":
                    break
    assert struct.calcsize(">HHHH") == rr.HEADER_BYTES


def test_login_and_udp_is_refused(tmp_path):
    users = tmp_path / "users"
    users.write_text("a:b\n")
    done = subprocess.run(harness.command(harness.BINARY, "-U", "-1", "-p", "-1", "-Y", users),
                          capture_output=True, timeout=harness.START_S)
    assert done.returncode == 64 and "there are no logins by UDP" in done.stderr.decode()
