#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check the includes below src/ and tests/ against the file LAYERS.

A module includes only modules that its line names; all of these stand higher in the file, so there
can be no circle. A header x_priv.h is included by its own module only, tests include public headers
only, and nobody includes a .c file.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def layers_read():
    """Return (module -> allowed modules, table -> its readers)."""
    modules, tables = {}, {}
    for line in (ROOT / "LAYERS").read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, _, rest = line.partition(":")
        allowed = rest.split()
        if name.startswith("tbl/"):
            tables[name] = allowed
            continue
        for other in allowed:
            if other not in modules:
                sys.exit(f"LAYERS: {name} names {other}, which does not stand above it")
        modules[name] = allowed
    return modules, tables


def include_fault(module, target, modules, tables):
    """What is wrong with a file of `module` (None: a test) including `target`, or None."""
    owner = target.split("/")[0]
    if target.endswith(".c"):
        return "a .c file is never included"
    if target.endswith("_priv.h") and owner != module:
        return f"private to {owner}"
    if owner == "tbl":
        readers = tables.get(target)
        if readers is None:
            return "this table has no line in LAYERS"
        return None if module in readers else f"only read by: {' '.join(readers)}"
    if owner not in modules:
        return "no such module in LAYERS"
    if module is None or owner == module or owner in modules[module]:
        return None
    return f"{module} may include: {' '.join(modules[module]) or 'nothing'}"


def check_file(path, module, modules, tables):
    faults = []
    for target in INCLUDE.findall(path.read_text()):
        if not (ROOT / "src" / target).is_file():
            if module is None and (ROOT / "tests" / target).is_file():
                continue  # support of the tests
            faults.append(f"{path.relative_to(ROOT)}: \"{target}\": no such file below src/")
            continue
        fault = include_fault(module, target, modules, tables)
        if fault:
            faults.append(f"{path.relative_to(ROOT)}: \"{target}\": {fault}")
    return faults


def main():
    modules, tables = layers_read()
    faults = []
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        module = path.relative_to(ROOT / "src").parts[0]
        if module not in modules:
            faults.append(f"{path.relative_to(ROOT)}: module {module} has no line in LAYERS")
            continue
        faults += check_file(path, module, modules, tables)
    for path in sorted((ROOT / "tests").rglob("*.[ch]")):
        faults += check_file(path, None, modules, tables)
    print("\n".join(faults) or "layers: fine")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
