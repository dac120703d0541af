#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check the limits of the house: function 70 lines, file 1000, line 100 columns, 5 parameters, an
SPDX line in each file, no tabs, no blanks at the end of a line. Tables (*.def, *.rows) may be wide
and long."""

import ast
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ["src", "tests", "tools", "bench", "examples", "include"]
SUFFIXES = {".c", ".h", ".def", ".py", ".sh", ".rb", ".php", ".rows"}
TABLES = {".def", ".rows"}
FUNCTION_LINES, FILE_LINES, LINE_COLUMNS, PARAMETERS = 70, 1000, 100, 5


def files():
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if not path.is_file() or "__pycache__" in path.parts:
                continue
            script = path.suffix == "" and os.access(path, os.X_OK)
            if path.suffix in SUFFIXES or script:
                yield path


def check_lines(path, lines):
    if not any("SPDX-License-Identifier: BSD-3-Clause" in line for line in lines):
        yield 1, "no SPDX line"
    if path.suffix in TABLES:
        return
    if len(lines) > FILE_LINES:
        yield FILE_LINES, f"{len(lines)} lines, the limit of a file is {FILE_LINES}"
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS:
            yield number, f"{len(line)} columns, the limit of a line is {LINE_COLUMNS}"
        if line != line.rstrip():
            yield number, "blanks at the end of the line"
        if "\t" in line:
            yield number, "a tab"


def parameters_count(signature):
    """Commas on the first level of the last bracket of a signature, plus one."""
    depth, count = 0, 1
    for char in reversed(signature[:signature.rindex(")")]):
        depth += (char == ")") - (char == "(")
        if depth < 0:
            return count
        count += char == "," and depth == 0
    return count


def check_c(lines):
    """Functions: clang-format puts their braces into the first column, and no others."""
    start, signature = 0, ""
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
            if ")" in signature and parameters_count(signature) > PARAMETERS:
                yield number, f"{parameters_count(signature)} parameters, the limit is {PARAMETERS}"
        elif line == "}" and start:
            if number - start - 1 > FUNCTION_LINES:
                yield start, (f"a function of {number - start - 1} lines, "
                              f"the limit is {FUNCTION_LINES}")
            start, signature = 0, ""
        elif not start:
            ends = line == "" or line.endswith((";", "}", "*/")) or line.startswith("#")
            signature = "" if ends else signature + line


def check_python(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            count = node.end_lineno - node.lineno
            if count > FUNCTION_LINES:
                yield node.lineno, f"a function of {count} lines, the limit is {FUNCTION_LINES}"


def check_file(path):
    text = path.read_text()
    lines = text.splitlines()
    yield from check_lines(path, lines)
    if not text.endswith("\n"):
        yield len(lines), "no end of line at the end"
    if path.suffix in (".c", ".h"):
        yield from check_c(lines)
    if path.suffix == ".py":
        yield from check_python(text)


def main():
    faults = [f"{path.relative_to(ROOT)}:{number}: {what}"
              for path in files() for number, what in check_file(path)]
    print("\n".join(faults) or "tidy: fine")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
