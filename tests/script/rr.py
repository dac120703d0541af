# SPDX-License-Identifier: BSD-3-Clause
"""A client of RR UDP (return-routable UDP) for the black-box tests, and its parts.

Client keeps one socket, one nonce and the cookie of one server: `ask` says HELLO when it has none,
repeats the command as PROVEN, takes a renewed cookie and puts a long answer together.  The
functions below it build and read single datagrams, and make cookies of a known key, for tests that
send what no client would.  Knows nothing of servers (harness.py) and of pytest.
"""

import os
import socket
import struct
import time

LEGACY, HELLO, CHALLENGE, PROVEN, FRESH = 0, 0xCE01, 0xCE02, 0xCE03, 0xCE04
HEADER_BYTES = 8
EXTENSION_BYTES = 24
PAYLOAD_BYTES_MAX = 1400  # of an answer's datagram, header included
WAIT_S = 10.0
SILENCE_S = 0.3  # how long a test waits for what must not come


def header(request, kind=LEGACY, sequence=0, total=1):
    return struct.pack(">HHHH", request, sequence, total, kind)


def extension(nonce, stamp=0, mac=bytes(8), version=1):
    return nonce + bytes([version, 0, 0, 0]) + struct.pack(">I", stamp) + mac


class Datagram:
    """One datagram, read: request, sequence, total, kind, the extension's fields, payload."""

    def __init__(self, data):
        assert len(data) >= HEADER_BYTES, data
        self.data = data
        self.request, self.sequence, self.total, self.kind = struct.unpack(">HHHH", data[:8])
        at = HEADER_BYTES
        self.nonce = self.mac = None
        self.stamp = 0
        # A long answer with a fresher cookie carries it in its first datagram alone.
        if self.kind in (HELLO, CHALLENGE, PROVEN) or (self.kind == FRESH and self.sequence == 0):
            assert len(data) >= at + EXTENSION_BYTES, data
            self.nonce, rest = data[8:16], data[16:32]
            assert rest[:4] == b"\x01\0\0\0", rest
            self.stamp = struct.unpack(">I", rest[4:8])[0]
            self.mac = rest[8:]
            at += EXTENSION_BYTES
        self.payload = data[at:]

    @property
    def cookie(self):
        return self.stamp, self.mac

    def __repr__(self):
        return (f"<{self.kind:04x} id {self.request} {self.sequence}/{self.total} "
                f"{self.payload[:60]!r}>")


# ── cookies of a known key ────────────────────────────────────────────────────────────────────

MASK = (1 << 64) - 1


def siphash24(key, data):
    """SipHash-2-4 of `data` as its 8 bytes."""
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
         k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573]

    def rotate(x, n):
        return (x << n | x >> (64 - n)) & MASK

    def rounds(n):
        for _ in range(n):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for at in range(0, len(padded), 8):
        word = struct.unpack("<Q", padded[at:at + 8])[0]
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xff
    rounds(4)
    return struct.pack("<Q", v[0] ^ v[1] ^ v[2] ^ v[3])


def mapped(host):
    """An address as 16 bytes, IPv4 as the IPv6 address that maps it."""
    if ":" in host:
        return socket.inet_pton(socket.AF_INET6, host.split("%")[0])
    return b"\0" * 10 + b"\xff\xff" + socket.inet_pton(socket.AF_INET, host)


def mac(key, nonce, stamp, client, server):
    """The mac of a cookie; `client` and `server` are (address, port)."""
    return siphash24(key, nonce + b"\x01\0\0\0" + struct.pack(">I", stamp) + mapped(client[0]) +
                     mapped(server[0]) + struct.pack(">HH", client[1], server[1]))


def sequence_kinds_fit(parts):
    """All datagrams of an answer are of one kind, but that only the first may carry a cookie."""
    return all(part.kind in (LEGACY, FRESH) or part.total == 1 for part in parts.values())


# ── the client ────────────────────────────────────────────────────────────────────────────────

class Client:
    """Speaks RR with one server from one socket; a context manager."""

    def __init__(self, host, port, bind=None, wait_s=WAIT_S):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        if bind is not None:
            self.sock.bind(bind)
        self.sock.connect((host, port))
        self.sock.settimeout(wait_s)
        self.wait_s = wait_s
        self.nonce = os.urandom(8)
        self.cookie = None  # (stamp, mac), as the server gave it
        self.request = struct.unpack(">H", os.urandom(2))[0]
        self.hellos = 0  # how often a cookie had to be asked for

    @property
    def here(self):
        return self.sock.getsockname()[:2]

    @property
    def there(self):
        return self.sock.getpeername()[:2]

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # single datagrams

    def next_request(self):
        self.request = (self.request + 1) & 0xffff
        return self.request

    def send(self, data):
        self.sock.send(data)

    def receive(self):
        """The next datagram, read."""
        return Datagram(self.sock.recv(65536))

    def silent(self, wait_s=SILENCE_S):
        """Nothing comes for a while."""
        self.sock.settimeout(wait_s)
        try:
            data = self.sock.recv(65536)
        except (TimeoutError, BlockingIOError):
            return True
        finally:
            self.sock.settimeout(self.wait_s)
        raise AssertionError(f"expected silence, got {Datagram(data)!r}")

    def legacy(self, command, request=None):
        """A legacy datagram."""
        return header(self.next_request() if request is None else request) + command

    def hello(self, command=b"", request=None):
        """A HELLO, as the datagram's bytes."""
        request = self.next_request() if request is None else request
        return header(request, HELLO) + extension(self.nonce) + command

    def proven(self, command, request=None):
        """A PROVEN with the cookie that is held, as the datagram's bytes."""
        request = self.next_request() if request is None else request
        return header(request, PROVEN) + extension(self.nonce, *self.cookie) + command

    def greet(self):
        """Get a cookie; returns the CHALLENGE."""
        self.hellos += 1
        sent = self.hello()
        self.send(sent)
        answer = self.receive()
        assert answer.kind == CHALLENGE and answer.request == self.request, answer
        assert answer.nonce == self.nonce and len(answer.data) <= len(sent), answer
        self.cookie = answer.cookie
        return answer

    def answer(self, request=None):
        """All datagrams of one answer, put in order; checks their numbering.

        A fresher cookie in it is kept.
        """
        request = self.request if request is None else request
        parts = {}
        while True:
            part = self.receive()
            if part.request != request:
                continue  # a late one
            assert len(part.data) <= PAYLOAD_BYTES_MAX, part
            assert part.sequence < part.total and part.sequence not in parts, part
            parts[part.sequence] = part
            assert len({p.total for p in parts.values()}) == 1, parts
            assert sequence_kinds_fit(parts), parts
            if len(parts) == part.total:
                break
        if parts[0].kind == FRESH:
            assert parts[0].nonce == self.nonce, parts[0]
            self.cookie = parts[0].cookie
        return [parts[i] for i in range(len(parts))]

    # whole requests

    def ask(self, command, renew=True):
        """Send a command, return its answer as bytes."""
        if self.cookie is None:
            self.greet()
        self.send(self.proven(command))
        parts = self.answer()
        if parts[0].kind == CHALLENGE and renew:  # too old, or the server has another key
            self.cookie = parts[0].cookie
            return self.ask(command, renew=False)
        return b"".join(part.payload for part in parts)

    def ask_legacy(self, command):
        """The same as a legacy datagram."""
        self.send(self.legacy(command))
        return b"".join(part.payload for part in self.answer())


def now():
    """The time as cookies have it."""
    return int(time.time())
