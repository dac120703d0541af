# SPDX-License-Identifier: BSD-3-Clause
"""The operator's program `matte`: single items, on our server and on memcached."""

import json

import pytest

from cli import Stranger, matte
from harness import BINARY, PEER, Server, answers_version, is_reference

SERVERS = {"ours": BINARY, "memcached": PEER}


@pytest.fixture(scope="module", params=list(SERVERS))
def to(request):
    """The option that names the server."""
    binary = SERVERS[request.param]
    if not answers_version(binary):
        pytest.skip(f"no {binary}")
    with Server(binary=binary) as server:
        yield f"--server=127.0.0.1:{server.port}"


@pytest.fixture
def key(request):
    return "items:" + request.node.name.split("[")[0]


def test_add_and_replace(to, key):
    code, out, errors = matte("replace", to, key, "a")
    assert (code, out) == (1, b"") and b"is not there" in errors
    assert matte("add", to, key, "a", "-f", 9) == (0, b"", b"")
    code, out, errors = matte("add", to, key, "b")
    assert (code, out) == (1, b"") and b"is there" in errors
    assert matte("replace", to, key, stdin=b"\0c\r\n") == (0, b"", b"")
    assert matte("get", to, key)[1] == b"\0c\r\n"
    assert matte("add", to, key, "b", "--json") == (1, b'{"stored":false}\n', b"")
    assert matte("replace", to, key, "b", "--json") == (0, b'{"stored":true}\n', b"")


def test_append_and_prepend(to, key):
    assert matte("append", to, key, "a")[0] == 1
    assert matte("set", to, key, "b", "-f", 3)[0] == 0
    assert matte("append", to, key, "c")[0] == 0
    assert matte("prepend", to, key, stdin=b"a")[0] == 0
    assert matte("get", to, key, "--json")[1].startswith(
        b'{"items":[{"key":"%s","flags":3,"value":"abc"}' % key.encode())
    assert matte("append", to, key, "c", "--flags=1")[0] == 64


def test_gets_and_cas(to, key):
    assert matte("cas", to, key, 1, "a")[::2] == (1, b"matte: not stored: the key is not there\n")
    assert matte("set", to, key, "a")[0] == 0
    code, out, _ = matte("gets", to, key)
    head, value, rest = out.split(b"\n")
    words = head.split()
    assert code == 0 and words[:4] == [b"VALUE", key.encode(), b"0", b"1"] and value == b"a"
    assert rest == b""
    unique = words[4].decode()
    assert json.loads(matte("gets", to, key, "--json")[1])["items"][0]["cas"] == int(unique)
    assert matte("cas", to, key, unique, "b", "-f", 2) == (0, b"", b"")
    code, _, errors = matte("cas", to, key, unique, stdin=b"c")
    assert code == 1 and b"not the one" in errors
    assert matte("get", to, key)[1] == b"b"
    code, _, errors = matte("cas", to, key, "x", "c")
    assert code == 64 and b"not a number" in errors


def test_touch_and_gat(to, key):
    assert matte("touch", to, key, 10)[0] == 1
    assert matte("gat", to, 10, key)[0] == 1
    assert matte("set", to, key, "a")[0] == 0
    assert matte("touch", to, key, 100) == (0, b"", b"")
    assert matte("gat", to, 100, key) == (0, b"a", b"")
    assert matte("gat", to, 100, key, "no")[:2] == (
        1, b"VALUE %s 0 1\na\n" % key.encode())
    assert matte("touch", to, key, -1, "--")[0] == 64  # -1 is read as an option
    assert matte("touch", to, "--", key, -1)[0] == 0
    assert matte("get", to, key)[0] == 1
    for words in (("touch", key, "x"), ("gat", "x", key), ("touch", key, 2**32)):
        code, _, errors = matte(words[0], to, *words[1:])
        assert code == 64 and b"is not a lifetime" in errors


def test_incr_and_decr(to, key):
    assert matte("incr", to, key)[:2] == (1, b"")
    assert matte("incr", to, key, "--json")[:2] == (1, b'{"value":null}\n')
    assert matte("set", to, key, "99")[0] == 0
    assert matte("incr", to, key) == (0, b"100\n", b"")
    assert matte("decr", to, key, 58) == (0, b"42\n", b"")
    assert matte("decr", to, key, 2**64 - 1, "--json") == (0, b'{"value":0}\n', b"")
    assert matte("incr", to, key, "x")[0] == 64
    assert matte("set", to, key, "x")[0] == 0
    code, _, errors = matte("incr", to, key)
    assert code == 1 and b"non-numeric" in errors


def test_flush(to, key):
    assert matte("set", to, key, "a")[0] == 0
    assert matte("flush", to, 1000) == (0, b"", b"")
    assert matte("get", to, key)[0] == 0
    assert matte("flush", to, "--json") == (0, b'{"flushed":true}\n', b"")
    assert matte("get", to, key)[0] == 1
    assert matte("flush", to, "x")[0] == 64


def test_delete_prefix_of_a_server_that_does_not_know_it():
    with Stranger(b"ERROR\r\n") as stranger:
        code, out, errors = matte("delete-prefix", "-s", f"127.0.0.1:{stranger.port}", "a:")
    assert (code, out) == (1, b"") and b"does not know delete_prefix" in errors


@pytest.mark.skipif(is_reference(BINARY), reason="memcached has no delete_prefix")
def test_delete_prefix():
    with Server() as server:
        to = f"--server=127.0.0.1:{server.port}"
        for key in ("a:1", "a:2", "b:1"):
            assert matte("set", to, key, "v")[0] == 0
        assert matte("delete-prefix", to, "a:") == (0, b"", b"")
        assert matte("get", to, "a:1", "a:2", "b:1")[1] == b"VALUE b:1 0 1\nv\n"
        assert matte("delete-prefix", to, "b:", "--json") == (0, b'{"deleted":true}\n', b"")
