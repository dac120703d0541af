# SPDX-License-Identifier: BSD-3-Clause
"""The operator's program `matte`: keys, dump, load, copy; between our server and memcached, too."""

import base64
import json
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from cli import ENV, matte
from fake import Fake
from harness import BINARY, CLI, PEER, Server, answers_version, until

PAIRS = {"ours": (BINARY, BINARY), "from memcached": (PEER, BINARY),
         "to memcached": (BINARY, PEER)}
BINARY_KEY = b"\x00\x01 two words\r\n\xff"


def at(server):
    return f"--server=127.0.0.1:{server.port}"


def fill(server, count=3000):
    """Items of many sizes, flags and lifetimes; {key: (value, flags, ttl or None)}."""
    lots, items = random.Random(7), {}
    with server.connect() as conn:
        for i in range(count):
            key = b"fill:%d" % i
            value = lots.randbytes(lots.choice([0, 1, 10, 100, 1000]))
            items[key] = (value, lots.choice([0, 1, 2**32 - 1]), lots.choice([None, 1000, 10**7]))
        items[b"large"] = (lots.randbytes(1_000_000), 0, None)
        items["ü".encode()] = (b"\r\nEND\r\n", 0, None)
        for key, (value, flags, ttl) in items.items():
            exptime = 0 if ttl is None else ttl if ttl <= 2592000 else int(time.time()) + ttl
            conn.set(key, value, flags, exptime)
        text = base64.b64encode(BINARY_KEY)
        conn.ask(b"ms %s 6 b F5 T500\r\nbinary\r\n" % text, b"HD\r\n")
    return items


def check(server, items):
    with server.connect() as conn:
        for key, (value, flags, ttl) in items.items():
            conn.send(b"mg %s f t v\r\n" % key)
            head = conn.line().split()
            assert head[0] == b"VA", (key, head)
            assert conn.take(len(value) + 2) == value + b"\r\n"
            assert head[2] == b"f%d" % flags
            left = int(head[3][1:])
            assert left == -1 if ttl is None else ttl - 60 < left <= ttl + 3, (key, ttl, left)
        conn.send(b"mg %s b f t v\r\n" % base64.b64encode(BINARY_KEY))
        head = conn.line().split()
        assert head[:3] == [b"VA", b"6", b"f5"] and 440 < int(head[-1][1:]) <= 503
        assert conn.take(8) == b"binary\r\n"


@pytest.fixture(params=list(PAIRS))
def pair(request):
    first, second = PAIRS[request.param]
    if not answers_version(first) or not answers_version(second):
        pytest.skip("no memcached")
    with Server("-m", "256", binary=first) as source, \
            Server("-m", "256", binary=second) as target:
        yield source, target


# ── keys ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module", params=[BINARY, PEER], ids=["ours", "memcached"])
def full(request):
    if not answers_version(request.param):
        pytest.skip("no memcached")
    with Server("-m", "256", binary=request.param) as server:
        yield server, fill(server)


def test_keys(full):
    server, items = full
    code, out, errors = matte("keys", at(server))
    assert (code, errors) == (0, b"")
    found = out.decode().splitlines()
    assert len(found) == len(items) + 1
    assert {"fill:7", "%C3%BC", "%00%01%20two%20words%0D%0A%FF"} <= set(found)
    rows = [json.loads(line) for line in matte("keys", at(server), "--json")[1].splitlines()]
    assert {row.get("key") for row in rows} == {key.decode() for key in items} | {None}
    by_key = {row.get("key"): row for row in rows}
    assert base64.b64decode(by_key[None]["key_base64"]) == BINARY_KEY
    assert by_key["large"]["ttl"] is None and by_key["large"]["size"] > 1_000_000
    assert by_key["large"]["fetched"] is False


def test_keys_filters(full):
    server, items = full

    def count(*options):
        code, out, errors = matte("keys", at(server), *options)
        assert code == 0, errors
        return len(out.splitlines())

    forever = sum(item[2] is None for item in items.values())
    assert count("--prefix=fill:1") == sum(key.startswith(b"fill:1") for key in items)
    assert count("--glob=fill:?") == 10
    assert count("--glob=*:[5-7]") == 3
    assert count("--glob", "l*", "--min-size=1000000") == 1
    assert count("--max-size=100", "--prefix=fill") + count("--min-size=101", "--prefix=fill") == \
        3000
    assert count("--ttl=never") == forever
    assert count("--ttl=1..1000") + count("--ttl=1001..") == len(items) + 1 - forever
    assert count("--limit=5") == 5
    assert count("-l", "--prefix=large") == 2  # with the head
    for ttl in ("x", "..", "5..1", "-1"):
        assert matte("keys", at(server), f"--ttl={ttl}")[0] == 64


def test_keys_refused():
    with Server("-X") as server:
        code, out, errors = matte("keys", at(server))
        assert (code, out) == (1, b"") and b"not allowed" in errors
    with Fake({b"lru_crawler metadump hash": b"BUSY currently processing crawler request\r\n"}) \
            as fake:
        code, _, errors = matte("keys", fake.to, "-t0.2")
        assert code == 1 and b"BUSY" in errors


def test_keys_of_an_old_server():
    """One that knows no `hash`, and sends OK first."""
    dump = b"OK\r\nkey=a exp=-1 la=5 cas=1 fetch=no cls=1 size=60\nEND\r\n"
    with Fake({b"lru_crawler metadump all": dump}) as fake:
        assert matte("keys", fake.to) == (0, b"a\n", b"")
    with Fake({b"lru_crawler metadump hash": b"key=%zz exp=-1\r\n"}) as fake:
        code, out, errors = matte("keys", fake.to)
        assert (code, out) == (2, b"") and b"makes no sense" in errors


# ── dump, load, copy ────────────────────────────────────────────────────────────────────────────


def test_dump_and_load(pair, tmp_path):
    source, target = pair
    items, path = fill(source), tmp_path / "dump"
    code, out, errors = matte("dump", at(source), path)
    assert (code, out) == (0, b"") and b"Dumped 3,003 items" in errors
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["dump"]
    told = json.loads(matte("load", at(target), path, "--dry-run", "--json")[1])
    assert told["items"] == 3003 and matte("keys", at(target))[1] == b""
    code, out, errors = matte("load", at(target), path)
    assert (code, out) == (0, b"") and b"Stored 3,003 items" in errors
    check(target, items)


def test_copy(pair):
    source, target = pair
    items = fill(source)
    with target.connect() as conn:
        conn.set(b"fill:0", b"newer")
        conn.set(b"other", b"stays")
    names = [f"127.0.0.1:{server.port}" for server in pair]
    told = json.loads(matte("copy", *names, "--keep", "--json")[1])
    assert told["items"] == 3002 and told["kept"] == 1 and told["failed"] == 0
    with target.connect() as conn:
        assert conn.get(b"fill:0") == b"newer" and conn.get(b"other") == b"stays"
    assert matte("load", at(target), f"--from={names[0]}")[0] == 0
    check(target, items)


def test_dump_is_no_use_of_the_items(full, tmp_path):
    server, _ = full
    assert matte("dump", at(server), tmp_path / "dump")[0] == 0
    rows = [json.loads(line) for line in matte("keys", at(server), "--json")[1].splitlines()]
    assert not any(row["fetched"] for row in rows)


def test_through_a_pipe(tmp_path):
    with Server() as source, Server() as target:
        items = fill(source, 100)
        dump = subprocess.run([CLI, "dump", at(source), "-", "--prefix=fill:"],
                              capture_output=True, timeout=60, env=ENV)
        assert dump.returncode == 0 and b"Dumped 100" in dump.stderr
        code, _, errors = matte("load", at(target), "-", "--glob=*[0-4]", stdin=dump.stdout)
        assert code == 0 and b"Stored 50" in errors
        with target.connect() as conn:
            assert conn.get(b"fill:4") == items[b"fill:4"][0] and conn.get(b"fill:5") is None
        with open("/dev/full", "wb") as device:
            done = subprocess.run([CLI, "dump", at(source), "-"], stdout=device,
                                  stderr=subprocess.PIPE, timeout=60, env=ENV)
        assert done.returncode == 2 and b"No space" in done.stderr


def test_damaged_files(tmp_path):
    """A file that is cut or changed anywhere is noticed."""
    with Server() as server:
        fill(server, 5)
        with server.connect() as conn:
            conn.ask(b"delete large\r\n", b"DELETED\r\n")
        path, bad = tmp_path / "dump", tmp_path / "bad"
        assert matte("dump", at(server), path)[0] == 0
        whole = path.read_bytes()
        lots = random.Random(1)

        def load(data):
            bad.write_bytes(data)
            return matte("load", at(server), bad, "--dry-run")
        for cut in sorted({0, 5, 31, 32, 40, len(whole) - 1} |
                          {lots.randrange(len(whole)) for _ in range(10)}):
            code, _, errors = load(whole[:cut])
            assert code == 2 and (b"too early" in errors or b"not a file" in errors)
        for _ in range(20):
            place = lots.randrange(len(whole))
            changed = bytearray(whole)
            changed[place] ^= 1 << lots.randrange(8)
            assert load(bytes(changed))[0] == 2, place
        assert load(whole + b"x")[0] == 2
        assert load(whole)[0] == 0
        code, _, errors = matte("load", at(server), tmp_path / "none")
        assert code == 2 and b"No such file" in errors
        assert matte("load", at(server))[0] == 64
        assert matte("load", at(server), path, "--from=127.0.0.1")[0] == 64


def test_format_as_documented(tmp_path):
    """The fields of docs/dump-format.md, read by somebody else."""
    with Server() as server:
        with server.connect() as conn:
            conn.set(b"key", b"value", 7, 1000)
        path = tmp_path / "dump"
        assert matte("dump", at(server), path)[0] == 0
    data = path.read_bytes()
    magic, version, _, created, _ = struct.unpack("<8sH6sQQ", data[:32])
    assert (magic, version) == (b"MATTEDMP", 1) and abs(created - time.time()) < 100
    kind, key, zero, flags, expires, size = struct.unpack("<cBHIQI", data[32:52])
    assert (kind, key, zero, flags, size) == (b"I", 3, 0, 7, 5)
    assert abs(expires - created - 1000) <= 2
    assert data[52:60] == b"keyvalue"
    kind, key, zero, flags, count, size = struct.unpack("<cBHIQI", data[68:88])
    assert (kind, key, zero, flags, count, size) == (b"E", 0, 0, 0, 1, 0) and len(data) == 96


def test_expired_meanwhile(tmp_path):
    with Server() as server:
        with server.connect() as conn:
            conn.set(b"short", b"v", 0, 2)
            conn.set(b"long", b"v", 0, 100)
        path = tmp_path / "dump"
        assert matte("dump", at(server), path)[0] == 0
        with server.connect() as conn:
            conn.ask(b"flush_all\r\n", b"OK\r\n")
        time.sleep(3)
        code, _, errors = matte("load", at(server), path)
        assert code == 0 and b"Stored 1 items" in errors and b"1 gone" in errors


def test_refused_items(tmp_path):
    with Server("-I", "4m") as source, Server("-I", "1m") as target:
        with source.connect() as conn:
            conn.set(b"large", b"x" * 2_000_000)
            conn.set(b"small", b"x")
        code, _, errors = matte("copy", f"127.0.0.1:{source.port}", f"127.0.0.1:{target.port}")
        assert code == 1 and b"too large" in errors and b"1 refused" in errors
        assert matte("get", at(target), "small")[0] == 0


def test_nothing_is_left_of_half_a_dump(tmp_path):
    """The server goes away, or the program is ended, in the middle."""
    head = b"".join(b"key=k%d exp=-1 la=5 cas=1 fetch=no cls=1 size=60\n" % i for i in range(10))
    path = tmp_path / "dump"
    path.write_bytes(b"old")
    with Fake({b"lru_crawler metadump hash": head}) as fake:  # and no end
        code, _, errors = matte("dump", fake.to, "-t0.5", path)
        assert code == 2 and b"in time" in errors
        assert os.listdir(tmp_path) == ["dump"] and path.read_bytes() == b"old"
        done = subprocess.Popen([CLI, "dump", fake.to, str(path)], stderr=subprocess.DEVNULL,
                                env=ENV)
        until(lambda: len(os.listdir(tmp_path)) == 2)
        done.send_signal(signal.SIGTERM)
        assert done.wait(10) == -signal.SIGTERM
        assert os.listdir(tmp_path) == ["dump"] and path.read_bytes() == b"old"
    code, _, errors = matte("dump", fake.to, tmp_path / "no" / "dump")
    assert code == 2 and b"No such file" in errors


def test_memory_is_constant(tmp_path):
    """A long list of keys is not kept."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        conn, _ = listener.accept()
        with conn, conn.makefile("rb") as lines:
            lines.readline()
            conn.sendall(b"END\r\n")
            lines.readline()
            row = b"key=%s exp=-1 la=5 cas=1 fetch=no cls=1 size=60\n" % (b"k" * 200)
            for _ in range(300):
                conn.sendall(row * 1000)
            conn.sendall(b"END\r\n")
    threading.Thread(target=serve, daemon=True).start()
    script = "import resource,subprocess,sys; subprocess.run(sys.argv[1:], stdout=" \
        "subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run(["/usr/bin/python3", "-c", script, CLI, "keys", "-s",
                           f"127.0.0.1:{listener.getsockname()[1]}"],
                          capture_output=True, timeout=60, env=ENV)
    assert b"Sanitizer" not in done.stderr and int(done.stdout) < 200_000  # KiB; 70 MB were sent
