#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make a manual page: tools/manual.py TEMPLATE PROGRAM VERSION [SCDOC OUTPUT].

A line @NAME@ of the template is replaced by what `PROGRAM NAME` prints (src/manual), @VERSION@ by
the version; then scdoc makes the page of it. Without SCDOC the source is printed.
"""

import pathlib
import re
import subprocess
import sys


def fill(template, program, version):
    def section(match):
        done = subprocess.run([program, match[1]], stdout=subprocess.PIPE, check=True, text=True)
        return done.stdout.rstrip("\n")
    text = template.replace("@VERSION@", version)
    return re.sub(r"^@([a-z]+)@$", section, text, flags=re.M)


def main(template, program, version, scdoc=None, output=None):
    text = fill(pathlib.Path(template).read_text(), program, version)
    if scdoc is None:
        sys.stdout.write(text)
        return
    page = subprocess.run([scdoc], input=text, stdout=subprocess.PIPE, check=True, text=True)
    pathlib.Path(output).write_text(page.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
