# SPDX-License-Identifier: BSD-3-Clause
"""The operator's program `matte`: what shells complete, by the shells themselves."""

import shutil
import subprocess

import pytest

from cli import matte
from terminal import Terminal


def script(tmp_path, shell, name):
    code, out, errors = matte("completion", shell)
    assert (code, errors) == (0, b"")
    path = tmp_path / name
    path.write_bytes(out)
    return path


def run(shell, *words):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}: tools/install-deps test brings it")
    done = subprocess.run([shell, *words], capture_output=True, timeout=60)
    assert done.stderr == b"" and done.returncode == 0, done.stderr
    return done.stdout.decode().split()


def test_bash(tmp_path):
    path = script(tmp_path, "bash", "matte")
    (tmp_path / "data").write_text("")

    def complete(*words):
        text = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _matte; ' \
            'echo "${COMPREPLY[@]}"'
        return run("bash", "-c", text, "bash", str(path), "matte", *words)
    assert complete("del") == ["delete", "delete-prefix"]
    assert complete("keys", "--m") == ["--min-size=", "--max-size="]
    assert complete("help", "drai") == ["drain"]
    assert complete("config", "") == ["get", "set", "reload"]
    assert complete("get", "k") == []
    data = str(tmp_path / "da")
    assert complete("dump", data) == [data + "ta"]
    assert complete("get", "--ca", "=", data) == [data + "ta"]
    assert complete("get", "--user", "=", data) == []


def test_fish(tmp_path):
    path = script(tmp_path, "fish", "matte.fish")

    def complete(line):
        if shutil.which("fish") is None:
            pytest.skip("no fish: tools/install-deps test brings it")
        done = subprocess.run(["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"],
                              capture_output=True, timeout=60)
        return [row.split("\t")[0] for row in done.stdout.decode().splitlines()]
    assert complete("matte del") == ["delete", "delete-prefix"]
    assert sorted(complete("matte keys --m")) == ["--max-size", "--min-size"] or \
        sorted(complete("matte keys --m")) == ["--max-size=", "--min-size="]
    assert sorted(complete("matte config ")) == ["get", "reload", "set"]
    assert complete("matte completion f") == ["fish"]


def test_zsh(tmp_path):
    """In a real zsh on a terminal: its completion cannot be asked otherwise."""
    path = script(tmp_path, "zsh", "_matte")
    run("zsh", "-n", str(path))
    with Terminal("zsh", "-f") as terminal:
        terminal.expect("\x1b[?2004h")  # it reads keys now
        terminal.send(f"autoload -U compinit; compinit -D -u; source {path}; echo re''ady\r")
        terminal.expect("ready")
        terminal.send("matte keys --min\t")
        terminal.expect("--min-size")
        terminal.send("\x15matte config rel\t")
        terminal.expect("config reload")
        terminal.send("\x15matte del\t\t")
        terminal.expect("delete-prefix")


def test_usage():
    assert matte("completion", "tcsh")[0] == 64
