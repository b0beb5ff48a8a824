"""What the head says at one place: k anchors, 2k scores, 4k deltas, with the numbers of the shipped network."""

from torch import Tensor

from how_it_works.anchors import RATIO_COLOURS, nearest_place, place_anchors
from how_it_works.scene import Scene
from how_it_works.sheet import BLUE, GREY, INK, ORANGE, PALE, SMALL, TEXT, WIDTH, Sheet

# The level whose anchors are of the size of the photograph's objects.
_LEVEL = 2
_ROW, _TOP = 52, 100
_SCORES, _DELTAS = 330, 660  # where the two groups of columns begin
_CELL = 128


def head_outputs(scene: Scene) -> Sheet:
    """A row for each anchor of a place: its shape, its two scores, its four deltas; under them what they add up to."""
    anchors, logits, deltas = at_place(scene)
    k = len(anchors)
    sheet = Sheet(WIDTH, _TOP + k * _ROW + 80)
    scale = (_ROW - 8) / float((anchors[:, 2:] - anchors[:, :2]).max())
    _heading(sheet)
    for row, (anchor, logit, delta) in enumerate(zip(anchors, logits, deltas, strict=True)):
        y = _TOP + row * _ROW
        _shape(sheet, anchor, y, scale, RATIO_COLOURS[row * 3 // k])
        chance = float(logit.sigmoid())
        _cells(sheet, (_SCORES, y), [f"{1 - chance:.2f}", f"{chance:.2f}"], BLUE)
        _cells(sheet, (_DELTAS, y), [f"{round(value, 2) + 0.0:+.2f}" for value in delta.tolist()], ORANGE)
    _totals(sheet, k, _TOP + k * _ROW)
    return sheet


def at_place(scene: Scene) -> tuple[Tensor, Tensor, Tensor]:
    """The k anchors (k, 4) of a place in the middle of the cup, their logits (k,) and their deltas (k, 4)."""
    start = nearest_place(scene, _LEVEL)
    rows = slice(start, start + scene.checkpoint.config.anchors.per_location)
    return place_anchors(scene, _LEVEL), scene.scored.logits[_LEVEL][0, rows], scene.scored.deltas[_LEVEL][0, rows]


def _heading(sheet: Sheet) -> None:
    sheet.text((20, 8), "anchor", colour=INK)
    sheet.text((20, 44), "width x height, px", size=SMALL, colour=GREY)
    sheet.text((_SCORES, 8), "scores", colour=BLUE)
    sheet.text((_DELTAS, 8), "deltas", colour=ORANGE)
    for left, names in ((_SCORES, ("background", "object")), (_DELTAS, ("dx", "dy", "dw", "dh"))):
        for column, name in enumerate(names):
            sheet.text((left + (column + 0.5) * _CELL, 44), name, size=SMALL, colour=GREY, anchor="ma")


def _shape(sheet: Sheet, anchor: Tensor, y: float, scale: float, colour: str) -> None:
    x1, y1, x2, y2 = anchor.tolist()
    half_width, half_height = (x2 - x1) * scale / 2, (y2 - y1) * scale / 2
    middle = y + _ROW / 2
    sheet.box((50 - half_width, middle - half_height, 50 + half_width, middle + half_height), colour, line=2)
    sheet.text((110, middle), f"{x2 - x1:.0f} x {y2 - y1:.0f}", anchor="lm")


def _cells(sheet: Sheet, corner: tuple[float, float], values: list[str], colour: str) -> None:
    x, y = corner
    for column, value in enumerate(values):
        left = x + column * _CELL
        sheet.fill((left + 2, y + 3, left + _CELL - 2, y + _ROW - 3), PALE)
        sheet.text((left + _CELL / 2, y + _ROW / 2), value, size=TEXT, colour=colour, anchor="mm")


def _totals(sheet: Sheet, k: int, y: float) -> None:
    groups = (
        (20, _SCORES - 40, f"k = {k} anchors", INK),
        (_SCORES, _SCORES + 2 * _CELL, f"2k = {2 * k} scores", BLUE),
        (_DELTAS, _DELTAS + 4 * _CELL, f"4k = {4 * k} deltas", ORANGE),
    )
    for left, right, words, colour in groups:
        sheet.line([(left + 2, y + 10), (left + 2, y + 22), (right - 2, y + 22), (right - 2, y + 10)], colour, line=2)
        sheet.text(((left + right) / 2, y + 34), words, size=30, colour=colour, anchor="ma")
