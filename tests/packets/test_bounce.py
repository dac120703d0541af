# SPDX-License-Identifier: BSD-3-Clause
"""Two servers set on each other by one spoofed datagram: whatever it is, the talk ends at once."""

import os
import time

import pytest

import attacks
import harness
import lab
import packet
import scene

WATCH_S = 0.3
PAYLOADS = [b"x\r\n", b"ERROR\r\n", b"get secret\r\n", b"END\r\n", b"version\r\n", b"get\r\n",
            b"x" * 600 + b"\r\n", b"\x81" + bytes(23), b"\x80" + bytes(23), b"\x80\xff" + bytes(22),
            b"gets " + b"k" * 300 + b"\r\n", b""]


def bounce(place, family, port, payloads):
    """Spoof the other server's address; returns (packets sent, seen from either)."""
    here, there = lab.address("server", family), lab.address("other", family)
    other_tap = lab.Tap(place.lan, "p-other")
    packets = [packet.udp(there, here, port, scene.PORT, payload) for payload in payloads]
    place.tap.read()
    place.attacker.send(packets)
    time.sleep(WATCH_S)
    seen = place.tap.read(), other_tap.read()
    other_tap.close()
    return packets, *seen


@pytest.mark.skipif(not os.access(harness.PEER, os.X_OK), reason="no memcached to compare with")
def test_two_memcacheds_never_stop(pool, place, aim):
    """The harness sees a loop where there is one."""
    pool.close()
    with scene.Target(place, "-t", "1", binary=harness.PEER), \
            scene.Target(place, "-t", "1", binary=harness.PEER, host="other"):
        _, here, there = bounce(place, aim.family, scene.PORT, [attacks.legacy(b"x\r\n")])
    scene.figures(f"two memcacheds, IPv{aim.family}: one datagram of 39 bytes, {len(here)} and "
                  f"{len(there)} packets within {WATCH_S} s")
    assert len(here) > 100 and len(there) > 100


@pytest.mark.parametrize("port", [scene.PORT, 5000])
@pytest.mark.parametrize("policy", ["rr", "rr+miss", "miss", "drop"])
def test_two_of_ours(pool, place, aim, policy, port):
    """On the usual port nothing is said at all; on another one, one datagram at most."""
    scene.need_ours()
    target = pool.get("-o", f"udp_policy={policy}")
    with scene.Target(place, *scene.open_args(), "-U", port, "-o", f"udp_policy={policy}",
                      host="other"):
        payloads = attacks.wrapped(PAYLOADS)
        sent, here, there = bounce(place, aim.family, port, payloads)
        ours = lab.address("other", aim.family)
        here = [answer for answer in here if answer.target == ours]
        assert len(here) <= (len(sent) if port != scene.PORT else 0)
        assert sum(p.bytes for p in here) <= sum(len(data) for data in sent)
        assert [p for p in there if p.protocol == packet.UDP] == []
    target.check_served()


@pytest.mark.skipif(not os.access(harness.PEER, os.X_OK), reason="no memcached to compare with")
@pytest.mark.parametrize("policy", ["rr", "rr+miss"])
def test_ours_and_memcached(pool, place, aim, policy):
    """The other one answers all and for ever: it gets nothing to answer."""
    scene.need_ours()
    pool.get("-o", f"udp_policy={policy}")
    with scene.Target(place, "-U", 5000, "-t", "1", binary=harness.PEER, host="other"):
        sent, here, there = bounce(place, aim.family, 5000, attacks.wrapped(PAYLOADS))
        there = [p for p in there if p.protocol == packet.UDP]
        assert len(here) <= len(sent), here[:5]
        assert len(there) <= len(sent), there[:5]
