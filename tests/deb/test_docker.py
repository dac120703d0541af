# SPDX-License-Identifier: BSD-3-Clause
"""The Dockerfile, without an engine: its packages exist, its build commands build from the files
that it copies, and its entry point serves in a Debian tree with the packages of its last stage."""

import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from test_deb import PATH, ROOT, base, harness, machine  # noqa: E402,F401

FILE = ROOT / "packaging/docker/Dockerfile"


def instructions():
    """[(stage, word, rest)], with continued lines joined."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.M).replace("\\\n", " ")
    stage, rows = 0, []
    for line in filter(None, text.split("\n")):
        word, rest = line.split(None, 1)
        stage += word == "FROM"
        rows.append((stage, word, re.sub(r"\s+", " ", rest)))
    return rows


def find(word, stage=None):
    return [rest for at, name, rest in instructions()
            if name == word and stage in (None, at)]


def test_packages_exist():
    names = [name for run in find("RUN") if "apt-get install" in run
             for name in re.findall(r"[a-z0-9][a-z0-9.+-]+",
                                    run.split("--no-install-recommends")[1].split("&&")[0])]
    assert "libssl3" in names and "gcc" in names
    for name in names:
        done = subprocess.run(["apt-cache", "show", name], capture_output=True)
        assert done.returncode == 0, name


def test_only_what_is_copied_is_let_through():
    allowed = {line[1:] for line in
               pathlib.Path(f"{FILE}.dockerignore").read_text().splitlines() if line[0] == "!"}
    copied = {name for rest in find("COPY", 1) for name in rest.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder that stands for the build stage's root."""
    root = tmp_path_factory.mktemp("docker")
    for rest in find("COPY", 1):
        *names, where = rest.split()
        for name in names:
            target = root / "src" / (name if where == "./" else where)
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, target)
    command = [run for run in find("RUN", 1) if run.startswith("meson ")][0]
    command = command.replace("/build", f"{root}/build").replace("/out", f"{root}/out")
    done = subprocess.run(["sh", "-ec", command], cwd=root / "src", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return root


def test_it_builds_what_the_last_stage_copies(built):
    sources = re.fullmatch(r"--from=build (.*) /usr/bin/", find("COPY", 2)[0])[1].split()
    for source in sources:
        assert (built / source.lstrip("/")).is_file()


def test_the_entry_point_serves(built, machine):  # noqa: F811
    for name in ("matted", "matte"):
        shutil.copy(built / f"out/usr/bin/{name}", machine.root / "usr/bin")
    useradd = [part for part in find("RUN", 2)[0].split("&&") if "useradd" in part][0]
    machine.run("sh", "-ec", useradd)
    entry = json.loads(find("ENTRYPOINT")[0])
    health = json.loads(re.search(r"CMD (\[.*)", find("HEALTHCHECK")[0])[1])
    port = free_port()
    environment = dict(pair.split("=", 1) for pair in find("ENV")[0].split())
    server = subprocess.Popen(["chroot", f"--userspec={find('USER')[0]}", str(machine.root), *entry,
                               "-p", str(port)], env={**PATH, **environment},
                              stderr=subprocess.PIPE, text=True)
    try:
        harness.until(lambda: "version 1.6.45" in machine.run(
            *health, f"127.0.0.1:{port}", check=False) or server.poll() is not None)
        assert server.poll() is None
        with harness.Conn(("127.0.0.1", port)) as conn:
            assert int(conn.stats(b"settings")["maxbytes"]) > 64 << 20
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
        server.stderr.close()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
