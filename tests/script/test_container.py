# SPDX-License-Identifier: BSD-3-Clause
"""-m auto, and the warning at the start: a server in a control group with a memory limit.

A group of our own is made for that below the one that we are in; that needs root and a hierarchy
that may be written."""

import os
import pathlib
import re
import subprocess

import pytest

import harness
from harness import BINARY, Server, is_reference

pytestmark = pytest.mark.skipif(is_reference(BINARY), reason="memcached knows none of this")
MIB = 1 << 20


def hierarchies():
    """(folder of our group, name of the file with the limit), as far as they can be found."""
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        kind, limit = (("cgroup2", "memory.max") if controllers == "" else
                       ("cgroup", "memory.limit_in_bytes"))
        if controllers and "memory" not in controllers.split(","):
            continue
        for mount in mounts:
            head, _, tail = mount.partition(" - ")
            if tail.split()[0] == kind and (not controllers or
                                            "memory" in tail.split()[2].split(",")):
                point = pathlib.Path(head.split()[4])
                inside = point / path.lstrip("/")
                yield (inside if inside.is_dir() else point), limit


@pytest.fixture
def group():
    """A function that makes a group with that limit, and returns its file of processes."""
    made = []

    def make(limit_bytes, inner=False):
        for folder, limit in hierarchies():
            new = folder / f"matte-test-{os.getpid()}"
            try:
                new.mkdir()
                made.append(new)
                (new / limit).write_text(str(limit_bytes))
                if inner:
                    new = new / "inner"
                    new.mkdir()
                    made.append(new)
                return new / "cgroup.procs"
            except OSError:
                continue
        pytest.skip("NOT RUN: no control group with a memory limit can be made here")
    yield make
    for folder in reversed(made):
        harness.until(lambda folder=folder: not (folder / "cgroup.procs").read_text())
        folder.rmdir()


class Confined(Server):
    """A server that starts in a control group."""

    def __init__(self, procs, *args):
        self.procs = procs
        script = f'echo $$ > {procs} && exec {BINARY} "$@"'
        self.script = pathlib.Path(f"/tmp/matte-test-{os.getpid()}.sh")
        self.script.write_text(f"#!/bin/sh\n{script}\n")
        self.script.chmod(0o755)
        super().__init__(*args, binary=str(self.script))

    def __exit__(self, *args):
        self.script.unlink()
        super().__exit__(*args)


def maxbytes(server):
    with server.connect() as conn:
        return int(conn.stats(b"settings")["maxbytes"])


def test_auto_is_a_share_of_the_limit(group):
    with Confined(group(512 * MIB), "-m", "auto") as server:
        assert maxbytes(server) == 336 * MIB
        assert "warning" not in server.errors()


def test_limits_of_groups_above_count(group):
    with Confined(group(512 * MIB, inner=True), "-m", "auto", "-c", "16") as server:
        assert maxbytes(server) == 351 * MIB


def test_the_default_stays_what_it_is(group):
    with Confined(group(512 * MIB)) as server:
        assert maxbytes(server) == 64 * MIB


def test_more_than_the_limit_is_warned_of(group):
    procs = group(512 * MIB)
    with Confined(procs, "-m", "1024") as server:
        assert "warning: -m 1024 MiB" in server.errors() and "512 MiB" in server.errors()
    with Confined(procs, "-m", "490") as server:
        assert "warning" not in server.errors()


def test_without_a_limit_it_is_a_share_of_the_machine():
    total = int(re.search(r"MemTotal:\s+(\d+) kB",
                          pathlib.Path("/proc/meminfo").read_text())[1]) * 1024
    with Server("-m", "auto") as server:
        assert total / 8 < maxbytes(server) < total


@pytest.mark.parametrize("text", ["Auto", "automatic", "auto1", ""])
def test_other_words_are_refused(text):
    done = subprocess.run([BINARY, "-m", text], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "or auto" in done.stderr
