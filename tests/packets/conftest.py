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


@pytest.fixture(scope="module")
def target(place):
    """A server with the default policy that listens everywhere, with keys planted."""
    with scene.Target(place, *scene.open_args()) as made:
        yield made.plant()


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def aim(request):
    return scene.Aim(request.param)


@pytest.fixture
def reference():
    return harness.is_reference(harness.BINARY)


def pytest_report_header():
    return f"server under test: {harness.BINARY} ({harness.answers_version(harness.BINARY)})"
