# SPDX-License-Identifier: BSD-3-Clause
"""Legacy datagrams by the policies that an operator may name (R8), and starts that are refused."""

import time

import pytest

import attacks
import harness
import lab
import packet
import rr
import scene

GET = b"get secret\r\n"
pytestmark = pytest.mark.usefixtures("serves_udp")


def policy(name):
    return ("-o", f"udp_policy={name}")


def legacy_answer(target, aim, host="stranger", request=GET, wait_s=0.2):
    """What a legacy client on a host gets: bytes, or None."""
    with target.client(aim.family, host, wait_s=wait_s) as client:
        try:
            return client.ask_legacy(request)
        except TimeoutError:
            return None


@pytest.mark.parametrize("name", ["rr", "drop"])
def test_silent_to_legacy(pool, aim, name):
    target = pool.get(*policy(name))
    legacy = [attacks.legacy(verb + tail + b"\r\n") for verb in attacks.verbs()
              for tail in attacks.TAILS[:4]]
    target.strike(aim.all(legacy)).check_silent()
    if name == "drop":
        others = [attacks.hello(), attacks.hello(GET), attacks.proven(GET)]
        target.strike(aim.all(others)).check_silent()
    assert legacy_answer(target, aim) is None
    target.check_served()


@pytest.mark.parametrize("name", ["miss", "rr+miss"])
def test_miss_is_a_shorter_end(pool, aim, name):
    """A get of legacy clients is answered END without a lookup; nothing else is answered."""
    target = pool.get(*policy(name))
    for request in (GET, b"get secret number big\r\n", b"gets secret\r\n"):
        assert legacy_answer(target, aim, request=request) == b"END\r\n"
    for kind in ("text_verbs", "binary_opcodes", "repeated_keys", "short_datagrams",
                 "reserved_values", "split_sets", "unfinished_lines"):
        outcome = target.strike(attacks.ATTACKS[kind](aim)).check()
        shorter(outcome)
    target.strike(attacks.SILENT["answers"](aim)).check_silent()
    target.strike(attacks.SILENT["reflector_ports"](aim)).check_silent()
    target.check_served()


def shorter(outcome):
    """Whatever is no CHALLENGE is strictly shorter than its request (R2)."""
    sent = {}
    for data in outcome.sent:
        one = packet.parse(data)
        sent[one.source] = max(sent.get(one.source, 0), one.bytes)
    for answer in outcome.answers:
        if rr.Datagram(answer.payload).kind != rr.CHALLENGE:
            assert answer.bytes < sent[answer.target], answer


def test_tcp_vouches(pool, aim):
    """Who has a TCP connection is served legacy datagrams, and 300 s longer; others are not."""
    target = pool.get(*policy("rr+tcp-vouched"))
    address = lab.address("server", aim.family)
    assert legacy_answer(target, aim) is None
    target.strike(aim.all([attacks.legacy(GET)] * 20)).check_silent()
    with target.lab.hosts["stranger"]:
        conn = harness.Conn((address, scene.PORT))
    with conn:
        conn.ask(b"mn\r\n", b"MN\r\n")
        assert scene.SECRET in legacy_answer(target, aim)
        assert legacy_answer(target, aim, request=b"x\r\n") is None  # R2: ERROR is longer
        target.strike(aim.all([attacks.legacy(GET)] * 20)).check_silent()
    assert scene.SECRET in legacy_answer(target, aim)  # it was there just now
    clock = target.conn()
    if clock.command(b"debugtime p") == b"OK":
        clock.command(b"debugtime 301")
        try:
            assert legacy_answer(target, aim) is None
        finally:
            clock.command(b"debugtime -301")
            clock.command(b"debugtime r")
    target.check_served()


def test_half_a_handshake_vouches_for_nobody(pool, aim):
    """A SYN has a source that anybody can write into it."""
    target = pool.get(*policy("rr+tcp-vouched"))
    source = aim.source()
    target.lab.attacker.send([packet.tcp(source, aim.target, 41000, scene.PORT, 2)])
    time.sleep(0.1)
    outcome = target.strike([aim.udp(attacks.legacy(GET), source)], untouched=False)
    target.lab.attacker.send([packet.tcp(source, aim.target, 41000, scene.PORT, 4, 2)])
    assert not [a for a in outcome.answers if a.protocol == packet.UDP], outcome


def test_prefixes(pool, aim):
    """Named ones are served, their errors stay short; nobody else."""
    inside = [lab.address("stranger", family) for family in (4, 6)]
    target = pool.get(*policy(f"rr+prefixes:{inside[0]}/32+{inside[1]}/128"))
    assert scene.SECRET in legacy_answer(target, aim)
    target.strike(aim.all([attacks.legacy(GET)] * 50)).check_silent()
    for kind in ("text_verbs", "repeated_keys", "unfinished_lines"):
        target.strike(attacks.ATTACKS[kind](aim)).check()
    target.check_served()


@pytest.mark.parametrize("trusted", [False, True])
def test_prefixes_have_a_budget(pool, aim, trusted):
    """Whoever spoofs an address of a named prefix draws no more than the prefix may have.

    64 MB/s by default, a burst of twice that; what exceeds it is dropped. That it is trusted in
    what it proves does not help who forges it.
    """
    inside = {4: "198.51.100.0/24", 6: "2001:db8:ffff::/56"}
    trust = ["-o", f"limit_trusted={inside[4]}+{inside[6]}"] if trusted else []
    target = pool.get(*policy(f"rr+prefixes:{inside[4]}+{inside[6]}"), *trust)
    target.conn().set(b"large", b"x" * 60_000)
    source = {4: "198.51.100.7", 6: "2001:db8:ffff::7"}[aim.family]
    request = attacks.legacy(b"get large\r\n")
    start = time.monotonic()
    outcome = target.strike(aim.all([request] * 3000, source=source), untouched=False)
    spent = time.monotonic() - start
    scene.figures(f"IPv{aim.family} prefixes: {outcome.bytes_out} bytes out in {spent:.2f} s for "
                  f"{3000 * 60_000} asked for")
    assert outcome.bytes_out <= 1.1 * (16e6 + 8e6 * spent), outcome  # of one address


def test_open_on_loopback_alone(pool, place, aim):
    """memcached's own behaviour is to be had where nobody else can ask."""
    pool.close()
    loopback = {4: "127.0.0.1", 6: "::1"}[aim.family]
    with place.hosts["server"], \
            harness.Server("-p", scene.PORT, "-U", scene.PORT, *policy("open"),
                           listen=loopback) as server, server.connect() as conn:
        conn.set(b"secret", scene.SECRET)
        with rr.Client(loopback, scene.PORT) as client:
            assert scene.SECRET in client.ask_legacy(GET)


def refused(pool, *args, listen="0.0.0.0"):
    """The text with which a start fails; it must."""
    pool.close()
    with pool.place.hosts["server"]:
        try:
            server = harness.Server("-p", scene.PORT, "-U", scene.PORT, *scene.open_args(), *args,
                                    listen=listen)
        except AssertionError as error:
            return str(error)
        server.stop()
    raise AssertionError(f"it started with {args} on {listen}")


@pytest.mark.parametrize("listen", ["0.0.0.0", "::", "10.77.0.2", "fd77::2", "0.0.0.0,::",
                                    "127.0.0.1,10.77.0.2"])
@pytest.mark.parametrize("name", ["open", "rr+open"])
def test_open_to_the_world_is_refused(pool, listen, name):
    """With the reason, not only with a name of an option."""
    text = refused(pool, *policy(name), listen=listen)
    assert "udp_policy=open would answer" in text and "-l 127.0.0.1" in text, text


@pytest.mark.parametrize("name", ["nonsense", "", "prefixes:", "prefixes:10.0.0.0/33", "rr+",
                                  "prefixes:nonsense", "rr,open"])
def test_malformed_policies_are_refused(pool, name):
    assert "udp_policy" in refused(pool, *policy(name)) or name == "rr,open"


@pytest.mark.parametrize("name", [
    "prefixes:0.0.0.0/0", "prefixes:::/0", "prefixes:10.0.0.0/8+0.0.0.0/0",
    "rr+prefixes:0.0.0.0/0", "prefixes:0.0.0.0/1+128.0.0.0/1", "prefixes:::/16",
    "prefixes:::ffff:0:0/96", "prefixes:::/64", "prefixes:2000::/3", "prefixes:::/1+8000::/1",
    "prefixes:0.0.0.0/8+open", "prefixes:::/128+0.0.0.0/32+open",
])
def test_all_the_world_is_no_prefix(pool, name):
    """That is `open` by another name; nor does a wildcard listener lie in a prefix."""
    for listen in ("0.0.0.0", "::", "0.0.0.0,::"):
        refused(pool, *policy(name), listen=listen)


@pytest.mark.parametrize("name", ["prefixes:10.77.0.0/24+fd77::/64+open"])
def test_open_within_a_named_prefix(pool, place, aim, name):
    """The operator has said that this network is meant, and nobody else."""
    pool.close()
    with scene.Target(place, *scene.open_args(), *policy(name),
                      listen="10.77.0.2,fd77::2") as target:
        with place.hosts["client"], harness.Conn((aim.target, scene.PORT)) as conn:
            conn.set(b"secret", scene.SECRET)
        assert scene.SECRET in legacy_answer(target, aim)
        stranger = {4: "198.51.100.7", 6: "2001:db8:ffff::7"}[aim.family]
        target.strike([aim.udp(attacks.legacy(GET), stranger)] * 50).check_silent()


def test_off_unless_asked_for(pool, place):
    """Without -U nothing listens; the system's own answer is no business of ours."""
    pool.close()
    with place.hosts["server"], \
            harness.Server("-p", scene.PORT, *scene.open_args(), listen="0.0.0.0,::") as server:
        tables = [open(f"/proc/thread-self/net/{name}").read() for name in ("udp", "udp6")]
        assert f":{scene.PORT:04X} " not in "".join(tables)
        assert server.alive()
