"""Plots of what was measured: the report's own charts, and bars with names."""

from collections.abc import Mapping, Sequence
from html import escape

from model.evaluation.report.chart import Axis, Chart, Line

Points = Sequence[tuple[float, float]]

# Told apart by most eyes, and in grey by their lightness.
_COLOURS = ("#1f6feb", "#d9622b", "#2a8a4a", "#8a4fbf", "#6b7280")
# A bar's row and its parts, in pixels; the longest name here has about forty letters.
_ROW, _BAR, _NAMES, _WIDTH, _VALUE = 26, 16, 250, 640, 60


def lines(title: str, x: str, y: str, series: Mapping[str, Points], *, log_x: bool = False) -> str:
    """Lines over a common axis that begins at 0; with ``log_x`` the points' own x are its labels."""
    xs = [point[0] for points in series.values() for point in points]
    ys = [point[1] for points in series.values() for point in points]
    low, high = (min(xs), max(xs)) if log_x else (0.0, max(xs))
    ticks = tuple(sorted(set(xs))) if log_x else None
    drawn = [
        Line(name, points, colour)
        for (name, points), colour in zip(series.items(), _COLOURS * len(series), strict=False)
    ]
    across = Axis(x, low, high if high > low else low + 1, log=log_x and high > low, ticks=ticks)
    return Chart(title, across, Axis(y, 0.0, max(ys) * 1.05 or 1.0), drawn).svg()


def bars(title: str, values: Mapping[str, float], *, unit: str) -> str:
    """A bar for each name, its value at its end."""
    longest = max(values.values(), default=0.0) or 1.0
    rows = [_row(number, name, value, longest, unit) for number, (name, value) in enumerate(values.items())]
    size = f'viewBox="0 0 {_WIDTH} {_ROW * len(values)}"'
    return (
        f'<svg {size} role="img" xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{"".join(rows)}</svg>'
    )


def _row(number: int, name: str, value: float, longest: float, unit: str) -> str:
    top = number * _ROW + (_ROW - _BAR) / 2
    width = (_WIDTH - _NAMES - _VALUE) * value / longest
    middle = top + _BAR - 4
    text = 'font-size="11" fill="#2b333b"'
    return (
        f'<text x="{_NAMES - 8}" y="{middle:.1f}" text-anchor="end" {text}>{escape(name)}</text>'
        f'<rect x="{_NAMES}" y="{top:.1f}" width="{width:.1f}" height="{_BAR}" fill="{_COLOURS[0]}"/>'
        f'<text x="{_NAMES + width + 6:.1f}" y="{middle:.1f}" {text}>{value:.2f}{escape(unit)}</text>'
    )
