# SPDX-License-Identifier: BSD-3-Clause
"""Cookies that are not the sender's, not the server's, not whole, or not of now: none is worth
more than the CHALLENGE that anybody gets."""

import socket
import struct

import pytest

import attacks
import binary
import lab
import packet
import rr
import scene

GET = b"get secret\r\n"


pytestmark = pytest.mark.usefixtures("serves_udp")


@pytest.fixture
def client(target, aim):
    """A client with a cookie of its own."""
    with target.client(aim.family) as made:
        made.greet()
        yield made


@pytest.fixture
def served(client):
    """Its cookie is good: what is refused below is not refused for something else."""
    assert scene.SECRET in client.ask(GET)
    assert client.hellos == 1
    return client


def test_replayed_by_others(target, aim, served):
    """From other addresses with the same port, one of the local network among them."""
    datagram = served.proven(GET)
    port = served.here[1]
    sources = [aim.source() for _ in range(50)]
    sources += [lab.address(host, aim.family) for host in ("other", "attacker", "victim")]
    sources += [lab.address(n, aim.family) for n in lab.ON_LINK]
    outcome = target.strike([aim.udp(datagram, source, port) for source in sources]).check()
    assert {rr.Datagram(a.payload).kind for a in outcome.answers} == {rr.CHALLENGE}
    target.check_served()


def test_replayed_from_another_port_of_the_same_host(target, aim, served):
    """Two users of one address, or behind one NAT: a cookie is for a port."""
    with target.client(aim.family) as other:
        other.nonce, other.cookie = served.nonce, served.cookie
        other.send(other.proven(GET))
        answer = other.receive()
        assert (answer.kind, answer.payload) == (rr.CHALLENGE, b"")
        assert other.silent()


def test_replayed_by_another_host_with_the_same_port(target, aim, served):
    """Really from there, so that its answer is seen where it arrives."""
    with target.client(aim.family, "stranger", bind=("", served.here[1])) as other:
        other.nonce, other.cookie = served.nonce, served.cookie
        other.send(other.proven(GET))
        answer = other.receive()
        assert (answer.kind, answer.payload) == (rr.CHALLENGE, b"")
        assert other.silent()
        assert other.here != served.here


def test_replayed_to_another_address_of_the_server(target, aim, served):
    second = lab.address(lab.SERVER_SECOND, aim.family)
    port = served.here[1]
    datagram = served.proven(GET)
    served.close()
    with target.lab.hosts["client"], rr.Client(second, scene.PORT, bind=("", port)) as other:
        other.send(datagram)
        assert other.receive().kind == rr.CHALLENGE
        assert other.silent()


def asked(client, datagrams):
    """Send them one by one; all that comes back until nothing does."""
    answers = []
    for datagram in datagrams:
        client.send(datagram)
    while True:
        try:
            client.sock.settimeout(0.15)
            answers.append(rr.Datagram(client.sock.recv(65536)))
        except (TimeoutError, BlockingIOError):
            return answers


def test_each_bit_counts(target, served):
    """All of the extension's 192 bits, turned over one by one, by the cookie's own client."""
    whole = served.proven(GET)
    turned = []
    for bit in range(rr.EXTENSION_BYTES * 8):
        changed = bytearray(whole)
        changed[rr.HEADER_BYTES + bit // 8] ^= 1 << bit % 8
        turned.append(bytes(changed))
    for answer in asked(served, turned):
        assert (answer.kind, answer.payload) == (rr.CHALLENGE, b""), answer
    assert scene.SECRET in served.ask(GET)


def test_cut_at_every_byte(target, served):
    """What is shorter than header and extension gets silence; with no command nothing is served."""
    whole = served.proven(GET)
    for answer in asked(served, [whole[:length] for length in range(len(whole))]):
        assert answer.kind in (rr.CHALLENGE, rr.LEGACY), answer
        assert scene.SECRET not in answer.payload and b"VALUE" not in answer.payload
    assert scene.SECRET in served.ask(GET)


def test_macs_of_other_requests(target, served):
    """The mac with another time, and a later time with this mac."""
    stamp, mac = served.cookie
    for change in (1, -1, 60, -60, 1800, 1 << 31):
        served.send(rr.header(7, rr.PROVEN) +
                    rr.extension(served.nonce, (stamp + change) & 0xffffffff, mac) + GET)
        assert served.receive().kind == rr.CHALLENGE


def test_zero_mac_and_other_guesses(target, aim, served):
    """Forged by the thousand from one's own address: limited like any CHALLENGE."""
    guesses = [attacks.proven(GET, mac=struct.pack(">Q", n)) for n in range(2000)]
    outcome = target.strike(aim.all(guesses, source=aim.source())).check()
    assert len(outcome.answers) < 500
    target.check_served()


def test_of_another_server(target, aim, served):
    """Each has a key of its own, unless they share a file."""
    with scene.Target(target.lab, *scene.open_args(), host="other") as other:
        other.plant()
        with other.client(aim.family) as there:
            there.nonce, there.cookie = served.nonce, served.cookie
            there.send(there.proven(GET))
            assert there.receive().kind == rr.CHALLENGE
        with other.client(aim.family) as there:
            assert scene.SECRET in there.ask(GET)


# ── time, by the test build's clock ─────────────────────────────────────────────────────────────


@pytest.fixture
def clocked(pool, aim):
    """(client, function that moves the server's clock); put back afterwards."""
    target = pool.get()
    conn = target.conn()
    if conn.command(b"debugtime p") != b"OK":
        pytest.skip("the build under test has no debugtime")
    conn.command(b"debugtime 1000")  # there must be a time before now: the clock begins at 0
    moved = 1000

    def move(seconds):
        nonlocal moved
        moved += seconds
        assert conn.command(b"debugtime %d" % seconds) == b"OK"

    with target.client(aim.family) as client:
        client.greet()
        yield client, move
    move(-moved)
    assert conn.command(b"debugtime r") == b"OK"


@pytest.mark.parametrize("age_s, kind", [
    (0, rr.LEGACY), (1800, rr.LEGACY), (1801, rr.FRESH), (3600, rr.FRESH), (3601, rr.CHALLENGE),
    (90000, rr.CHALLENGE),
])
def test_ages(clocked, age_s, kind):
    """Renewed after half an hour, worthless after an hour."""
    client, move = clocked
    stamp = client.cookie[0]
    move(age_s)
    client.send(client.proven(GET))
    answer = client.receive()
    assert answer.kind == kind, answer
    assert (scene.SECRET in answer.payload) == (kind != rr.CHALLENGE)
    if kind != rr.LEGACY:
        assert answer.stamp == stamp + age_s
        client.cookie = answer.cookie
        client.send(client.proven(GET))
        assert client.receive().kind == rr.LEGACY


@pytest.mark.parametrize("ahead_s, kind", [(300, rr.LEGACY), (301, rr.CHALLENGE)])
def test_of_the_future(clocked, ahead_s, kind):
    client, move = clocked
    move(-ahead_s)
    client.send(client.proven(GET))
    assert client.receive().kind == kind


# ── proven is not unlimited ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("request_", [
    b"get big\r\n", b"mg big v\r\n", b"get" + b" secret" * 2 + b"\r\n",
    b"get " + b" ".join(b"k%d" % n for n in range(65)) + b"\r\n",
    b"stats\r\n", b"flush_all\r\n", b"shutdown\r\n", b"watch\r\n", b"verbosity 2\r\n",
    b"cache_memlimit 100\r\n", b"lru_crawler metadump all\r\n", b"stats cachedump 1 0\r\n",
    b"set secret 0 0 1\r\nx\r\n", b"delete secret\r\n", b"incr number 1\r\n", b"touch secret 1\r\n",
    b"config get cluster\r\n", b"nonsense\r\n", b"quit\r\n",
])
def test_refused_to_the_proven(target, served, request_):
    """One short line, and the server goes on as before (R5, R6)."""
    served.send(served.proven(request_))
    parts = served.answer()
    assert len(parts) == 1 and len(parts[0].payload) < 200, parts
    assert b"ERROR" in parts[0].payload, parts
    target.check_served()


def test_binary_is_no_way_around(target, served):
    """Opcodes that R6 does not name are refused, and nothing has happened."""
    before = target.conn().stats()["cmd_flush"]
    for name in ("set", "delete", "increment", "flush", "flushq", "stat", "quit", "append",
                 "verbosity", "touch", "sasl_auth", "setq", "deleteq", "quitq"):
        for body in ((b"", b"", b""), (b"secret", b"", b""), (b"secret", b"x", bytes(8)),
                     (b"number", b"", bytes(20)), (b"", b"", bytes(4))):
            served.send(served.proven(binary.request(name, *body)))
    for answer in asked(served, []):
        assert answer.payload[:1] == b"\x81" and len(answer.payload) < 200, answer
        assert answer.payload[6:8] != b"\0\0", answer
    assert target.conn().stats()["cmd_flush"] == before
    target.check_served()


def test_nothing_of_a_datagram_outlives_it(target, served):
    """A value that is cut off does not take the next datagram for the rest of it (R4)."""
    for start in (b"set secret 0 0 20\r\n0123456789", b"get sec", b"ms secret 10\r\nabc",
                  b"\x80\0\0"):
        served.send(served.proven(start))
        served.send(served.proven(b"9876543210\r\n"))
        assert scene.SECRET in served.ask(GET)


def test_a_receiver_that_is_gone_stops_nobody(target, aim, served):
    """An ICMP error for an answer, and unreachable receivers: the socket goes on."""
    for _ in range(20):
        with target.client(aim.family) as gone:
            gone.greet()
            for _ in range(20):
                gone.send(gone.proven(GET))
        assert scene.SECRET in served.ask(GET)


def test_a_long_answer_is_framed_right(pool, aim):
    """Sequences 0 to n-1 of n, 1,400 bytes each, over all keys of the request (R7)."""
    target = pool.get()
    target.conn().set(b"part", bytes(range(97, 123)) * 2000)
    with target.client(aim.family) as client:
        answer = client.ask(b"get part secret number\r\n")
    assert answer == (b"VALUE part 0 52000\r\n" + bytes(range(97, 123)) * 2000 + b"\r\n"
                      b"VALUE secret 0 %d\r\n%s\r\nVALUE number 0 4\r\n4711\r\nEND\r\n"
                      % (len(scene.SECRET * 3), scene.SECRET * 3))


def test_the_wire_has_right_checksums(target, aim, served):
    """What the system leaves to hardware must be right when it leaves: replies are parsed whole."""
    tap = lab.Tap(target.lab.hosts["client"], "eth0")
    served.ask(GET)
    seen = [packet.parse(data) for data in tap.raw()]
    tap.close()
    assert [p.dport for p in seen if p.protocol == socket.IPPROTO_UDP] == [served.here[1]]
