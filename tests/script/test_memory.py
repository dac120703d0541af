# SPDX-License-Identifier: BSD-3-Clause
"""Memory: eviction, -M, -I, tiny and large -m, cache_memlimit while running."""

import contextlib
import hashlib
import os
import resource
import time

import pytest

import harness

CHUNK = hashlib.sha256(b"matte").hexdigest().encode() * 16384  # 1 MiB


def value_of(number, size):
    """A value that tells whose it is."""
    head = b"%d:" % number
    return (head + CHUNK)[:size]


def fill(conn, first, last, size, batch=64):
    """Store values, pipelined; returns how many were stored."""
    stored = 0
    for low in range(first, last, batch):
        high = min(low + batch, last)
        conn.send(b"".join(b"set m%d 0 0 %d\r\n%s\r\n" % (i, size, value_of(i, size))
                           for i in range(low, high)))
        for _ in range(low, high):
            line = conn.line()
            assert line in (b"STORED", b"SERVER_ERROR out of memory storing object"), line
            stored += line == b"STORED"
    return stored


def held(conn, first, last, size):
    """The numbers of those that are still there; each must be right."""
    found = []
    for low in range(first, last, 100):
        conn.send(b"get " + b" ".join(b"m%d" % i for i in range(low, min(low + 100, last)))
                  + b"\r\n")
        while (line := conn.line()) != b"END":
            number = int(line.split()[1][1:])
            assert conn.take(size + 2) == value_of(number, size) + b"\r\n"
            found.append(number)
    return found


def test_eviction_makes_room():
    with harness.Server("-m", "16", "-t", "2") as server, server.connect() as conn:
        count, size = 8000, 8000
        assert fill(conn, 0, count, size) == count
        stats = conn.stats()  # first: eviction may go on in the background for a moment
        assert int(stats["evictions"]) > 0
        found = held(conn, 0, count, size)
        assert (10 << 20) < len(found) * size < (16 << 20)
        assert found[-1] > count - 500  # the newest are there
        assert int(stats["curr_items"]) >= len(found)


def test_used_items_stay_longer():
    with harness.Server("-m", "16", "-t", "1") as server, server.connect() as conn:
        size, count = 4000, 12000
        for i in range(200):
            conn.set(b"hot%d" % i, b"h" * size)
        for low in range(0, count, 200):
            fill(conn, low, low + 200, size)
            for i in range(200):
                conn.send(b"get hot%d\r\n" % i)
            for i in range(200):
                while conn.line() != b"END":
                    pass
        alive = sum(conn.get(b"hot%d" % i) is not None for i in range(200))
        assert alive > 180


@pytest.mark.parametrize("size", [1000, 8000, 66560])
@pytest.mark.parametrize("later", [False, True])
def test_item_used_twice_outlives_a_quick_flood(size, later):
    """Memory fills in less time than the server takes to look at what sizes are usual."""
    with harness.Server("-m", "3", "-t", "1") as server, server.connect() as conn:
        conn.set(b"tiny", b"x")
        if later:
            time.sleep(1.1)
        conn.set(b"used", b"u" * size)
        assert conn.get(b"used") == conn.get(b"used") == b"u" * size
        fill(conn, 0, (5 << 20) // size, size)
        assert int(conn.stats()["evictions"]) > 0
        assert conn.get(b"used") == b"u" * size


def test_no_evictions():
    with harness.Server("-m", "16", "-M") as server, server.connect() as conn:
        count, size = 8000, 8000
        stored = fill(conn, 0, count, size)
        assert (10 << 20) // size < stored < count
        assert held(conn, 0, 100, size) == list(range(100))
        stats = conn.stats()
        assert stats["evictions"] == "0"
        assert int(stats["store_no_memory"]) >= count - stored
        for i in range(600):
            conn.ask(b"delete m%d\r\n" % i, b"DELETED\r\n")

        def room():
            conn.send(b"set again 0 0 100\r\n" + b"x" * 100 + b"\r\n")
            return conn.line() == b"STORED"
        harness.until(room)


def test_what_was_counted_outlives_a_flush(reference):
    if reference:
        pytest.skip("memcached keeps its pages")
    with harness.Server("-t", "1") as server, server.connect() as conn:
        conn.set(b"key", b"value")
        conn.ask(b"flush_all\r\n", b"OK\r\n")
        harness.until(lambda: conn.stats(b"slabs").get("1:total_pages") == "0")
        slabs = conn.stats(b"slabs")
        assert (slabs["1:cmd_set"], slabs["active_slabs"]) == ("1", "1")


def test_no_memory_removes_the_old_value():
    with harness.Server("-m", "16", "-M") as server, server.connect() as conn:
        conn.set(b"old", b"x")
        assert fill(conn, 0, 3000, 8000) < 3000
        conn.set(b"old", b"y" * 8000, reply=b"SERVER_ERROR out of memory storing object\r\n")
        assert conn.get(b"old") is None


@pytest.mark.parametrize("megabytes", [1, 2, 8, 64, 1024, 4096])
def test_any_memory_limit_serves(megabytes, reference):
    if reference and megabytes < 8:
        pytest.skip("memcached takes as much as it needs")
    item_max = ["-I", "512k"] if megabytes == 1 else []
    with harness.Server("-m", megabytes, *item_max) as server, server.connect() as conn:
        assert conn.stats()["limit_maxbytes"] == str(megabytes << 20)
        count, size = (megabytes << 20) * 2 // 1000 if megabytes <= 8 else 3000, 1000
        assert fill(conn, 0, count, size) == count
        assert len(held(conn, 0, count, size)) > min(count, (megabytes << 20) // 1000) // 3
        largest = 100_000
        conn.set(b"large", b"L" * largest)
        assert conn.get(b"large") == b"L" * largest


@pytest.mark.parametrize("args,size", [
    ((), 1000 * 1000), (("-I", "4m"), 4000 * 1000), (("-I", "1k"), 800), (("-I", "64K"), 60000),
    (("-m", "256", "-I", "32m"), 32_000_000), (("-m", "1024", "-I", "268435456"), 200_000_000)])
def test_largest_item(args, size, reference):
    if reference and args == ("-I", "1k"):
        pytest.skip("memcached wants a slab_chunk_max to go with it")
    if reference and "64K" in args:
        pytest.skip("likewise")
    body = (CHUNK * (size // len(CHUNK) + 1))[:size]
    with harness.Server(*args) as server, server.connect(60) as conn:
        conn.set(b"big", body)
        assert conn.get(b"big") == body
        limit = int(conn.stats(b"settings")["item_size_max"])
        conn.send(b"set big 0 0 %d\r\n" % (limit + 1) + b"z" * (limit + 1) + b"\r\n")
        conn.expect(b"SERVER_ERROR object too large for cache\r\n")
        assert conn.get(b"big") is None
        conn.set(b"big", body[:size // 2])
        assert conn.get(b"big") == body[:size // 2]


@pytest.mark.skipif(not os.environ.get("MATTE_LARGE"), reason="MATTE_LARGE is not set: needs 4 GB")
def test_item_of_a_gigabyte():
    with harness.Server("-m", "3000", "-I", "1g") as server, server.connect(120) as conn:
        body = CHUNK * 1023
        conn.set(b"big", body)
        assert conn.get(b"big") == body


def test_large_values_survive_change():
    """Append to and replace values of many pieces."""
    with harness.Server("-m", "128", "-I", "16m") as server, server.connect(30) as conn:
        body = CHUNK * 3
        conn.set(b"big", body, flags=5)
        conn.set(b"big", b"", reply=b"STORED\r\n")
        conn.set(b"big", body, flags=5)
        conn.ask(b"append big 0 0 3\r\nabc\r\n", b"STORED\r\n")
        conn.ask(b"prepend big 0 0 3\r\nxyz\r\n", b"STORED\r\n")
        assert conn.get(b"big") == b"xyz" + body + b"abc"
        conn.ask(b"mg big s f\r\n", b"HD s%d f5\r\n" % (len(body) + 6))
        conn.ask(b"incr big 1\r\n",
                 b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")


def test_memory_limit_while_running(reference):
    with harness.Server("-m", "64") as server, server.connect() as conn:
        count, size = 5000, 8000
        assert fill(conn, 0, count, size) == count
        assert len(held(conn, 0, count, size)) == count
        conn.ask(b"cache_memlimit 16\r\n", b"OK\r\n")
        assert conn.stats()["limit_maxbytes"] == str(16 << 20)
        fill(conn, count, 2 * count, size)
        if not reference:  # memcached gives back only pages that it has at hand
            harness.until(lambda: len(held(conn, 0, 2 * count, size)) * size < (16 << 20))
        conn.ask(b"cache_memlimit 128\r\n", b"OK\r\n")
        assert fill(conn, 0, 2 * count, size) == 2 * count
        if not reference:
            assert len(held(conn, 0, 2 * count, size)) == 2 * count


def test_memory_limit_refusals(conn):
    assert conn.command(b"cache_memlimit 1").startswith(b"MEMLIMIT_TOO_SMALL")
    assert conn.command(b"cache_memlimit abc") in (
        b"ERROR", b"CLIENT_ERROR bad command line format")
    assert conn.command(b"cache_memlimit") == b"ERROR"
    conn.ask(b"cache_memlimit 64 noreply\r\nmn\r\n", b"MN\r\n")


# docs/memory.md promises these.
PROCESS_BYTES, WORKER_BYTES, IDLE_CONNECTION_BYTES = 8 << 20, 2 << 20, 192


def skip_where_memory_is_not_ours(reference):
    if harness.is_sanitized(harness.BINARY):
        pytest.skip("a sanitizer takes memory of its own")
    if reference:
        pytest.skip("the figures are those of docs/memory.md")


@pytest.mark.parametrize("megabytes,workers", [(16, 1), (32, 2), (64, 4), (600, 2)])
def test_memory_is_bounded_by_the_limit(megabytes, workers, reference):
    """Everything but code and buffers comes out of -m, whatever is stored."""
    skip_where_memory_is_not_ours(reference)
    allowed = (megabytes << 20) + PROCESS_BYTES + workers * WORKER_BYTES
    with harness.Server("-m", megabytes, "-t", workers) as server, server.connect() as conn:
        fill(conn, 0, (megabytes << 20) * 3 // 2 // 8000, 8000)
        assert server.rss_bytes() <= allowed
        fill(conn, 0, 100_000, 100)
        assert server.rss_bytes() <= allowed
        fill(conn, 0, (megabytes << 20) // 4 // 100_000, 100_000)
        assert server.rss_bytes() <= allowed


def test_idle_connections_cost_little(reference):
    skip_where_memory_is_not_ours(reference)
    count = 3000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 100:
        pytest.skip("too few open files are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))
    with harness.Server("-c", count + 100, "-t", 1) as server, contextlib.ExitStack() as stack:
        stack.enter_context(server.connect()).ask(b"get a\r\n", b"END\r\n")
        before = server.rss_bytes()
        for _ in range(count):
            stack.enter_context(server.connect()).ask(b"get a\r\n", b"END\r\n")
        each = (server.rss_bytes() - before) / count
        assert each <= IDLE_CONNECTION_BYTES, f"{each:.0f} bytes per connection"


def test_overhead_of_small_items(reference):
    """32 bytes at most above key and value, in a full cache, index included."""
    skip_where_memory_is_not_ours(reference)
    with harness.Server("-m", 32, "-t", 1) as server, server.connect() as conn:
        empty = server.rss_bytes()
        count, size = 500_000, 64
        fill(conn, 100_000, 100_000 + count, size)
        stats = conn.stats()
        assert int(stats["evictions"]) > 0
        items, key_bytes = int(stats["curr_items"]), len(b"m100000")
        overhead = (server.rss_bytes() - empty) / items - key_bytes - size
        assert overhead <= 32, f"{overhead:.1f} bytes per item"
