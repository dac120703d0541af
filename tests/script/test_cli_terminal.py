# SPDX-License-Identifier: BSD-3-Clause
"""The operator's program `matte` on a terminal: top and the prompt."""

import json
import os
import signal
import socket

import pytest

from cli import Stranger, matte
from fake import Fake, listing
from harness import BINARY, CLI, PEER, Server, answers_version, is_sanitized
from terminal import Terminal


@pytest.fixture(scope="module", params=[BINARY, PEER], ids=["ours", "memcached"])
def server(request):
    if not answers_version(request.param):
        pytest.skip("no memcached")
    with Server(binary=request.param) as one:
        yield one


@pytest.fixture
def where(server):
    return f"127.0.0.1:{server.port}"


def gone():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


# ── top ─────────────────────────────────────────────────────────────────────────────────────────


def test_top_once(where):
    code, out, errors = matte("top", where, "--once", "-i0.1")
    assert (code, errors) == (0, b"")
    lines = out.decode().splitlines()
    assert b"\x1b" not in out and max(len(line) for line in lines) <= 80
    titles = [line[2:15].strip() for line in lines[3:11]]
    assert titles == ["ops/s", "hit ratio", "answers in", "memory", "evictions/s", "connections",
                      "in/s", "out/s"] or titles[2] == "p50 / p99"
    assert "of 64.0 MiB" in out.decode()


def test_top_of_several(where):
    down = gone()
    code, out, _ = matte("top", where, down, "--once", "-i0.1")
    lines = out.decode().splitlines()
    assert code == 2 and lines[2].startswith(where) and lines[3].startswith(down)
    assert "refused" in lines[3] and len(lines) == 4
    told = json.loads(matte("top", where, down, "--once", "-i0.1", "--json")[1])
    assert [row["up"] for row in told] == [True, False]
    assert told[0]["limit_bytes"] == 64 << 20 and "refused" in told[1]["fault"]


def test_top_counts():
    """Rates come from what is counted between two looks."""
    state = {"n": 0}

    def stats():
        state["n"] += 1
        n = state["n"]
        return listing(("version", "9"), ("cmd_get", n * 1000), ("get_hits", n * 900),
                       ("get_misses", n * 100), ("evictions", n * 10), ("bytes", 1 << 20),
                       ("limit_maxbytes", 2 << 20), ("curr_connections", 3), ("uptime", 90061))
    latency = listing(("get:count", 5), ("get:p50_us", "12.0"), ("get:p99_us", "345.0"),
                      ("store:count", 4), ("store:p99_us", "1.0"))
    hot = listing(("hot_key:1:key", "\x1b[31muser"), ("hot_key:1:ops_per_s", 77),
                  ("hot_key:1:share", "0.5"))
    answers = {b"stats": stats, b"stats latency": latency, b"stats hotkeys": hot}
    with Fake(answers) as fake:
        told = json.loads(matte("top", fake.to, "--once", "--json", "-i0.5")[1])[0]
        assert 1000 < told["ops_per_s"] <= 2010 and told["hit_ratio"] == 0.9
        assert 10 < told["evictions_per_s"] <= 20.1
        assert (told["p50_us"], told["p99_us"], told["times_are"]) == (12.0, 345.0, "server")
        out = matte("top", fake.to, "--once", "-i0.1")[1].decode()
        assert "12.0 us / 345 us" in out and "90.0 %" in out and "1 d 1 h" in out
        assert "\x1b" not in out and "\\x1b[31muser" in out
        state["n"] = -10  # as `stats reset` does: no rate below zero
    with Fake({}) as fake:
        told = json.loads(matte("top", fake.to, "--once", "--json", "-i0.1")[1])[0]
        assert told["up"] is False and "does not know" in told["fault"]


def test_top_live(where):
    with Terminal(CLI, "top", "-i0.1", where, env={"NO_COLOR": "1"}) as terminal:
        terminal.expect("\x1b[?1049h")
        terminal.expect("ops/s")
        assert not terminal.is_cooked()
        for i in range(20):
            assert matte("set", "-s", where, "k", "v" * i)[0] == 0
        terminal.expect("█")
        terminal.resize(60, 5)
        for _ in range(20):  # frames of the old size may be on their way
            if terminal.expect("\x1b[J").count("\n") <= 4:
                break
        assert terminal.expect("\x1b[J").count("\n") <= 4
        terminal.send("q")
        assert terminal.end() == 0
        assert terminal.text.endswith("\x1b[?25h\x1b[?1049l") and terminal.is_cooked()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSEGV,
                                 "\x03"])
def test_top_gives_the_terminal_back(where, how):
    if how == signal.SIGSEGV and is_sanitized(CLI):
        pytest.skip("the sanitizer takes this signal for itself")
    with Terminal(CLI, "top", "-i0.1", where) as terminal:
        terminal.expect("\x1b[?1049h")
        terminal.expect("memory")
        if isinstance(how, str):
            terminal.send(how)
        else:
            terminal.kill(how)
        status = terminal.end()
        assert status == (0 if isinstance(how, str) else -how)
        assert "\x1b[?25h\x1b[?1049l" in terminal.text
        assert terminal.is_cooked()


def test_top_stops_and_goes_on(where):
    """Below a shell, for nobody else would let it go on."""
    with Terminal("bash", "--norc", "-i", env={"PS1": "ready> "}) as terminal:
        terminal.expect("ready> ")
        terminal.send(f"{CLI} top -i0.1 {where}\r")
        terminal.expect("memory")
        terminal.send("\x1a")
        terminal.expect("\x1b[?1049l")
        terminal.expect("Stopped")
        terminal.expect("ready> ")
        terminal.send("fg\r")
        terminal.expect("\x1b[?1049h")
        terminal.expect("memory")
        terminal.send("q")
        terminal.expect("\x1b[?1049l")
        terminal.expect("ready> ")


def test_top_of_a_server_that_comes_and_goes():
    with Terminal(CLI, "top", "-i0.1", gone()) as terminal:
        terminal.expect("refused")
        terminal.send("q")
        assert terminal.end() == 0
    with Stranger(b"", 0) as silent:
        told = json.loads(matte("top", f"127.0.0.1:{silent.port}", "-t0.2", "--once", "--json",
                                "-i0.1")[1])
        assert told[0]["up"] is False
    code, _, errors = matte("top", "127.0.0.1")
    assert code == 64 and b"--once" in errors
    assert matte("top", "a", "-s", "b", "--once")[0] == 64


# ── the prompt ──────────────────────────────────────────────────────────────────────────────────


READY = "> \x1b[K\r"  # an empty line is drawn


@pytest.fixture
def prompt(where, tmp_path):
    with Terminal(CLI, "-s", where, env={"XDG_STATE_HOME": str(tmp_path)}) as terminal:
        terminal.expect("Ctrl-D leaves")
        terminal.expect(f"{where}{READY}")
        yield terminal


def say(terminal, line, *answers):
    terminal.send(line + "\r")
    for answer in answers:
        terminal.expect(answer)
    terminal.expect(READY)


def test_prompt(prompt, tmp_path):
    say(prompt, 'set "a" \'b c\'')
    say(prompt, "get a", "\r\nb c\r\n")
    say(prompt, "mg a v t", "VA 3 t-1", "b c")
    prompt.send("set raw 0 0 6\r")
    prompt.expect("value> ")
    say(prompt, "secret", "STORED")
    say(prompt, "get raw", "secret")
    say(prompt, "frobnicate", "ERROR")
    say(prompt, "get", "something is missing")
    say(prompt, "shell", "this is the shell")
    say(prompt, "'open", "a quote has no end")
    say(prompt, "raw get a", "VALUE a 0 3", "b c", "END")
    say(prompt, " get hidden", "not found")
    say(prompt, "mg none v q")
    say(prompt, "help keys", "usage: matte keys")
    say(prompt, "help", "raw LINE")
    prompt.send("\x04")
    assert prompt.end() == 0 and prompt.is_cooked()
    path = tmp_path / "matte" / "history"
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    lines = path.read_text().splitlines()
    assert lines[:4] == ['set "a" \'b c\'', "get a", "mg a v t", "set raw 0 0 6"]
    assert "secret" not in lines and not any("hidden" in line for line in lines)


def test_prompt_keys(prompt):
    prompt.send("gxet zkk\x01\x1b[C\x1b[3~\x05\x7f\x7f")  # home, right, delete, end, backspace
    prompt.send("\r")
    prompt.expect("get z\x1b")
    prompt.expect("not found")
    prompt.expect(READY)
    prompt.send("\x1b[A\x17other\r")  # the line before, without its last word
    prompt.expect("get other")
    prompt.expect(READY)
    prompt.send("delete-p\t")
    prompt.expect("delete-prefix ")
    prompt.send("\x15dr\t")
    prompt.expect("drain ")
    prompt.send("\x15some text\x03")  # Ctrl-C empties the line
    prompt.send("exit\r")
    assert prompt.end() == 0


def test_prompt_watch(prompt, where):
    prompt.send("watch mutations\r")
    prompt.expect("OK")
    assert matte("set", "-s", where, "watched", "1")[0] == 0
    prompt.expect("key=watched")
    prompt.send("\r")
    prompt.expect(READY)
    say(prompt, "mn", "MN")


def test_prompt_history_stays(where, tmp_path):
    env = {"XDG_STATE_HOME": str(tmp_path)}
    for line in ("get first", "get second"):
        with Terminal(CLI, "shell", where, env=env) as terminal:
            terminal.expect("> ")
            say(terminal, line, "not found")
    with Terminal(CLI, "shell", where, env=env) as terminal:
        terminal.expect("> ")
        terminal.send("\x1b[A\x1b[A\r")
        terminal.expect("get first\x1b[K")
        terminal.expect("not found")
    with Terminal(CLI, "shell", where, env={"XDG_STATE_HOME": "/proc/none"}) as terminal:
        terminal.expect("> ")  # nowhere to remember: no fault
        say(terminal, "get first", "not found")


def test_prompt_survives_the_server(tmp_path):
    server = Server()
    where = f"127.0.0.1:{server.port}"
    with Terminal(CLI, "shell", where, env={"XDG_STATE_HOME": str(tmp_path)}) as terminal:
        terminal.expect("> ")
        say(terminal, "mn", "MN")
        server.stop()
        say(terminal, "mn", "closed")
        say(terminal, "mn", "refused")
        terminal.kill(signal.SIGTERM)
        assert terminal.end() == -signal.SIGTERM and terminal.is_cooked()


def test_lines_without_a_terminal(where):
    script = b"# a comment\n\nset a b\nget a\nset r 0 0 2\nhi\nget r\nmn\n"
    code, out, errors = matte("shell", where, stdin=script)
    assert (code, out, errors) == (0, b"b\nSTORED\nhi\nMN\n", b"")
    code, out, errors = matte("shell", where, stdin=b"get none\nget a\n")
    assert (code, out) == (1, b"b\n") and b"not found" in errors
    code, out, errors = matte("shell", where, stdin=b"set r 0 0 2\nlong\nget a")
    assert code == 2 and out == b"b\n" and b"4 bytes, not 2" in errors
    assert matte("shell", where, stdin=b"exit\nget none\n")[0] == 0
    assert matte(stdin=b"")[0] == 64
    with Stranger(b"VALUE k 0 5\r\n\x1b[2Ja\r\nEND\r\n") as stranger:
        out = matte("shell", f"127.0.0.1:{stranger.port}", stdin=b"raw get k\n")[1]
        assert out == b"VALUE k 0 5\n\\x1b[2Ja\nEND\n"


def test_long_history_is_cut(where, tmp_path):
    path = tmp_path / "matte" / "history"
    path.parent.mkdir(mode=0o700)
    path.write_text("".join(f"get {'k' * 1000}{i}\n" for i in range(3000)) + "\x1b[2J\n")
    with Terminal(CLI, "shell", where, env={"XDG_STATE_HOME": str(tmp_path)}) as terminal:
        terminal.expect("> ")
        lines = path.read_text().splitlines()
        assert len(lines) == 1000 and lines[-1].endswith("2999")
        assert os.stat(path).st_mode & 0o777 == 0o600
