import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation.report.chart import HEIGHT, WIDTH, Axis, Bars, Chart, Line

SVG = "{http://www.w3.org/2000/svg}"
UNIT = Axis("x", 0, 1)


def drawn(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(chart.svg())


def texts(chart: Chart) -> list[str]:
    return [element.text or "" for element in drawn(chart).iter(f"{SVG}text")]


def test_points_lie_where_their_values_say():
    line = Line("a", [(0, 0), (0.5, 1), (1, 0.5)], "#000")
    circles = list(drawn(Chart("t", UNIT, UNIT, [line])).iter(f"{SVG}circle"))
    xs, ys = ([float(c.get(k, "nan")) for c in circles] for k in ("cx", "cy"))
    assert xs[1] == pytest.approx((xs[0] + xs[2]) / 2)
    assert ys[2] == pytest.approx((ys[0] + ys[1]) / 2)
    assert ys[1] < ys[0], "up is more"
    assert circles[1].findtext(f"{SVG}title") == "a: 0.5 → 1"


def test_a_logarithmic_axis_spaces_by_ratio():
    axis = Axis("N", 1, 1000, log=True)
    assert [axis.place(v) for v in (1, 10, 100, 1000)] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert axis.marks() == (1, 10, 100, 1000)
    assert Axis("loss", 0.01, 0.12, log=True).marks() == pytest.approx((0.01, 0.02, 0.05, 0.1))
    assert len(Axis("loss", 0.21, 0.29, log=True).marks()) >= 3


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_a_linear_axis_has_a_handful_of_ticks_within_its_ends(low: float, span: float):
    high = low + span
    if not high - low > 1e-6:
        return
    marks = Axis("y", low, high).marks()
    assert 2 <= len(marks) <= 9
    assert all(low - span * 0.01 <= mark <= high + span * 0.01 for mark in marks)


def test_numbers_are_short():
    assert {"1k", "0.25", "1M", "20k", "7"} <= set(
        texts(Chart("t", Axis("x", 0, 1, ticks=(1000, 0.25, 1e6, 20_000, 7)), UNIT))
    )


def test_names_are_text_not_markup():
    chart = Chart("a <b> & c", Axis("<x>", 0, 1), UNIT, [Line("<1>", [(0, 0)], "#000"), Line("2", [(1, 1)], "#000")])
    assert {"<x>", "<1>"} <= set(texts(chart))
    assert drawn(chart).findtext(f"{SVG}title") == "a <b> & c"


def test_a_lone_line_needs_no_legend_and_a_long_one_no_points():
    chart = Chart("t", UNIT, UNIT, [Line("alone", [(i / 100, 0.5) for i in range(100)], "#000")])
    assert "alone" not in texts(chart)
    assert not list(drawn(chart).iter(f"{SVG}circle"))


def test_what_is_not_a_number_is_not_drawn():
    gap = Line("gap", [(0, 0.1), (0.5, math.nan), (1, 0.3)], "#000")
    nothing = Line("nothing", [(0, math.nan)], "#000")
    svg = Chart("t", UNIT, UNIT, [gap, nothing]).svg()
    assert "nan" not in svg
    assert svg.count("<circle") == 2


def test_bars_stand_on_the_axis_and_nothing_leaves_the_drawing():
    bars = Bars("things", [(0, 0.5, 10), (0.5, 1, 0), (0.9, 1.2, 1e9)], "#000")
    chart = Chart("t", UNIT, Axis("count", 0.5, 100, log=True), bars=[bars])
    rects = list(drawn(chart).iter(f"{SVG}rect"))
    assert len(rects) == 2
    for rect in rects:
        x, y, width, height = (float(rect.get(k, "nan")) for k in ("x", "y", "width", "height"))
        assert 0 <= x <= x + width <= WIDTH
        assert 0 <= y <= y + height <= HEIGHT
    assert rects[0].findtext(f"{SVG}title") == "0 to 0.5: 10 things"


def test_a_legend_that_is_too_long_goes_on_below_and_pushes_the_drawing_down():
    lines = [Line(f"a rather long name {i}", [(0, 0), (1, 1)], "#000") for i in range(5)]
    short, long = (drawn(Chart("t", UNIT, UNIT, some)) for some in (lines[:2], lines))
    heights = [float(svg.get("viewBox", "").split()[3]) for svg in (short, long)]
    assert heights[0] == HEIGHT < heights[1]
    names = {t.text: (float(t.get("x", "nan")), float(t.get("y", "nan"))) for t in long.findall(f"{SVG}text")}
    assert set(names) == {line.name for line in lines}
    assert len(set(names.values())) == 5
    assert all(x + 7 * len(text or "") <= WIDTH for text, (x, _) in names.items())
    shift = heights[1] - HEIGHT
    assert max(y for _, y in names.values()) < 34 + shift, "above the drawing"
