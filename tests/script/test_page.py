# SPDX-License-Identifier: BSD-3-Clause
"""The admin page in a headless Chromium: it draws what the server tells, says nothing on the
console, asks nobody else, and shows what clients send as text.

MATTE_SCREENSHOTS=FOLDER keeps pictures of it: light, dark, and on a phone.
"""

import http.server
import json
import math
import os
import pathlib
import re
import threading
import time

import pytest

import browser
import harness
from test_admin import ask, ports, start

EVIL = "<img/src=x/onerror=alert(1)>"
# Keeps every plot where a test can look at it.
SPY = """
Object.defineProperty(window, "uPlot", {
  configurable: true, get() { return this.kept; },
  set(made) {
    this.kept = class extends made {
      constructor(...args) { super(...args); (window.plots = window.plots || []).push(this); }
    };
  },
});
"""
GAP_S = 400


@pytest.fixture(autouse=True)
def ours(reference):
    if reference:
        pytest.skip("has no admin page")


@pytest.fixture(scope="module")
def chromium():
    if not browser.CHROMIUM:
        pytest.skip("chromium is not installed (tools/install-deps test)")
    with browser.Browser() as made:
        made.call("Page.addScriptToEvaluateOnNewDocument", source=SPY)
        yield made


def visit(chromium, url, **look):
    chromium.open("about:blank")  # what the page before had under way is not this one's
    chromium.listen(0.3)
    chromium.console.clear()
    chromium.requests.clear()
    chromium.look(**look)
    chromium.open(url)
    chromium.until("document.getElementById('state')?.textContent === 'live'")


def check_quiet(chromium, url):
    """No words on the console, no request to anybody else."""
    assert chromium.console == []
    foreign = [to for to in chromium.requests if not to.startswith((url, "data:"))]
    assert foreign == [] and len(chromium.requests) > 2


def text_of(chromium, selector):
    return chromium.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")


def keep_picture(chromium, name):
    folder = os.environ.get("MATTE_SCREENSHOTS")
    if folder:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        chromium.screenshot(pathlib.Path(folder) / f"{name}.png")


def test_page_of_a_real_server(chromium):
    with start("--allow=127.0.0.1") as server, server.connect() as conn:
        url = f"http://127.0.0.1:{ports(server)[0]}/"
        for i in range(50):
            conn.set(b"k%d" % i, b"x" * 100)
        ask(server, "/", Host="evil.example")
        visit(chromium, url, width=1280)
        for _ in range(4):
            for i in range(100):
                conn.get(b"k%d" % i)
            chromium.listen(1)
        chromium.until("document.querySelector('#tiles').textContent.includes('50%')")
        chromium.until("document.querySelector('#security').textContent.includes('host_denied')")
        assert f"tcp:127.0.0.1:{server.port}" in text_of(chromium, "#reachable")
        assert "allow 127.0.0.1" in text_of(chromium, "#rules")
        assert chromium.evaluate("document.querySelectorAll('canvas').length") == 9
        assert chromium.evaluate("plots.slice(-9).every(p => p.data[0].length > 1)")
        conn.set(EVIL.encode(), b"x")
        for _ in range(40):  # until it is a hot key
            conn.send((b"get " + EVIL.encode() + b"\r\n") * 500 + b"mn\r\n")
            conn.take_match(re.compile(rb"(?s).*MN\r\n"))
            chromium.listen(0.1)
            if EVIL in text_of(chromium, "#hotkeys"):
                break
        chromium.until(f"document.querySelector('#hotkeys').textContent.includes('{EVIL}')")
        chromium.until("document.querySelector('#clients').textContent.includes('tcp:127.0.0.1')")
        assert chromium.evaluate("document.querySelectorAll('img').length") == 0
        latency = chromium.evaluate("plots.at(-7).data[1].some(v => v > 0)")
        assert latency, "no latencies"
        check_quiet(chromium, url)
        server.stop()
        chromium.until("document.getElementById('state').textContent.startsWith('no answer')")


class Stage:
    """The real page, but with figures of our own: an hour with a gap, and clients of all kinds."""

    def __init__(self):
        with start() as server:
            _, headers, self.page = ask(server, "/")
            self.policy = headers["Content-Security-Policy"]
            harness.until(lambda: json.loads(ask(server, "/history.json")[2])["samples"])
            self.stats = json.loads(ask(server, "/stats.json")[2])
            self.fields = json.loads(ask(server, "/history.json")[2])["fields"]
        self._names()
        now = time.time()
        self.rows = {10: [self._sample(now - 10 * i) for i in range(420, 0, -1)
                          if not 1500 < 10 * i < 1500 + GAP_S],
                     1: [self._sample(now - i) for i in range(600, 0, -1)]}
        self.events = [[row[0], "login_failed", 3] for row in self.rows[10][::20]]

    def _names(self):
        hot = {}
        for n, name in enumerate([EVIL, "session%3A8812", "config%3Aflags", "%ff%fe"], 1):
            for kind, word in (("hot_key", "key"), ("hot_prefix", "prefix")):
                hot[f"{kind}:{n}:{word}"] = name
                hot[f"{kind}:{n}:ops_per_s"] = 9000 / n
                hot[f"{kind}:{n}:share"] = 0.4 / n
        self.stats["hotkeys"] = hot
        self.stats["clients"] = {
            "7:addr": EVIL, "7:requests_per_s": 10, "7:slow_s": 14, "7:pending_bytes": 262144,
            "7:bytes_read": 10, "7:bytes_written": 1 << 30}
        self.stats["access"] = {"allow:1": "8841 allow 10.0.0.0/8 " + EVIL}
        self.stats["reachable"] = [{"address": EVIL, "how": EVIL, "where": EVIL, "who": EVIL,
                                    "what": EVIL}]
        self.stats["recent"] = [{
            "timestamp": "2026-01-01T00:00:09.812000+0000", "src_ip": "192.0.2.7",
            "alert": {"severity": 2}, "mc": {
                "type": "login_failed", "action": "refused", "rule": EVIL, "user": EVIL,
                "verb": "set", "count": 12, "sources": 1, "prefix": "192.0.2.0/24"}}]
        self.stats["security"][EVIL] = 5
        self.stats["security"]["login_failed"] = 63
        self.stats["general"]["threads"] = EVIL

    def _sample(self, at):
        wave, gets = math.sin(at / 500), 41000 + 9000 * math.sin(at / 500)
        values = dict(
            get_hits=gets * (0.95 + 0.02 * wave), get_misses=gets * 0.05, sets=gets / 9,
            evicted=max(0, 900 * wave), expired=340, bytes_in=gets * 130, bytes_out=gets * 560,
            cpu_us=180000 + gets * 6, conns_new=3, conns=410, items=2.4e6, item_bytes=840 << 20,
            memory_limit=1 << 30, memory_index=48 << 20, memory_main=690 << 20,
            memory_small=180 << 20, memory_free=90 << 20, all_p50=21000,
            all_p90=48000 + 9000 * wave, all_p99=210000, all_p999=900000 + 400000 * wave)
        return [int(at * 1000)] + [values.get(name, 0) for name in self.fields]

    def answer(self, path):
        """(type, text)"""
        if path == "/":
            return "text/html; charset=utf-8", self.page
        if path == "/stats.json":
            return "application/json", json.dumps(self.stats)
        step = int(re.search(r"step=(\d+)", path)[1])
        since = int(re.search(r"since=(\d+)", path)[1])
        if step == 1:
            self.rows[1].append(self._sample(time.time()))
        return "application/json", json.dumps({
            "step": step, "fields": self.fields,
            "samples": [row for row in self.rows[step] if row[0] > since],
            "events": [row for row in self.events if row[0] > since] if step == 10 else []})


@pytest.fixture(scope="module")
def stage():
    stage = Stage()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            kind, text = stage.answer(self.path)
            data = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Security-Policy", stage.policy)
            self.end_headers()
            self.wfile.write(data)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stage.url = f"http://127.0.0.1:{server.server_port}/"
    yield stage
    server.shutdown()


@pytest.mark.parametrize("name, look", [
    ("light", {"width": 1440}), ("dark", {"width": 1440, "dark": True}),
    ("phone", {"width": 390, "height": 844, "mobile": True})])
def test_names_of_clients_are_text(chromium, stage, name, look):
    visit(chromium, stage.url, **look)
    chromium.until("document.querySelector('#hotkeys').textContent.includes('8812')")
    chromium.evaluate("document.querySelectorAll('#windows button')[2].click()")
    chromium.listen(2)
    for place in ("#hotkeys", "#hotprefixes", "#clients", "#rules", "#recent", "#reachable",
                  "#about"):
        assert EVIL in text_of(chromium, place), place
    assert "session:8812" in text_of(chromium, "#hotkeys")
    assert chromium.evaluate("document.querySelectorAll('img, main script, iframe').length") == 0
    assert "login_failed" in text_of(chromium, "#security")
    keep_picture(chromium, name)
    # Nothing is wider than the window but what scrolls by itself.
    assert chromium.evaluate("document.documentElement.scrollWidth <= innerWidth")
    check_quiet(chromium, stage.url)


def test_time_without_samples_is_a_gap(chromium, stage):
    visit(chromium, stage.url, width=1280)
    chromium.evaluate("document.querySelectorAll('#windows button')[2].click()")
    chromium.listen(2)
    data = chromium.evaluate("plots.at(-9).data")
    longest = max(b - a for a, b in zip(data[0], data[0][1:]))
    assert longest >= GAP_S - 20
    empty = [at for at, value in zip(data[0], data[1]) if value is None]
    assert len(empty) == 1, "a row of nothing in the gap, and nowhere else"
    before = max(at for at in data[0] if at < empty[0])
    after = min(at for at in data[0] if at > empty[0])
    assert after - before >= GAP_S - 20


def test_the_policy_lets_nothing_else_in(stage):
    policy = stage.policy
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy
    for rule in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'",
                 "base-uri 'none'", "form-action 'none'"):
        assert rule in policy
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", stage.page)
