# SPDX-License-Identifier: BSD-3-Clause
"""python-binary-memcached: PORT [USER PASSWORD]. Binary protocol only."""

import sys

import bmemcached

import basics

client = bmemcached.Client((f"127.0.0.1:{sys.argv[1]}",), *sys.argv[2:4])
assert client.flush_all()
basics.check_stores(client)
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
large = "x" * 900_000
assert client.set("large", large, compress_level=0)
assert client.get("large") == large
assert client.delete("a")
assert client.get("a") is None
basics.check_expiry(client)
stats = list(client.stats().values())[0]
assert b"pid" in stats or "pid" in stats
client.disconnect_all()
print("ok")
