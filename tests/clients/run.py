#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Real clients against the server, unmodified and in text mode.

Each check is a small program in this folder, or a tool of libmemcached; it is skipped when the
client is not installed (`make test-clients` installs them).  Ends with `N passed, N failed`.
MATTE_SERVER names the server (build/release/matted without it).  Debian's dalli is not among them:
its release 3.0 speaks the binary protocol alone."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
os.environ.setdefault("MATTE_SERVER", str(ROOT / "build/release/matted"))
sys.path.insert(0, str(ROOT / "tests/script"))
import harness  # noqa: E402

PYTHON = "/usr/bin/python3"  # Debian's, which sees Debian's packages
TIMEOUT_S = 60

class Skip(Exception):
    """A client is not there."""


def run(*command, **kwargs):
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=TIMEOUT_S,
                          **kwargs)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def need(command):
    path = shutil.which(command)
    if path is None:
        raise Skip(f"{command} is not installed")
    return path


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def program(interpreter, file, server, probe):
    """Run one of our small programs; `probe` tells whether its client library is there."""
    need(interpreter)
    if run(interpreter, *probe)[0] != 0:
        raise Skip(f"{file}: its library is not installed")
    status, output = run(interpreter, HERE / file, server.port)
    check(status == 0 and output.rstrip().endswith("ok"), output)


def python(name, module):
    return lambda server: program(PYTHON, f"{name}.py", server, ["-c", f"import {module}"])


def php(server):
    program("php", "memcached.php", server, ["-r", "exit(class_exists('Memcached') ? 0 : 1);"])


def tool(name, server, *args, status=0):
    got, output = run(need(name), f"--servers=127.0.0.1:{server.port}", *args)
    check(got == status, f"{name} {args}: status {got}: {output}")
    return output


def tools_store_and_read(server):
    """memccp, memccat, memcexist, memctouch, memcrm"""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "poem.txt"
        path.write_text("roses are red\n" * 1000)
        tool("memccp", server, str(path))
        check(tool("memccat", server, "poem.txt").strip() == path.read_text().strip(), "value")
        tool("memcexist", server, "poem.txt")
        tool("memctouch", server, "--expire=100", "poem.txt")
        tool("memcrm", server, "poem.txt")
        tool("memcexist", server, "poem.txt", status=1)


def tools_ask(server):
    """memcping, memcstat, memcflush"""
    tool("memcping", server)
    check("pid" in tool("memcstat", server), "memcstat")
    tool("memcflush", server)


def tools_slap(server):
    """memcslap, a small load"""
    for test in ("set", "get", "mget"):
        tool("memcslap", server, f"--test={test}", "--concurrency=4", "--execute-number=2000")


def tools_aslap(server):
    """memcaslap, a mixed load with its own verification"""
    status, output = run(need("memcaslap"), f"--servers=127.0.0.1:{server.port}", "--threads=1",
                         "--concurrency=16", "--execute_number=20000", "--verify=0.1",
                         "--win_size=1k")
    check(status == 0, output)
    check(re.search(r"verify_failed: 0\b", output), output)


def capable(server, flag, protocol):
    """memccapable: names go to stdout, followed by [pass] unless the test failed"""
    done = subprocess.run([need("memccapable"), "-h", "127.0.0.1", "-p", str(server.port), flag],
                          capture_output=True, timeout=TIMEOUT_S)
    results = re.findall(rf"({protocol} [a-z]+(?: noreply)?)\s*(\[pass\])?", done.stdout.decode())
    failed = {name for name, passed in results if not passed}
    check(len(results) >= 27, done.stdout.decode())
    check(not failed, f"failed: {sorted(failed)}")


def sasl(server):
    """pylibmc and memcstat log in by SASL PLAIN; the server in `server` is not asked"""
    probe = "import pylibmc, sys; sys.exit(0 if pylibmc.support_sasl else 1)"
    with tempfile.NamedTemporaryFile("w", suffix=".users") as users:
        users.write("foo:bar\n")
        users.flush()
        os.chmod(users.name, 0o644)
        with harness.Server("-S", "-Y", users.name) as guarded:
            program(PYTHON, "pylibmc_sasl.py", guarded, ["-c", probe])
            check("pid" in tool("memcstat", guarded, "--binary", "--username=foo",
                                "--password=bar"), "memcstat")
            tool("memcstat", guarded, "--binary", "--username=foo", "--password=no", status=1)


CHECKS = {
    "pymemcache": python("pymemcache_client", "pymemcache"),
    "pylibmc": python("pylibmc_client", "pylibmc"),
    "python-memcached": python("python_memcached_client", "memcache"),
    "php-memcached": php,
    "libmemcached tools": tools_store_and_read,
    "libmemcached asking": tools_ask,
    "memcslap": tools_slap,
    "memcaslap": tools_aslap,
    "memccapable -a": lambda server: capable(server, "-a", "ascii"),
    "memccapable -b": lambda server: capable(server, "-b", "binary"),
    "SASL": sasl,
}


def main():
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for name, run_check in CHECKS.items():
        try:
            with harness.Server() as server:
                run_check(server)
            result, detail = "passed", ""
        except Skip as skip:
            result, detail = "skipped", f": {skip}"
        except (AssertionError, subprocess.TimeoutExpired) as error:
            result, detail = "failed", f"\n{error}"
        count[result] += 1
        print(f"{name:22} {result}{detail}", flush=True)
    print(", ".join(f"{number} {result}" for result, number in count.items()))
    return 1 if count["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
