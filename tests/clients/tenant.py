# SPDX-License-Identifier: BSD-3-Clause
"""A tenant who is confined to app1: PORT pymemcache|bmemcached|pylibmc USER PASSWORD."""

import sys

PORT, LIBRARY, USER, PASSWORD = int(sys.argv[1]), *sys.argv[2:5]


def pymemcache():
    from pymemcache.client.base import Client
    client = Client(("127.0.0.1", PORT), default_noreply=False)
    assert client.set("login", f"{USER} {PASSWORD}")  # the first set is the login
    return client


def bmemcached():
    import bmemcached as library
    return library.Client((f"127.0.0.1:{PORT}",), USER, PASSWORD)


def pylibmc():
    import pylibmc as library
    return library.Client([f"127.0.0.1:{PORT}"], binary=True, username=USER, password=PASSWORD)


def refused(name, *args):
    """Some libraries tell, some raise; none may say that it went well. With a client of its own,
    for some close their connection then."""
    try:
        return getattr(connect(), name)(*args) in (None, False)
    except Exception as error:  # pylint: disable=broad-except
        print(type(error).__name__, error)
        return True


connect = {"pymemcache": pymemcache, "bmemcached": bmemcached, "pylibmc": pylibmc}[LIBRARY]
client_ = connect()
assert client_.set("app1:a", "mine")
assert client_.get("app1:a") in ("mine", b"mine")
assert refused("set", "app2:a", "theirs")
assert refused("get", "app2:a")
assert refused("delete", "app2:a")
refused("flush_all")  # libmemcached does not tell
assert client_.get("app1:a") in ("mine", b"mine")
print("ok")
