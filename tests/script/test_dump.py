# SPDX-License-Identifier: BSD-3-Clause
"""Answers that walk over all items, and the settings that admin commands leave behind."""

import base64
import os
import re
import statistics
import subprocess
import threading
import time
import urllib.parse

import pytest

import binary
import harness

META = re.compile(rb"key=(\S+) exp=(-1|\d+) la=(\d+) cas=(\d+) fetch=(yes|no) cls=(\d+) "
                  rb"size=(\d+) flags=(\d+) \n\Z")
META_1_6_18 = re.compile(rb"key=(\S+) exp=(-1|\d+) la=(\d+) cas=(\d+) fetch=(yes|no) cls=(\d+) "
                         rb"size=(\d+)()\n\Z")
TOOL = "/usr/share/memcached/scripts/memcached-tool"


def fill(conn, count, value=b"x" * 20, prefix=b"key:", batch=500):
    """Store `count` items and wait until they are there."""
    for first in range(0, count, batch):
        conn.send(b"".join(
            b"set %s%07d 0 0 %d noreply\r\n%s\r\n" % (prefix, i, len(value), value)
            for i in range(first, min(first + batch, count))))
    conn.ask(b"mn\r\n", b"MN\r\n")


def raw_line(conn):
    """One line with its end."""
    while b"\n" not in conn.buffer:
        assert conn._fill()
    return conn._cut(conn.buffer.index(b"\n") + 1)


def lines_until(conn, end):
    lines = []
    while (line := raw_line(conn)) != end:
        lines.append(line)
        assert not line.startswith((b"ERROR", b"BUSY")), line
    return lines


def metadump(conn, which=b"all"):
    conn.send(b"lru_crawler metadump " + which + b"\r\n")
    return lines_until(conn, b"END\r\n")


def mgdump(conn, which=b"all"):
    conn.send(b"lru_crawler mgdump " + which + b"\r\n")
    return lines_until(conn, b"EN\r\n")


def key_of(line):
    return urllib.parse.unquote_to_bytes(META.match(line)[1])


# ── lines ────────────────────────────────────────────────────────────────────────────────────

def test_metadump_line(reference):
    pattern = META_1_6_18 if reference else META
    with harness.Server() as server, server.connect() as conn:
        now_s = int(conn.stats()["time"])
        conn.set(b"a%b/\xe9", b"abc", flags=5, exptime=100)
        conn.set(b"plain-._~09AZ", b"abcd")
        conn.get(b"plain-._~09AZ")
        for which in (b"all", b"hash", b"1", b"1,2"):
            found = {}
            for line in metadump(conn, which):
                match = pattern.match(line)
                assert match, line
                found[match[1]] = match
            assert sorted(found) == [b"a%25b%2F%E9", b"plain-._~09AZ"]
            one, two = found[b"a%25b%2F%E9"], found[b"plain-._~09AZ"]
            assert abs(int(one[2]) - now_s - 100) <= 3
            assert two[2] == b"-1"
            assert abs(int(one[3]) - now_s) <= 3
            assert (one[5], two[5]) == (b"no", b"yes")
            assert (one[6], two[6]) == (b"1", b"1")
            if not reference:
                assert (one[8], two[8]) == (b"5", b"0")
        if not reference:
            size = int(conn.command(b"me plain-._~09AZ").rsplit(b"size=")[1].split()[0])
            assert int(two[7]) == size
        conn.send(b"gets plain-._~09AZ\r\n")
        assert conn.line().split()[4] == two[4]  # a CAS unique that `gets` confirms


def test_binary_keys(reference):
    if reference:
        pytest.skip("no mgdump")
    keys = [b"\x00\x01", b"with space", b"line\r\nend", b"\xff" * 180]
    with harness.Server() as server, server.connect() as conn:
        for key in keys:
            conn.ask(b"ms %s 2 b\r\nhi\r\n" % base64.b64encode(key), b"HD\r\n")
        conn.set(b"plain", b"x")
        assert sorted(map(key_of, metadump(conn))) == sorted(keys + [b"plain"])
        lines = mgdump(conn)
        assert sorted(lines) == sorted([b"mg plain\r\n"] + [
            b"mg %s b\r\n" % base64.b64encode(key) for key in keys])
        for line in lines:  # each is a request that finds its item
            conn.ask(line, b"HD\r\n")
        conn.send(b"stats cachedump 1 0\r\n")
        assert lines_until(conn, b"END\r\n") == [b"ITEM plain [1 b; 0 s]\r\n"]


def test_expired_and_flushed_are_left_out(reference):
    if reference:
        pytest.skip("its crawler goes by LRU and time")
    with harness.Server() as server, server.connect() as conn:
        conn.set(b"dies", b"x", exptime=10)
        conn.set(b"stays", b"x")
        clock = harness.Clock(server)
        if clock.usable(20):
            clock.forward(20)
            assert [key_of(line) for line in metadump(conn)] == [b"stays"]
        clock.close()
        conn.ask(b"flush_all\r\n", b"OK\r\n")
        assert metadump(conn) == []
        assert mgdump(conn) == []


def test_behind_a_dump_the_connection_goes_on(reference):
    """Ours runs what stands behind it in the same packet; memcached waits for more bytes."""
    with harness.Server("-t", "1") as server, server.connect() as conn:
        fill(conn, 5000)
        conn.send(b"lru_crawler metadump all\r\nversion\r\n")
        assert len(lines_until(conn, b"END\r\n")) == 5000
        if reference:
            conn.send(b"mn\r\n")
        assert conn.line().startswith(b"VERSION ")
        if reference:
            conn.expect(b"MN\r\n")
        assert len(metadump(conn)) == 5000


# ── large ones ───────────────────────────────────────────────────────────────────────────────

def test_complete_while_others_write(reference):
    """Every key that is there all the time, once each, while the index grows."""
    steady, others = 100_000, 150_000
    with harness.Server("-m", "256", "-t", "2") as server, server.connect() as conn:
        fill(conn, steady, prefix=b"steady:")
        stop = threading.Event()

        def write():
            with server.connect() as writer:
                number = 0
                while not stop.is_set():
                    writer.send(b"".join(
                        b"set other:%07d 0 0 10 noreply\r\n0123456789\r\n"
                        b"delete other:%07d noreply\r\nset steady:%07d 0 0 20 noreply\r\n%s\r\n"
                        % (n % others, (n * 7) % others, n % steady, b"y" * 20)
                        for n in range(number, number + 200)))
                    writer.ask(b"mn\r\n", b"MN\r\n")
                    number += 200

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(2):
                keys = [re.match(rb"key=(\S+)", line)[1] for line in metadump(conn)]
                mine = [key for key in keys if key.startswith(b"steady")]
                if not reference:  # its walk by LRU shows what is moved twice, or not at all
                    assert len(mine) == len(set(mine)) == steady
                    assert len(keys) == len(set(keys))
        finally:
            stop.set()
            thread.join()


def test_slow_reader_costs_nothing(reference):
    if reference:
        pytest.skip("it buffers for a while")
    with harness.Server("-m", "256", "-t", "1") as server, server.connect() as conn:
        fill(conn, 200_000)
        before = server.rss_bytes()
        with server.connect() as slow:
            slow.send(b"lru_crawler metadump all\r\n")
            harness.until(lambda: b"conn_mwrite" in " ".join(
                conn.stats(b"conns").values()).encode())
            for i in range(200):  # others are served meanwhile
                conn.set(b"new:%d" % i, b"x" * 100)
            assert conn.stats()["lru_crawler_running"] == "1"
            if not harness.is_sanitized(harness.BINARY):
                assert server.rss_bytes() - before < 4 << 20
            keys = {key_of(line) for line in lines_until(slow, b"END\r\n")}
            assert {b"key:%07d" % i for i in range(200_000)} <= keys
        assert conn.stats()["lru_crawler_running"] == "0"


def test_a_client_that_leaves(reference):
    with harness.Server("-m", "256", "-t", "1") as server, server.connect() as conn:
        fill(conn, 100_000)
        for kind in (b"lru_crawler metadump all",) if reference else (
                b"lru_crawler metadump all", b"lru_crawler mgdump all", b"stats cachedump 1 0"):
            for _ in range(1 if reference else 10):
                with server.connect() as gone:
                    gone.send(kind + b"\r\n")
                    gone.take(1000)
        harness.until(lambda: conn.stats()["curr_connections"] in ("1", "2"))
        if not reference:
            harness.until(lambda: conn.stats()["lru_crawler_running"] == "0")
        conn.set(b"a", b"x")


def test_others_are_not_kept_waiting():
    """The longest answer of another connection of the same worker while dumps run."""
    count = int(os.environ.get("MATTE_DUMP_ITEMS", "300000"))
    with harness.Server("-m", str(64 + count * 120 // (1 << 20)), "-t", "1",
                        "-o", "track_sizes") as server, server.connect() as conn:
        fill(conn, count)
        if not harness.is_reference(harness.BINARY):
            assert int(conn.stats()["curr_items"]) == count
        read = []

        def dump():
            with server.connect(60) as dumper:
                dumper.send(b"lru_crawler metadump all\r\n")
                tail = b""
                while not tail.endswith(b"END\r\n"):
                    data = dumper.sock.recv(1 << 20)
                    tail = (tail + data)[-5:]
                    read.append(len(data))
                if not harness.is_reference(harness.BINARY):
                    dumper.stats(b"sizes")

        thread = threading.Thread(target=dump)
        gaps = []
        thread.start()
        while thread.is_alive():
            begin = time.perf_counter()
            conn.ask(b"mn\r\n", b"MN\r\n")
            gaps.append(time.perf_counter() - begin)
        thread.join()
        print(f"{count} items, {sum(read) >> 20} MiB; {len(gaps)} answers meanwhile, "
              f"median {statistics.median(gaps) * 1e6:.0f} us, longest {max(gaps) * 1e3:.1f} ms")
        assert len(gaps) > 100
        assert statistics.median(gaps) < 0.02
        assert max(gaps) < 1


# ── stats cachedump, sizes, crawl ────────────────────────────────────────────────────────────

def test_cachedump(reference):
    if reference:
        pytest.skip("only what its maintainer has moved to COLD")
    with harness.Server() as server, server.connect() as conn:
        now_s = int(conn.stats()["time"])
        conn.set(b"a", b"abc", exptime=100)
        conn.set(b"b", b"")
        conn.send(b"stats cachedump 1 0\r\n")
        lines = sorted(lines_until(conn, b"END\r\n"))
        assert lines[1] == b"ITEM b [0 b; 0 s]\r\n"
        assert abs(int(re.fullmatch(rb"ITEM a \[3 b; (\d+) s\]\r\n", lines[0])[1])
                   - now_s - 100) <= 3
        fill(conn, 50_000, prefix=b"k" * 30)
        for limit in (1, 2, 99, 12345):
            conn.send(b"stats cachedump 1 %d\r\n" % limit)
            assert len(lines_until(conn, b"END\r\n")) == limit
        conn.send(b"stats cachedump 1 0\r\n")
        lines = lines_until(conn, b"END\r\n")
        assert len(set(lines)) == len(lines)
        assert (2 << 20) - 100 < sum(map(len, lines)) <= 2 << 20


def test_sizes_histogram():
    with harness.Server("-o", "track_sizes", "-m", "128") as server, server.connect() as conn:
        assert conn.stats(b"sizes") == {}
        for size, count in ((10, 3), (100, 4), (5000, 5), (300_000, 2)):
            for i in range(count):
                conn.set(b"s%07d:%d" % (size, i), b"x" * size)
        sizes = [(int(size), int(count)) for size, count in conn.stats(b"sizes").items()]
        assert sizes == sorted(sizes)
        assert all(size % 32 == 0 for size, _ in sizes)
        assert [count for _, count in sizes] == [3, 4, 5, 2]
        for (shown, _), value in zip(sizes, (10, 100, 5000, 300_000)):
            assert value + 8 < shown < value + 32 + 80
        total = int(conn.stats()["bytes"])
        assert total <= sum(size * count for size, count in sizes) <= total + 14 * 32
        conn.ask(b"delete s0000010:0\r\n", b"DELETED\r\n")
        assert list(conn.stats(b"sizes").values())[0] == "2"


def test_sizes_by_the_binary_protocol(reference):
    """It counts for several turns before it says anything."""
    with harness.Server("-o", "track_sizes", "-m", "128") as server, server.connect() as conn:
        fill(conn, 50_000)
        with server.connect() as other:
            other.send(binary.request("stat", b"sizes", opaque=7) + binary.request("noop"))
            answers = binary.Binary(other)
            rows = [answers.answer(), answers.answer()]
            assert int(rows[0].key) % 32 == 0 and rows[0].value == b"50000"
            assert (rows[1].key, rows[1].value, rows[1].opaque) == (b"", b"", 7)
            assert answers.answer().opcode == binary.OPCODES["noop"]


def test_crawl_takes_expired_items_out(reference):
    with harness.Server("-m", "64") as server, server.connect() as conn:
        fill(conn, 3000)
        conn.send(b"".join(b"set dies:%d 0 %d 1 noreply\r\nx\r\n" % (i, 2 + i % 50)
                           for i in range(2000)))
        conn.ask(b"mn\r\n", b"MN\r\n")
        clock = harness.Clock(server)
        if not clock.usable(100):
            pytest.skip("no debugtime")
        clock.forward(30)
        clock.close()
        conn.ask(b"lru_crawler crawl all\r\n", b"OK\r\n")
        harness.until(lambda: conn.stats()["lru_crawler_running"] == "0")
        stats = conn.stats()
        assert 3000 <= int(stats["curr_items"]) <= 3000 + 2000 * 21 // 50
        assert int(stats["lru_crawler_starts"]) == 1
        assert int(stats["crawler_items_checked"]) >= 4000
        conn.ask(b"stats reset\r\n", b"RESET\r\n")
        stats = conn.stats()
        assert (stats["lru_crawler_starts"], stats["crawler_items_checked"]) == ("0", "0")


@pytest.mark.parametrize("args,gone", [((), True), (("-o", "no_lru_crawler"), False)])
def test_expired_items_leave_small_stores_unasked(args, gone, reference):
    """They lie among others that live, so their segment stays; once a minute all are looked at."""
    with harness.Server("-t", "1", *args) as server, server.connect() as conn:
        clock = harness.Clock(server)
        if not clock.usable(100):
            pytest.skip("no debugtime")
        for i in range(300):
            conn.set(b"item%d" % i, b"x", exptime=2 if i % 3 == 0 else 0)
        clock.forward(10)
        conn.ask(b"get item1\r\n", b"VALUE item1 0 1\r\nx\r\nEND\r\n")
        assert conn.stats()["curr_items"] == "300"
        clock.forward(61)
        clock.close()
        if gone:
            harness.until(lambda: conn.stats()["curr_items"] == "200")
            assert conn.stats()["crawler_reclaimed"] == "100"
        else:
            time.sleep(1.5)  # a turn of the housekeeper
            assert conn.stats()["curr_items"] == "300"


# ── -X ───────────────────────────────────────────────────────────────────────────────────────

def test_disable_dumping(reference):
    with harness.Server("-X") as server, server.connect() as conn:
        conn.set(b"a:b", b"x")
        assert conn.stats(b"settings")["dump_enabled"] == "no"
        refused = b"CLIENT_ERROR stats cachedump not allowed\r\n"
        conn.ask(b"stats cachedump 1 0\r\n", refused)
        conn.ask(b"stats cachedump\r\n", refused)
        conn.ask(b"lru_crawler metadump all\r\n", b"ERROR metadump not allowed\r\n")
        conn.ask(b"lru_crawler metadump\r\n", b"ERROR\r\n")
        if reference:
            return
        conn.ask(b"lru_crawler mgdump all\r\n", b"ERROR key dump not allowed\r\n")
        for words in (b"", b" on", b" off", b" dump", b" x"):
            conn.ask(b"stats detail%s\r\n" % words, b"CLIENT_ERROR stats detail not allowed\r\n")
        with server.connect() as other:
            for words in (b"detail on", b"detail dump"):
                other.send(binary.request("stat", words))
                assert binary.Binary(other).answer().status == binary.NOT_FOUND


# ── what commands leave behind ───────────────────────────────────────────────────────────────

TUNED = [
    (b"slabs automove 2", {"slab_automove": "2"}),
    (b"slabs automove ratio 0.55", {"slab_automove_ratio": "0.55"}),
    (b"lru tune 10 25 0.10 2.50", {"hot_lru_pct": "10", "warm_lru_pct": "25",
                                   "hot_max_factor": "0.10", "warm_max_factor": "2.50"}),
    (b"lru mode flat", {"lru_segmented": "no"}),
    (b"lru temp_ttl 30", {"temp_lru": "yes", "temporary_ttl": "30"}),
    (b"lru temp_ttl -1", {"temp_lru": "no"}),
    (b"lru_crawler sleep 500", {"lru_crawler_sleep": "500"}),
    (b"lru_crawler tocrawl 77", {"lru_crawler_tocrawl": "77"}),
    (b"lru_crawler disable", {"lru_crawler": "no"}),
    (b"lru_crawler enable", {"lru_crawler": "yes"}),
    (b"cache_memlimit 32", {"maxbytes": str(32 << 20)}),
]


def test_settings_follow_commands(reference):
    tuned = TUNED + ([] if reference else [
        (b"slabs automove window 33", {"slab_automove_window": "33"})])
    with harness.Server() as server, server.connect() as conn:
        for command, want in tuned:
            before = conn.stats(b"settings")
            conn.ask(command + b"\r\n", b"OK\r\n")
            after = conn.stats(b"settings")
            moved = {name for name in after if after[name] != before[name]} - {"oldest"}
            assert {name: after[name] for name in want} == want, command
            assert moved <= set(want), command


def test_crawler_rows_follow_the_switch():
    with harness.Server() as server, server.connect() as conn:
        assert "lru_crawler_running" in conn.stats()
        conn.ask(b"lru_crawler disable\r\n", b"OK\r\n")
        names = set(conn.stats())
        assert not {"lru_crawler_running", "lru_crawler_starts"} & names
    with harness.Server("-o", "no_lru_crawler,no_lru_maintainer") as server, \
            server.connect() as conn:
        if not harness.is_reference(harness.BINARY):
            assert len(conn.stats()) == 84 - 1 + 1
        conn.ask(b"lru_crawler metadump all\r\n", b"CLIENT_ERROR lru crawler disabled\r\n")
        conn.ask(b"lru mode flat\r\n", b"ERROR\r\n")
        conn.ask(b"lru_crawler enable\r\n", b"OK\r\n")
        assert metadump(conn) == []


def test_no_slab_reassign():
    with harness.Server("-o", "no_slab_reassign") as server, server.connect() as conn:
        conn.ask(b"slabs reassign 1 2\r\n", b"CLIENT_ERROR slab reassignment disabled\r\n")
        assert "slab_reassign_running" not in conn.stats()


def test_debug_commands(reference):
    with harness.Server("-t", "1") as server, server.connect() as conn:
        if reference or conn.command(b"debugitem ref a") == b"ERROR":
            pytest.skip("not a test build")
        conn.set(b"a", b"x")
        conn.ask(b"debugitem ref b\r\n", b"MISS\r\n")
        conn.ask(b"debugitem\r\n", b"ERROR\r\n")
        conn.ask(b"debugitem x a\r\n", b"ERROR\r\n")
        for _ in range(3):
            conn.ask(b"debugitem ref a\r\n", b"OK\r\n")
        for _ in range(3):
            conn.ask(b"debugitem unref a\r\n", b"OK\r\n")
        conn.ask(b"debugitem unref a\r\n", b"MISS\r\n")
        conn.ask(b"debugitem lock a\r\ndebugitem unlock a\r\n", b"OK\r\nOK\r\n")


# ── memcached-tool ───────────────────────────────────────────────────────────────────────────

@pytest.mark.skipif(not os.path.exists(TOOL), reason="no memcached-tool here")
def test_memcached_tool(reference):
    if reference:
        pytest.skip("it shows other sizes")
    with harness.Server("-o", "track_sizes") as server, server.connect() as conn:
        fill(conn, 100)
        conn.set(b"odd%key", b"a\r\nb", flags=3, exptime=1000)

        def tool(*words):
            done = subprocess.run([TOOL, f"127.0.0.1:{server.port}", *words], timeout=60,
                                  capture_output=True)
            assert done.returncode == 0, done.stderr
            return done.stdout.decode("latin-1")

        assert re.search(r"^ +1 +\d+(\.\d+)?[BKM]", tool("display"), re.M)
        assert re.search(r"^ +curr_items +101\r?$", tool("stats"), re.M)
        assert re.search(r"^ +maxbytes +67108864\r?$", tool("settings"), re.M)
        assert re.search(r"^ +\d+ +100\r?$", tool("sizes"), re.M)
        keys = tool("keys")
        assert "key=key:0000042" in keys.replace("%3A", ":") and "odd%25key" in keys
        dump = tool("dump")
        assert dump.count("\nadd ") + dump.startswith("add ") == 101
        assert re.search(r"^add odd%key 3 \d+ 4\r?\na\r\nb", dump, re.M)
