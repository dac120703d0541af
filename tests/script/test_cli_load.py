# SPDX-License-Identifier: BSD-3-Clause
"""The operator's program `matte`: latency and bench."""

import json

import pytest

from cli import Stranger, matte
from fake import Fake, listing
from harness import BINARY, PEER, Server, answers_version


@pytest.fixture(scope="module", params=[BINARY, PEER], ids=["ours", "memcached"])
def where(request):
    if not answers_version(request.param):
        pytest.skip("no memcached")
    with Server(binary=request.param) as server:
        yield f"127.0.0.1:{server.port}"


def test_latency(where):
    code, out, errors = matte("latency", where, "--time=0.3")
    assert (code, errors) == (0, b"")
    assert b"p99.9" in out and b"#" in out and b"100.0" not in out.split(b"\n")[0]
    told = json.loads(matte("latency", where, "--time=0.3", "--interval=0.05", "--json")[1])
    assert 2 <= told["answers"] <= 7
    assert 0 < told["min_us"] <= told["p50_us"] <= told["p99_us"] <= told["max_us"]


def test_latency_of_the_server():
    rows = listing(("get:count", 5), ("get:mean_us", "12.5"), ("get:p50_us", "1234.0"),
                   ("value_bytes:count", 5), ("value_bytes:mean", 100))
    with Fake({b"version": b"VERSION 1\r\n", b"stats latency": rows}) as fake:
        code, out, _ = matte("latency", fake.to, "--time=0.1")
        assert code == 0 and b"12.5 us" in out and b"1.23 ms" in out and b"value_bytes" in out
        told = json.loads(matte("latency", fake.to, "--time=0.1", "--json")[1])
        assert told["server"]["get:p50_us"] == 1234.0
    with Stranger(b"NONSENSE\r\n") as stranger:
        code, out, errors = matte("latency", f"127.0.0.1:{stranger.port}", "--time=0.1")
        assert (code, out) == (2, b"") and b"makes no sense" in errors


@pytest.mark.parametrize("options", [(), ("-P16", "-c3"), ("--gets=0", "--size=0"),
                                     ("--gets=100", "--keys=1", "--size=100000")])
def test_bench(where, options):
    told = json.loads(matte("bench", where, "--time=0.3", "--json", *options)[1])
    assert told["refused"] == 0 and told["hits"] == told["get"]["count"]
    assert told["all"]["count"] == told["get"]["count"] + told["set"]["count"] > 0
    for kind, unwanted in (("get", "--gets=0"), ("set", "--gets=100")):
        assert (told[kind]["count"] > 0) == (unwanted not in options)
    assert told["all"]["p50_us"] <= told["all"]["max_us"]
    code, out, errors = matte("bench", where, "--time=0.2", *options)
    assert (code, errors) == (0, b"") and b"per second" in out


def test_bench_leaves_nothing_for_ever(where):
    assert matte("bench", where, "--time=0.1", "--keys=10")[0] == 0
    out = matte("keys", "-s", where, "--ttl=never", "--prefix=matte-bench:")[1]
    assert out == b"" and matte("keys", "-s", where, "--prefix=matte-bench:")[1] != b""


def test_bench_of_strangers():
    with Stranger(b"STORED\r\n" * 20) as stranger:
        code, out, errors = matte("bench", f"127.0.0.1:{stranger.port}", "--keys=5", "-c1",
                                  "--time=0.1", "-t1")
        assert (code, out) == (2, b"") and errors != b""
    assert matte("bench", "-c0")[0] == 64
    assert matte("bench", "-P2", "--size=200000")[0] == 64
    assert matte("bench", "--size=2000000")[0] == 64
