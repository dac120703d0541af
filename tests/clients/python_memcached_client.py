# SPDX-License-Identifier: BSD-3-Clause
"""python-memcached."""

import sys

import memcache

import basics

client = memcache.Client([f"127.0.0.1:{sys.argv[1]}"], cache_cas=True)
assert client.flush_all() is None
basics.check_stores(client)
assert client.incr("b", 3) == 8
assert client.decr("b", 10) == 0
assert client.incr("no") is None
assert client.set("s", "mid") and client.append("s", "end") and client.prepend("s", "pre")
assert client.get("s") == "premidend"
assert client.set_multi({"k1": 1, "k2": "two"}, key_prefix="p_") == []
assert client.get_multi(["k1", "k2", "k3"], key_prefix="p_") == {"k1": 1, "k2": "two"}
assert client.gets("a") == "1"
assert client.cas("a", "2")
assert client.gets("a") == "2"
other = memcache.Client([f"127.0.0.1:{sys.argv[1]}"])
other.set("a", "3")
assert not client.cas("a", "4")
assert client.touch("a", 100)
assert client.delete("a")
assert client.get("a") is None
assert client.delete_multi(["k1", "k2"], key_prefix="p_")
assert client.set("large", "y" * 900_000, min_compress_len=0)
assert client.get("large") == "y" * 900_000
assert client.set("packed", "z" * 50_000, min_compress_len=100)
assert client.get("packed") == "z" * 50_000
assert client.get_stats()[0][1]["threads"]
basics.check_expiry(client)
client.disconnect_all()
print("ok")
