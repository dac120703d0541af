# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark's own arithmetic: axes, pictures, which cores, tables."""

import pathlib
import sys
import xml.etree.ElementTree

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

import plot  # noqa: E402
import report  # noqa: E402
import scaling  # noqa: E402
import stalls  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("high,wanted", [
    (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (1.07, [0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2]),
    (2_300_000, [0, 500_000, 1_000_000, 1_500_000, 2_000_000, 2_500_000]), (0, [0, 1])])
def test_ticks(high, wanted):
    assert plot.ticks(high) == wanted


@pytest.mark.parametrize("low,high,wanted", [
    (100, 100, [100, 1000]), (100, 101, [100, 1000]), (99, 25_000, [10, 100, 1000, 10000, 100000]),
    (0.5, 7, [0.1, 1, 10])])
def test_log_ticks(low, high, wanted):
    assert plot.log_ticks(low, high) == pytest.approx(wanted)


@pytest.mark.parametrize("value,wanted", [
    (0, "0"), (0.25, "0.25"), (7, "7"), (100.4, "100"), (9_990, "9990"), (9_996, "10k"),
    (134_078, "134k"), (999_499, "999k"), (999_500, "1M"), (2_416_088, "2.42M")])
def test_number_text(value, wanted):
    assert plot.number_text(value) == wanted


@pytest.mark.parametrize("us,wanted", [
    (0.5, "0.5 µs"), (517, "517 µs"), (1294, "1.29 ms"), (2_500_000, "2.5 s")])
def test_time_text(us, wanted):
    assert report.time_text(us) == wanted


def test_axis():
    linear = plot.Axis([0.3, None, 0.9])
    assert [linear.share(v) for v in (0, 0.5, 1.0, 7)] == pytest.approx([0, 0.5, 1, 1])
    log = plot.Axis([100, 9000], log=True)
    assert [log.share(v) for v in (0, 100, 1000, 10_000)] == pytest.approx([0, 0, 0.5, 1])


def parsed(picture):
    root = xml.etree.ElementTree.fromstring(picture)
    assert root.tag == SVG + "svg"
    return root


def test_bars():
    rows = [("a < b & c", [("ours", 0.5), ("other", None)], [("target", 0.7), ("floor", None)]),
            ("second", [("ours", 1.5), ("other", 1.0)], [])]
    root = parsed(plot.bars("Title", [("ours", "us"), ("target mark", "target")], rows, one=True))
    texts = [text.text for text in root.iter(SVG + "text")]
    assert "a < b & c" in texts and "Title" in texts
    bars = [bar for bar in root.iter(SVG + "rect") if bar.get("class") in ("ours", "other")
            and float(bar.get("x")) == plot.LABEL_WIDTH]
    widths = [float(bar.get("width")) for bar in bars]
    assert widths == pytest.approx([widths[1] / 3, widths[1], widths[1] / 1.5], abs=0.2)
    for shape in root.iter(SVG + "rect"):
        assert float(shape.get("x", 0)) + float(shape.get("width")) <= plot.WIDTH


@pytest.mark.parametrize("points", [[(1, 5)], [(1, 5), (2, 9), (4, 20)]])
def test_lines(points):
    root = parsed(plot.lines("T", [("ours line", "get")], [("ours line", points)], "workers"))
    dots = list(root.iter(SVG + "circle"))
    assert len(dots) == len(points)
    heights = [float(dot.get("cy")) for dot in dots]
    assert heights == sorted(heights, reverse=True)


def test_worker_counts():
    assert [scaling.worker_counts(cpus) for cpus in (1, 2, 4, 16, 64)] == [
        [1], [1, 2], [1, 2, 3], [1, 2, 4, 8, 15], [1, 2, 4, 8, 16]]


def test_cores():
    cpus = list(range(8))
    assert scaling.cores(cpus, 2) == ([0, 1], [2, 3, 4, 5])
    assert scaling.cores(cpus, 7) == ([0, 1, 2, 3, 4, 5, 6], [7])
    assert scaling.cores([0, 1], 2) == ([0, 1], [1])  # shared


def test_stall_rows_do_what_they_say():
    for row in stalls.ROWS:
        assert not row["expiring"] or row["fill"], row["name"]
        keys = row["load"]["keys"] + (row["fill"] or {"keys": 0})["keys"]
        if "allow-misses" not in row["event"]:  # all of it fits
            assert keys * (row["load"]["value-bytes"] + 200) < row["memory_mb"] << 20, row["name"]
