# SPDX-License-Identifier: BSD-3-Clause
"""A million spoofed sources: the ratio holds, no memory is taken, and TCP is served meanwhile."""

import struct
import time

import pytest

import attacks
import harness
import lab
import packet
import rr
import scene

SOURCES = 1 << 20
WARMING = 1 << 16
OTHERS = 1 << 17  # of what is dropped unanswered
SCATTER = 0x9e3779b1  # odd, so that no source comes twice in a power of 2
SOURCES6 = 1 << 16
FIRST_SOURCE = 0x64400000  # 100.64.0.0/10
GROWTH_BYTES_MAX = 1 << 20
TRIP_S_MAX = 0.5  # of a TCP request among the flood; a build with assertions on a shared machine


class Spray:
    """Batches of one datagram from ever other sources, each of another prefix than the last.

    What changes keeps its sum, so that no checksum has to be made anew: in IPv4 the identification
    goes against the source, in IPv6 one half of the prefix against the other.
    """

    def __init__(self, place, payload, family=4):
        wrong = {"check": 0} if family == 4 else {}  # 0: none
        source = "0.0.0.0" if family == 4 else "2001:db8:0:ffff::1"
        self.packet = packet.udp(source, lab.address("server", family), 40000, scene.PORT, payload,
                                 **wrong)
        frame = place.attacker.frame(self.packet, "server")
        self.bytes, self.ip_bytes = len(frame), len(self.packet)
        self.batch = lab.Batch(frame * lab.BATCH, [self.bytes] * lab.BATCH)
        self.make = self.make4 if family == 4 else self.make6

    def places(self, offset):
        """Where a field of the IP header is, in each frame."""
        return range(14 + offset, lab.BATCH * self.bytes, self.bytes)

    def make4(self, first):
        write, buffer = struct.Struct("!H6sI").pack_into, self.batch.buffer
        middle = self.packet[6:12]  # between identification and source
        number = first * SCATTER
        for at in self.places(4):
            source = FIRST_SOURCE + (number & SOURCES - 1)
            write(buffer, at, -source % 0xffff, middle, source)
            number += SCATTER
        return self.batch

    def make6(self, first):
        write, buffer = struct.Struct("!HH").pack_into, self.batch.buffer
        number = first * SCATTER
        for at in self.places(8 + 4):
            part = number & 0xffff
            write(buffer, at, part, 0xffff - part)
            number += SCATTER
        return self.batch


def sprayed(target, payload, count, family=4):
    """Returns (meter, growth of the resident memory, round trips of TCP).

    Fixed tables are touched before, by sources that come again: what then grows is no table.
    """
    place = target.lab
    spray = Spray(place, payload, family)
    target.counters()
    place.tap.pause()
    target.flood(spray.make, WARMING)
    place.meter.settle()
    rss = target.server.rss_bytes()
    place.meter.reset()
    trips = sorted(target.flood(spray.make, count))
    place.meter.settle()
    meter = place.meter.read()
    growth = target.server.rss_bytes() - rss
    place.tap.resume()
    assert meter["in_udp"] == (count, count * spray.ip_bytes), meter
    assert meter["out_all"][1] <= meter["in_all"][1], meter
    assert meter["out_all"][0] <= meter["in_all"][0], meter
    assert trips[len(trips) * 99 // 100] < TRIP_S_MAX, trips[-10:]
    return meter, growth, trips


def test_a_million_sources(target):
    target.need_rr()
    meter, growth, trips = sprayed(target, attacks.hello(), SOURCES)
    assert meter["out_long"] == (0, 0)
    assert meter["out_udp"][0] > SOURCES // 2, f"most would be a client's first word: {meter}"
    scene.figures(f"{SOURCES} sources: {meter['in_all']} in, {meter['out_all']} out, ratio "
                  f"{meter['out_all'][1] / meter['in_all'][1]:.3f}, memory +{growth} bytes, TCP "
                  f"median {trips[len(trips) // 2] * 1e6:.0f} us, p99 "
                  f"{trips[len(trips) * 99 // 100] * 1e6:.0f} us")
    if not harness.is_sanitized(harness.BINARY):
        assert growth < GROWTH_BYTES_MAX
    target.check_served()
    limits_hold(target)


def limits_hold(target):
    """No table is full: one source is limited, and a client that has just come is not refused."""
    for family in (4, 6):
        with target.client(family, "stranger") as fresh:
            assert scene.SECRET in fresh.ask(b"get secret\r\n")
        aim = scene.Aim(family)
        outcome = target.strike(aim.all([attacks.hello()] * 3000, source=aim.source())).check()
        assert 100 <= len(outcome.answers) < 1000, outcome


def test_many_prefixes_of_ipv6(target):
    """A /48 for each."""
    target.need_rr()
    meter, growth, _ = sprayed(target, attacks.hello(), SOURCES6, 6)
    assert meter["out_udp"][0] > SOURCES6 // 2, meter
    if not harness.is_sanitized(harness.BINARY):
        assert growth < GROWTH_BYTES_MAX
    target.check_served()


@pytest.mark.parametrize("name", ["legacy", "proven"])
def test_others_from_many_sources(target, name):
    """Legacy requests and forged cookies."""
    payload = {"legacy": attacks.legacy, "proven": attacks.proven}[name](b"get secret\r\n")
    meter, growth, _ = sprayed(target, payload, OTHERS)
    if name == "legacy":
        assert meter["out_all"] == (0, 0)
    if not harness.is_sanitized(harness.BINARY):
        assert growth < GROWTH_BYTES_MAX
    target.check_served()


def test_faster_than_it_reads(pool):
    """Datagrams that nobody waits for: many are lost, the rest is as above, and TCP goes on, by the
    one worker that there is."""
    target = pool.get("-t", "1")
    place, conn, trips = target.lab, target.conn(), []
    spray = Spray(place, rr.header(1) + b"get secret\r\n")
    target.check_served()
    place.tap.pause()
    place.meter.reset()
    for first in range(0, OTHERS, lab.BATCH):
        place.attacker.send_batch(spray.make(first))
        before = time.monotonic()
        conn.ask(b"mn\r\n", b"MN\r\n")
        trips.append(time.monotonic() - before)
    place.meter.settle()
    meter = place.meter.read()
    place.tap.resume()
    assert meter["out_all"] == (0, 0), meter
    assert sorted(trips)[len(trips) * 99 // 100] < TRIP_S_MAX
    target.check_served()


def test_a_flood_in_somebodys_name(target, aim):
    """Whoever has a cookie is served while others use its address and its prefix: neither what they
    ask nor what they forge is charged to it. (Whoever has none may have to wait for its first one,
    for CHALLENGEs to an address are limited.)"""
    target.need_rr()
    target.check_served()
    target.conn().set(b"part", b"p" * 60_000)
    with target.client(aim.family) as client:
        client.greet()
        own = lab.address("client", aim.family)
        sources = ((own, client.here[1]), (own, 40000), (lab.address(77, aim.family), 40000))
        packets = [aim.udp(payload, source, sport) for source, sport in sources
                   for payload in attacks.wrapped([b"get part\r\n"]) * 100]
        for _ in range(20):
            before = target.lab.udp_counts()
            target.lab.attacker.send(packets)
            target.settle(before, len(packets), 0)  # else the socket's buffer may be full
            assert client.ask(b"get part\r\n").startswith(b"VALUE part 0 60000\r\nppp")
    target.check_served()
