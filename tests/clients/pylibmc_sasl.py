# SPDX-License-Identifier: BSD-3-Clause
"""pylibmc (libmemcached) logs in by SASL PLAIN: user foo, password bar."""

import sys

import pylibmc

HOST = f"127.0.0.1:{sys.argv[1]}"

client = pylibmc.Client([HOST], binary=True, username="foo", password="bar")
assert client.set("a", "1")
assert client.get("a") == "1"
assert client.set_multi({f"m{i}": i for i in range(200)}) == []
assert client.get_multi([f"m{i}" for i in range(200)]) == {f"m{i}": i for i in range(200)}
assert client.incr("m1") == 2
client.disconnect_all()
assert client.get("a") == "1"  # a new connection logs in as well

for user, password in (("foo", "bear"), ("nobody", "bar")):
    wrong = pylibmc.Client([HOST], binary=True, username=user, password=password)
    try:
        wrong.set("a", "2")
    except pylibmc.Error as error:
        assert "AUTHENTICATION" in str(error), error
    else:
        raise AssertionError(f"{user} came in")
assert client.get("a") == "1"
print("ok")
