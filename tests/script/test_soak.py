# SPDX-License-Identifier: BSD-3-Clause
"""A short soak; tests/soak/soak.py runs as long as one likes."""

import os
import subprocess
import sys

import harness

SECONDS = float(os.environ.get("MATTE_SOAK_SECONDS", "20"))


def test_soak():
    done = subprocess.run([sys.executable, harness.ROOT / "tests/soak/soak.py", "--server",
                           harness.BINARY, "--seconds", str(SECONDS)], capture_output=True,
                          text=True, timeout=SECONDS + 120)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
