# SPDX-License-Identifier: BSD-3-Clause
"""SCRAM-SHA-256 as a client speaks it (RFC 5802, RFC 7677), and hashed lines of a file of users.

Knows nothing of the server but its messages: hashlib and hmac do the work.
"""

import base64
import hashlib
import hmac
import os

from binary import AUTH_CONTINUE, OK, request

MECHANISM = b"SCRAM-SHA-256"


def mac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def keys(password, salt, iterations):
    """(client key, stored key, server key)"""
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    client = mac(salted, b"Client Key")
    return client, hashlib.sha256(client).digest(), mac(salted, b"Server Key")


def line(name, password, rights=b"", iterations=4096, salt=None):
    """A hashed line of a file of users, with its end."""
    salt = salt or os.urandom(16)
    _, stored, server = keys(password, salt, iterations)
    b64 = base64.b64encode
    return b"%s:$scram-sha-256$%d:%s$%s:%s%s\n" % (
        name, iterations, b64(salt), b64(stored), b64(server), b" " + rights if rights else b"")


class Login:
    """One attempt: first() to send, final(answer) to send, check(answer) of the server's proof."""

    def __init__(self, name, password, nonce=None, head=b"n,,"):
        self.password = password
        self.head = head
        self.nonce = nonce or base64.b64encode(os.urandom(18))
        escaped = name.replace(b"=", b"=3D").replace(b",", b"=2C")
        self.bare = b"n=" + escaped + b",r=" + self.nonce

    def first(self):
        return self.head + self.bare

    def final(self, answer, channel=None):
        fields = dict(part.split(b"=", 1) for part in answer.split(b","))
        assert fields[b"r"].startswith(self.nonce) and len(fields[b"r"]) > len(self.nonce) + 15
        salt, iterations = base64.b64decode(fields[b"s"]), int(fields[b"i"])
        client, stored, server = keys(self.password, salt, iterations)
        channel = base64.b64encode(self.head) if channel is None else channel
        bare = b"c=" + channel + b",r=" + fields[b"r"]
        text = b",".join([self.bare, answer, bare])
        proof = bytes(a ^ b for a, b in zip(client, mac(stored, text)))
        self.signature = b"v=" + base64.b64encode(mac(server, text))
        return bare + b",p=" + base64.b64encode(proof)


def log_in(client, name, password, **more):
    """Log in by a binary.Binary; true when both sides have proven themselves."""
    login = Login(name, password, **more)
    answer = client.ask(request("sasl_auth", MECHANISM, login.first()))
    if answer.status != AUTH_CONTINUE:
        return False
    answer = client.ask(request("sasl_step", MECHANISM, login.final(answer.value)))
    if answer.status != AUTH_CONTINUE:
        return False
    assert answer.value == login.signature
    answer = client.ask(request("sasl_step", MECHANISM))
    assert (answer.status, answer.value) == (OK, b"Authenticated")
    return True
