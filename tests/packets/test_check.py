# SPDX-License-Identifier: BSD-3-Clause
"""`matte check` from another host: what it says of UDP is what the meters on the wire counted."""

import json
import os
import subprocess

import pytest

import harness
import lab
import scene


def check(place, family, host="other"):
    """Run it in a host's namespace; returns (exit status, the JSON, the meters)."""
    address = lab.address("server", family)
    where = f"{address}:{scene.PORT}" if family == 4 else f"[{address}]:{scene.PORT}"
    place.meter.settle()
    place.meter.reset()
    with place.hosts[host]:
        done = subprocess.run([harness.CLI, "check", "--json", where], capture_output=True,
                              timeout=60)
    place.meter.settle()
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), place.meter.read()


def fits_the_meters(found, meters):
    """Each datagram is counted, with its headers; there are no more than four."""
    asked = found["udp"]["requests"]
    count, size = meters["in_udp"]
    assert count == 4 and size == sum(one["sent_bytes"] for one in asked)
    assert meters["out_udp"] == (sum(one["got_datagrams"] for one in asked),
                                 sum(one["got_bytes"] for one in asked))


def grades(found, topic):
    return [row["grade"] for row in found["findings"] if row["topic"] == topic]


@pytest.mark.parametrize("family", [4, 6])
def test_rr(place, serves_udp, pool, family):
    pool.get()
    code, found, meters = check(place, family)
    fits_the_meters(found, meters)
    assert found["udp"]["rr"] and found["udp"]["amplification"] == 0
    assert meters["out_udp"][1] <= meters["in_udp"][1]
    assert (grades(found, "rr"), grades(found, "udp")) == (["ok"], ["ok"])
    assert code == 1 and grades(found, "login") == ["warning"]  # no protected mode, a private net


def test_protected_mode(place, serves_udp, pool):
    if not scene.open_args():
        pytest.skip("there is no protected mode")
    pool.close()
    with scene.Target(place):
        code, found, _ = check(place, 4)
    assert code == 0 and grades(found, "login") == ["ok"] and not found["udp"]["rr"]


@pytest.mark.parametrize("family", [4, 6])
def test_memcached(place, pool, family):
    if not os.access(harness.PEER, os.X_OK):
        pytest.skip(f"no {harness.PEER} to compare with")
    pool.close()
    with scene.Target(place, binary=harness.PEER):
        code, found, meters = check(place, family)
    fits_the_meters(found, meters)
    assert code == 1 and "danger" in grades(found, "udp")
    assert found["udp"]["amplification"] > 20
    if family == 6:  # it answers from the first of its two addresses, which was not asked
        assert "note" in grades(found, "udp")
