# SPDX-License-Identifier: BSD-3-Clause
"""What goes wrong below and beside the server: none of it stops the socket or costs a neighbour."""

import json
import time

import pytest

import attacks
import harness
import lab
import packet
import rr
import scene

pytestmark = pytest.mark.usefixtures("serves_udp")
GET = b"get secret\r\n"
DEAD_ENDS = {  # routes by which sending fails, each with another error
    "unreachable": {4: "203.0.113.0/25", 6: "2001:db8:dead::/48"},
    "prohibit": {4: "203.0.113.128/25", 6: "2001:db8:deaf::/48"},
    "blackhole": {4: "192.0.2.0/24", 6: "2001:db8:dea1::/48"},
}
REFUSE = """
table inet refuse {
    chain out {
        type filter hook output priority 0
        udp sport 11211 ip daddr 198.51.100.0/24 drop
        udp sport 11211 ip6 daddr 2001:db8:dea2::/48 drop
    }
}
"""


@pytest.fixture
def dead_ends(place):
    """Addresses to which nothing can be sent, per family; taken away afterwards."""
    server = place.hosts["server"]
    routes = [f"{kind} {net}" for kind, nets in DEAD_ENDS.items() for net in nets.values()]
    server.run(["ip", "-batch", "-"], "".join(f"route add {route}\n" for route in routes))
    server.run(["nft", "-f", "-"], REFUSE)
    yield {4: ["203.0.113.5", "203.0.113.200", "192.0.2.9", "198.51.100.9"],
           6: ["2001:db8:dead::5", "2001:db8:deaf::5", "2001:db8:dea1::9", "2001:db8:dea2::9"]}
    server.run(["nft", "-f", "-"], "delete table inet refuse\n")
    server.run(["ip", "-batch", "-"], "".join(f"route del {route}\n" for route in routes))


def test_what_cannot_be_sent_stops_nobody(target, aim, dead_ends):
    """In one batch with others, at each place of it: those get their answers all the same (R4)."""
    bad = dead_ends[aim.family]
    for period in (2, 3, 5, 7):
        packets, good = [], set()
        for i in range(400):
            if i % period == 0:
                packets.append(aim.udp(attacks.hello(), bad[i // period % len(bad)], 30000 + i))
            else:
                source = aim.source()
                good.add(source)
                packets.append(aim.udp(attacks.hello(), source))
        outcome = target.strike(packets)
        outcome.check()
        assert {a.target for a in outcome.answers if a.protocol == packet.UDP} == good
    target.check_served()


def test_nothing_but_errors(target, aim, dead_ends):
    """A thousand answers that cannot be sent."""
    sources = dead_ends[aim.family]
    packets = [aim.udp(attacks.hello(), sources[i % 4], 20000 + i) for i in range(1000)]
    target.strike(packets).check()
    target.check_served()


def test_a_narrow_path(target, aim):
    """Answers to a client behind a small MTU arrive, in fragments if need be."""
    server, net = target.inside, lab.address("client", aim.family)
    bits = 32 if aim.family == 4 else 128
    target.conn().set(b"part", b"p" * 20_000)
    mtu = 600 if aim.family == 4 else 1280
    server.run(["ip", "-batch", "-"], f"route add {net}/{bits} dev eth0 mtu {mtu}\n")
    try:
        with target.client(aim.family) as client:
            assert client.ask(b"get part\r\n") == \
                b"VALUE part 0 20000\r\n" + b"p" * 20_000 + b"\r\nEND\r\n"
    finally:
        server.run(["ip", "-batch", "-"], f"route del {net}/{bits} dev eth0\n")
    target.check_served()


def test_large_datagrams(target, aim):
    """Up to 65,507 bytes, in fragments: taken for cut ones, or answered by a CHALLENGE."""
    packets = []
    for ident, size in enumerate((1401, 1500, 2048, 2049, 4096, 9000, 32768, 65000, 65499)):
        for wrap in attacks.WRAPPERS:
            source = aim.source()
            payload = wrap(b"get" + b" secret" * (size // 7) + b"\r\n")[:65507]
            body = packet.udp_body(source, aim.target, 40000, aim.port, payload)
            packets += [packet.fragment(source, aim.target, body, at, min(at + 1400, len(body)),
                                        at + 1400 < len(body), ident + 1)
                        for at in range(0, len(body), 1400)]
    outcome = target.strike(packets, arrive=False)
    outcome.check()
    assert all(answer.bytes <= 80 for answer in outcome.answers), outcome
    target.check_served()


def test_no_room_for_connections(pool, place, aim):
    """All of -c taken by TCP: datagrams need none; and the other way round a flood takes none."""
    pool.close()
    with scene.Target(place, *scene.open_args(), "-c", "20") as target:
        target.plant().check_served()
        before = target.conn().stats()["curr_connections"]
        with place.hosts["stranger"]:
            conns = [harness.Conn((aim.target, scene.PORT)) for _ in range(30)]
        assert scene.SECRET in target.proven[aim.family].ask(GET)
        for conn in conns:
            conn.close()
        harness.until(lambda: target.conn().stats()["curr_connections"] == before)
        target.strike(attacks.ATTACKS["floods_from_one_source"](aim)).check()
        assert target.conn().stats()["curr_connections"] == before


@pytest.mark.parametrize("count", [1, 2, 64, 65, 150])
def test_a_batch_of_different_clients_is_not_mixed_up(target, aim, count):
    """Requests that arrive together from many proven clients: each gets its own key's value.

    More than 200 would have to wait for their CHALLENGEs.
    """
    conn = target.conn()
    if count > 65:  # those of the last test still count
        time.sleep(1)
    clients = [target.client(aim.family) for _ in range(count)]
    try:
        for i, client in enumerate(clients):
            conn.set(b"own%d" % i, b"value-of-%d-" % i * (1 + i % 90))
            client.greet()
        for i, client in enumerate(clients):
            client.send(client.proven(b"get own%d secret\r\n" % i))
        for i, client in enumerate(clients):
            got = b"".join(part.payload for part in client.answer())
            body = b"value-of-%d-" % i * (1 + i % 90)
            assert got.startswith(b"VALUE own%d 0 %d\r\n%s\r\n" % (i, len(body), body)), got[:200]
    finally:
        for client in clients:
            client.close()


def test_events_of_a_storm_are_few(pool, place, aim, tmp_path):
    """Every line is JSON; a flood from everywhere is some lines per window, and none is needed."""
    pool.close()
    tmp_path.chmod(0o777)
    log = tmp_path / "events"
    with scene.Target(place, *scene.open_args(), "-o", f"events=file:{log}",
                      "-o", "events_window=1") as target:
        target.plant()
        start = time.monotonic()
        for name in ("binary_floods", "text_verbs", "sequence_and_total", "reserved_values"):
            target.strike(attacks.ATTACKS[name](aim)).check()
        target.strike(attacks.SILENT["reflector_ports"](aim)).check_silent()
        windows = time.monotonic() - start + 2
        time.sleep(1.3)
        target.check_served()
    lines = log.read_text().splitlines()
    for line in lines:
        json.loads(line)
    assert lines, "nothing was told of it"
    assert len(lines) < windows * 64 * 20, len(lines)  # kinds per type, types
    assert scene.SECRET.decode() not in log.read_text()


def test_vouched_addresses_have_a_budget(pool, aim):
    """Whoever spoofs an address that has a TCP connection draws no more than it may have."""
    target = pool.get("-o", "udp_policy=rr+tcp-vouched")
    target.conn().set(b"large", b"x" * 60_000)
    with target.lab.hosts["other"], harness.Conn((aim.target, scene.PORT)) as conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
        source = lab.address("other", aim.family)
        start = time.monotonic()
        outcome = target.strike(aim.all([attacks.legacy(b"get large\r\n")] * 1000, source=source),
                                untouched=False)
        spent = time.monotonic() - start
    assert outcome.bytes_out <= 1.1 * (16e6 + 8e6 * spent), outcome


def test_the_port_is_ones_own_wherever_it_is(pool, place, aim):
    """R3 by the port that is listened on, not by the usual one."""
    pool.close()
    with place.hosts["server"], harness.Server("-p", 5000, "-U", 5000, *scene.open_args(),
                                               listen="0.0.0.0,::") as server:
        away = scene.Aim(aim.family, port=5000)
        place.tap.read()
        place.attacker.send([away.udp(attacks.hello(), sport=5000), away.udp(attacks.hello())])
        time.sleep(0.2)
        answers = place.tap.read()
        assert [answer.dport for answer in answers] == [40000]
        assert server.alive()


def test_link_local_sources(target, aim):
    """Not served by a listener of all addresses: the answer could leave by any interface."""
    source = {4: "169.254.7.7", 6: "fe80::7"}[aim.family]
    target.strike(aim.all([attacks.hello(), attacks.legacy(GET), attacks.proven(GET)] * 3,
                          source=source), arrive=False).check_silent()


def test_rr_numbers_are_those_of_the_contract():
    assert (rr.HELLO, rr.CHALLENGE, rr.PROVEN, rr.FRESH) == (0xce01, 0xce02, 0xce03, 0xce04)
