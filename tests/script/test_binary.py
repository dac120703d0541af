# SPDX-License-Identifier: BSD-3-Clause
"""The binary protocol against a server: what each opcode answers, what is malformed, large values,
packets cut anywhere, the choice of the protocol."""

import random
import struct

import pytest

import harness
from binary import (EXISTS, INVALID, NEVER_CREATE, NOT_FOUND, NOT_NUMBER, NOT_STORED, OK, OPCODES,
                    TEXTS, TOO_LARGE, UNKNOWN, Answer, Binary, arith, request, store, touch)


@pytest.fixture(scope="module")
def shared():
    with harness.Server("-t", "2") as server:
        yield server


@pytest.fixture
def client(shared):
    with Binary(shared.connect()) as client:
        yield client


def key_of(test):
    return b"k." + test.encode()


def test_store_and_get(client):
    stored = client.ask(store("set", b"a", b"value", flags=7, opaque=99))
    assert stored._replace(cas=0) == Answer(0x01, OK, b"", b"", b"", 99, 0) and stored.cas > 0
    got = client.ask(request("get", b"a", opaque=1))
    assert got == Answer(0x00, OK, b"", struct.pack(">I", 7), b"value", 1, stored.cas)
    got = client.ask(request("getk", b"a"))
    assert got == Answer(0x0c, OK, b"a", struct.pack(">I", 7), b"value", 0, stored.cas)


def test_quiet_get_tells_hits_only(client):
    client.ask(store("set", b"q", b"1"))
    answers = client.answers(request("getq", b"none"), request("getq", b"q", opaque=1),
                             request("getkq", b"none"), request("getkq", b"q", opaque=2))
    assert [(a.opcode, a.opaque, a.key, a.value) for a in answers] == [
        (OPCODES["getq"], 1, b"", b"1"), (OPCODES["getkq"], 2, b"q", b"1")]


def test_miss_tells_the_text_or_the_key(client):
    assert client.ask(request("get", b"miss"))[1:5] == (NOT_FOUND, b"", b"", b"Not found")
    assert client.ask(request("getk", b"miss"))[1:5] == (NOT_FOUND, b"miss", b"", b"")
