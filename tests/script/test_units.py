# SPDX-License-Identifier: BSD-3-Clause
"""The units of systemd: it reads them without a complaint, and finds them hardened."""

import re
import shutil
import subprocess

import pytest

from harness import BINARY, ROOT, is_reference

pytestmark = pytest.mark.skipif(is_reference(BINARY), reason="ours")
UNITS = ROOT / "packaging/systemd"
EXPOSURE_MAX = 2.0  # of 10, as `systemd-analyze security` counts


@pytest.fixture
def units(tmp_path):
    """The units, with a program that exists."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("NOT RUN: there is no systemd-analyze")
    for path in UNITS.iterdir():
        text = path.read_text().replace("@bindir@/matted", "/bin/true")
        (tmp_path / path.name.removesuffix(".in")).write_text(text)
    return tmp_path


def analyze(*words):
    done = subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["matted.service", "matted@one.service", "matted.socket"])
def test_systemd_reads_them(units, name):
    status, said = analyze("verify", "--man=no", units / name)
    # Of our units alone: others of this machine may be complained about.
    assert status == 0 and "matted" not in said, said


@pytest.mark.parametrize("name", ["matted.service", "matted@.service"])
def test_they_are_hardened(units, name):
    status, said = analyze("security", "--offline=true", units / name)
    if "unrecognized option" in said:
        pytest.skip("NOT RUN: this systemd-analyze is too old")
    found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    assert status == 0 and float(found[1]) <= EXPOSURE_MAX, said


def test_the_instance_is_like_the_service():
    """All but the names; a setting that is changed in one is to be changed in both."""
    one = (UNITS / "matted.service.in").read_text()
    many = (UNITS / "matted@.service.in").read_text()
    alike = many.replace(" (%i)", "").replace("matted-%i", "matted")
    assert alike.replace("%i.conf", "matted.conf") == one


def test_the_socket_is_where_the_server_listens_by_default():
    streams = re.findall(r"^ListenStream=(.*)$", (UNITS / "matted.socket").read_text(), re.M)
    default = (ROOT / "packaging/matted.conf").read_text()
    hosts = re.search(r"^listen = (.*)$", default, re.M)[1].split(",")
    assert streams == [f"[{host}]:11211" if ":" in host else f"{host}:11211" for host in hosts]


def test_the_configuration_file_is_accepted():
    path = ROOT / "packaging/matted.conf"
    done = subprocess.run([BINARY, f"--config={path}", "--check-config"], capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == 0, done.stderr
