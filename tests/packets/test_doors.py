# SPDX-License-Identifier: BSD-3-Clause
"""A datagram passes the same doors as a connection: protected mode, access lists, logins."""

import pytest

import attacks
import harness
import lab
import rr
import scene

pytestmark = pytest.mark.usefixtures("serves_udp")
GET = b"get secret\r\n"
SET = b"set secret 0 0 1\r\nx\r\n"
INSIDE = {4: "127.0.0.1", 6: "::1"}


def answer_of(place, aim, host, request=GET, wait_s=0.2):
    """What a client on a host gets, by proving itself and then by a legacy datagram."""
    got = []
    with place.hosts[host]:
        for way in ("ask", "ask_legacy"):
            with rr.Client(aim.target, scene.PORT, wait_s=wait_s) as client:
                try:
                    got.append(getattr(client, way)(request))
                except (TimeoutError, ConnectionError):
                    got.append(None)
    return got


class Doors:
    """A server with options of its own; keys are planted from its own host."""

    def __init__(self, place, *args):
        self.place = place
        with place.hosts["server"]:
            self.server = harness.Server("-p", scene.PORT, "-U", scene.PORT, *args,
                                         listen="0.0.0.0,::")
            self.conn = self.server.connect()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.conn.close()
        self.server.__exit__(*what)


def no_secret(answers):
    for answer in answers:
        assert answer is None or scene.SECRET not in answer and b"STORED" not in answer, answers


def test_protected_mode_is_for_datagrams_too(pool, place, aim):
    """Another host gets no value, proven or not; the own host does."""
    pool.close()
    with Doors(place) as doors:
        doors.conn.set(b"secret", scene.SECRET)
        no_secret(answer_of(place, aim, "client"))
        no_secret(answer_of(place, aim, "client", b"mg secret v\r\n"))
        inside = scene.Aim(aim.family, INSIDE[aim.family])
        assert scene.SECRET in answer_of(place, inside, "server")[0]


@pytest.mark.parametrize("policy", ["rr", "rr+tcp-vouched",
                                    "rr+prefixes:10.77.0.0/24+fd77::/64"])
def test_who_is_denied_gets_nothing(pool, place, aim, policy, tmp_path):
    """Neither by proof, nor by a prefix that the UDP policy names, nor by a TCP connection."""
    pool.close()
    rules = tmp_path / "rules"
    rules.write_text("".join(f"deny {lab.address('stranger', family)}\n" for family in (4, 6)) +
                     "allow all\n")
    tmp_path.chmod(0o755)
    with Doors(place, "-o", f"udp_policy={policy}", "-o", f"access_file={rules}") as doors:
        doors.conn.set(b"secret", scene.SECRET)
        with place.hosts["stranger"]:
            refused = harness.Conn((aim.target, scene.PORT))
        assert answer_of(place, aim, "stranger") == [None, None]
        refused.close()
        assert scene.SECRET in answer_of(place, aim, "client")[0]


def test_only_who_is_allowed(pool, place, aim):
    """With -o allow= all others are refused, and what they spoof is answered by no byte."""
    pool.close()
    allowed = "+".join([lab.address("client", family) for family in (4, 6)] + ["127.0.0.1"])
    with Doors(place, "-o", f"allow={allowed}") as doors:
        doors.conn.set(b"secret", scene.SECRET)
        assert scene.SECRET in answer_of(place, aim, "client")[0]
        no_secret(answer_of(place, aim, "stranger"))
        place.tap.read()
        place.attacker.send(aim.all(attacks.wrapped([GET, b"stats\r\n"]) * 20))
        place.meter.settle()
        assert not [a for a in place.tap.read() if scene.SECRET in a.payload or a.bytes > 80]


def test_readers_do_not_write(pool, place, aim, tmp_path):
    """A class of the access list holds for datagrams, with -o udp_writes as well."""
    pool.close()
    rules = tmp_path / "rules"
    rules.write_text("allow 127.0.0.1\nallow all read\n")
    tmp_path.chmod(0o755)
    with Doors(place, "-o", f"access_file={rules}", "-o", "udp_writes") as doors:
        doors.conn.set(b"secret", scene.SECRET)
        assert scene.SECRET in answer_of(place, aim, "client")[0]
        no_secret(answer_of(place, aim, "client", SET))
        no_secret(answer_of(place, aim, "client", b"ms secret 1\r\nx\r\n"))
        assert b"DELETED" not in (answer_of(place, aim, "client", b"delete secret\r\n")[0] or b"")
        assert doors.conn.get(b"secret") == scene.SECRET


def test_a_login_cannot_be_gone_around(pool, place, aim, tmp_path):
    """With -Y a datagram, which cannot log in, is served nothing; nor does a TCP login vouch."""
    pool.close()
    users = tmp_path / "users"
    users.write_bytes(b"foo:bar\n")
    tmp_path.chmod(0o755)
    try:
        doors = Doors(place, "-Y", users, "-o", "udp_policy=rr+tcp-vouched")
    except AssertionError as error:
        assert "UDP" in str(error) or "-U" in str(error), error
        return
    with doors:
        login = b"set auth 0 0 7\r\nfoo bar\r\n"
        doors.conn.ask(login, b"STORED\r\n")
        doors.conn.set(b"secret", scene.SECRET)
        with place.hosts["client"], harness.Conn((aim.target, scene.PORT)) as conn:
            conn.ask(login, b"STORED\r\n")
            no_secret(answer_of(place, aim, "client"))
            no_secret(answer_of(place, aim, "client", SET))


def test_writes_by_option(pool, place, aim):
    """-o udp_writes opens them to the proven, and to nobody else."""
    target = pool.get("-o", "udp_writes")
    with target.client(aim.family) as client:
        assert client.ask(b"set mine 0 0 2\r\nab\r\n") == b"STORED\r\n"
        assert client.ask(b"incr number 0\r\n") == b"4711\r\n"
    for name in ("text_verbs", "split_sets", "binary_opcodes"):
        target.strike(attacks.ATTACKS[name](aim)).check()
    target.check_served()
