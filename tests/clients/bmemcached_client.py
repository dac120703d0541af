# SPDX-License-Identifier: BSD-3-Clause
"""python-binary-memcached: PORT [USER PASSWORD]. Binary protocol only."""

import sys
import time

import bmemcached

client = bmemcached.Client((f"127.0.0.1:{sys.argv[1]}",), *sys.argv[2:4])
assert client.flush_all()
assert client.set("a", "1")
assert client.get("a") == "1"
assert client.get("nothing") is None
assert client.add("b", {"x": [1, 2]})
assert not client.add("b", 1)
assert client.get("b") == {"x": [1, 2]}
assert client.replace("b", 5)
assert not client.replace("no", 5)
assert client.set_multi({f"m{i}": f"v{i}" for i in range(200)}) == []
assert client.get_multi([f"m{i}" for i in range(201)]) == {f"m{i}": f"v{i}" for i in range(200)}
assert client.delete_multi(["m0", "m1"])
assert client.get("m0") is None
value, cas = client.gets("a")
assert value == "1" and cas > 0
assert client.cas("a", "2", cas)
assert not client.cas("a", "3", cas)
assert client.incr("n", 5, default=10) == 10
assert client.incr("n", 5) == 15
assert client.decr("n", 100) == 0
assert client.set("schlüssel", "ä")
assert client.get("schlüssel") == "ä"
large = "x" * 900_000
assert client.set("large", large, compress_level=0)
assert client.get("large") == large
assert client.delete("a")
assert client.get("a") is None
assert client.set("short", "x", time=1)
assert client.set("long", "x", time=100)
time.sleep(2.1)
assert client.get("short") is None
assert client.get("long") == "x"
stats = list(client.stats().values())[0]
assert b"pid" in stats or "pid" in stats
client.disconnect_all()
print("ok")
