# SPDX-License-Identifier: BSD-3-Clause
"""A server of RR UDP over a bad network, for tests of clients.

It knows `version`, get, set and delete, on a dict; its cookies are 8 bytes of chance that it keeps.
`lose` says which datagrams are lost: it is called with ("in" or "out", number from 0, bytes).
"""

import random
import socket
import struct
import threading

LEGACY, HELLO, CHALLENGE, PROVEN, FRESH = 0, 0xCE01, 0xCE02, 0xCE03, 0xCE04
PART = 1400 - 8


class RrServer:
    def __init__(self, lose=lambda way, number, data: False, shuffle=False, double=False,
                 fresh=False, cookies=10**9, never=False, seed=1):
        self.lose, self.shuffle, self.double, self.fresh = lose, shuffle, double, fresh
        self.cookies = cookies    # commands that one cookie is good for
        self.never = never        # take no cookie at all
        self.random = random.Random(seed)
        self.items = {}
        self.seen = []            # kinds that came in
        self.commands = []        # executed
        self.mac, self.left = b"", 0
        self.counts = {"in": 0, "out": 0}
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as poke:
            poke.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(10)
        self.sock.close()

    stop = False

    def _lost(self, way, data):
        number = self.counts[way]
        self.counts[way] += 1
        return self.lose(way, number, data)

    def _serve(self):
        while True:
            data, who = self.sock.recvfrom(65536)
            if self.stop:
                return
            if self._lost("in", data):
                continue
            answers = self.answer(data)
            if self.double:
                answers = answers + answers
            if self.shuffle:
                self.random.shuffle(answers)
            for one in answers:
                if not self._lost("out", one):
                    self.sock.sendto(one, who)

    def _cookie(self, nonce):
        self.mac, self.left = self.random.randbytes(8), self.cookies
        return nonce + bytes([1, 0, 0, 0]) + struct.pack(">I", 7) + self.mac

    def answer(self, data):
        request, sequence, total, kind = struct.unpack_from(">4H", data)
        assert (sequence, total) == (0, 1), data
        self.seen.append(kind)
        nonce = data[8:16]
        if kind == PROVEN and data[24:32] == self.mac and self.left > 0 and not self.never:
            self.left -= 1
            return self.parts(request, nonce, self.command(data[32:]))
        assert kind in (HELLO, PROVEN), data
        return [struct.pack(">4H", request, 0, 1, CHALLENGE) + self._cookie(nonce)]

    def parts(self, request, nonce, text):
        head = self._cookie(nonce) if self.fresh else b""
        pieces, step = [text[:PART - len(head)]], PART
        text = text[PART - len(head):]
        while text:
            pieces.append(text[:step])
            text = text[step:]
        return [struct.pack(">4H", request, i, len(pieces), FRESH if i == 0 and head else LEGACY) +
                (head if i == 0 else b"") + piece for i, piece in enumerate(pieces)]

    def command(self, text):
        line, _, rest = text.partition(b"\r\n")
        words = line.split(b" ")
        self.commands.append(line)
        if words[0] == b"version":
            return b"VERSION 1.6.45\r\n"
        if words[0] == b"get":
            found = [b"VALUE %s 0 %d\r\n%s\r\n" % (key, len(self.items[key]), self.items[key])
                     for key in words[1:] if key in self.items]
            return b"".join(found) + b"END\r\n"
        if words[0] == b"set":
            self.items[words[1]] = rest[:int(words[4])]
            return b"STORED\r\n"
        if words[0] == b"delete":
            gone = self.items.pop(words[1], None) is None
            return b"NOT_FOUND\r\n" if gone else b"DELETED\r\n"
        return b"ERROR\r\n"
