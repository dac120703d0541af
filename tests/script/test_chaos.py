# SPDX-License-Identifier: BSD-3-Clause
"""A short chaos; tests/soak/chaos.py runs as long as one likes."""

import os
import subprocess
import sys

import pytest

import harness

SECONDS = float(os.environ.get("MATTE_CHAOS_SECONDS", "6"))


@pytest.mark.parametrize("world", ["open", "guarded"])
def test_chaos(world, reference):
    if reference:
        pytest.skip("words and limits of our own")
    done = subprocess.run([sys.executable, harness.ROOT / "tests/soak/chaos.py", "--server",
                           harness.BINARY, "--seconds", str(SECONDS), "--world", world],
                          capture_output=True, text=True, timeout=SECONDS + 300)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
