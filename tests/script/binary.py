# SPDX-License-Identifier: BSD-3-Clause
"""A small client of the binary protocol for the black-box tests.

request() builds a packet from its parts, any of which may be wrong on purpose; Binary wraps a
harness.Conn and reads answers as Answer tuples.  Knows nothing of pytest.
"""

import collections
import struct

HEADER = struct.Struct(">BBHBBHIIQ")
OPCODES = {
    "get": 0x00, "set": 0x01, "add": 0x02, "replace": 0x03, "delete": 0x04, "increment": 0x05,
    "decrement": 0x06, "quit": 0x07, "flush": 0x08, "getq": 0x09, "noop": 0x0a, "version": 0x0b,
    "getk": 0x0c, "getkq": 0x0d, "append": 0x0e, "prepend": 0x0f, "stat": 0x10, "setq": 0x11,
    "addq": 0x12, "replaceq": 0x13, "deleteq": 0x14, "incrementq": 0x15, "decrementq": 0x16,
    "quitq": 0x17, "flushq": 0x18, "appendq": 0x19, "prependq": 0x1a, "verbosity": 0x1b,
    "touch": 0x1c, "gat": 0x1d, "gatq": 0x1e, "sasl_list": 0x20, "sasl_auth": 0x21,
    "sasl_step": 0x22, "gatk": 0x23, "gatkq": 0x24,
}
OK, NOT_FOUND, EXISTS, TOO_LARGE, INVALID, NOT_STORED, NOT_NUMBER = range(7)
AUTH_ERROR, AUTH_CONTINUE, UNKNOWN, NO_MEMORY = 0x20, 0x21, 0x81, 0x82
TEXTS = {
    NOT_FOUND: b"Not found", EXISTS: b"Data exists for key.", TOO_LARGE: b"Too large.",
    INVALID: b"Invalid arguments", NOT_STORED: b"Not stored.",
    NOT_NUMBER: b"Non-numeric server-side value for incr or decr",
    AUTH_ERROR: b"Auth failure.", UNKNOWN: b"Unknown command", NO_MEMORY: b"Out of memory",
}
NEVER_CREATE = 0xffffffff

Answer = collections.namedtuple("Answer", "opcode status key extras value opaque cas")


def request(opcode, key=b"", value=b"", extras=b"", opaque=0, cas=0, **wrong):
    """One packet.  `wrong` overrides header fields: magic, key_bytes, extras_bytes, body_bytes,
    data_type, reserved."""
    code = OPCODES[opcode] if isinstance(opcode, str) else opcode
    body = extras + key + value
    head = HEADER.pack(wrong.get("magic", 0x80), code, wrong.get("key_bytes", len(key)),
                       wrong.get("extras_bytes", len(extras)), wrong.get("data_type", 0),
                       wrong.get("reserved", 0), wrong.get("body_bytes", len(body)), opaque, cas)
    return head + body


def store(opcode, key, value, flags=0, exptime=0, **more):
    return request(opcode, key, value, struct.pack(">II", flags, exptime), **more)


def arith(opcode, key, delta=1, initial=0, exptime=0, **more):
    return request(opcode, key, extras=struct.pack(">QQI", delta, initial, exptime), **more)


def touch(opcode, key, exptime, **more):
    return request(opcode, key, extras=struct.pack(">I", exptime), **more)


class Binary:
    """Answers of one connection."""

    def __init__(self, conn):
        self.conn = conn

    def close(self):
        self.conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *packets):
        self.conn.send(b"".join(packets))

    def answer(self):
        """The next packet; None at the end of the stream."""
        head = self.conn.take(HEADER.size)
        if not head:
            return None
        assert len(head) == HEADER.size, head
        magic, opcode, key_bytes, extras_bytes, data_type, status, body_bytes, opaque, cas = \
            HEADER.unpack(head)
        assert magic == 0x81 and data_type == 0, head
        body = self.conn.take(body_bytes)
        assert len(body) == body_bytes and key_bytes + extras_bytes <= body_bytes, (head, body[:99])
        return Answer(opcode, status, body[extras_bytes:extras_bytes + key_bytes],
                      body[:extras_bytes], body[extras_bytes + key_bytes:], opaque, cas)

    def ask(self, packet):
        self.send(packet)
        return self.answer()

    def answers(self, *packets):
        """Send packets and a noop; what is answered before the noop's answer (or the end)."""
        self.send(*packets, request("noop", opaque=0x6e6f6f70))
        got = []
        while True:
            answer = self.answer()
            if answer is None or (answer.opcode, answer.opaque) == (0x0a, 0x6e6f6f70):
                return got
            got.append(answer)

    def stats(self, key=b""):
        """A listing as an ordered {name: value} of strings."""
        self.send(request("stat", key))
        rows = {}
        while True:
            answer = self.answer()
            assert answer is not None and answer.status == OK, answer
            if not answer.key:
                assert not answer.value
                return rows
            rows[answer.key.decode()] = answer.value.decode()
