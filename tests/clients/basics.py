# SPDX-License-Identifier: BSD-3-Clause
"""What clients of Python call by the same names."""

import time


def check_stores(client):
    assert client.set("a", "1")
    assert client.get("a") == "1"
    assert client.get("nothing") is None
    assert client.add("b", {"x": [1, 2]})
    assert not client.add("b", 1)
    assert client.get("b") == {"x": [1, 2]}
    assert client.replace("b", 5)
    assert not client.replace("no", 5)
    assert client.set("schlüssel", "ä")
    assert client.get("schlüssel") == "ä"


def check_expiry(client):
    assert client.set("short", "x", time=1)
    assert client.set("long", "x", time=100)
    time.sleep(2.1)
    assert client.get("short") is None
    assert client.get("long") == "x"
