# SPDX-License-Identifier: BSD-3-Clause
"""Reads and runs the tables of requests and answers, *.rows.

    ! -t 1 -I 2m          arguments of the server for the whole file
    == title              begins a row
    > text                sent, with CR LF         >> text   sent as it is
    < text                expected, with CR LF     << text   expected as it is
    <close                the server ends the connection
    + name 1 name 2       statistics that move, all others that are COUNTED stay; no line: none
    + *                   statistics are not compared
    ~ reason              memcached 1.6.18 differs from 1.6.45: the row must fail there
    ? reason              not run on memcached 1.6.18 at all (would hang, or is a matter of luck)
    - whole               run in these modes only (whole, cut, pipe)
    # comment

Adjoining sends are one write.  In texts: `@` is a key of this run alone, {a*250} repeats,
{64:text} is base64, <name> keeps a number and later stands for it, <*> is any number,
backslash escapes are those of Python.
"""

import base64
import dataclasses
import itertools
import pathlib
import re

COUNTED = """cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired
get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses
cas_hits cas_badval touch_hits touch_misses store_too_large store_no_memory curr_items""".split()

TTL = r" t[1-9]\d+"  # what is left of a life in a meta answer: a second may pass meanwhile
CUT_ALL_BYTES_MAX = 260  # longer writes are cut at a sample of places
KEYS = itertools.count()


@dataclasses.dataclass
class Step:
    send: str = ""
    want: str = ""
    close: bool = False


@dataclasses.dataclass
class Row:
    file: str
    title: str
    line: int
    args: tuple
    steps: list = dataclasses.field(default_factory=list)
    counters: dict = dataclasses.field(default_factory=dict)
    counted: bool = True
    differs: str = ""
    skipped: str = ""
    modes: tuple = ("whole", "cut", "pipe")

    def closes(self):
        return any(step.close for step in self.steps)

    def pipes(self):
        """Sends may go ahead of the answers: none needs a number told by an earlier answer."""
        text = "".join(step.send for step in self.steps)
        return not self.closes() and not re.search(r"<\w+>", text)


def unescape(text):
    return text.encode("latin-1").decode("unicode_escape")


def _add_line(row, sign, text):
    """One marked line of a row."""
    if sign in (">", ">>"):
        if not row.steps or row.steps[-1].want or row.steps[-1].close:
            row.steps.append(Step())
        row.steps[-1].send += unescape(text) + ("\r\n" if sign == ">" else "")
    elif sign in ("<", "<<"):
        row.steps[-1].want += unescape(text) + ("\r\n" if sign == "<" else "")
    elif sign == "<close":
        row.steps[-1].close = True
    elif sign == "+":
        words = text.split()
        row.counted = words != ["*"]
        row.counters.update(zip(words[::2], map(int, words[1::2])))
    elif sign == "~":
        row.differs = text
    elif sign == "?":
        row.skipped = text
    elif sign == "-":
        row.modes = tuple(text.split())
    else:
        raise ValueError(f"{row.file}:{row.line}: what is {sign!r}?")


def load(path):
    """All rows of one file."""
    path = pathlib.Path(path)
    found, args = [], ()
    for number, line in enumerate(path.read_text("latin-1").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        sign, _, text = line.partition(" ")
        if sign == "!":
            args = tuple(text.split())
        elif sign == "==":
            found.append(Row(path.name, text, number, args))
        else:
            _add_line(found[-1], sign, text)
    return found


def expand(text, key, numbers):
    """Bytes to send."""
    text = re.sub(r"\{(.)\*(\d+)\}", lambda m: m[1] * int(m[2]), text, flags=re.S)
    text = text.replace("@", key)
    text = re.sub(r"\{64:([^}]*)\}", lambda m: base64.b64encode(
        m[1].encode("latin-1")).decode(), text)
    text = re.sub(r"<(\w+)>", lambda m: numbers[m[1]], text)
    return text.encode("latin-1")


def _expect_pattern(conn, text, key, numbers):
    """Expect a text that holds numbers not known before."""
    pattern, names = "", []
    for part in re.split(rf"(<\w+>|<\*>|{TTL})", text):
        name = part[1:-1]
        if part == "<*>":
            pattern += "-?[0-9]+"
        elif re.fullmatch(TTL, part):
            pattern += f" t(?:{part[2:]}|{int(part[2:]) - 1})"
        elif re.fullmatch(r"<\w+>", part) and name not in numbers and name not in names:
            pattern += f"(?P<{name}>[0-9]+)"
            names.append(name)
        elif re.fullmatch(r"<\w+>", part) and name in names:
            pattern += f"(?P={name})"
        else:
            pattern += re.escape(expand(part, key, numbers).decode("latin-1"))
    match = conn.take_match(re.compile(pattern.encode("latin-1"), re.S))
    numbers.update({name: match[name].decode() for name in names})


def expect(conn, text, key, numbers):
    if re.search(rf"<(\w+|\*)>|{TTL}", text):
        _expect_pattern(conn, text, key, numbers)
    else:
        conn.expect(expand(text, key, numbers))


def new_key():
    return f"k{next(KEYS):05d}"


def run_steps(conn, row, key, send):
    """Run a row once; send(index, bytes) decides how the bytes travel."""
    numbers = {}
    for index, step in enumerate(row.steps):
        send(index, expand(step.send, key, numbers))
        expect(conn, step.want, key, numbers)
        if step.close:
            conn.expect_close()
    if not row.closes():
        conn.ask(b"mn\r\n", b"MN\r\n")  # nothing but the expected came


def run_whole(server, row):
    with server.connect() as conn:
        run_steps(conn, row, new_key(), lambda _, data: conn.send(data))


def run_pipe(server, row):
    """The row twice, with other requests before and after, in one write."""
    keys = [new_key(), new_key()]
    with server.connect() as conn:
        data = b"mn\r\n"
        for key in keys:
            data += b"".join(expand(step.send, key, {}) for step in row.steps)
        conn.send(data + b"mn\r\n")
        conn.expect(b"MN\r\n")
        for key in keys:
            numbers = {}
            for step in row.steps:
                expect(conn, step.want, key, numbers)
        conn.expect(b"MN\r\n")


def cuts(size):
    """Where to cut a write of `size` bytes."""
    if size <= CUT_ALL_BYTES_MAX:
        return range(1, size)
    return sorted({*range(1, 40), *range(size - 40, size), *range(40, size - 40, size // 50),
                   *(x for x in (2047, 2048, 2049) if x < size)})


def run_cut(server, row, barrier):
    """Every write cut in two at every byte; the server has read the first part by then."""
    sizes = [len(expand(step.send, "k00000", dict.fromkeys(
        re.findall(r"<(\w+)>", step.send), "1"))) for step in row.steps]
    conn = server.connect()
    for cut_index, size in enumerate(sizes):
        for place in cuts(size):
            def send(index, data, place=place, cut_index=cut_index):
                if index != cut_index:
                    conn.send(data)
                    return
                conn.send(data[:place])
                barrier.wait()
                try:
                    conn.send(data[place:])
                except (BrokenPipeError, ConnectionResetError):
                    assert row.closes()  # it closed before the rest came
            try:
                run_steps(conn, row, new_key(), send)
            except AssertionError as error:
                raise AssertionError(f"write {cut_index} cut at byte {place}: {error}") from None
            if row.closes():
                conn.close()
                conn = server.connect()
    conn.close()


def counters_moved(before, after):
    """What moved between two `stats`.  When an expired item leaves curr_items is not promised."""
    moved = {name: int(after[name]) - int(before[name]) for name in COUNTED
             if after.get(name) != before.get(name)}
    if "get_expired" in moved:
        moved.pop("curr_items", None)
    return moved
