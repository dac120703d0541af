# SPDX-License-Identifier: BSD-3-Clause
"""The manual pages: all that the tables have is in them, and man shows them without a complaint.

They are made here from the templates by the debug build's own `manual`, or by that of the release
build; the programs' help is what they are compared with."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import harness
from harness import BINARY, CLI, ROOT, is_reference

sys.path.insert(0, str(ROOT / "tools"))
import manual  # noqa: E402

pytestmark = pytest.mark.skipif(is_reference(BINARY), reason="ours")
PAGES = sorted((ROOT / "man").glob("*.scd"))


def program():
    for folder in (pathlib.Path(BINARY).parent, ROOT / "build/debug"):
        if (folder / "man/manual").is_file():
            return folder / "man/manual"
    pytest.skip("NOT RUN: build/debug has no program `manual`")


def source(page):
    return manual.fill(page.read_text(), program(), "0.0.0")


def plain(text):
    """Without the marks of scdoc."""
    return re.sub(r"\\(.)", r"\1", text.replace("*", "").replace("\\_", "_"))


def run(*words, given=None):
    done = subprocess.run([str(word) for word in words], input=given, capture_output=True,
                          text=True, timeout=60)
    return done.stdout, done.stderr


def tool(name):
    found = shutil.which(name)
    if not found:
        pytest.skip(f"NOT RUN: there is no {name}")
    return found


def page_named(name):
    return ROOT / "man" / f"{name}.scd"


def test_every_template_is_built():
    listed = re.findall(r"'([a-z.-]+\.[1-8])'", (ROOT / "man/meson.build").read_text())
    assert sorted(listed) == sorted(page.stem for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_nothing_is_left_of_the_template(page):
    assert not re.search(r"^@|@VERSION@", source(page), re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_are_shown_without_a_complaint(page, tmp_path):
    roff, errors = run(tool("scdoc"), given=source(page))
    assert roff and not errors
    made = tmp_path / page.stem
    made.write_text(roff)
    shown, errors = run(tool("mandoc"), "-Tlint", "-Wwarning", made)
    # scdoc itself begins paragraphs that have nothing in them.
    said = [line for line in shown.splitlines() if "skipping paragraph macro" not in line]
    assert not said and not errors, said or errors
    text, _ = run("mandoc", "-Tutf8", made)
    assert len(text) > 1000


def test_every_option_is_in_the_page():
    text = plain(source(page_named("matted.8")))
    options = text[text.index("# OPTIONS"):text.index("# SIGNALS")]
    help_text = run(BINARY, "-h")[0].split("Accepted for compatibility")[0]
    names = set(re.findall(r"^  (-\S, --[a-z-]+|-\S |\[no_\][a-z_]+|[a-z_0-9]+(?==))", help_text,
                           re.M))
    assert len(names) > 60
    for name in names:
        wanted = name.strip()
        wanted = wanted if wanted.startswith("-") else f"-o {wanted}"
        assert re.search(rf"^{re.escape(wanted)}\b", options, re.M), wanted


def test_every_statistic_is_in_the_page(conn):
    text = plain(source(page_named("matted.8")))
    named = set(re.findall(r"^([a-z_]+)\n\t", text[text.index("# STATISTICS"):], re.M))
    absent = set(text[text.index("Always 0"):].split("\n\n")[1].split())
    assert not conn.stats().keys() - named - absent


def test_every_subcommand_is_in_the_page():
    text = source(page_named("matte.1"))
    help_text, _ = run(CLI, "--help")
    names = re.findall(r"^  ([a-z-]+) ", help_text, re.M)
    assert "check" in names
    for name in names:
        said, _ = run(CLI, "help", name)
        assert f"## {name}\n\n```\n{said}" in text, name
