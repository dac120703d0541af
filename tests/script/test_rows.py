# SPDX-License-Identifier: BSD-3-Clause
"""Every row of every table: sent whole with its counters, cut at every byte, pipelined."""

import pathlib

import pytest

import rows

HERE = pathlib.Path(__file__).parent
CASES = [(row, mode) for path in sorted(HERE.glob("*.rows")) for row in rows.load(path)
         for mode in row.modes if mode != "pipe" or row.pipes()]


def whole_counted(server, admin, row):
    before = admin.stats()
    rows.run_whole(server, row)
    return rows.counters_moved(before, admin.stats())


def run(pool, row, mode):
    server = pool.get(*row.args)
    if mode == "whole":
        with server.connect() as admin:
            moved = whole_counted(server, admin, row)
            # The server may have taken out what earlier rows left to expire; not twice in a row.
            if row.counted and moved != row.counters:
                moved = whole_counted(server, admin, row)
            assert not row.counted or moved == row.counters
    elif mode == "cut":
        rows.run_cut(server, row, pool.barrier(*row.args))
    else:
        rows.run_pipe(server, row)


@pytest.mark.parametrize("row,mode", CASES, ids=[f"{r.file}:{r.line}-{m}" for r, m in CASES])
def test_row(pool, reference, row, mode):
    if reference and row.skipped:
        pytest.skip(row.skipped)
    if not (reference and row.differs):
        run(pool, row, mode)
        return
    if mode != "whole":
        pytest.skip(row.differs)
    try:
        run(pool, row, mode)
    except AssertionError:
        return
    pytest.fail(f"the row claims to differ from 1.6.18 but holds there: {row.differs}")
