# SPDX-License-Identifier: BSD-3-Clause
"""What users may do: classes of commands, prefixes of keys; logins by SCRAM-SHA-256."""

import base64
import contextlib
import os
import re
import subprocess

import pytest

import binary
import harness
import scram
from binary import AUTH_CONTINUE, AUTH_ERROR, OK, Binary, request
from test_auth import FAILED, STORED, UNLIMITED, login, plain, reloading

DENIED = b"CLIENT_ERROR access denied\r\n"
ACCESS = 0x24  # the binary protocol's word for it
MECHANISM = scram.MECHANISM


@pytest.fixture(autouse=True)
def only_ours(reference):
    if reference:
        pytest.skip("memcached has no such users")


@pytest.fixture
def users(tmp_path):
    os.chmod(tmp_path, 0o755)
    path = tmp_path / "users"
    path.write_bytes(b"".join([
        scram.line(b"admin", b"a", salt=b"0123456789abcdef"),
        scram.line(b"reader", b"r", b"read"),
        scram.line(b"writer", b"w", b"write"),
        scram.line(b"tenant", b"t", b"prefix=app1: prefix=shared:"),
        scram.line(b"guest", b"g", b"read prefix=app1:"),
        scram.line(b"odd", b"o", b"prefix=%00%20%ff"),
        b"plain:p\nplain:old\n"]))
    return path


@pytest.fixture
def server(users):
    with harness.Server("-t", "1", "-S", "-Y", users, *UNLIMITED) as one:
        yield one


@contextlib.contextmanager
def text(server, user, password=None):
    with server.connect() as conn:
        conn.ask(login(user, password or user[:1]), STORED)
        yield conn


@contextlib.contextmanager
def packets(server, user, password=None):
    with Binary(server.connect()) as client:
        assert client.ask(plain(user, password or user[:1])).status == OK
        yield client


# ── every command, with keys inside and outside ─────────────────────────────────────────────────

BIG = 100000  # a value that is uploaded, for it does not fit the read buffer


def forms(word, shape, key, value=b"v"):
    """Requests of that command with the key (base64 for meta's b as well), by its table row."""
    size = b"%d" % len(value)
    block = b"\r\n" + value + b"\r\n"
    coded = base64.b64encode(key)
    return {
        "KEYS": [b"%s %s\r\n" % (word, key)],
        "TOUCH_KEYS": [b"%s 0 %s\r\n" % (word, key)],
        "STORE": [b"%s %s 0 0 %s%s" % (word, key, size, block)],
        "CAS": [b"%s %s 0 0 %s 1%s" % (word, key, size, block)],
        "KEY": [b"%s %s\r\n" % (word, key)],
        "PREFIX": [b"%s %s\r\n" % (word, key)],
        "NUMBER": [b"%s %s 1\r\n" % (word, key)],
        "EXPTIME": [b"%s %s 0\r\n" % (word, key)],
        "META": [b"%s %s\r\n" % (word, key), b"%s %s b\r\n" % (word, coded)],
        "META_VALUE": [b"%s %s %s%s" % (word, key, size, block),
                       b"%s %s %s b%s" % (word, coded, size, block)],
        "ARGS": [b"%s\r\n" % word, b"%s %s\r\n" % (word, key)],
        "LINE": [b"%s\r\n" % word],
    }[shape]


def rows():
    """(word, shape, class) of every command of the text protocol."""
    table = (harness.ROOT / "src/tbl/commands.def").read_text()
    found = re.findall(r'^COMMAND\(\w+,\s*"(\w+)",\s*(\w+),\s*\d+,\s*(\w+)', table, re.M)
    assert len(found) > 30
    return [(word.encode(), shape, kind) for word, shape, kind in found
            if word not in ("misbehave", "debugtime", "debugitem", "quit", "shutdown", "watch",
                            "drain")]


def opcodes():
    """(code, quiet code or None, extras, key, value, class) of every opcode."""
    table = (harness.ROOT / "src/tbl/opcodes.def").read_text()
    found = re.findall(r"^OPCODE\(\w+,\s*(\w+),\s*(\w+),\s*(\w+),\s*(\w+),\s*(\w+),\s*(\w+)",
                       table, re.M)
    assert len(found) > 20
    return [(int(code, 16), None if quiet == "NONE" else int(quiet, 16), *rest)
            for code, quiet, *rest in found if int(code, 16) != 0x07]


def packet(code, extras, key, value, **more):
    size = {"STORE": 8, "ARITH": 20, "EXPTIME": 4}.get(extras, 0)
    return request(code, key, value, bytes(size), **more)


KEYED = {"KEYS", "TOUCH_KEYS", "STORE", "CAS", "KEY", "PREFIX", "NUMBER", "EXPTIME", "META",
         "META_VALUE"}


def barrier(conn):
    """Everything that was answered before `mn`."""
    conn.send(b"mn\r\n")
    got = b""
    while not got.endswith(b"MN\r\n"):
        more = conn.take(1)
        assert more
        got += more
    return got[:-4]


@pytest.mark.parametrize("word, shape, kind", rows())
def test_text_commands(server, word, shape, kind):
    """Outside of his prefixes a tenant gets a refusal and nothing else, whatever the command."""
    with text(server, b"admin") as admin, text(server, b"tenant") as tenant:
        admin.set(b"other", b"7")
        before = admin.stats()
        if shape in KEYED:
            for size in (1, BIG):
                for form in forms(word, shape, b"other", b"9" * size):
                    assert barrier_of(tenant, form) == DENIED, form
                    quiet = form.replace(b"\r\n", b" noreply\r\n", 1)
                    if shape in ("STORE", "CAS", "KEY", "PREFIX", "NUMBER", "EXPTIME"):
                        assert barrier_of(tenant, quiet) == b"", quiet
            for form in forms(word, shape, b"app1:x", b"9"):
                denied = b"denied" in barrier_of(tenant, form)
                assert denied == (kind == "FLUSH"), form  # he was not given it
        elif kind == "ADMIN" and word != b"stats":
            for form in forms(word, shape, b"app1:x"):
                assert barrier_of(tenant, form) in (DENIED, b"ERROR\r\n"), form
        else:
            for form in forms(word, shape, b""):
                assert b"denied" not in barrier_of(tenant, form), form
        assert admin.get(b"other") == b"7"
        after = admin.stats()
        assert after["cmd_flush"] == before["cmd_flush"]


def barrier_of(conn, form):
    conn.send(form)
    return barrier(conn)


@pytest.mark.parametrize("code, quiet, extras, key, value, kind", opcodes())
def test_opcodes(server, code, quiet, extras, key, value, kind):
    with packets(server, b"admin") as admin, packets(server, b"tenant") as tenant:
        assert admin.ask(binary.store("set", b"other", b"7")).status == OK
        sizes = (1, BIG) if value == "ANY" else (0,)
        for each in [code] + [quiet] * (quiet is not None):
            if kind == "LOGIN":
                continue
            if key == "YES":
                for size in sizes:
                    got = tenant.answers(packet(each, extras, b"other", b"9" * size, opaque=5))
                    assert [(a.status, a.value, a.opaque) for a in got] == [
                        (ACCESS, b"Access denied", 5)], (each, got)
                got = tenant.answers(packet(each, extras, b"app1:k", b"9" * sizes[0]))
                assert all(a.status != ACCESS for a in got)
            elif kind == "ADMIN":
                if key != "MAYBE":
                    got = tenant.answers(packet(each, extras, b"", b""))
                    assert [a.status for a in got] == [ACCESS]
                else:
                    got = tenant.answers(packet(each, extras, b"settings", b""))
                    assert got[0].status == ACCESS
        assert admin.ask(request("get", b"other")).value == b"7"


@pytest.mark.parametrize("line", [
    b"get app1:a other", b"get other app1:a", b"get app1:a shared:b other", b"gets app1:a app2:a",
    b"gat 0 app1:a other", b"gats 0 app1:a app1:b app1:c app1", b"get app1", b"get APP1:a",
    b"get " + b" ".join(b"app1:%d" % i for i in range(3000)) + b" other",
])
def test_one_key_outside_refuses_all(server, line):
    with text(server, b"tenant") as tenant:
        tenant.set(b"app1:a", b"x")
        tenant.ask(line + b"\r\n", DENIED)
        tenant.ask(b"get app1:a shared:b\r\n", b"VALUE app1:a 0 1\r\nx\r\nEND\r\n")


def test_pipeline(server):
    """In one packet, refusals stand at their places and touch nothing."""
    with text(server, b"admin") as admin, text(server, b"tenant") as tenant:
        admin.set(b"k", b"0")
        tenant.ask(b"set app1:k 0 0 1\r\n1\r\nset k 0 0 1\r\n1\r\nget app1:k\r\n"
                   b"delete k noreply\r\n"
                   b"incr k 1\r\nmg k v\r\nmg YXBwMTpr b v\r\nmn\r\nflush_all\r\n"
                   b"set k 0 0 %d\r\n%s\r\nget app1:k\r\n" % (BIG, b"z" * BIG),
                   STORED + DENIED + b"VALUE app1:k 0 1\r\n1\r\nEND\r\n" + DENIED + DENIED +
                   b"VA 1\r\n1\r\nMN\r\n" + DENIED + DENIED +
                   b"VALUE app1:k 0 1\r\n1\r\nEND\r\n")
        assert admin.get(b"k") == b"0"


def test_prefix_of_any_bytes(server):
    key = b"\0 \xffk"
    with packets(server, b"odd") as odd:
        assert odd.ask(binary.store("set", key, b"x")).status == OK
        assert odd.ask(request("get", b"\0 \xfek")).status == ACCESS
    with text(server, b"odd") as odd:
        odd.ask(b"mg %s b v\r\n" % base64.b64encode(key), b"VA 1\r\nx\r\n")
        odd.ask(b"mg %s v\r\n" % base64.b64encode(key), DENIED)


@pytest.mark.parametrize("user, may", [
    (b"admin", "rwa"), (b"reader", "r"), (b"writer", "w"), (b"guest", "r"), (b"tenant", "rw"),
    (b"plain", "rwa"),
])
def test_classes(server, user, may):
    key = b"app1:c"
    asks = [("r", b"get " + key), ("r", b"mg %s v" % key), ("r", b"stats"),
            ("w", b"delete " + key), ("w", b"mg %s v T30" % key), ("w", b"mg %s v N30" % key),
            ("w", b"gat 0 " + key), ("w", b"incr %s 1" % key), ("w", b"touch %s 1" % key),
            ("a", b"flush_all 1000000"), ("a", b"stats settings"), ("a", b"stats reset"),
            ("a", b"lru_crawler metadump all"), ("a", b"verbosity 0"), ("a", b"cache_memlimit 64"),
            ("", b"version"), ("", b"mn")]
    with text(server, user) as conn:
        for kind, line in asks:
            got = barrier_of(conn, line + b"\r\n")
            assert (got == DENIED) == (kind != "" and kind not in may), (line, got)


# ── changes while connections are there ─────────────────────────────────────────────────────────


def change(server, users, old, new):
    with reloading(server, "users who may log in"):
        content = users.read_bytes()
        assert old in content
        users.write_bytes(content.replace(old, new))


@pytest.fixture
def loud(users):
    with harness.Server("-v", "-t", "1", "-S", "-Y", users, *UNLIMITED) as one:
        yield one


def test_reload_changes_rights(loud, users):
    with text(loud, b"tenant") as conn, packets(loud, b"tenant") as client:
        conn.set(b"app1:a", b"x")
        change(loud, users, b"prefix=app1: prefix=shared:", b"read prefix=app2:")
        conn.ask(b"get app1:a\r\nget app2:a\r\n", DENIED + b"END\r\n")
        conn.ask(b"set app2:a 0 0 1\r\nx\r\n", DENIED)
        assert client.ask(request("get", b"app1:a")).status == ACCESS
        change(loud, users, b" read prefix=app2:", b"")
        conn.ask(b"get app1:a\r\nflush_all\r\n", b"VALUE app1:a 0 1\r\nx\r\nEND\r\nOK\r\n")


def test_reload_removes_a_user(loud, users):
    lines = users.read_bytes().splitlines(True)
    with text(loud, b"tenant") as conn, packets(loud, b"tenant") as client, \
            text(loud, b"admin") as other:
        change(loud, users, lines[3], b"")
        conn.ask(b"get app1:a\r\n", b"CLIENT_ERROR unauthenticated\r\n")
        conn.ask(login(b"tenant", b"t"), FAILED)
        conn.ask(login(b"admin", b"a"), STORED)
        assert client.ask(request("get", b"app1:a")).status == AUTH_ERROR
        other.ask(b"get app1:a\r\n", b"END\r\n")
        change(loud, users, b"plain:p\n", lines[3] + b"plain:p\n")
        conn.ask(b"get app1:a\r\n", b"END\r\n")


def test_reload_changes_a_password(loud, users):
    """Who is in stays in; a password that has been right is not any more."""
    lines = users.read_bytes().splitlines(True)
    with text(loud, b"tenant") as conn:
        change(loud, users, lines[3], scram.line(b"tenant", b"new", b"prefix=app1:"))
        conn.ask(b"get app1:a\r\n", b"END\r\n")
        for _ in range(2):
            with loud.connect() as other:
                other.ask(login(b"tenant", b"t"), FAILED)
                other.ask(login(b"tenant", b"new"), STORED)


@pytest.mark.parametrize("new", [b" read prefix=app1:", b" prefix=app2:", None, b""])
def test_upload_under_way_when_rights_change(loud, users, new):
    """It is judged once more before it is stored."""
    line = users.read_bytes().splitlines(True)[3]
    with text(loud, b"admin") as admin, text(loud, b"tenant") as conn:
        conn.set(b"app1:a", b"x")
        conn.send(b"set app1:a 0 0 %d\r\n%s" % (BIG, b"y" * (BIG - 10)))
        admin.ask(b"mn\r\n", b"MN\r\n")
        change(loud, users, line,
               b"" if new is None else line.replace(b" prefix=app1: prefix=shared:", new))
        admin.ask(b"mn\r\n", b"MN\r\n")
        conn.send(b"y" * 10 + b"\r\n")
        if new == b"":
            conn.expect(STORED)
        else:
            conn.expect_close()
        assert admin.get(b"app1:a") == (b"y" * BIG if new == b"" else b"x")


def test_watcher_whose_rights_end(loud, users):
    line = users.read_bytes().splitlines(True)[0]
    with text(loud, b"admin") as watcher, text(loud, b"plain", b"old") as other:
        watcher.ask(b"watch mutations\r\n", b"OK\r\n")
        other.set(b"a", b"x")
        assert b"item_store" in watcher.line()
        change(loud, users, line, line.replace(b"\n", b" read\n"))
        other.set(b"secret", b"x")
        watcher.expect_close()


# ── SCRAM ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("user, password, right", [
    (b"admin", b"a", True), (b"tenant", b"t", True), (b"plain", b"old", True),
    (b"plain", b"p", True),  # each of several plain lines
    (b"admin", b"b", False), (b"plain", b"q", False), (b"nobody", b"a", False),
])
def test_scram(server, user, password, right):
    with Binary(server.connect()) as client:
        for head in (b"n,,", b"y,,", b"n,a=" + user + b","):
            assert scram.log_in(client, user, password, head=head) == right
            got = client.ask(request("get", b"app1:x"))
            if not right:
                assert got.status == AUTH_ERROR
                client.close()
                client.__init__(server.connect())
            else:
                assert got.status in (OK, binary.NOT_FOUND)
    with packets(server, b"admin") as admin:
        stats = admin.stats()
        assert (int(stats["auth_cmds"]), int(stats["auth_errors"])) == (4, 3 * (not right))


def test_scram_with_many_plain_lines(users):
    """The last four of a name; by PLAIN all of them open."""
    users.write_bytes(b"".join(b"many:%d\nother%d:x\n" % (i, i) for i in range(6)))
    with harness.Server("-t", "1", "-S", "-Y", users, *UNLIMITED) as server, \
            Binary(server.connect()) as client:
        for i in (0, 5, 2, 1, 3, 4, 5, 3):
            assert scram.log_in(client, b"many", b"%d" % i) == (i >= 2)
            assert client.ask(plain(b"many", b"%d" % i)).status == OK
            assert not scram.log_in(client, b"many", b"6")


def begin(client, user=b"admin", password=b"a", **more):
    attempt = scram.Login(user, password, **more)
    answer = client.ask(request("sasl_auth", MECHANISM, attempt.first()))
    assert answer.status == AUTH_CONTINUE
    return attempt, answer.value


def step(message, mechanism=MECHANISM):
    return request("sasl_step", mechanism, message)


def nobody(client):
    got = client.ask(request("get", b"a"))
    assert got.status == AUTH_ERROR
    assert client.answer() is None


def test_nothing_is_left_of_a_failure(server):
    """After any wrong message, a right final one does not open: it belongs to nothing."""
    def wrong(attempt, answer):
        final = attempt.final(answer)
        yield step(final[:-5])
        yield step(final + b",")
        yield step(final, b"PLAIN")
        yield step(final, b"SCRAM-SHA-1")
        yield step(final.replace(b"r=", b"r=x"))
        yield step(attempt.final(answer, channel=b"eSws"))
        yield step(b"x" * 1025)
        yield step(b"")
        yield plain(b"admin", b"no")
        yield request("sasl_auth", MECHANISM, b"nonsense")
        yield request("sasl_auth", b"CRAM-MD5", b"x")
        yield request("version")
        yield request("sasl_list")
    for i in range(13):
        with Binary(server.connect()) as client:
            attempt, answer = begin(client)
            status = client.ask(list(wrong(attempt, answer))[i]).status
            assert status == (OK if i > 10 else AUTH_ERROR)
            assert client.ask(step(attempt.final(answer))).status == AUTH_ERROR
            if i % 2:
                assert scram.log_in(client, b"admin", b"a")
            else:
                nobody(client)


def test_a_final_message_opens_once(server):
    with Binary(server.connect()) as client, Binary(server.connect()) as other:
        attempt, answer = begin(client)
        final = attempt.final(answer)
        assert other.ask(step(final)).status == AUTH_ERROR
        begin(other, nonce=attempt.nonce)
        assert other.ask(step(final)).status == AUTH_ERROR  # another nonce of ours
        assert client.ask(step(final)).status == AUTH_CONTINUE
        assert client.ask(step(b"")).status == OK
        assert client.ask(step(final)).status == AUTH_ERROR
        assert client.ask(step(b"")).status == AUTH_ERROR
        nobody(client)


@pytest.mark.parametrize("last", [
    step(b"x"), step(b"", b"PLAIN"), request("version"), request("get", b"a"), "final",
    request("sasl_auth", MECHANISM, b""),
])
def test_last_message(server, last):
    """Who has proven himself is nobody until the empty message."""
    with Binary(server.connect()) as client:
        attempt, answer = begin(client)
        final = attempt.final(answer)
        assert client.ask(step(final)).value == attempt.signature
        assert client.ask(step(final) if last == "final" else last).status in (AUTH_ERROR, OK)
        if last != request("get", b"a"):
            assert client.ask(step(b"")).status == AUTH_ERROR
            client.send(request("get", b"a"))
            assert client.answer().status == AUTH_ERROR
        assert client.answer() is None


def test_a_new_attempt_logs_out(server):
    with packets(server, b"admin") as client:
        begin(client, b"tenant", b"t")
        nobody(client)
    with packets(server, b"admin") as client:
        attempt, answer = begin(client, b"tenant", b"t")
        assert client.ask(step(attempt.final(answer))).status == AUTH_CONTINUE
        assert client.ask(step(b"")).status == OK
        assert client.ask(request("get", b"other")).status == ACCESS


@pytest.mark.parametrize("first", [
    b"p=tls-unique,,n=admin,r=abc", b"n,a=plain,n=admin,r=abc", b"n,,n=admin", b"", b"n,,",
    b"n,,m=x,n=admin,r=abc", b"n,,n=" + b"u" * 256 + b",r=abc", b"n,,n=admin,r=" + b"x" * 257,
    b"n,,n=admin,r=abc,x=" + b"y" * 1024, b"n,,n=admin,r=a\0c",
])
def test_first_message_refused(server, first):
    with Binary(server.connect()) as client:
        assert client.ask(request("sasl_auth", MECHANISM, first)).status == AUTH_ERROR
        nobody(client)


def test_scram_cut_at_every_byte(server):
    with packets(server, b"admin") as other:
        attempt = scram.Login(b"admin", b"a")
        first = request("sasl_auth", MECHANISM, attempt.first())
        for cut in range(1, len(first), 3):
            with Binary(server.connect()) as client:
                client.send(first[:cut])
                other.ask(request("noop"))
                client.send(first[cut:])
                final = step(attempt.final(client.answer().value))
                client.send(final[:cut])
                other.ask(request("noop"))
                client.send(final[cut:])
                assert client.answer().value == attempt.signature
                assert client.ask(step(b"")).status == OK


@pytest.mark.parametrize("proven", [False, True])
def test_user_removed_between_two_messages(loud, users, proven):
    line = users.read_bytes().splitlines(True)[3]
    with Binary(loud.connect()) as client:
        attempt, answer = begin(client, b"tenant", b"t")
        last = step(attempt.final(answer))
        if proven:
            assert client.ask(last).status == AUTH_CONTINUE
            last = step(b"")
        change(loud, users, line, b"")
        assert client.ask(last).status == AUTH_ERROR
        nobody(client)


def test_connections_that_leave_in_between(server):
    for _ in range(200):
        with Binary(server.connect()) as client:
            begin(client)
    with packets(server, b"admin") as admin:
        assert admin.stats()["auth_errors"] == "0"


def test_names_look_alike(server):
    """Salt and iterations of a plain and an unknown user: like a hashed one's, and stable."""
    seen = {}
    for user in (b"tenant", b"plain", b"nobody", b"nobodx") * 2:
        with Binary(server.connect()) as client:
            _, answer = begin(client, user, b"x")
        salt, count = answer.split(b",")[1:]
        assert len(salt) == 2 + 24 and count == b"i=4096"
        assert seen.setdefault(user, salt) == salt
    assert len(set(seen.values())) == 4


# ── groups of keys ──────────────────────────────────────────────────────────────────────────────


def test_flush_prefix(users):
    """Who was given it may delete prefixes below his own, and nobody else's."""
    with users.open("ab") as file:
        file.write(scram.line(b"cleaner", b"c", b"read,write,flush_prefix prefix=app1: prefix=s"))
        file.write(scram.line(b"flusher", b"f", b"flush_prefix"))
    keys = (b"app1:a", b"app1:b:c", b"app2:a", b"s", b"t")
    with harness.Server("-t", "1", "-Y", users, *UNLIMITED) as server, \
            text(server, b"cleaner") as cleaner, text(server, b"admin") as admin, \
            text(server, b"writer") as writer, text(server, b"flusher") as flusher:
        for key in keys:
            admin.set(key, b"1")
        for prefix in (b"a", b"app1", b"app2:", b"app10", b"t"):
            cleaner.ask(b"delete_prefix %s\r\n" % prefix, DENIED)
            cleaner.ask(b"mdp %s\r\n" % prefix, DENIED)
            cleaner.ask(b"mdp %s b\r\n" % base64.b64encode(prefix), DENIED)
            writer.ask(b"delete_prefix %s\r\n" % prefix, DENIED)
        assert all(admin.get(key) == b"1" for key in keys)
        cleaner.ask(b"delete_prefix app1:b\r\n", b"DELETED\r\n")
        assert [admin.get(key) for key in keys] == [b"1", None, b"1", b"1", b"1"]
        cleaner.ask(b"mdp %s b\r\n" % base64.b64encode(b"app1:"), b"HD\r\n")
        cleaner.ask(b"mdp s q\r\nmn\r\n", b"MN\r\n")
        assert [admin.get(key) for key in keys] == [None, None, b"1", None, b"1"]
        flusher.ask(b"get t\r\n", DENIED)
        flusher.ask(b"flush_all\r\n", DENIED)
        flusher.ask(b"delete_prefix t\r\n", b"DELETED\r\n")
        admin.ask(b"delete_prefix a\r\n", b"DELETED\r\n")
        assert all(admin.get(key) is None for key in keys)
        assert admin.stats(b"security")["prefix_deleted"] == "5"
        assert admin.stats(b"prefixes")["cmd_delete_prefix"] == "5"


# ── the file ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text_, line, why", [
    (b"a:b\nc:$scram-sha-256$4096:x\n", 2, "cut or malformed"),
    (scram.line(b"a", b"b").replace(b"$4096:", b"$1:"), 1, "iterations"),
    (scram.line(b"a", b"b", b"raed"), 1, "read, write, flush_prefix and admin"),
    (scram.line(b"a", b"b", b"admin prefix=x"), 1, "exclude"),
    (scram.line(b"a", b"b", b"prefix=%"), 1, "hexadecimal"),
    (b"a:x\nb:y\n" + scram.line(b"a", b"b"), 3, "another line"),
], ids=["cut", "iterations", "rights", "admin", "prefix", "twice"])
def test_malformed(users, text_, line, why):
    users.write_bytes(text_)
    done = subprocess.run(harness.command(harness.BINARY, "-p", "-1", "-Y", users),
                          capture_output=True, timeout=30)
    errors = done.stderr.decode()
    assert done.returncode != 0 and f"{users}, line {line}: " in errors and why in errors
    assert "scram" not in errors


def test_the_hash_is_no_password(server, users):
    hash_ = users.read_bytes().splitlines()[0].partition(b":")[2]
    with server.connect() as conn:
        conn.ask(login(b"admin", hash_), FAILED)


def test_reload_confined(users):
    """Hashes are checked, files read again, within the filter of system calls."""
    with harness.Server("-v", "-S", "-Y", users, "-o", "drop_privileges") as server:
        with reloading(server, "users who may log in: 7"):
            pass
        with Binary(server.connect()) as client:
            assert scram.log_in(client, b"tenant", b"t")
            assert scram.log_in(client, b"plain", b"old")


def test_refusals_are_events(server):
    with text(server, b"admin") as admin, text(server, b"guest") as guest, \
            packets(server, b"tenant") as tenant:
        guest.ask(b"get app2:a\r\nset app1:a 0 0 1\r\nx\r\nget app1:a\r\n",
                  DENIED + DENIED + b"END\r\n")
        assert tenant.ask(request("delete", b"app2:a")).status == ACCESS
        assert tenant.ask(request("flush")).status == ACCESS
        counts = admin.stats(b"security")
        assert (counts["key_denied"], counts["verb_denied"]) == ("2", "2")
        assert counts["login_ok"] == "3"
