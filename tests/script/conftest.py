# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the black-box tests.  MATTE_SERVER names the program under test."""

import pytest

import harness


class Pool:
    """Servers by their arguments; each starts when first asked for and ends with the session."""

    def __init__(self):
        self.servers = {}
        self.barriers = {}

    def get(self, *args):
        if args not in self.servers or not self.servers[args].alive():
            self.servers[args] = harness.Server(*args)
            self.barriers.pop(args, None)
        return self.servers[args]

    def barrier(self, *args):
        server = self.get(*args)
        if args not in self.barriers:
            self.barriers[args] = harness.Barrier(server)
        return self.barriers[args]

    def close(self):
        for barrier in self.barriers.values():
            barrier.close()
        for server in self.servers.values():
            server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def pool():
    pool = Pool()
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def reference():
    """True when the server under test is Debian's memcached."""
    return harness.is_reference(harness.BINARY)


@pytest.fixture
def server(pool):
    """A shared server with one worker; tests use keys of their own."""
    return pool.get("-t", "1")


@pytest.fixture
def conn(server):
    with server.connect() as conn:
        yield conn


def pytest_report_header():
    return f"server under test: {harness.BINARY} ({harness.answers_version(harness.BINARY)})"
