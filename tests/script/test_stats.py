# SPDX-License-Identifier: BSD-3-Clause
"""Statistics: names, order, values, reset, settings, items, slabs, sizes, conns, detail."""

import re

import pytest

import binary
import harness
import rows

# spec section 10; rows of options that are off by default are left out
GENERAL = """pid uptime time version libevent pointer_size rusage_user rusage_system
max_connections curr_connections total_connections rejected_connections connection_structures
response_obj_oom response_obj_count response_obj_bytes read_buf_count read_buf_bytes
read_buf_bytes_free read_buf_oom reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits
get_misses get_expired get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses
decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large store_no_memory
auth_cmds auth_errors bytes_read bytes_written limit_maxbytes accepting_conns listen_disabled_num
time_in_listen_disabled_us threads conn_yields hash_power_level hash_bytes hash_is_expanding
slab_reassign_rescues slab_reassign_chunk_rescues slab_reassign_inline_reclaim
slab_reassign_busy_items slab_reassign_busy_deletes slab_reassign_busy_nomem
slab_reassign_last_busy_status slab_reassign_running slabs_moved lru_crawler_running
lru_crawler_starts lru_maintainer_juggles malloc_fails log_worker_dropped log_worker_written
log_watcher_skipped log_watcher_sent log_watchers unexpected_napi_ids round_robin_fallback bytes
curr_items total_items slab_global_page_pool expired_unfetched evicted_unfetched evicted_active
evictions reclaimed crawler_reclaimed crawler_items_checked lrutail_reflocked moves_to_cold
moves_to_warm moves_within_lru direct_reclaims lru_bumps_dropped""".split()

SETTINGS = """maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask
shutdown_command growth_factor chunk_size num_threads num_threads_per_udp stat_key_prefix
detail_enabled reqs_per_event cas_enabled tcp_backlog binding_protocol auth_enabled_sasl
auth_enabled_ascii item_size_max maxconns_fast hashpower_init slab_reassign slab_automove
slab_automove_ratio slab_automove_window slab_chunk_max lru_crawler lru_crawler_sleep
lru_crawler_tocrawl tail_repair_time flush_enabled dump_enabled hash_algorithm lru_maintainer_thread
lru_segmented hot_lru_pct warm_lru_pct hot_max_factor warm_max_factor temp_lru temporary_ttl
idle_timeout watcher_logbuf_size worker_logbuf_size read_buf_mem_limit track_sizes
inline_ascii_response drop_privileges ssl_enabled ssl_chain_cert ssl_key ssl_verify_mode
ssl_keyformat ssl_ciphers ssl_ca_cert ssl_wbuf_size ssl_session_cache ssl_kernel_tls ssl_min_version
num_napi_ids memory_file client_flags_size latency_stats
hotkeys""".split()

# built or not built: drop_privileges and the parts of it that a build may lack


def test_general_names_and_order(conn, reference):
    names = list(conn.stats())
    if reference:  # 1.6.18 lacks some; the common ones are in order
        wanted = [name for name in GENERAL if name in names]
        assert [name for name in names if name in wanted] == wanted
        return
    assert len(GENERAL) == 93
    assert names == GENERAL


def test_general_values(conn, server):
    stats = conn.stats()
    assert int(stats["pid"]) == server.process.pid
    assert stats["pointer_size"] == "64"
    assert re.fullmatch(r"\d+\.\d{6}", stats["rusage_user"])
    assert re.fullmatch(r"\d+\.\d{6}", stats["rusage_system"])
    assert stats["threads"] == "1"
    assert stats["limit_maxbytes"] == str(64 << 20)
    assert stats["max_connections"] == "1024"
    assert stats["accepting_conns"] == "1"
    for name, value in stats.items():
        if name not in ("version", "libevent", "rusage_user", "rusage_system"):
            assert re.fullmatch(r"\d+", value), (name, value)


def test_version(conn, reference):
    version = b"1.6.18" if reference else b"1.6.45"
    conn.ask(b"version\r\n", b"VERSION " + version + b"\r\n")
    assert conn.stats()["version"].encode() == version


def test_bytes_read_and_written(conn, server):
    with server.connect() as other:
        before = conn.stats()
        other.ask(b"mn\r\n", b"MN\r\n")
        sent = len(b"stats\r\n") + len(b"mn\r\n")
        after = conn.stats()
        assert int(after["bytes_read"]) - int(before["bytes_read"]) == sent
        assert int(after["bytes_written"]) - int(before["bytes_written"]) > 93 * 8


def test_connections_are_counted():
    with harness.Server() as server, server.connect() as conn:
        before = conn.stats()
        others = [server.connect() for _ in range(5)]
        for other in others:
            other.ask(b"mn\r\n", b"MN\r\n")
        during = conn.stats()
        assert int(during["curr_connections"]) - int(before["curr_connections"]) == 5
        assert int(during["total_connections"]) - int(before["total_connections"]) == 5
        for other in others:
            other.send(b"quit\r\n")
            other.expect_close()
            other.close()
        harness.until(lambda: conn.stats()["curr_connections"] == before["curr_connections"])


def test_items_and_bytes_follow_the_data():
    with harness.Server() as server, server.connect() as conn:
        assert conn.stats()["curr_items"] == "0"
        for i in range(100):
            conn.set(b"item%d" % i, b"v" * 1000)
        full = conn.stats()
        assert full["curr_items"] == "100"
        assert full["total_items"] == "100"
        assert 100_000 < int(full["bytes"]) < 120_000
        for i in range(50):
            conn.ask(b"delete item%d\r\n" % i, b"DELETED\r\n")
        half = conn.stats()
        assert half["curr_items"] == "50"
        assert half["total_items"] == "100"
        assert 50_000 < int(half["bytes"]) < 60_000


def test_reset():
    with harness.Server() as server, server.connect() as conn:
        conn.set(b"a", b"1")
        conn.get(b"a")
        conn.get(b"b")
        conn.ask(b"incr a 1\r\n", b"2\r\n")
        conn.ask(b"stats reset\r\n", b"RESET\r\n")
        stats = conn.stats()
        zero = {"total_items", "evictions", *rows.COUNTED} - {"curr_items"}
        assert {name: stats[name] for name in zero} == dict.fromkeys(zero, "0")
        assert stats["curr_items"] == "1"
        assert int(stats["curr_connections"]) >= 1


def test_settings_names_and_order(conn, reference):
    names = list(conn.stats(b"settings"))
    if reference:
        wanted = [name for name in SETTINGS if name in names]
        assert [name for name in names if name in wanted] == wanted
        return
    assert names == SETTINGS


def test_settings_values():
    with harness.Server("-m", "100", "-c", "500", "-t", "3", "-R", "7", "-b", "200", "-M", "-C",
                        "-I", "2m", "-o", "idle_timeout=600") as server, server.connect() as conn:
        settings = conn.stats(b"settings")
        want = {"maxbytes": str(100 << 20), "maxconns": "500", "num_threads": "3",
                "reqs_per_event": "7", "tcp_backlog": "200", "evictions": "off",
                "cas_enabled": "no", "item_size_max": str(2 << 20), "idle_timeout": "600",
                "inter": "127.0.0.1", "domain_socket": "NULL", "verbosity": "0",
                "udpport": "0", "flush_enabled": "yes", "binding_protocol": "auto-negotiate",
                "stat_key_prefix": ":", "detail_enabled": "no"}
        assert {name: settings[name] for name in want} == want
        conn.ask(b"verbosity 1\r\n", b"OK\r\n")
        assert conn.stats(b"settings")["verbosity"] == "1"


def test_idle_kicks_is_shown_with_idle_timeout():
    with harness.Server("-o", "idle_timeout=600") as server, server.connect() as conn:
        names = list(conn.stats())
        assert names[names.index("auth_errors") + 1] == "idle_kicks"


def test_sub_command_abbreviated(conn, reference):
    if reference:
        pytest.skip("1.6.18 wants whole words")
    conn.ask(b"stats rese\r\n", b"RESET\r\n")
    assert "maxbytes" in conn.stats(b"set")


def test_unknown_kind(conn):
    conn.ask(b"stats nonsense\r\n", b"ERROR\r\n")


def test_items():
    with harness.Server() as server, server.connect() as conn:
        assert not any(name.endswith(":number") for name in conn.stats(b"items"))
        conn.set(b"a", b"1" * 100)
        items = conn.stats(b"items")
        assert all(re.fullmatch(r"items:\d+:\w+", name) for name in items)
        numbers = {n: v for n, v in items.items() if n.endswith(":number")}
        assert sum(map(int, numbers.values())) == 1
        kinds = {name.split(":")[2] for name in items}
        assert kinds >= {"number", "age", "mem_requested", "evicted", "evicted_nonzero",
                         "evicted_time", "outofmemory", "tailrepairs", "reclaimed",
                         "expired_unfetched", "evicted_unfetched", "crawler_reclaimed",
                         "crawler_items_checked", "lrutail_reflocked"}


def test_slabs():
    with harness.Server() as server, server.connect() as conn:
        conn.set(b"a", b"1" * 100)
        conn.get(b"a")
        slabs = conn.stats(b"slabs")
        assert int(slabs["active_slabs"]) >= 1
        assert int(slabs["total_malloced"]) > 0
        kinds = {name.split(":")[1] for name in slabs if ":" in name}
        assert kinds >= {"chunk_size", "chunks_per_page", "total_pages", "total_chunks",
                         "used_chunks", "free_chunks", "free_chunks_end", "get_hits", "cmd_set",
                         "delete_hits", "incr_hits", "decr_hits", "cas_hits", "cas_badval",
                         "touch_hits"}


def test_sizes_are_off_by_default(conn):
    assert conn.stats(b"sizes") == {"sizes_status": "disabled"}


def test_sizes():
    with harness.Server("-o", "track_sizes") as server, server.connect() as conn:
        for i in range(3):
            conn.set(b"a%d" % i, b"1" * 100)
        conn.set(b"b", b"1" * 1000)
        sizes = conn.stats(b"sizes")
        assert all(int(size) % 32 == 0 for size in sizes)
        assert sorted(sizes.values()) == ["1", "3"]
        conn.ask(b"delete b\r\n", b"DELETED\r\n")
        assert sum(int(count) for count in conn.stats(b"sizes").values()) == 3


def test_conns(conn, server):
    rows_ = conn.stats(b"conns")
    me = "tcp:%s:%d" % conn.sock.getsockname()
    mine = [name.split(":")[0] for name, value in rows_.items()
            if name.endswith(":addr") and value == me]
    assert len(mine) == 1
    fd = mine[0]
    assert rows_[f"{fd}:listen_addr"] == f"tcp:127.0.0.1:{server.port}"
    assert rows_[f"{fd}:state"].startswith("conn_")
    assert int(rows_[f"{fd}:secs_since_last_cmd"]) >= 0
    assert any(value == "conn_listening" for value in rows_.values())


def test_detail():
    with harness.Server() as server, server.connect() as conn:
        conn.ask(b"stats detail on\r\n", b"OK\r\n")
        conn.set(b"foo:1", b"x")
        conn.get(b"foo:1")
        conn.get(b"foo:2")
        conn.get(b"plain")
        conn.ask(b"delete foo:1\r\n", b"DELETED\r\n")
        conn.ask(b"stats detail dump\r\n", b"PREFIX foo get 2 hit 1 set 1 del 1\r\nEND\r\n")
        conn.ask(b"stats detail off\r\n", b"OK\r\n")
        conn.get(b"foo:1")
        conn.ask(b"stats detail dump\r\n", b"PREFIX foo get 2 hit 1 set 1 del 1\r\nEND\r\n")
        conn.ask(b"stats reset\r\n", b"RESET\r\n")
        conn.ask(b"stats detail dump\r\n", b"END\r\n")
        assert conn.command(b"stats detail").startswith(b"CLIENT_ERROR usage: stats detail")
        assert conn.command(b"stats detail x").startswith(b"CLIENT_ERROR usage: stats detail")


def test_detail_keeps_65536_prefixes(reference):
    with harness.Server() as server, server.connect() as conn:
        conn.ask(b"stats detail on\r\n", b"OK\r\n")
        for first in range(0, 66000, 1000):
            conn.send(b"".join(b"delete p%05d:x noreply\r\n" % i
                               for i in range(first, first + 1000)))
        conn.ask(b"mn\r\nstats detail off\r\n", b"MN\r\nOK\r\n")
        conn.send(b"stats detail dump\r\n")
        lines = []
        while (line := conn.line()) != b"END":
            lines.append(line)
        assert reference or len(lines) == 65536
        conn.ask(b"stats reset\r\nstats detail on\r\n", b"RESET\r\nOK\r\n")
        conn.get(b"new:x")
        conn.ask(b"stats detail dump\r\n", b"PREFIX new get 1 hit 0 set 0 del 0\r\nEND\r\n")


def test_detail_with_a_delimiter_of_its_own():
    with harness.Server("-D", "_") as server, server.connect() as conn:
        assert conn.stats(b"settings")["detail_enabled"] == "yes"
        conn.get(b"a_1")
        conn.get(b"a:1")
        conn.ask(b"stats detail dump\r\n", b"PREFIX a get 1 hit 0 set 0 del 0\r\nEND\r\n")


def test_no_cas():
    with harness.Server("-C") as server, server.connect() as conn:
        conn.set(b"a", b"x")
        conn.ask(b"gets a\r\n", b"VALUE a 0 1 0\r\nx\r\nEND\r\n")
        conn.ask(b"mg a c\r\n", b"HD c0\r\n")


# ── row by row against Debian's memcached ────────────────────────────────────────────────────

# of 1.6.45, not yet in 1.6.18
NEWER = {"resps_waiting"}
# of 1.6.18 or its extstore, not in a 1.6.45 without
OLDER = {"inline_ascii_response", "drop_privileges", "slab_reassign_evictions_nomem"}
EXTSTORE = re.compile(r"ext_|extstore_|.*_extstore|slab_automove_freeratio|ssl_|miss_from|badcrc")
# rows whose value is a property of the engine or of the process
OWN_VALUES = set("""pid uptime time version libevent rusage_user rusage_system connection_structures
response_obj_count response_obj_bytes read_buf_count read_buf_bytes read_buf_bytes_free
reserved_fds bytes bytes_written hash_power_level hash_bytes slab_global_page_pool
lru_maintainer_juggles moves_to_cold moves_to_warm moves_within_lru crawler_items_checked
lru_crawler_starts log_worker_dropped log_worker_written slab_reassign_running tcpport
lru_crawler_running oldest total_malloced mem_requested chunk_size chunks_per_page total_chunks
free_chunks used_chunks total_pages age number_cold number_hot number_warm hits_to_hot hits_to_warm
hits_to_cold bytes_read unexpected_napi_ids round_robin_fallback memory_file num_napi_ids
time_since_server_cert_refresh slab_automove_window total_items lrutail_reflocked""".split())


def shape(value):
    for name, pattern in (("number", r"-?\d+"), ("seconds", r"\d+\.\d{6}"),
                          ("real", r"\d+\.\d\d"), ("yes or no", "yes|no|on|off")):
        if re.fullmatch(pattern, value):
            return name
    return "text"


def traffic(conn):
    for line, answer in (
            (b"set a 0 0 1\r\n1\r\n", b"STORED"), (b"set b 5 0 0\r\n\r\n", b"STORED"),
            (b"get a\r\n", b"VALUE a 0 1\r\n1\r\nEND"), (b"get nope\r\n", b"END"),
            (b"gets nope\r\n", b"END"), (b"incr a 5\r\n", b"6"),
            (b"decr a 1\r\n", b"5"), (b"incr nope 5\r\n", b"NOT_FOUND"),
            (b"decr nope 5\r\n", b"NOT_FOUND"), (b"touch a 0\r\n", b"TOUCHED"),
            (b"touch nope 0\r\n", b"NOT_FOUND"), (b"gat 0 a\r\n", b"VALUE a 0 1\r\n5\r\nEND"),
            (b"cas a 0 0 1 1\r\n1\r\n", b"EXISTS"), (b"cas nope 0 0 1 1\r\n1\r\n", b"NOT_FOUND"),
            (b"delete b\r\n", b"DELETED"), (b"delete nope\r\n", b"NOT_FOUND"),
            (b"add a 0 0 1\r\n1\r\n", b"NOT_STORED"), (b"mg a v\r\n", b"VA 1\r\n5"),
            (b"mg nope v\r\n", b"EN"), (b"ms c 1\r\nx\r\n", b"HD"), (b"md c\r\n", b"HD"),
            (b"ma a\r\n", b"HD"), (b"mn\r\n", b"MN"),
            (b"set big 0 0 2000000\r\n" + b"x" * 2000000 + b"\r\n",
             b"SERVER_ERROR object too large for cache")):
        conn.ask(line, answer + b"\r\n")


def listing(binary, kind, *args):
    with harness.Server("-t", "2", "-o", "track_sizes", *args, binary=binary) as server, \
            server.connect() as conn, server.connect() as other:
        other.ask(b"mn\r\n", b"MN\r\n")
        traffic(conn)
        found = conn.stats(kind)
    if kind != b"conns":
        return {re.sub(r"^(items:)?\d+:", "", name): value for name, value in found.items()}
    # a client's state is a matter of the moment
    listens = {name.split(":")[0] for name, value in found.items() if value == "conn_listening"}
    return {f"{name.split(':')[0] in listens}:{name.split(':')[1]}": "" for name in found}


@pytest.mark.parametrize("args", [(), ("-o", "no_lru_crawler,no_lru_maintainer,no_slab_reassign"),
                                  ("-o", "idle_timeout=100,temporary_ttl=30,no_maxconns_fast"),
                                  ("-C", "-M", "-F", "-A", "-X", "-v")])
@pytest.mark.parametrize("kind", [b"", b"settings", b"items", b"slabs", b"conns"])
def test_same_rows_as_debians(kind, args, reference):
    if reference or not harness.answers_version(harness.PEER):
        pytest.skip("nothing to compare with")
    ours, theirs = (listing(binary, kind, *args) for binary in (harness.BINARY, harness.PEER))
    theirs = {name: value for name, value in theirs.items()
              if not EXTSTORE.match(name) and name.split(":")[-1] not in OLDER}
    mine = {name: value for name, value in ours.items()
            if not EXTSTORE.match(name) and name.split(":")[-1] not in OLDER | NEWER}
    if kind == b"conns":
        assert sorted(mine) == sorted(theirs)
        return
    common = [name for name in mine if name in theirs]
    assert [name for name in theirs if name in mine] == common
    assert set(theirs) - set(mine) == set()
    print("only in 1.6.45:", sorted(set(mine) - set(theirs)))
    assert {n: shape(mine[n]) for n in common if n not in ("version", "libevent", "inter")} == \
        {n: shape(theirs[n]) for n in common if n not in ("version", "libevent", "inter")}
    same = [name for name in common if name not in OWN_VALUES]
    assert {n: mine[n] for n in same} == {n: theirs[n] for n in same}


def test_a_long_list_of_prefixes_takes_no_memory_per_reader(reference):
    """An answer of megabytes comes in steps; in the binary protocol, it is one packet."""
    count, name = 20_000, b"p" * 200
    if reference:
        pytest.skip("1.6.18 makes the whole answer at once")
    with harness.Server("-t", "1") as server, server.connect() as conn:
        conn.ask(b"stats detail on\r\n", b"OK\r\n")
        for first in range(0, count, 100):
            conn.ask(b"".join(b"get %s%d:k\r\n" % (name, i) for i in range(first, first + 100)),
                     b"END\r\n" * 100)
        conn.send(b"stats detail dump\r\nmn\r\n")
        rows = []
        while (line := conn.line()) != b"END":
            rows.append(line)
        conn.expect(b"MN\r\n")
        assert sorted(rows) == sorted(b"PREFIX %s%d get 1 hit 0 set 0 del 0" % (name, i)
                                      for i in range(count))
        before = server.rss_bytes()
        idle = [server.connect() for _ in range(30)]
        for reader in idle:
            reader.send(b"stats detail dump\r\n")
        conn.ask(b"mn\r\n", b"MN\r\n")
        if not harness.is_sanitized(harness.BINARY):
            assert server.rss_bytes() - before < 32 << 20  # all of them: 150 MB
        for reader in idle:
            reader.close()
        with binary.Binary(server.connect()) as packets:
            packets.send(binary.request("stat", b"detail dump"))
            answer = packets.answer()
            assert answer.key == b"detailed" and answer.value.count(b"PREFIX ") == count
            assert answer.value.endswith(b"\r\nEND\r\n") and packets.answer().key == b""
