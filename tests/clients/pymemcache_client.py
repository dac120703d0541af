# SPDX-License-Identifier: BSD-3-Clause
"""pymemcache: every call that it has. PORT [tls CA_FILE | login USER PASSWORD]."""

import ssl
import sys
import time

from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError
from pymemcache import serde

HOST = ("127.0.0.1", int(sys.argv[1]))


def check_base(client):
    assert client.set("a", "1", noreply=False) is True
    assert client.get("a") == b"1"
    assert client.get("nothing", default=5) == 5
    assert client.set_many({"b": "2", "c": "3"}, noreply=False) == []
    assert client.get_many(["a", "b", "c", "d"]) == {"a": b"1", "b": b"2", "c": b"3"}
    assert client.add("a", "9", noreply=False) is False
    assert client.replace("a", "8", noreply=False) is True
    assert client.replace("no", "8", noreply=False) is False
    assert client.append("a", "z", noreply=False) is True
    assert client.prepend("a", "y", noreply=False) is True
    assert client.get("a") == b"y8z"
    value, cas = client.gets("a")
    assert value == b"y8z"
    assert client.cas("a", "new", cas, noreply=False) is True
    assert client.cas("a", "old", cas, noreply=False) is False
    assert client.cas("no", "old", cas, noreply=False) is None
    assert set(client.gets_many(["a", "b"])) == {"a", "b"}
    client.set("n", "10")
    assert client.incr("n", 5) == 15
    assert client.decr("n", 20) == 0
    assert client.incr("no", 1) is None
    assert client.touch("n", 100, noreply=False) is True
    assert client.touch("no", 100, noreply=False) is False
    assert client.delete("n", noreply=False) is True
    assert client.delete("n", noreply=False) is False
    assert client.delete_many(["b", "c"], noreply=False) is True
    assert client.version().startswith(b"1.6.")
    assert b"pid" in client.stats()
    large = b"x" * 900_000
    assert client.set("large", large, noreply=False) is True
    assert client.get("large") == large
    client.set("gone", "x", expire=-1)
    assert client.get("gone") is None
    client.set("schlüssel".encode(), "ä".encode(), noreply=False)
    assert client.get("schlüssel".encode()) == "ä".encode()
    assert client.flush_all(noreply=False) is True
    assert client.get("a") is None


def check_expiry(client):
    client.set("short", "x", expire=1, noreply=False)
    client.set("long", "x", expire=100, noreply=False)
    time.sleep(2.1)
    assert client.get("short") is None
    assert client.get("long") == b"x"


def log_in(user, password):
    """The library has no logins in text: its first set carries them, as the protocol wants."""
    stranger = Client(HOST, timeout=10)
    try:
        stranger.get("a")
        raise AssertionError("no login needed")
    except MemcacheClientError as error:
        assert "unauthenticated" in str(error)
    try:
        stranger.set("login", f"{user} wrong{password}", noreply=False)
        raise AssertionError("wrong password taken")
    except MemcacheClientError as error:
        assert "authentication failure" in str(error)
    client = Client(HOST, timeout=10)
    assert client.set("login", f"{user} {password}", noreply=False) is True
    return client


def main():
    if sys.argv[2:3] == ["tls"]:
        context = ssl.create_default_context(cafile=sys.argv[3])
        context.check_hostname = False
        check_base(Client(HOST, timeout=10, tls_context=context))
        check_base(PooledClient(HOST, max_pool_size=4, timeout=10, tls_context=context))
        print("ok")
        return
    if sys.argv[2:3] == ["login"]:
        check_base(log_in(*sys.argv[3:]))
        print("ok")
        return
    check_base(Client(HOST, timeout=10))
    check_expiry(Client(HOST, timeout=10))
    check_base(Client(HOST, timeout=10, no_delay=True))
    check_base(PooledClient(HOST, max_pool_size=4, timeout=10))
    pickled = Client(HOST, serde=serde.pickle_serde, timeout=10)
    pickled.set("object", {"a": [1, 2, 3], "ä": None})
    assert pickled.get("object") == {"a": [1, 2, 3], "ä": None}
    ring = HashClient([HOST], timeout=10)
    ring.set_many({f"k{i}": str(i) for i in range(100)})
    assert len(ring.get_many([f"k{i}" for i in range(100)])) == 100
    Client(HOST, timeout=10).quit()
    print("ok")


main()
