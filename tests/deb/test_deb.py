# SPDX-License-Identifier: BSD-3-Clause
"""The Debian packages: they install, start, upgrade, are removed and purged in a fresh Debian.

For `make test-deb`, which builds them into build/deb first.  The tree comes from debootstrap, once
(build/deb/tree); each test changes a layer above it.  No systemd runs in it: a stub writes down
what the packages' scripts ask of it.  Needs root, and a mirror for the first time."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/script"))
import harness  # noqa: E402

BUILD = ROOT / "build/deb"
TREE = BUILD / "tree"
PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
INCLUDE = "libssl3,init-system-helpers,systemd-standalone-sysusers"
STUB = """#!/bin/sh
# What changes something is written down; enabling is done, and told of.
wants=/etc/systemd/system/multi-user.target.wants
for unit; do :; done
case "$*" in
*preset*) mkdir -p $wants && ln -sf /lib/systemd/system/$unit $wants/ ;;
*is-enabled*) [ ! -L $wants/$unit ] || echo enabled ;;
*) echo "$*" >>/systemctl.log ;;
esac
"""


def packages(name="*"):
    return sorted(path for path in BUILD.glob(f"{name}_*.deb") if "dbgsym" not in path.name)


def need(name):
    if not shutil.which(name):
        pytest.skip(f"NOT RUN: there is no {name}")


@pytest.fixture(scope="session")
def base():
    if os.geteuid() != 0:
        pytest.skip("NOT RUN: needs root")
    if not packages():
        pytest.skip("NOT RUN: no packages in build/deb; `make test-deb` builds them")
    if not (TREE / "etc/debian_version").exists():
        need("debootstrap")
        done = subprocess.run(["debootstrap", "--variant=minbase", f"--include={INCLUDE}",
                               "bookworm", TREE], capture_output=True, text=True)
        if done.returncode != 0:
            shutil.rmtree(TREE, ignore_errors=True)
            pytest.skip(f"NOT RUN: no tree of Debian can be made: {done.stdout[-300:]}")
    return TREE


class Machine:
    """The tree, with what is changed in it laid over."""

    def __init__(self, base, folder):
        self.root = folder / "root"
        for name in ("root", "upper", "work"):
            (folder / name).mkdir()
        layers = f"lowerdir={base},upperdir={folder}/upper,workdir={folder}/work"
        if subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root],
                          capture_output=True).returncode != 0:
            pytest.skip("NOT RUN: overlayfs cannot be mounted here")
        subprocess.run(["mount", "-t", "proc", "proc", self.root / "proc"], check=True)
        (self.root / "run/systemd/system").mkdir(parents=True)
        stub = self.root / "usr/bin/systemctl"
        stub.write_text(STUB)
        stub.chmod(0o755)

    def end(self):
        for mount in (self.root / "proc", self.root):
            subprocess.run(["umount", mount], check=True)

    def run(self, *words, check=True):
        done = subprocess.run(
            ["chroot", str(self.root), *words], capture_output=True, text=True,
            env={**PATH, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"})
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def install(self, *debs, check=True):
        for deb in debs:
            shutil.copy(deb, self.root / "tmp")
        return self.run("dpkg", "-i", *[f"/tmp/{deb.name}" for deb in debs], check=check)

    def asked(self):
        """What systemctl was asked for since the last time, but for questions."""
        log = self.root / "systemctl.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        words = [[word for word in line.split() if not word.startswith("--")] for line in lines]
        return [" ".join(some) for some in words if some[0] != "is-active"]

    def has(self, path):
        return (self.root / path.lstrip("/")).exists()

    def text(self, path):
        return (self.root / path.lstrip("/")).read_text()


@pytest.fixture
def machine(base, tmp_path):
    made = Machine(base, tmp_path)
    yield made
    made.end()


def unit_value(machine, name):
    return re.search(rf"^{name}=(.*)$", machine.text("/lib/systemd/system/matted.service"), re.M)[1]


class Started:
    """The server as the unit starts it, but on a free port."""

    def __init__(self, machine):
        user = unit_value(machine, "User")
        start = unit_value(machine, "ExecStart")
        (machine.root / "port").mkdir(mode=0o777, exist_ok=True)
        (machine.root / "port").chmod(0o777)
        self.port_file = machine.root / "port/file"
        self.port_file.unlink(missing_ok=True)
        script = f"exec {start} -p -1"
        self.process = subprocess.Popen(
            ["chroot", f"--userspec={user}:{user}", str(machine.root), "/bin/sh", "-c", script],
            env={**PATH, "MEMCACHED_PORT_FILENAME": "/port/file"}, stderr=subprocess.PIPE,
            text=True)
        harness.until(lambda: self.port_file.exists() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise AssertionError(self.process.stderr.read())
        self.port = int(self.port_file.read_text().split()[2])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        self.process.stderr.close()


def serves(machine):
    with Started(machine) as server, harness.Conn(("127.0.0.1", server.port)) as conn:
        conn.set(b"a", b"b")
        assert conn.get(b"a") == b"b"
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        uid = re.search(r"^Uid:\s+(\d+)", status, re.M)[1]
        assert uid == machine.run("id", "-u", "matte").strip() != "0"


def newer(deb, folder, version):
    """The same package, under another version."""
    unpacked = folder / f"{deb.name}-{version}"
    subprocess.run(["dpkg-deb", "-R", deb, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(),
                              flags=re.M))
    made = folder / f"{deb.name.split('_')[0]}_{version}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", unpacked, made], check=True,
                   capture_output=True)
    return made


# ── life ───────────────────────────────────────────────────────────────────────────────────────

def test_install_start_remove_purge(machine):
    machine.install(*packages())
    assert re.search(r"^matte:.*/usr/sbin/nologin$", machine.text("/etc/passwd"), re.M)
    asked = machine.asked()
    assert "daemon-reload" in asked and "start matted.service" in asked
    assert not [line for line in asked if "socket" in line]
    units = machine.root / "etc/systemd/system"
    assert (units / "multi-user.target.wants/matted.service").is_symlink()
    assert not (units / "sockets.target.wants/matted.socket").is_symlink()
    serves(machine)
    (machine.root / "var/log/matted").mkdir()
    machine.run("dpkg", "-r", "matted", "matte-tools", "matte-dev")
    assert "stop matted.service" in machine.asked()
    assert not machine.has("/usr/bin/matted") and not machine.has("/usr/bin/matte")
    assert machine.has("/etc/matte/matted.conf")
    machine.run("dpkg", "-P", "matted", "matte-tools", "matte-dev")
    left = machine.run("sh", "-c", "find / -xdev -path /tmp -prune -o -path /port -prune -o -path "
                       "/proc -prune -o -name '*matte*' -print | grep -v systemctl.log || true")
    assert left == ""
    machine.install(*packages("matted"))  # and again
    serves(machine)


def test_upgrade_keeps_what_was_configured(machine, tmp_path):
    machine.install(*packages("matted"))
    default = machine.root / "etc/matte/matted.conf"
    default.write_text(default.read_text().replace("memory-limit = 64", "memory-limit = 96"))
    machine.asked()
    machine.install(newer(packages("matted")[0], tmp_path, "9.0"))
    asked = machine.asked()
    assert "restart matted.service" in asked
    assert not [line for line in asked if line.startswith(("stop", "disable"))], asked
    with Started(machine) as server, harness.Conn(("127.0.0.1", server.port)) as conn:
        assert conn.stats(b"settings")["maxbytes"] == str(96 << 20)


def test_tools_work_alone(machine):
    machine.install(*packages("matte-tools"))
    assert "matte" in machine.run("matte", "--version")
    machine.run("sh", "-c", "echo secret | matte passwd --stdin /tmp/users anna")
    assert machine.text("/tmp/users").startswith("anna:$scram-sha-256$")
    assert not re.search(r"^matte:", machine.text("/etc/passwd"), re.M)


def test_a_disabled_service_stays_disabled(machine, tmp_path):
    machine.install(*packages("matted"))
    machine.run("env", "DPKG_MAINTSCRIPT_PACKAGE=matted", "deb-systemd-helper", "disable",
                "matted.service")
    link = machine.root / "etc/systemd/system/multi-user.target.wants/matted.service"
    assert not link.is_symlink()
    machine.install(newer(packages("matted")[0], tmp_path, "9.0"))
    assert not link.is_symlink()


# ── what is in them ────────────────────────────────────────────────────────────────────────────

def contents(name):
    listing = subprocess.run(["dpkg-deb", "-c", packages(name)[0]], capture_output=True, text=True,
                             check=True).stdout
    return {line.split()[5].lstrip(".") for line in listing.splitlines()}


def test_contents():
    if not packages():
        pytest.skip("NOT RUN: no packages in build/deb; `make test-deb` builds them")
    server, tools = contents("matted"), contents("matte-tools")
    for path in ("/usr/bin/matted", "/lib/systemd/system/matted.service",
                 "/lib/systemd/system/matted@.service", "/lib/systemd/system/matted.socket",
                 "/usr/share/man/man8/matted.8.gz", "/etc/matte/matted.conf",
                 "/usr/lib/sysusers.d/matte.conf", "/etc/logrotate.d/matted"):
        assert path in server
    assert {"/usr/bin/matte", "/usr/share/man/man1/matte.1.gz"} <= tools
    assert "/usr/include/matte/rr.h" in contents("matte-dev")


def test_versions_agree():
    ours = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text())[1]
    first = (ROOT / "packaging/debian/changelog").read_text().split("\n")[0]
    assert f"({ours})" in first


def test_lintian_finds_nothing():
    need("lintian")
    changes = sorted(BUILD.glob("*.changes"))
    if not changes:
        pytest.skip("NOT RUN: no packages in build/deb; `make test-deb` builds them")
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", changes[-1]],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
