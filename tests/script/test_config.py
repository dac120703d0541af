# SPDX-License-Identifier: BSD-3-Clause
"""Configuration: file, environment, precedence, what is told of mistakes, and changes while the
server runs: config set, config reload, SIGHUP."""

import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import pytest

import harness
from harness import Server, until

DOCS = harness.ROOT / "docs/configuration.md"
SAMPLE = harness.ROOT / "examples/matted.conf"
BIG = "-o", "no_maxconns_fast"  # so that clients above -c wait, unanswered

pytestmark = pytest.mark.skipif(harness.is_reference(harness.BINARY),
                                reason="memcached has no configuration file")


@pytest.fixture
def conf():
    """A file that the server may read, whoever it becomes."""
    with tempfile.TemporaryDirectory(prefix="matte-test-") as folder:
        os.chmod(folder, 0o755)
        path = pathlib.Path(folder) / "matted.conf"
        path.write_text("")
        yield path


def run(*args, **env):
    return subprocess.run([harness.BINARY, *map(str, args)], capture_output=True, text=True,
                          timeout=20, env={**os.environ, **env})


def config(conn, request):
    """The rows of `config get` as {name: (value, source)}, or the only line of an answer."""
    conn.send(request + b"\r\n")
    rows = {}
    while True:
        line = conn.line()
        if not line.startswith(b"CONFIG "):
            assert line == b"END" or not rows, line
            return rows if line == b"END" else line.decode()
        match = re.fullmatch(rb'CONFIG (\S+) ("(?:[^"\\]|\\.)*"|\S+) (.+)', line)
        assert match, line
        rows[match[1].decode()] = match[2].decode(), match[3].decode()


def value(conn, name):
    return config(conn, b"config get " + name)[name.decode()]


def reload(server, conn, by_signal=True):
    """Have everything read again; returns the error, or "none"."""
    def count():
        rows = conn.stats(b"config")
        return int(rows["config:reloads"]) + int(rows["config:reloads_refused"])
    before = count()
    if by_signal:
        server.process.send_signal(signal.SIGHUP)
    else:
        conn.ask(b"config reload\r\n", b"OK\r\n")
    until(lambda: count() > before)
    return conn.stats(b"config")["config:last_error"]


# ── file, environment, command line ────────────────────────────────────────────────────────────


def test_file_of_debian(conf):
    conf.write_text("# memcached default config file\n-d\nlogfile /var/log/memcached.log\n# -vv\n"
                    "-m 96\n-p 11211\n-u nobody\n-l 127.0.0.1\n# -c 1024\n"
                    "-o idle_timeout=60,no_lru_crawler\n")
    with Server(f"--config={conf}") as server, server.connect() as conn:
        rows = conn.stats(b"settings")
        assert (rows["maxbytes"], rows["idle_timeout"]) == (str(96 << 20), "60")
        assert value(conn, b"memory_limit") == ("96", f"{conf}:5")
        assert value(conn, b"port") == ("-1", "command-line")
        assert value(conn, b"lru_crawler") == ("no", f"{conf}:10")
        assert value(conn, b"threads") == ("4", "default")
        assert value(conn, b"daemon") == ("no", "default")


def test_precedence(conf):
    conf.write_text("[network]\nconn-limit = 501\nmax_reqs_per_event = 11\n"
                    "[memory]\nmemory_limit = 71\n[process]\nthreads = 2\n")
    env = {"MATTED_CONN_LIMIT": "502", "MATTED_MEMORY_LIMIT": "72", "MATTED_CONFIG": str(conf),
           "MATTED_VERBOSE": "", "MATTED_PORT": "tcp://10.0.0.1:11211", "MATTED_THINGS": "1"}
    with Server("-m", "73", env=env) as server, server.connect() as conn:
        assert value(conn, b"memory_limit") == ("73", "command-line")
        assert value(conn, b"conn_limit") == ("502", "environment")
        assert value(conn, b"max_reqs_per_event") == ("11", f"{conf}:3")
        assert value(conn, b"verbose") == ("0", "default")
        assert conn.stats(b"settings")["maxconns"] == "502"
        assert server.errors().count("warning:") == 1
        assert "MATTED_THINGS is passed over" in server.errors()


def test_mistakes_are_all_told(conf):
    conf.write_text("[network]\nconn-limit = lots\n\n  -m 5 -t x\n[there]\n")
    for args, code in ((["--check-config"], 78), ([], 78)):
        done = run(f"--config={conf}", *args, MATTED_PORT="70000")
        assert done.returncode == code
        assert done.stdout == ""
        assert done.stderr.splitlines() == [
            f"matted: {conf}:2:14: conn-limit: 'lots' is not a number; allowed: 1..16777216",
            f"matted: {conf}:4:11: -t, --threads: 'x' is not a number; allowed: 1..1024",
            f"matted: {conf}:5:2: there is no section 'there'; allowed: network, memory, commands, "
            "access, process, options, admin, limits, compatibility",
            "matted: MATTED_PORT: '70000' is out of range; allowed: 0..65535, or -1"]


@pytest.mark.parametrize("text,word", [
    ("-N 9", ":1:4: -N, --napi-ids"), ("port = 0", "nothing to listen on"),
    ("access_file = /nowhere", "could not open /nowhere"), ("allow = nonsense", "-o allow"),
    ("-Z\n-o ssl_chain_cert=/nowhere", "/nowhere"), ("limit_trusted = x", "-o limit_trusted")])
def test_check_looks_at_all_together(conf, text, word):
    conf.write_text(text + "\n")
    done = run("--check-config", f"--config={conf}")
    assert (done.returncode, done.stdout) == (78, "")
    assert word in done.stderr


def test_check_is_fine(conf):
    conf.write_text("-m 64\nconn_limit = 5\n")
    done = run("--check-config", f"--config={conf}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_links_are_followed_anew(conf):
    """As containers are given files: by a link that is swapped."""
    for name, limit in (("a", 301), ("b", 302)):
        (conf.parent / name).write_text(f"conn_limit = {limit}\n")
    conf.unlink()
    conf.symlink_to("a")
    with Server(f"--config={conf}") as server, server.connect() as conn:
        assert value(conn, b"conn_limit") == ("301", f"{conf}:1")
        (conf.parent / "new").symlink_to("b")
        (conf.parent / "new").rename(conf)
        (conf.parent / "a").unlink()
        assert reload(server, conn) == "none"
        assert value(conn, b"conn_limit") == ("302", f"{conf}:1")


def test_file_cannot_be_read(conf):
    for path, why in ((conf.parent / "none", "No such file"), (conf.parent, "Is a directory")):
        done = run(f"--config={path}")
        assert done.returncode == 78
        assert str(path) in done.stderr and why in done.stderr
    conf.write_text("#" * ((1 << 20) + 1))
    assert "File too large" in run(f"--config={conf}").stderr


def test_printed_configuration_can_be_used(conf):
    conf.write_text("-l 10.0.0.1\nlisten = ::1\npidfile = '/tmp/a b#c'\n-vv\n")
    printed = run(f"--config={conf}", "--print-config", "-m", "77", MATTED_CONN_LIMIT="9").stdout
    again = conf.parent / "again.conf"
    again.write_text(printed)

    def bare(text):
        return re.sub(r" *# (?!\w+ =).*$", "", text, flags=re.M)
    assert bare(run(f"--config={again}", "--print-config").stdout) == bare(printed)
    for line in (f'listen = 10.0.0.1,::1 +# {conf}:2', f'pidfile = "/tmp/a b#c" +# {conf}:3',
                 "memory_limit = 77 +# command-line", "conn_limit = 9 +# environment",
                 "#threads = 4 +# default"):
        assert re.search(f"^{line}$", printed, re.M), line


# ── while it runs ──────────────────────────────────────────────────────────────────────────────


def kept_waiting(server):
    """Is a newcomer not served?"""
    with server.connect(wait_s=0.3) as conn:
        conn.send(b"mn\r\n")
        return not harness.readable(conn, 0.3)


def conns_work(server, conn, change):
    """At 3 connections a newcomer waits; at 50 it does not."""
    with server.connect(), server.connect():
        change(conn, "3")
        assert kept_waiting(server)
        change(conn, "50")
        until(lambda: not kept_waiting(server))
    assert conn.stats()["max_connections"] == conn.stats(b"settings")["maxconns"] == "50"


def idle_works(server, conn, change):
    change(conn, "1")
    with server.connect() as idle:
        conn.ask(b"mn\r\n", b"MN\r\n")
        idle.sock.settimeout(10)
        end = time.monotonic() + 10
        while not harness.readable(idle, 0.2):  # we are not silent meanwhile
            assert time.monotonic() < end
            conn.ask(b"mn\r\n", b"MN\r\n")
        idle.expect_close()
    assert int(conn.stats()["idle_kicks"]) == 1
    change(conn, "0")
    assert "idle_kicks" not in conn.stats()
    assert conn.stats(b"settings")["idle_timeout"] == "0"


def requests_work(server, conn, change):
    """Who sends many yields the more often, the fewer are served before it is others' turn."""
    def yields():
        before = int(conn.stats()["conn_yields"])
        conn.ask(b"mn\r\n" * 20000, b"MN\r\n" * 20000)  # several reads
        return int(conn.stats()["conn_yields"]) - before
    change(conn, "1")
    few = yields()
    change(conn, "100000")
    assert few >= 1 and yields() == 0


def memory_works(server, conn, change):
    change(conn, "99")
    assert conn.stats()["limit_maxbytes"] == str(99 << 20)


def verbose_works(server, conn, change):
    change(conn, "0")
    change(conn, "2")
    assert conn.stats(b"settings")["verbosity"] == "2"


def crawler_works(server, conn, change):
    change(conn, "no")
    conn.send(b"lru_crawler crawl all\r\n")
    assert b"disabled" in conn.line()
    change(conn, "yes")
    conn.ask(b"lru_crawler crawl all\r\n", b"OK\r\n")


def crawl_limit_works(server, conn, change):
    change(conn, "7")
    assert conn.stats(b"settings")["lru_crawler_tocrawl"] == "7"


def window_works(server, conn, change):
    change(conn, "3600")
    change(conn, "1")
    conn.ask(b"flush_all\r\n", b"OK\r\n")
    until(lambda: '"admin_verb"' in server.errors())


def list_works(server, conn, change):
    change(conn, "10.0.0.0/8+127.0.0.1")
    assert conn.stats(b"access")["access_list"] == "yes"
    change(conn, "127.0.0.1+10.0.0.0/8")
    assert list(conn.stats(b"access").values())[-2].endswith("allow 10.0.0.0/8")


def deny_works(server, conn, change):
    with server.connect() as other:
        other.ask(b"mn\r\n", b"MN\r\n")
        pathlib.Path(change.path).write_text("deny = 127.0.0.1\n")
        server.process.send_signal(signal.SIGHUP)
        other.expect_close()  # silent ones as well
        with server.connect() as refused:
            refused.expect_close()
        pathlib.Path(change.path).write_text("")
        server.process.send_signal(signal.SIGHUP)
        conn.close()

        def served():
            with server.connect() as again:
                try:
                    return again.command(b"mn") == b"MN"
                except OSError:
                    return False
        until(served)


def file_works(server, conn, change):
    rules = pathlib.Path(change.path).with_name("rules")
    rules.write_text("allow 127.0.0.1\nallow ::1\n")
    change(conn, str(rules))
    assert conn.stats(b"access")["rules"] == "2"


def protection_works(server, conn, change):
    change(conn, "no")
    assert conn.stats(b"access")["protected_mode"] == "no"
    change(conn, "yes")
    assert conn.stats(b"access")["protected_mode"] == "yes"


def rate_works(name):
    """Is it what is in force, as far as stats tells?"""
    def works(server, conn, change):
        unit, factor = ("m", 1 << 20) if "bytes" in name or "legacy" in name else ("", 1)
        change(conn, f"7{unit}:9{unit}")
        rows = conn.stats(b"limits")
        assert rows[name + ":per_s"] == str(7 * factor)
        assert rows[name + ":burst"] == str(9 * factor)
        change(conn, "0")
        assert name + ":burst" not in conn.stats(b"limits")
    return works


def conn_rate_works(server, conn, change):
    """Who has used up his connections gets no more, until there is no limit."""
    change(conn, "1:2")
    for _ in range(2):
        with server.connect() as other:
            other.ask(b"mn\r\n", b"MN\r\n")
    with server.connect() as refused:
        refused.expect_close()
    change(conn, "0")
    with server.connect() as other:
        other.ask(b"mn\r\n", b"MN\r\n")


def request_rate_works(server, conn, change):
    """A connection that nothing was known to limit is slowed down, too."""
    def limited():
        return int(conn.stats(b"limits").get("limit_requests:limited", 0))
    with server.connect() as other:
        other.ask(b"mn\r\n", b"MN\r\n")
        change(conn, "100:100")
        for _ in range(8):
            other.ask(b"mn\r\n" * 20, b"MN\r\n" * 20)
        assert limited() > 0
        change(conn, "0")
        start = time.monotonic()
        other.ask(b"mn\r\n" * 2000, b"MN\r\n" * 2000)  # else 20 s
        assert time.monotonic() - start < 10


def dry_run_works(server, conn, change):
    change(conn, "yes")
    assert conn.stats(b"limits")["limit_dry_run"] == "yes"
    change(conn, "no")
    assert conn.stats(b"limits")["limit_dry_run"] == "no"


RATES = [name + end for name in ("limit_requests", "limit_bytes", "limit_conns", "limit_logins",
                                 "limit_udp_challenges", "limit_udp_bytes", "limit_udp_legacy")
         for end in ("", "_prefix")]
WORKS = {
    **{name: rate_works(name) for name in RATES}, "limit_conns": conn_rate_works,
    "limit_requests": request_rate_works, "limit_dry_run": dry_run_works,
    "conn_limit": conns_work, "idle_timeout": idle_works, "max_reqs_per_event": requests_work,
    "memory_limit": memory_works, "verbose": verbose_works, "lru_crawler": crawler_works,
    "lru_crawler_tocrawl": crawl_limit_works, "events_window": window_works,
    "allow": list_works, "deny": deny_works, "access_file": file_works,
    "protected_mode": protection_works,
}


def changeable():
    """{name: "live" or "reload"} as the table of options promises."""
    table = run("--print-options=markdown").stdout
    return dict(re.findall(r"^\| `(\w+)` \|.*?\| (live|reload) \|", table, re.M))


def test_all_that_is_promised_is_tested():
    assert set(changeable()) == set(WORKS)


@pytest.mark.parametrize("name", [name for name in WORKS])
def test_reload_changes(conf, name):
    conf.write_text("")
    more = ["-o", "events=stderr"] if name == "events_window" else []
    if name.startswith("limit_"):
        more = ["-o", "limit_trusted=10.0.0.0/8"]
    with Server(f"--config={conf}", "-t", "1", *BIG, *more) as server, server.connect() as conn:
        def change(conn, text):
            conf.write_text(f"\n{name} = {text}\n")
            assert reload(server, conn, by_signal=False) == "none"
            assert value(conn, name.encode()) == (text, f"{conf}:2")
        change.path = conf
        WORKS[name](server, conn, change)


@pytest.mark.parametrize("name", [name for name in WORKS])
def test_set_changes(name):
    if changeable()[name] == "reload":
        with Server() as server, server.connect() as conn:
            answer = config(conn, b"config set %s 1" % name.encode())
            assert answer == (f"CLIENT_ERROR {name} is changed in the configuration file, by a "
                              "reload, and not by clients")
            return
    with Server("-t", "1", *BIG) as server, server.connect() as conn:
        def change(conn, text):
            assert config(conn, f"config set {name} {text}".encode()) == "OK"
            assert value(conn, name.encode()) in ((text, "live"), (text, "default"))
        WORKS[name](server, conn, change)


@pytest.mark.parametrize("request_, answer", [
    (b"config", "usage: config get, set or reload"),
    (b"config gett x", "usage: config get, set or reload"),
    (b"config get", "usage: config get NAME|*"),
    (b"config get cluster", "no option has this name"),
    (b"config get x*", "no option has this name"),
    (b"config set", "usage: config set NAME VALUE"),
    (b"config set conn_limit", "usage: config set NAME VALUE"),
    (b"config set x 1", "no option has this name"),
    (b"config set config /x", "no option has this name"),
    (b"config set port 5", "port is fixed at the start"),
    (b"config set hashpower 20", "hashpower has no effect here"),
    (b"config set conn_limit x", "conn_limit: 'x' is not a number; allowed: 1..16777216"),
    (b"config set conn_limit 5 6", "conn_limit: '5 6' is not a number; allowed: 1..16777216"),
    (b"config set conn_limit \"5", "conn_limit: this quote has no end"),
    (b"config set conn_limit 5\x016", "conn_limit: a byte that belongs to no text"),
    (b"config set memory_limit 1", "max_item_size would have to change with it, at a restart"),
])
def test_what_is_refused(conn, request_, answer):
    assert config(conn, request_) == "CLIENT_ERROR " + answer


def test_limit_of_files(conf):
    with Server() as server, server.connect() as conn:
        answer = config(conn, b"config set conn_limit 16777216")
        assert re.fullmatch(r"CLIENT_ERROR conn_limit: the process may have \d+ open files .*; "
                            r"allowed: up to \d+", answer)
        most = answer.split()[-1]
        assert config(conn, f"config set conn_limit {most}".encode()) == "OK"


def test_names_and_values(conn):
    rows = config(conn, b"config get *")
    assert len(rows) > 80 and rows["listen"] == ("127.0.0.1", "command-line")
    assert config(conn, b"config get limit_conns*").keys() == {"limit_conns", "limit_conns_prefix"}
    assert list(config(conn, b"config get memory-limit")) == ["memory_limit"]
    stats = conn.stats(b"config")
    assert {name: (stats[name], stats[name + ":source"]) for name in rows} == rows
    assert stats["config:file"] == "none"


def test_commands_of_memcached_are_seen():
    with Server() as server, server.connect() as conn:
        for command, name, want in ((b"cache_memlimit 100", b"memory_limit", "100"),
                                    (b"verbosity 2", b"verbose", "2"),
                                    (b"lru_crawler disable", b"lru_crawler", "no"),
                                    (b"lru_crawler tocrawl 9", b"lru_crawler_tocrawl", "9")):
            conn.ask(command + b"\r\n", b"OK\r\n")
            assert value(conn, name) == (want, "live")


def test_last_change_counts(conf):
    """What is set live stays until the file says something else than it did."""
    conf.write_text("conn_limit = 300\n")
    with Server(f"--config={conf}") as server, server.connect() as conn:
        assert config(conn, b"config set conn_limit 400") == "OK"
        conf.write_text("\nconn_limit = 300\n")
        assert reload(server, conn) == "none"
        assert value(conn, b"conn_limit") == ("400", "live")
        conf.write_text("conn_limit = 301\n")
        assert reload(server, conn) == "none"
        assert value(conn, b"conn_limit") == ("301", f"{conf}:1")
        conf.write_text("")
        assert reload(server, conn) == "none"
        assert value(conn, b"conn_limit") == ("1024", "default")


def test_reload_is_all_or_nothing(conf):
    conf.write_text("conn_limit = 300\nallow = 127.0.0.1\n")
    with Server(f"--config={conf}") as server, server.connect() as conn:
        for text, want in (
                ("conn_limit = 400\nidle_timeout = x\n", f"{conf}:2:16: idle_timeout: 'x' is not"),
                ("conn_limit = 400\nallow = nonsense\n", "malformed rule in -o allow"),
                ("conn_limit = 400\naccess_file = /none\n", "could not open /none"),
                ("conn_limit = 400\nmemory_limit = 1\nmax_item_size = 1m\n", f"{conf}:3:17: -I"),
                ("conn_limit = 400\nmemory_limit = 16777216\n", "memory_limit: not possible"),
                ("conn_limit = 16000000\nidle_timeout = 5\n", "conn_limit: the process may have"),
                ("conn_limit = 400\nmemory_limit = 1\n", "max_item_size would have to")):
            conf.write_text(text)
            assert want in reload(server, conn)
            assert value(conn, b"conn_limit") == ("300", f"{conf}:1")
            assert value(conn, b"memory_limit") == ("64", "default")
            assert value(conn, b"allow") == ("127.0.0.1", f"{conf}:2")
            assert want in server.errors()
        conf.unlink()
        assert "No such file" in reload(server, conn)
        assert conn.stats(b"config")["config:reloads_refused"] == "8"


def test_what_needs_a_restart_is_told(conf):
    with Server(f"--config={conf}", "-t", "2") as server, server.connect() as conn:
        conf.write_text("threads = 3\nlisten_backlog = 99\nconn_limit = 55\n")
        assert reload(server, conn) == "none"
        assert f"matted: listen_backlog = 99 ({conf}:2) needs a restart" in server.errors()
        assert "threads" not in server.errors()  # the command line says it
        assert value(conn, b"listen_backlog") == ("1024", "default")
        assert value(conn, b"conn_limit") == ("55", f"{conf}:3")


def test_reload_where_system_calls_are_few(conf):
    conf.write_text("conn_limit = 300\n")
    with Server(f"--config={conf}", "-o", "drop_privileges") as server, server.connect() as conn:
        conf.write_text("conn_limit = 400\n")
        assert reload(server, conn, by_signal=False) == "none"
        assert config(conn, b"config set conn_limit 401") == "OK"
        assert config(conn, b"config set memory_limit 65") == "OK"


def test_background_finds_its_file_again(conf):
    """-d changes the folder, and the file may have been named from it."""
    pid_file = conf.parent / "pid"
    os.chmod(conf.parent, 0o777)
    with tempfile.TemporaryDirectory() as folder:
        sock = f"{folder}/s"
        conf.write_text(f"daemon = yes\npidfile = {pid_file}\nunix_socket = {sock}\n")
        args = harness.command(os.path.abspath(harness.BINARY), f"--config={conf.name}")
        assert subprocess.run(args, cwd=conf.parent, timeout=20).returncode == 0
        with harness.Conn(sock) as conn:
            conf.write_text(conf.read_text() + "conn_limit = 77\n")
            conn.ask(b"config reload\r\n", b"OK\r\n")
            until(lambda: value(conn, b"conn_limit") == ("77", f"{conf}:4"))
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        until(lambda: not pid_file.exists())


# ── documents ──────────────────────────────────────────────────────────────────────────────────


def test_sample_is_up_to_date():
    assert SAMPLE.read_text() == run("--print-options=sample").stdout, \
        "make it again: tools/documents"


def test_tables_are_up_to_date():
    text = DOCS.read_text()
    start, end = "<!-- made by matted --print-options=markdown -->\n", "<!-- end -->\n"
    got = text[text.index(start) + len(start):text.index(end)]
    assert got == run("--print-options=markdown").stdout, \
        "make it again: tools/documents"


def test_manual_part_is_for_scdoc():
    text = run("--print-options=man").stdout
    assert "*memory\\_limit* = MIB\n\tmemory for items" in text
    assert len(re.findall(r"^\*", text, re.M)) == len(
        re.findall(r"^\| `", run("--print-options=markdown").stdout, re.M))
