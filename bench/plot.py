"""bench/plot.py: the figures as SVG, written by ourselves: horizontal bars and lines.

A picture has its own background; its colours follow what the reader prefers, light or dark.

SPDX-License-Identifier: BSD-3-Clause
"""
import math
from xml.sax.saxutils import escape

WIDTH = 860
LABEL_WIDTH = 300
VALUE_WIDTH = 60  # right of the axis, for the figures of bars that reach its end
TOP = 64  # title and legend
BOTTOM = 34  # figures of the axis
BAR_HEIGHT = 12
ROW_GAP = 8
LINES_HEIGHT = 240
CHAR_WIDTH = 6.6  # of the legend's letters, on average

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; font-size: 14px; }
  .small { font-size: 11px; fill: #57606a; }
  .value { font-size: 11px; paint-order: stroke; stroke: #ffffff; stroke-width: 3px; }
  .back { fill: #ffffff; }
  .grid { stroke: #d8dee4; } .one { stroke: #57606a; stroke-dasharray: 3 3; }
  .ours { fill: #0969da; stroke: #0969da; } .other { fill: #9aa4af; stroke: #9aa4af; }
  .second { fill: #8ec5ff; stroke: #8ec5ff; }
  .target { fill: #cf222e; stroke: #cf222e; } .floor { fill: #1a7f37; stroke: #1a7f37; }
  .line { fill: none; stroke-width: 2; } .dash { stroke-dasharray: 6 4; } .mark { stroke-width: 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .small { fill: #9198a1; } .back { fill: #0d1117; }
    .value { stroke: #0d1117; }
    .grid { stroke: #2b3138; } .one { stroke: #9198a1; }
    .ours { fill: #4493f8; stroke: #4493f8; } .other { fill: #6e7681; stroke: #6e7681; }
    .second { fill: #1f4f8f; stroke: #1f4f8f; }
    .target { fill: #ff7b72; stroke: #ff7b72; } .floor { fill: #3fb950; stroke: #3fb950; }
    .line { fill: none; }
  }
"""


def number_text(value):
    """A figure short enough for a label: three digits, with k or M."""
    for limit, divisor, unit in ((999_500, 1e6, "M"), (9_995, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / divisor:.3g}{unit}"
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def ratio_text(value):
    return f"{value:.2f}"


def ticks(high, wanted=6):
    """Round figures from 0 to at least `high`, about so many."""
    if high <= 0:
        return [0, 1]
    rough = high / wanted
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999)
    count = math.ceil(high / step - 1e-9)
    return [round(step * i, 12) for i in range(count + 1)]


def log_ticks(low, high):
    """Powers of ten around both."""
    first = math.floor(math.log10(low) + 1e-9)
    last = max(first + 1, math.ceil(math.log10(high) - 1e-9))
    return [10.0 ** power for power in range(first, last + 1)]


class Axis:
    """Where a figure lies between two edges, linear from 0 or logarithmic."""

    def __init__(self, values, log=False, text=number_text):
        known = [value for value in values if value is not None]
        self.log = log
        self.text = text
        if log:
            known = [value for value in known if value > 0] or [1]
            self.ticks = log_ticks(min(known), max(known))
        else:
            self.ticks = ticks(max(known, default=1))

    def share(self, value):
        low, high = self.ticks[0], self.ticks[-1]
        if self.log:
            low, high, value = (math.log10(max(v, low)) for v in (low, high, value))
        return min(1.0, max(0.0, (value - low) / (high - low)))


class Picture:
    def __init__(self, title, height):
        self.height = height
        self.title = title
        self.parts = []
        self.text(16, 24, title, "title")

    def add(self, form, **attributes):
        """`class_` becomes the attribute class, which is a word of Python."""
        body = " ".join(
            f'{name.strip("_")}="{value:.1f}"' if isinstance(value, float)
            else f'{name.strip("_")}="{escape(str(value))}"' for name, value in attributes.items())
        self.parts.append(f"<{form} {body}/>")

    def text(self, x, y, text, kind="", anchor="start"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
                          f"{escape(text)}</text>")

    def legend(self, entries, y=46):
        x = 16.0
        for kind, name in entries:
            if "line" in kind.split():
                self.add("line", x1=x, y1=y - 4.0, x2=x + 22, y2=y - 4.0, class_=kind)
            elif "mark" in kind.split():
                self.add("line", x1=x + 11, y1=y - 10.0, x2=x + 11, y2=y + 2.0, class_=kind)
            else:
                self.add("rect", x=x + 4, y=y - 9.0, width=14, height=10, class_=kind)
            self.text(x + 28, y, name, "small")
            x += 28 + len(name) * CHAR_WIDTH + 18

    def svg(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" '
                f'width="{WIDTH}" height="{self.height}" role="img">\n'
                f"<title>{escape(self.title)}</title>\n<style>{STYLE}</style>\n"
                f'<rect class="back" width="{WIDTH}" height="{self.height}" rx="6"/>\n'
                + "\n".join(self.parts) + "\n</svg>\n")


def bars(title, legend, rows, log=False, text=number_text, one=False):
    """Horizontal bars as SVG text.

    `rows`: (label, [(kind, value)], [(kind, value)]): bars with their figures, and marks across
    them; a value may be None. `legend`: [(kind, name)]. `one`: a line at 1.
    """
    values = [value for _, parts, marks in rows for _, value in parts + marks]
    axis = Axis(values + ([1] if one else []), log, text)
    heights = [len(parts) * BAR_HEIGHT + ROW_GAP for _, parts, _ in rows]
    bottom = TOP + sum(heights)
    picture = Picture(title, bottom + BOTTOM)
    picture.legend(legend)
    span = WIDTH - LABEL_WIDTH - VALUE_WIDTH

    def place(value):
        return LABEL_WIDTH + span * axis.share(value)

    for tick in axis.ticks:
        picture.add("line", x1=place(tick), y1=TOP - 4, x2=place(tick), y2=bottom, class_="grid")
        picture.text(place(tick), bottom + 18, text(tick), "small", "middle")
    if one:
        picture.add("line", x1=place(1), y1=TOP - 4, x2=place(1), y2=bottom, class_="one")
    y = TOP
    labels = []
    for (label, parts, marks), height in zip(rows, heights):
        picture.text(LABEL_WIDTH - 8, y + (height - ROW_GAP) / 2 + 4, label, "", "end")
        for i, (kind, value) in enumerate(parts):
            if value is None:
                continue
            top = y + i * BAR_HEIGHT
            width = max(1.0, place(value) - LABEL_WIDTH)
            picture.add("rect", x=LABEL_WIDTH, y=top, width=width, height=BAR_HEIGHT - 2,
                        class_=kind)
            end = max([place(value)] + [place(mark) for _, mark in marks
                                        if mark is not None and place(mark) - place(value) < 34
                                        and place(mark) > place(value)])
            labels.append((end + 5, top + 9, text(value)))
        for kind, value in marks:
            if value is not None:
                picture.add("line", x1=place(value), y1=y - 2, x2=place(value),
                            y2=y + height - ROW_GAP, class_=kind + " mark")
        y += height
    for x, y, label in labels:  # last: above the lines of the axis
        picture.text(x, y, label, "value")
    return picture.svg()


def lines(title, legend, series, x_name):
    """Lines over whole numbers as SVG text. `series`: [(kind, [(x, y)])]."""
    xs = sorted({x for _, points in series for x, _ in points})
    axis = Axis([y for _, points in series for _, y in points])
    left, right, bottom = 70, WIDTH - 30, TOP + LINES_HEIGHT
    picture = Picture(title, bottom + BOTTOM + 16)
    picture.legend(legend)

    def place_x(x):
        return (left + right) / 2 if len(xs) == 1 else (
            left + 20 + (right - left - 40) * (x - xs[0]) / (xs[-1] - xs[0]))

    def place_y(y):
        return bottom - LINES_HEIGHT * axis.share(y)

    for tick in axis.ticks:
        picture.add("line", x1=left, y1=place_y(tick), x2=right, y2=place_y(tick), class_="grid")
        picture.text(left - 8, place_y(tick) + 4, axis.text(tick), "small", "end")
    for x in xs:
        picture.text(place_x(x), bottom + 18, number_text(x), "small", "middle")
    picture.text((left + right) / 2, bottom + 38, x_name, "small", "middle")
    for kind, points in series:
        path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in points)
        picture.add("polyline", points=path, class_=kind)
        for x, y in points:
            picture.add("circle", cx=place_x(x), cy=place_y(y), r=3, class_=kind.split()[0])
    return picture.svg()
