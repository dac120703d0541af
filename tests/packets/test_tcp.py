# SPDX-License-Identifier: BSD-3-Clause
"""TCP is part of the sentence: what a spoofed SYN draws, and that it is documented.

A SYN-ACK may be some bytes longer than its SYN, and is repeated; no server can change the first,
and TCP_SYNCNT bounds the second.
"""

import time

import harness
import lab
import packet
import scene

SYN, RST, ACK = 2, 4, 16
WATCH_S = 3.6  # the first repetition comes after 1 s, the second after 3 s


def watch(place, packets, watch_s):
    place.tap.read()
    place.meter.reset()
    place.attacker.send(packets)
    time.sleep(watch_s)
    return place.tap.read(), place.meter.read()


def test_spoofed_syns(target):
    """At most one repetition, where the server may say so; both families at a time."""
    place = target.lab
    pairs = [(aim, aim.source()) for aim in (scene.Aim(4), scene.Aim(6)) for _ in range(50)]

    def all_of(flags, sequence=1):
        return [packet.tcp(source, aim.target, 41000, scene.PORT, flags, sequence)
                for aim, source in pairs]
    answers, meter = watch(place, all_of(SYN), WATCH_S)
    place.attacker.send(all_of(RST, 2))
    assert meter["out_udp"] == (0, 0)
    for family, syn_bytes in ((4, 40), (6, 60)):
        sizes = [answer.bytes for answer in answers if packet.family(answer.target) == family]
        each = len(sizes) / 50
        scene.figures(f"IPv{family} spoofed SYN: {each:.2f} SYN-ACKs each within {WATCH_S} s, "
                      f"{sizes[0]} bytes for {syn_bytes}; ratio {sum(sizes) / 50 / syn_bytes:.2f}")
        assert max(sizes) <= syn_bytes + 24  # options: MSS and what the SYN offered
        if not target.reference:
            assert each <= 2
    target.check_served()


def test_no_answer_to_data_of_strangers(target, aim):
    """Data without a connection draws a reset, which is no longer than what came."""
    sources = [aim.source() for _ in range(100)]
    packets = [packet.tcp(source, aim.target, 41000, scene.PORT, ACK, 1, 1, b"stats\r\n")
               for source in sources]
    packets += [packet.tcp(aim.source(), aim.target, 41000, scene.PORT, flags)
                for flags in (0, 1, ACK, SYN | ACK, 0x29, 0x3f)]
    answers, meter = watch(target.lab, packets, 0.3)
    assert meter["out_all"][1] <= meter["in_all"][1], meter
    assert not [answer for answer in answers if answer.payload]
    target.check_served()


def test_a_syn_flood_does_not_end_service(target, aim):
    """Ten thousand half-open connections; a client still gets in, by SYN cookies or by room."""
    place = target.lab
    sources = [aim.source() for _ in range(10_000)]
    packets = [packet.tcp(source, aim.target, 41000, scene.PORT, SYN) for source in sources]
    place.attacker.send(packets)
    start = time.monotonic()
    with place.hosts["client"]:
        with harness.Conn((lab.address("server", aim.family), scene.PORT)) as conn:
            conn.ask(b"mn\r\n", b"MN\r\n")
    assert time.monotonic() - start < 5
    place.attacker.send([packet.tcp(source, aim.target, 41000, scene.PORT, RST, 2)
                         for source in sources])
    target.check_served()
