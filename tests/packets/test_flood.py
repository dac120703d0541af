# SPDX-License-Identifier: BSD-3-Clause
"""A million spoofed sources: the ratio holds, no memory is taken, and TCP is served meanwhile."""

import struct

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
FIRST_SOURCE = 0x64400000  # 100.64.0.0/10
GROWTH_BYTES_MAX = 1 << 20
TRIP_S_MAX = 0.5  # of a TCP request among the flood; a build with assertions on a shared machine


class Spray:
    """Batches of one IPv4 datagram from ever other sources, each of another /24 than the last.

    The sum of identification and source is constant, so the header's checksum is as well; a UDP
    checksum of 0 means none.
    """

    def __init__(self, place, payload):
        packet4 = packet.udp("0.0.0.0", lab.address("server"), 40000, scene.PORT, payload, check=0)
        frame = place.attacker.frame(packet4, "server")
        self.bytes = len(frame)
        self.ip_bytes = len(packet4)
        self.batch = lab.Batch(frame * lab.BATCH, [self.bytes] * lab.BATCH)
        start = 14  # of the IP header; from the identification to the source are 12 bytes
        self.places = range(start + 4, lab.BATCH * self.bytes, self.bytes)
        self.middle = packet4[6:12]

    def make(self, first):
        write, buffer, middle = struct.Struct("!H6sI").pack_into, self.batch.buffer, self.middle
        number = first * 0x9e3779b1
        for at in self.places:
            source = FIRST_SOURCE + (number & SOURCES - 1)
            write(buffer, at, -source % 0xffff, middle, source)
            number += 0x9e3779b1
        return self.batch


def sprayed(target, payload, count):
    """Returns (meter, growth of the resident memory, round trips of TCP).

    Fixed tables are touched before, by sources that come again: what then grows is no table.
    """
    place = target.lab
    spray = Spray(place, payload)
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


def test_faster_than_it_reads(target):
    """Datagrams that nobody waits for: many are lost, the rest is as above, and TCP goes on."""
    place = target.lab
    spray = Spray(place, rr.header(1) + b"get secret\r\n")
    target.check_served()
    place.tap.pause()
    place.meter.reset()
    for first in range(0, OTHERS, lab.BATCH):
        place.attacker.send_batch(spray.make(first))
    target.conn().ask(b"mn\r\n", b"MN\r\n")
    place.meter.settle()
    meter = place.meter.read()
    place.tap.resume()
    assert meter["out_all"] == (0, 0), meter
    target.check_served()
