# SPDX-License-Identifier: BSD-3-Clause
"""An unproven source gets no more than it sent, whatever it sends, by the default policy.

After each attack: the ratio by the meters, each source by itself, no byte of the store in what came
back, no lookup and no write counted, and TCP and proven clients still served.
"""

import os
import random
import time

import pytest

import attacks
import lab
import packet
import rr
import scene

SEED = int(os.environ.get("MATTE_SEED", random.randrange(1 << 32)))
RANDOM_DATAGRAMS = 20_000  # of both families together


def tell(aim, name, outcome):
    scene.figures(f"IPv{aim.family} {name}: {len(outcome.sent)} packets, {outcome.bytes_in} bytes "
                  f"in, {outcome.bytes_out} out, ratio {outcome.ratio:.3f}")


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_attack(target, aim, name):
    outcome = target.strike(attacks.ATTACKS[name](aim))
    tell(aim, name, outcome)
    outcome.check()
    target.check_served()


@pytest.mark.parametrize("name", attacks.SILENT)
def test_silence(target, aim, name):
    outcome = target.strike(attacks.SILENT[name](aim))
    tell(aim, name, outcome)
    outcome.check_silent()
    target.check_served()


@pytest.mark.parametrize("name", ["bad_sources", "group_targets"])
def test_silence_to_nobody(target, aim, name):
    """Some the kernel drops itself; of the others the server has to think."""
    packets = getattr(attacks, name)(aim)
    to = None if name == "group_targets" else "server"
    before = target.lab.udp_counts()["InDatagrams"]
    outcome = target.strike(packets, arrive=False,
                            send=lambda sent: target.lab.attacker.send(sent, to))
    tell(aim, name, outcome)
    outcome.check_silent()
    if aim.family == 4:
        assert target.lab.udp_counts()["InDatagrams"] > before, "the kernel took them all"
    target.check_served()


@pytest.mark.parametrize("name", ["broken_packets", "icmp_errors", "odd_sources"])
def test_below_udp(target, aim, name):
    outcome = target.strike(getattr(attacks, name)(aim), arrive=False)
    tell(aim, name, outcome)
    assert outcome.meter["out_udp"][1] <= outcome.meter["in_all"][1], outcome
    if name == "icmp_errors":
        outcome.check_silent()
    else:
        outcome.check()
    target.check_served()


def test_fragments(target, aim):
    """Those that make a whole are counted as one datagram by the server, and as they are here."""
    outcome = target.strike(attacks.fragments(aim), arrive=False)
    tell(aim, "fragments", outcome)
    outcome.check()
    target.check_served()


def test_fragments_that_never_end(target):
    """The kernel tells the source so after a while, in at most one packet each: not ours."""
    packets = []
    for ident in range(40):
        aim = scene.Aim(4 if ident % 2 else 6)
        source = aim.source()
        body = packet.udp_body(source, aim.target, 40000, aim.port, attacks.hello(bytes(40)))
        packets.append(packet.fragment(source, aim.target, body, 0, 40, True, ident))
    outcome = target.strike(packets, arrive=False, quiet_s=2 * lab.FRAGMENTS_S)
    scene.figures(f"fragments that never end, the kernel's answer: ratio {outcome.ratio:.3f}")
    assert outcome.meter["out_udp"] == outcome.meter["out_tcp"] == (0, 0)
    assert len(outcome.answers) <= len(packets)
    assert outcome.bytes_out <= outcome.bytes_in + 48 * len(packets)
    target.check_served()


def test_random_datagrams(target, aim):
    """All of them by one seed, which is printed; MATTE_SEED repeats it."""
    print(f"MATTE_SEED={SEED}")
    for i in range(10):
        seed = f"{SEED} {aim.family} {i}"
        outcome = target.strike(attacks.random_datagrams(aim, seed, RANDOM_DATAGRAMS // 20))
        outcome.check()
        tell(aim, f"random {i}", outcome)
    target.check_served()


def test_the_log_does_not_grow_with_datagrams(target, aim):
    """A flood must not fill the disk."""
    before = len(target.server.errors())
    target.strike(aim.all([attacks.legacy(b"get secret\r\n"), b"", attacks.hello()] * 500)).check()
    assert len(target.server.errors()) - before < 4096


def test_the_unspoofed_attacker(target, aim):
    """From its own address, on the local network: the same."""
    own = lab.address("attacker", aim.family)
    payloads = attacks.wrapped([b"get secret\r\n", b"stats\r\n", b"version\r\n", b"get big\r\n"])
    outcome = target.strike(aim.all(payloads * 10, source=own))
    outcome.check()
    target.check_served()


def test_challenge_is_of_the_size_that_the_contract_says(target, aim):
    """60 bytes for 60 as IPv4, 80 as IPv6, from the address that was asked, same request id."""
    target.need_rr()
    outcome = target.strike([aim.udp(attacks.hello())]).check()
    assert [answer.bytes for answer in outcome.answers] == [60 if aim.family == 4 else 80]
    got = rr.Datagram(outcome.answers[0].payload)
    assert (got.kind, got.request, got.nonce, got.payload) == \
        (rr.CHALLENGE, attacks.ID, attacks.NONCE, b"")
    assert got.mac != bytes(8) and abs(got.stamp - rr.now()) < 10


def test_answer_comes_from_the_address_that_was_asked(target, aim):
    """The server has two of each family."""
    target.need_rr()
    second = scene.Aim(aim.family, lab.address(lab.SERVER_SECOND, aim.family))
    for way in (aim, second):
        outcome = target.strike([way.udp(attacks.hello())]).check()
        assert [answer.source for answer in outcome.answers] == [way.target]


def test_no_answer_to_what_is_too_short_for_one(target, aim):
    """R1: a bad PROVEN gets a CHALLENGE, which is never longer; what has no room gets silence."""
    target.need_rr()
    outcome = target.strike(aim.all([attacks.hello()[:length] for length in range(32)]))
    outcome.check_silent()


def test_a_dead_port_costs_the_kernel_alone(target, aim):
    """Where nothing listens the kernel answers by ICMP, which is longer: measured, not ours.

    RFC 1122 has it so; Linux limits these to about one per second and address.  Without -U this is
    what a datagram to the port draws, hence the advice in docs/udp-rr.md.
    """
    dead = scene.Aim(aim.family, port=scene.PORT + 1)
    outcome = target.strike([dead.udp(attacks.legacy(b"get secret\r\n"))])
    assert outcome.meter["out_udp"] == (0, 0)
    assert {answer.protocol for answer in outcome.answers} <= {packet.ICMP, packet.ICMP6}
    assert len(outcome.answers) <= 1
    extra = 28 if aim.family == 4 else 48
    assert outcome.bytes_out <= outcome.bytes_in + extra
    tell(aim, "closed port, the kernel's answer", outcome)


def test_what_the_kernel_refuses(target, aim):
    """Its answers quote the packet and are longer: at most one for each, and none of ours."""
    packets = attacks.what_the_kernel_refuses(aim)
    outcome = target.strike(packets, arrive=False)
    tell(aim, "malformed below UDP, the kernel's answer", outcome)
    assert outcome.meter["out_udp"] == outcome.meter["out_tcp"] == (0, 0)
    assert len(outcome.answers) <= len(packets)
    assert outcome.bytes_out <= outcome.bytes_in + 48 * len(packets)


def test_the_flood_of_one_prefix_is_limited(target, aim):
    """CHALLENGEs to one address: 100 a second and a burst of 200 by default."""
    target.need_rr()
    start = time.monotonic()
    outcome = target.strike(aim.all([attacks.hello()] * 3000, source=aim.source())).check()
    spent = time.monotonic() - start
    assert len(outcome.answers) <= 200 + 100 * spent + 10, outcome
    assert len(outcome.answers) >= 100, outcome
