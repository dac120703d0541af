# SPDX-License-Identifier: BSD-3-Clause
"""pylibmc (libmemcached), with behaviours that people turn on.

PORT ascii|binary [USER PASSWORD]"""

import sys
import time

import pylibmc

HOST = f"127.0.0.1:{sys.argv[1]}"
OPTIONS = {"binary": sys.argv[2] == "binary"}
if len(sys.argv) > 3:
    OPTIONS.update(username=sys.argv[3], password=sys.argv[4])


def check(behaviors):
    client = pylibmc.Client([HOST], behaviors=behaviors, **OPTIONS)
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
    assert client.set("schlüssel", "ä")
    assert client.get("schlüssel") == "ä"
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


def check_expiry():
    client = pylibmc.Client([HOST], **OPTIONS)
    assert client.set("short", "x", time=1)
    assert client.set("long", "x", time=100)
    time.sleep(2.1)
    assert client.get("short") is None
    assert client.get("long") == "x"


def check_wrong_logins(user, password):
    for name, word in ((user, password + "x"), ("nobody", password)):
        wrong = pylibmc.Client([HOST], binary=True, username=name, password=word)
        try:
            wrong.set("a", "2")
        except pylibmc.Error as error:
            assert "AUTHENTICATION" in str(error), error
        else:
            raise AssertionError(f"{name} came in")


for options in ({}, {"tcp_nodelay": True, "ketama": True}, {"cas": True}, {"no_block": True},
                {"num_replicas": 0, "buffer_requests": False, "hash": "murmur"}):
    check(options)
check_expiry()
if len(sys.argv) > 3:
    check_wrong_logins(*sys.argv[3:5])
print("ok")
