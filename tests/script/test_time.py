# SPDX-License-Identifier: BSD-3-Clause
"""Exptimes, delayed flush, last access: what needs a clock.

The test build moves its clock by `debugtime`; elsewhere these tests skip, or really wait when
MATTE_REAL_TIME is set (a check of the tests themselves against memcached)."""

import time

import pytest

import harness
import rows


class Timed:
    """A server of its own, its clock and a connection."""

    def __init__(self):
        self.server = harness.Server("-t", "1")
        self.clock = harness.Clock(self.server)
        self.conn = self.server.connect()

    def forward(self, seconds):
        if not self.clock.usable(seconds):
            pytest.skip("this server has no debugtime")
        self.clock.forward(seconds)


@pytest.fixture(scope="module")
def shared():
    timed = Timed()
    yield timed
    timed.conn.close()
    timed.clock.close()
    timed.server.__exit__(None, None, None)


@pytest.fixture
def timed(shared):
    if not shared.clock.usable(1):
        pytest.skip("this server has no debugtime")
    shared.key = rows.new_key().encode()
    return shared


def test_item_is_gone_at_its_exptime(timed):
    key = timed.key
    timed.conn.set(key, b"x", exptime=3)
    timed.forward(2)
    assert timed.conn.get(key) == b"x"
    timed.forward(1)
    assert timed.conn.get(key) is None
    timed.conn.set(key, b"y")
    assert timed.conn.get(key) == b"y"


def test_expired_get_counts(timed):
    key = timed.key
    timed.conn.set(key, b"x", exptime=1)
    timed.forward(2)
    before = timed.conn.stats()
    assert timed.conn.get(key) is None
    moved = rows.counters_moved(before, timed.conn.stats())
    moved.pop("curr_items", None)  # an expired item may leave earlier
    assert moved.pop("get_expired", 1) == 1  # a proactive expiry leaves no trace of the item
    assert moved == {"cmd_get": 1, "get_misses": 1}


@pytest.mark.parametrize("request_,counted", [
    (b"get %s", "get_misses"), (b"gets %s", "get_misses"), (b"mg %s v", "get_misses"),
    (b"gat 10 %s", "touch_misses"), (b"touch %s 10", "touch_misses"),
    (b"incr %s 1", "incr_misses"), (b"ma %s MD", "decr_misses"), (b"delete %s", "delete_misses")])
def test_expired_item_leaves_when_asked_for(timed, request_, counted):
    """It is counted as expired once; from then on it is a miss like others."""
    timed.conn.set(timed.key, b"5", exptime=2)
    timed.conn.set(timed.key + b"stays", b"x")
    timed.forward(3)
    before = timed.conn.stats()
    timed.conn.command(request_ % timed.key)
    after = timed.conn.stats()
    gone = int(after["get_expired"]) - int(before["get_expired"])
    assert gone == int(before["curr_items"]) - int(after["curr_items"])
    timed.conn.command(request_ % timed.key)
    last = timed.conn.stats()
    assert last["get_expired"] == after["get_expired"]
    assert int(last[counted]) - int(before[counted]) == 2


@pytest.mark.parametrize("request_,miss", [
    (b"delete %s", b"NOT_FOUND"), (b"incr %s 1", b"NOT_FOUND"), (b"touch %s 10", b"NOT_FOUND"),
    (b"gat 10 %s", b"END"), (b"mg %s v", b"EN"), (b"md %s", b"NF"), (b"ma %s", b"NF"),
    (b"me %s", b"EN"), (b"cas %s 0 0 1 1\r\nx", b"NOT_FOUND"),
    (b"append %s 0 0 1\r\nx", b"NOT_STORED"), (b"replace %s 0 0 1\r\nx", b"NOT_STORED"),
    (b"add %s 0 0 1\r\nx", b"STORED"), (b"ms %s 1 ME\r\nx", b"HD")])
def test_expired_item_is_missing_for_all(timed, request_, miss):
    key = timed.key
    timed.conn.set(key, b"5", exptime=2)
    timed.forward(3)
    timed.conn.ask(request_ % key + b"\r\n", miss + b"\r\n")


def test_touch_prolongs(timed):
    key = timed.key
    timed.conn.set(key, b"x", exptime=2)
    timed.conn.ask(b"touch %s 6\r\n" % key, b"TOUCHED\r\n")
    timed.forward(4)
    assert timed.conn.get(key) == b"x"
    timed.forward(3)
    assert timed.conn.get(key) is None


def test_touch_shortens(timed):
    key = timed.key
    timed.conn.set(key, b"x", exptime=1000)
    timed.conn.ask(b"touch %s 2\r\n" % key, b"TOUCHED\r\n")
    timed.forward(3)
    assert timed.conn.get(key) is None


def test_touch_takes_the_end_away(timed):
    key = timed.key
    timed.conn.set(key, b"x", exptime=2)
    timed.conn.ask(b"touch %s 0\r\n" % key, b"TOUCHED\r\n")
    timed.forward(4)
    assert timed.conn.get(key) == b"x"
    timed.conn.ask(b"mg %s t\r\n" % key, b"HD t-1\r\n")


def test_gat_prolongs(timed):
    key = timed.key
    timed.conn.set(key, b"x", exptime=2)
    timed.conn.ask(b"gat 6 %s\r\n" % key, b"VALUE %s 0 1\r\nx\r\nEND\r\n" % key)
    timed.forward(4)
    assert timed.conn.get(key) == b"x"


@pytest.mark.parametrize("change,reply", [
    (b"incr %s 1\r\n", b"6\r\n"), (b"append %s 0 0 1\r\n7\r\n", b"STORED\r\n"),
    (b"prepend %s 0 99 1\r\n7\r\n", b"STORED\r\n"), (b"ma %s\r\n", b"HD\r\n"),
    (b"ms %s 1 MA T99\r\n7\r\n", b"HD\r\n")])
def test_change_keeps_the_ttl(timed, change, reply):
    key = timed.key
    timed.conn.set(key, b"5", exptime=3)
    timed.conn.ask(change % key, reply)
    timed.forward(4)
    assert timed.conn.get(key) is None


def test_absolute_exptime(timed):
    key = timed.key
    now = int(timed.conn.stats()["time"])
    timed.conn.set(key, b"x", exptime=now + 3)
    timed.forward(1)
    assert timed.conn.get(key) == b"x"
    timed.forward(4)
    assert timed.conn.get(key) is None


def test_meta_ttl_counts_down(timed):
    key = timed.key
    timed.conn.ask(b"ms %s 1 T100\r\nx\r\n" % key, b"HD\r\n")
    timed.forward(3)
    line = timed.conn.command(b"mg %s t" % key)
    assert line in (b"HD t97", b"HD t96"), line


def test_meta_last_access(timed):
    key = timed.key
    timed.conn.set(key, b"x")
    timed.forward(3)
    assert timed.conn.command(b"mg %s l u" % key) in (b"HD l3", b"HD l4")
    assert timed.conn.command(b"mg %s l" % key) in (b"HD l3", b"HD l4")
    if timed.clock.has_command:  # memcached bumps a use at most once a minute
        timed.forward(100)
        assert timed.conn.command(b"mg %s l" % key) == b"HD l100"
        timed.forward(2)
        assert timed.conn.command(b"mg %s l" % key) == b"HD l2"


def test_meta_recache_when_time_runs_out(timed):
    key = timed.key
    timed.conn.ask(b"ms %s 1 T8\r\nx\r\n" % key, b"HD\r\n")
    timed.conn.ask(b"mg %s R5 v\r\n" % key, b"VA 1\r\nx\r\n")
    timed.forward(4)
    timed.conn.ask(b"mg %s R5 v\r\n" % key, b"VA 1 W\r\nx\r\n")
    timed.conn.ask(b"mg %s R5 v\r\n" % key, b"VA 1 Z\r\nx\r\n")
    timed.conn.ask(b"ms %s 1 T8\r\ny\r\n" % key, b"HD\r\n")
    timed.conn.ask(b"mg %s R5 v\r\n" % key, b"VA 1\r\ny\r\n")


def test_meta_vivified_item_expires(timed):
    key = timed.key
    timed.conn.ask(b"mg %s N2 v\r\n" % key, b"VA 0 W\r\n\r\n")
    timed.forward(3)
    timed.conn.ask(b"mg %s N2 v\r\n" % key, b"VA 0 W\r\n\r\n")


def test_meta_counter_with_auto_expiry(timed):
    key = timed.key
    timed.conn.ask(b"ma %s N2 J5 v\r\n" % key, b"VA 1\r\n5\r\n")
    timed.conn.ask(b"ma %s N2 J5 v\r\n" % key, b"VA 1\r\n6\r\n")
    timed.forward(3)
    timed.conn.ask(b"ma %s N2 J5 v\r\n" % key, b"VA 1\r\n5\r\n")


def test_flush_all_hides_what_is_there(timed):
    key, moved = timed.key, {}
    # Once a second the housekeeping thread takes flushed items out before anybody can meet them.
    for _ in range(3):
        if "get_flushed" in moved:
            break
        timed.conn.set(key, b"x")
        before = timed.conn.stats()
        timed.conn.ask(b"flush_all\r\n", b"OK\r\n")
        assert timed.conn.get(key) is None
        moved = rows.counters_moved(before, timed.conn.stats())
    moved.pop("curr_items", None)
    assert moved == {"cmd_flush": 1, "cmd_get": 1, "get_misses": 1, "get_flushed": 1}


def test_stored_after_flush_all_in_the_same_second_survives(timed):
    key = timed.key
    for flush in (b"flush_all", b"flush_all 0", b"flush_all -1"):
        timed.conn.send(b"set %s 0 0 1\r\nx\r\n%s\r\nget %s\r\nset %s 0 0 1\r\ny\r\nget %s\r\n" % (
            key, flush, key, key, key))
        timed.conn.expect(b"STORED\r\nOK\r\nEND\r\nSTORED\r\nVALUE %s 0 1\r\ny\r\nEND\r\n" % key)


@pytest.mark.parametrize("request_,miss", [
    (b"delete %s", b"NOT_FOUND"), (b"incr %s 1", b"NOT_FOUND"), (b"touch %s 10", b"NOT_FOUND"),
    (b"mg %s v", b"EN"), (b"md %s", b"NF"), (b"cas %s 0 0 1 1\r\nx", b"NOT_FOUND"),
    (b"append %s 0 0 1\r\nx", b"NOT_STORED"), (b"replace %s 0 0 1\r\nx", b"NOT_STORED"),
    (b"add %s 0 0 1\r\nx", b"STORED")])
def test_flushed_item_is_missing_for_all(timed, request_, miss):
    key = timed.key
    timed.conn.set(key, b"5")
    timed.conn.ask(b"flush_all\r\n", b"OK\r\n")
    timed.conn.ask(request_ % key + b"\r\n", miss + b"\r\n")


def test_delayed_flush_all(timed):
    key = timed.key
    timed.forward(2)
    timed.conn.set(key, b"x")
    timed.conn.ask(b"flush_all 5\r\n", b"OK\r\n")
    assert timed.conn.get(key) == b"x"
    timed.forward(2)
    assert timed.conn.get(key) == b"x"
    timed.forward(5)
    assert timed.conn.get(key) is None
    timed.conn.set(key, b"y")
    assert timed.conn.get(key) == b"y"
    timed.forward(2)
    assert timed.conn.get(key) == b"y"


def test_delayed_flush_all_spares_what_comes_later(timed):
    key = timed.key
    timed.conn.ask(b"flush_all 2\r\n", b"OK\r\n")
    timed.forward(4)
    timed.conn.set(key, b"x")
    timed.forward(1)
    assert timed.conn.get(key) == b"x"


def test_flush_all_with_a_bad_exptime(timed):
    timed.conn.ask(b"flush_all abc\r\n", b"CLIENT_ERROR invalid exptime argument\r\n")
    timed.conn.ask(b"flush_all 1x\r\n", b"CLIENT_ERROR invalid exptime argument\r\n")
    timed.conn.ask(b"flush_all noreply\r\nmn\r\n", b"MN\r\n")
    timed.conn.ask(b"flush_all 0 noreply\r\nmn\r\n", b"MN\r\n")


def test_thirty_days_are_the_border(timed):
    if not timed.clock.has_command:
        pytest.skip("nobody waits for 30 days")
    key = timed.key
    timed.conn.set(key, b"x", exptime=2592000)
    timed.forward(2591990)
    assert timed.conn.get(key) == b"x"
    timed.forward(20)
    assert timed.conn.get(key) is None


def test_clock_moves_by_itself(timed):
    """Without help, too: two seconds are really waited for."""
    with harness.Server() as server, server.connect() as conn:
        conn.set(b"real", b"x", exptime=2)
        assert conn.get(b"real") == b"x"
        end = time.monotonic() + 6
        while conn.get(b"real") is not None:
            assert time.monotonic() < end, "never expired"
            time.sleep(0.05)
