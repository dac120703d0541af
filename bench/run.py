#!/usr/bin/python3
"""bench/run.py: `make bench`. Everything, one after the other; --quick is passed on.

SPDX-License-Identifier: BSD-3-Clause
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    for script in ("compare.py", "stalls.py", "scaling.py", "misses.py"):
        done = subprocess.run([sys.executable, os.path.join(HERE, script), *sys.argv[1:]],
                              check=False)
        if done.returncode != 0:
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
