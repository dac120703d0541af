# SPDX-License-Identifier: BSD-3-Clause
"""A small client of the meta protocol: one socket, no dependencies.

    cache = Cache("127.0.0.1", 11211)
    page = cache.fetch("front", 60, make_front_page)    # from the cache, or made and kept

`fetch` lets one caller make a missing value while the others wait a moment or serve the one before:
`invalidate` does not delete but marks stale, so that nobody has to wait for the new one.
"""

import socket
import time


class Cache:
    """Not for several threads at once: give each its own."""

    def __init__(self, host, port):
        self.sock = socket.create_connection((host, port), 5)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def close(self):
        self.file.close()
        self.sock.close()

    def _ask(self, line, value=None):
        """Send a request; returns (code, {flag letter: token}, value)."""
        data = line.encode() + b"\r\n"
        if value is not None:
            data += value + b"\r\n"
        self.sock.sendall(data)
        return self._answer()

    def _answer(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("the cache closed the connection")
        code, *words = line.decode().split()
        if code.endswith("ERROR"):
            raise ValueError(line.decode().strip())
        value = None
        if code == "VA":
            value = self.file.read(int(words.pop(0)) + 2)[:-2]
        return code, {word[0]: word[1:] for word in words}, value

    def get(self, key):
        return self._ask(f"mg {key} v")[2]

    def set(self, key, value, ttl):
        return self._ask(f"ms {key} {len(value)} T{ttl}", value)[0] == "HD"

    def delete(self, key):
        return self._ask(f"md {key}")[0] == "HD"

    def invalidate(self, key, grace=30):
        """Mark stale: the first reader is asked to make it anew, the others get the old one."""
        return self._ask(f"md {key} I T{grace}")[0] == "HD"

    def touch(self, key, ttl):
        return self._ask(f"mg {key} T{ttl}")[0] == "HD"

    def count(self, key, ttl=0):
        """Count up from 1; returns the new number."""
        return int(self._ask(f"ma {key} v N{ttl} J1")[2])

    def get_many(self, keys):
        """All of `keys` in one round trip; returns {key: value} of those that are there."""
        self.sock.sendall("".join(f"mg {key} v k q\r\n" for key in keys).encode() + b"mn\r\n")
        found = {}
        while (answer := self._answer())[0] != "MN":
            found[answer[1]["k"]] = answer[2]
        return found

    def fetch(self, key, ttl, make, wait_s=0.5):
        """The value of `key`; when there is none, `make()` is kept for `ttl` seconds."""
        end = time.monotonic() + wait_s
        while True:
            # N: an empty item for the first who misses.  W: that is you; Z: somebody is on it.
            _, flags, value = self._ask(f"mg {key} v t c N10")
            if "W" in flags:
                value = make()
                self._ask(f"ms {key} {len(value)} T{ttl} C{flags['c']}", value)
                return value
            if value or "Z" not in flags:
                return value
            if time.monotonic() > end:
                return make()
            time.sleep(0.002)
