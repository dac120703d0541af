# SPDX-License-Identifier: BSD-3-Clause
"""pylibmc (libmemcached) in text mode, with behaviours that people turn on."""

import sys

import pylibmc

HOST = f"127.0.0.1:{sys.argv[1]}"


def check(behaviors):
    client = pylibmc.Client([HOST], binary=False, behaviors=behaviors)
    client.flush_all()
    assert client.set("a", "1")
    assert client.get("a") == "1"
    assert client.get("nothing") is None
    assert client.add("a", 2) is False
    assert client.add("b", 2)
    assert client.replace("b", [1, {"x": 2.5}])
    assert client.get("b") == [1, {"x": 2.5}]
    assert client.set_multi({f"m{i}": i for i in range(200)}) == []
    assert client.get_multi([f"m{i}" for i in range(200)]) == {f"m{i}": i for i in range(200)}
    assert client.delete_multi(["m0", "m1"])
    assert client.get("m0") is None
    client.set("n", 10)
    assert client.incr("n") == 11
    assert client.incr("n", 5) == 16
    assert client.decr("n", 6) == 10
    client.set("s", b"mid")
    assert client.append("s", b"end") and client.prepend("s", b"pre")
    assert client.get("s") == b"premidend"
    assert client.touch("s", 100)
    assert client.delete("s")
    assert not client.delete("s")
    big = b"\0\r\n" * 300_000
    assert client.set("big", big)
    assert client.get("big") == big
    if behaviors.get("cas"):
        value, cas = client.gets("a")
        assert value == "1"
        assert client.cas("a", "2", cas)
        assert not client.cas("a", "3", cas)
    assert client.get_stats()[0][1]["pointer_size"] in ("64", b"64")
    client.disconnect_all()


for options in ({}, {"tcp_nodelay": True, "ketama": True}, {"cas": True}, {"no_block": True},
                {"num_replicas": 0, "buffer_requests": False, "hash": "murmur"}):
    check(options)
print("ok")
