# SPDX-License-Identifier: BSD-3-Clause
"""The measurement itself: it counts to the byte, and it shows memcached to be a reflector."""

import os

import pytest

import harness
import lab
import packet
import rr
import scene


@pytest.fixture(scope="module")
def memcached(pool, place):
    """Debian's, with UDP open to everybody."""
    if not os.access(harness.PEER, os.X_OK):
        pytest.skip(f"no {harness.PEER} to compare with")
    pool.close()
    with scene.Target(place, "-I", "2m", binary=harness.PEER) as made:
        yield made.plant()


@pytest.mark.parametrize("request_, at_least", [
    (b"stats\r\n", 30),
    (b"get secret\r\n", 2),
    (b"gets" + b" secret" * 198 + b"\r\n", 10),
    (b"get big big\r\n", 30000),
])
def test_memcached_amplifies(memcached, aim, request_, at_least):
    """The meters see it, and the victim gets it."""
    with_victim = lab.Tap(memcached.lab.hosts["victim"], "eth0")
    outcome = memcached.strike([aim.udp(rr.header(1) + request_)], untouched=False)
    assert outcome.ratio > at_least, outcome
    assert outcome.bytes_out == sum(answer.bytes for answer in outcome.answers)
    assert {answer.target for answer in outcome.answers} == {packet.parse(outcome.sent[0]).source}
    assert len(with_victim.read()) == len(outcome.answers)
    with_victim.close()
    with pytest.raises(AssertionError):
        outcome.check_total()
    with pytest.raises(AssertionError):
        outcome.check_each()
    scene.figures(f"memcached, IPv{aim.family}, {request_[:20]!r}: ratio {outcome.ratio:.0f}")


def test_memcached_is_still_served(memcached):
    memcached.check_served()


def test_meter_counts_ip_bytes(memcached, aim):
    """`version` is 9 bytes and draws 16; and a request that draws nothing."""
    head = 28 if aim.family == 4 else 48
    outcome = memcached.strike([aim.udp(rr.header(1) + b"version\r\n")], untouched=False)
    assert outcome.meter["in_udp"] == outcome.meter["in_all"] == (1, head + 8 + 9)
    assert outcome.meter["out_udp"] == outcome.meter["out_all"] == (1, head + 8 + 16)
    outcome = memcached.strike([aim.udp(b"")], untouched=False)
    assert outcome.meter["in_udp"] == (1, head) and outcome.bytes_out == 0
    outcome.check_silent()
