# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the packet tests: the lab, and servers in it.

They need root, network namespaces, `ip` and `nft`.  Where one is lacking, every test is skipped
and says what is.  MATTE_SERVER names the program under test, as in tests/script; with a server
that knows no return-routable UDP, such as memcached, the tests of what an unproven source may get
fail with the figure, which is what they are for.
"""

import pathlib
import sys

import pytest

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "script")]

import harness  # noqa: E402 pylint: disable=wrong-import-position
import lab  # noqa: E402 pylint: disable=wrong-import-position
import scene  # noqa: E402 pylint: disable=wrong-import-position


@pytest.fixture(scope="session")
def place():
    """The network; one for all tests."""
    try:
        made = lab.Lab()
    except lab.Missing as missing:
        pytest.skip(f"PACKET TESTS NOT RUN: {missing}")
    yield made
    made.close()


class Pool:
    """Servers by their arguments, one at a time; each has keys planted."""

    def __init__(self, place):
        self.place, self.args, self.target = place, None, None

    def get(self, *args):
        """Starts one where another runs; memcached anew each time, for datagrams wedge it."""
        fits = self.target and self.args == args and self.target.server.alive()
        if not fits or self.target.reference:
            self.close()
            self.target = scene.Target(self.place, *scene.open_args(), *args).plant()
            self.args = args
        return self.target

    def close(self):
        target, self.target = self.target, None
        if target:
            target.__exit__(None, None, None)


@pytest.fixture(scope="session")
def pool(place):
    made = Pool(place)
    yield made
    made.close()


@pytest.fixture
def target(pool):
    """A server with the default policy that listens everywhere."""
    return pool.get()


@pytest.fixture
def serves_udp(request):
    """For tests of return-routable UDP and its options."""
    scene.need_ours()
    request.getfixturevalue("pool").get()


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def aim(request):
    return scene.Aim(request.param)


@pytest.fixture
def reference():
    return harness.is_reference(harness.BINARY)


def pytest_report_header():
    return f"server under test: {harness.BINARY} ({harness.answers_version(harness.BINARY)})"
