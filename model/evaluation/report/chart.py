"""Line and bar charts as inline SVG.

Written here rather than by matplotlib: the report needs lines, points and bars alone, this is shorter than the code
that would style matplotlib's, it adds no dependency to a service's image, its text stays text (searchable, in the
page's own font, a tenth of the bytes), and a point tells its value under the pointer.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460, 310
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 22, 34, 42
# More points than this are a curve, not places to look at.
_MARKED_POINTS = 24
# The font's mean width at 11 px: near enough to lay a legend out without measuring text.
_LETTER = 7.0
# Of a legend: from a line's sample to its name, from a name to the next sample, from row to row.
_KEY, _KEY_GAP, _LEGEND_ROW = 21, 12, 18


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis says and spans; on a ``log`` axis both ends must be positive.

    ``ticks``: where it is labelled, None for round places.
    """

    label: str
    low: float
    high: float
    log: bool = False
    ticks: tuple[float, ...] | None = None

    def place(self, value: float) -> float:
        """From 0 at the low end to 1 at the high one; what lies outside is put on the end."""
        if self.log:
            value, low, high = (math.log(max(v, 1e-300)) for v in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def marks(self) -> tuple[float, ...]:
        """The ticks."""
        if self.ticks is not None:
            return self.ticks
        return _decades(self.low, self.high) if self.log else _round_steps(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Line:
    """A series of points in the order of x; those with a y that is not finite are left out.

    ``marked``: its points are places to look at, and are drawn where there are few.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False
    marked: bool = True


@dataclass(frozen=True, slots=True)
class Bars:
    """A histogram of what ``name`` says: (x from, x to, count) of each bar."""

    name: str
    bars: Sequence[tuple[float, float, float]]
    colour: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart; ``title`` is what a screen reader says of it."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line] = ()
    bars: Sequence[Bars] = ()

    def svg(self) -> str:
        """The chart as one ``<svg>`` element, styled by its own attributes."""
        legend = _legend_rows(self.lines)
        more = _LEGEND_ROW * max(0, len(legend) - 1)  # the first row has its place above the drawing anyway
        parts = [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT + more}" role="img" xmlns="http://www.w3.org/2000/svg">',
            f"<title>{escape(self.title)}</title>",
            f'<g transform="translate(0 {more})">' if more else "<g>",
            *self._grid(),
            *(self._bar(bars, bar) for bars in self.bars for bar in bars.bars),
            *(part for line in reversed(self.lines) for part in self._line(line)),  # the first named lies on top
            "</g>",
            *(part for i, row in enumerate(legend) for part in _legend_row(row, 14 + i * _LEGEND_ROW)),
            "</svg>",
        ]
        return "".join(parts)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        """Data to pixels of the drawing."""
        across, down = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
        return _LEFT + self.x.place(x) * across, HEIGHT - _BOTTOM - self.y.place(y) * down

    def _grid(self) -> list[str]:
        right, base = WIDTH - _RIGHT, HEIGHT - _BOTTOM
        parts = []
        for mark in self.y.marks():
            y = self._at(self.x.low, mark)[1]
            parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#e3e6ea"/>')
            parts.append(_text(_LEFT - 7, y + 4, _number(mark), anchor="end"))
        for mark in self.x.marks():
            x = self._at(mark, self.y.low)[0]
            parts.append(f'<path d="M{x:.1f} {base}v4" stroke="#9aa3ad"/>')
            parts.append(_text(x, base + 17, _number(mark), anchor="middle"))
        middle = (_TOP + base) / 2
        return [
            *parts,
            f'<path d="M{_LEFT} {base}H{right}" stroke="#9aa3ad"/>',
            _text((_LEFT + right) / 2, HEIGHT - 6, self.x.label, anchor="middle", colour="#2b333b"),
            f'<g transform="rotate(-90 12 {middle})">',
            _text(12, middle, self.y.label, anchor="middle", colour="#2b333b"),
            "</g>",
        ]

    def _line(self, line: Line) -> list[str]:
        finite = [(x, y) for x, y in line.points if math.isfinite(y)]
        places = [self._at(x, y) for x, y in finite]
        if not places:
            return []
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts = [
            f'<path d="M{path}" fill="none" stroke="{line.colour}" stroke-width="2" stroke-linejoin="round"{dash}/>'
        ]
        if len(places) <= _MARKED_POINTS and line.marked:
            for (x, y), (px, py) in zip(finite, places, strict=True):
                tip = escape(f"{line.name}: {_number(x)} → {y:.4g}")
                mark = f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{line.colour}"><title>{tip}</title></circle>'
                parts.append(mark)
        return parts

    def _bar(self, bars: Bars, bar: tuple[float, float, float]) -> str:
        start, end, height = bar
        if height <= 0:
            return ""
        (left, top), (right, base) = self._at(start, height), self._at(end, self.y.low)
        tip = escape(f"{_number(start)} to {_number(end)}: {height:,.0f} {bars.name}")
        size = f'width="{max(1.0, right - left - 1):.1f}" height="{max(0.0, base - top):.1f}"'
        return f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill="{bars.colour}"><title>{tip}</title></rect>'


def _legend_rows(lines: Sequence[Line]) -> list[list[tuple[float, Line]]]:
    """The lines in rows that fit the width, each with where it begins; a lone line is named by the title."""
    if len(lines) < 2:
        return []
    rows: list[list[tuple[float, Line]]] = [[]]
    x = float(_LEFT)
    for line in lines:
        width = _KEY + _LETTER * len(line.name)
        if rows[-1] and x + width > WIDTH:
            rows.append([])
            x = float(_LEFT)
        rows[-1].append((x, line))
        x += width + _KEY_GAP
    return rows


def _legend_row(row: Sequence[tuple[float, Line]], y: float) -> Iterator[str]:
    """What each line of the row is."""
    for x, line in row:
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        yield f'<path d="M{x:.0f} {y}h16" stroke="{line.colour}" stroke-width="3"{dash}/>'
        yield _text(x + _KEY, y + 4, line.name)


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#56616c") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" fill="{colour}">{escape(text)}</text>'


def _number(value: float) -> str:
    """As short as it can be said: 0.25, 10, 2k, 1M, 2e-05."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    if abs(value) >= 1e3:
        return f"{value / 1e3:g}k"
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}"


def _decades(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten; where there are few, 2 and 5 between them, or 1 to 9, or round steps."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    choices: list[Callable[[int], list[float]]] = [
        lambda power: [10.0**power],
        lambda power: [factor * 10.0**power for factor in (1, 2, 5)],
        lambda power: [factor * 10.0**power for factor in range(1, 10)],
    ]
    for choice in choices:
        marks = tuple(m for power in powers for m in choice(power) if low * 0.999 <= m <= high * 1.001)
        if len(marks) >= 3:
            return marks
    return _round_steps(low, high)


def _round_steps(low: float, high: float) -> tuple[float, ...]:
    """Four to eight multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return tuple(round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1))
