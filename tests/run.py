#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run the tests: tests/run.py [SUITE...] (all without a name; --list shows them).

Each suite prints one line with its time and counts, and the output of what failed. The last line is
`N passed, N failed`, followed by `, N skipped` when something was. Exit status: 0 when nothing
failed.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
TREES = ["release", "debug", "asan", "tsan", "fuzz"]
PYTHON = "/usr/bin/python3"  # Debian's, which has pytest; another one may be first in PATH
TIMEOUT_S = 1200  # of one program; a hang must end before CI's patience does
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
    "CMOCKA_MESSAGE_OUTPUT": "TAP",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclasses.dataclass
class Result:
    """Counts of a suite or of one program in it; `output` is shown when something failed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    output: str = ""

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.output += other.output if other.failed else ""

    def __str__(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def fixed_addresses():
    """Old sanitizers cannot live with wide address randomisation: switch it off if we may."""
    command = ["setarch", "-R"]
    try:
        subprocess.run(command + ["true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return command


FIXED = fixed_addresses()


def run(command, **environment):
    """Run a program; return (exit status, output). One that hangs is ended with its children."""
    process = subprocess.Popen(
        [str(word) for word in command], cwd=ROOT, env={**os.environ, **ENVIRONMENT, **environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", start_new_session=True)
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return 124, f"{output}\n(ended after {TIMEOUT_S} s)\n"


def run_one(title, command, **environment):
    """A program that is one test: it passes with exit status 0."""
    status, output = run(command, **environment)
    if status == 0:
        return Result(passed=1)
    return Result(failed=1, output=f"--- {title}: exit status {status}\n{output}\n")


def run_all(programs, one):
    """Run `one` on every program, as many at once as there are processors."""
    total = Result()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(one, programs):
            total.add(result)
    return total


def programs_in(folder, pattern):
    return sorted(path for path in folder.glob(pattern)
                  if path.is_file() and os.access(path, os.X_OK))


# ── suites ──────────────────────────────────────────────────────────────────────────────────────


def suite_style():
    """limits of size, layers, layout, documents that are made from tables"""
    total = Result()
    for command in (["tools/tidy.py"], ["tools/layers.py"], ["tools/format", "--check"],
                    ["tools/metrics_doc.py", "--check"]):
        total.add(run_one(" ".join(command), command))
    return total


def suite_build():
    """every tree, with gcc and with clang, warnings are errors"""
    total = Result()
    for tree in TREES:
        total.add(run_one(f"build of {tree}", ["tools/build", tree], NINJA_FLAGS="--quiet"))
    return total


def unit_one(program):
    """A cmocka program, read as TAP; what crashes counts as one more failure."""
    status, output = run(FIXED + [program])
    lines = [line for line in output.splitlines() if re.match(r"(not )?ok\b", line)]
    skipped = sum("# SKIP" in line for line in lines)  # cmocka puts "not ok" in front
    passed = sum(line.startswith("ok") for line in lines if "# SKIP" not in line)
    failed = len(lines) - passed - skipped
    if status != 0 and failed == 0 or passed + failed + skipped == 0:
        failed += 1
    return Result(passed, failed, skipped, f"--- {program.name}: exit status {status}\n{output}\n")


def suite_unit():
    """cmocka programs of the debug build, where time and memory count"""
    return run_all(programs_in(BUILD / "debug/tests", "test_*"), unit_one)


def suite_unit_asan():
    """cmocka programs under ASan and UBSan"""
    return run_all(programs_in(BUILD / "asan/tests", "test_*"), unit_one)


def suite_stress():
    """threads race under ThreadSanitizer"""
    total = Result()
    for program in programs_in(BUILD / "tsan/tests", "stress_*"):
        total.add(run_one(program.name, FIXED + [program]))
    return total


def fuzz_one(program):
    corpus = ROOT / "tests/fuzz/corpus" / program.name.removeprefix("fuzz_")
    inputs = sorted(path for path in corpus.glob("*") if path.is_file())
    if not inputs:
        return Result(failed=1, output=f"--- {program.name}: no inputs in {corpus}\n")
    return run_one(program.name, FIXED + [program, "-runs=0", *inputs])


def suite_fuzz():
    """fuzz targets replay their inputs"""
    return run_all(programs_in(BUILD / "fuzz/tests", "fuzz_*"), fuzz_one)


def pytest_run(server, folder="tests/script"):
    """The tests of a folder against one build of the server.

    What was skipped for want of something is said at once: a proof that was not run is none.
    """
    program = BUILD / server / "matted"
    if not program.is_file():
        return Result(failed=1, output=f"--- {program} is missing\n")
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        status, output = run(
            FIXED + [PYTHON, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider",
                     f"--junitxml={report.name}", folder],
            MATTE_SERVER=str(program))
        try:
            suite = xml.etree.ElementTree.parse(report.name).getroot().find("testsuite")
            count = {name: int(suite.get(name, 0))
                     for name in ("tests", "failures", "errors", "skipped")}
        except xml.etree.ElementTree.ParseError:
            return Result(failed=1, output=f"--- pytest: exit status {status}\n{output}\n")
    for line in output.splitlines():
        if "NOT RUN" in line and line.startswith("SKIPPED"):
            print(line, flush=True)
    failed = count["failures"] + count["errors"]
    if status != 0 and failed == 0:
        failed = 1
    passed = count["tests"] - count["failures"] - count["errors"] - count["skipped"]
    return Result(max(passed, 0), failed, count["skipped"], f"--- pytest, {server}\n{output}\n")


def suite_script():
    """black-box tests of the debug build"""
    return pytest_run("debug")


def suite_script_asan():
    """black-box tests of the server under ASan and UBSan"""
    return pytest_run("asan")


def suite_packets():
    """spoofed packets in network namespaces: the server cannot be made a reflector"""
    return pytest_run("debug", "tests/packets")


SUITES = {
    "style": suite_style,
    "build": suite_build,
    "unit": suite_unit,
    "unit-asan": suite_unit_asan,
    "stress": suite_stress,
    "fuzz": suite_fuzz,
    "script": suite_script,
    "script-asan": suite_script_asan,
    "packets": suite_packets,
}


def main(names):
    if names == ["--list"]:
        for name, suite in SUITES.items():
            print(f"{name:12} {suite.__doc__}")
        return 0
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        print(f"unknown suite: {' '.join(unknown)}; there are: {' '.join(SUITES)}", file=sys.stderr)
        return 64
    total = Result()
    for name in names or SUITES:
        suite = SUITES[name]
        print(f"{name:12} {suite.__doc__} ...", flush=True)
        start = time.monotonic()
        result = suite()
        if result == Result():
            result = Result(failed=1, output="--- nothing was found to run\n")
        if result.failed:
            print(result.output)
        print(f"{name:12} {time.monotonic() - start:6.1f} s  {result}", flush=True)
        total.add(result)
    print(total, flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    # A job in a shell's background ignores SIGINT, and so would the programs that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
