"""A delta: the four numbers that turn an anchor into a box."""

import torch
from torch import Tensor

from how_it_works.scene import OBJECTS, Scene
from how_it_works.sheet import BLUE, GREY, INK, ORANGE, SMALL, TEXT, WIDTH, Panel, Sheet, faded
from model.network.box_coding import decode_deltas, encode_boxes

_VIEW = (250.0, 30.0, 520.0, 350.0)  # the spoon and what is around it


def delta(scene: Scene) -> Sheet:
    """The spoon's own foreground anchor, its box, the shift of the centre and the change of the sides."""
    anchor, box = (scene.in_photograph(b).tolist() for b in example(scene)[:2])
    panel = Panel(faded(scene.photograph), 560, _VIEW)
    panel.dashed_box(panel.on(anchor), ORANGE, line=4)
    panel.box(panel.on(box), BLUE, line=4, halo=True)
    _sides(panel, panel.on(anchor), ORANGE, (18, 70))
    _sides(panel, panel.on(box), BLUE, (36, 30))
    _between_centres(panel, anchor, box)
    sheet = Sheet(WIDTH, panel.height)
    sheet.paste(panel, (0, 0), (panel.width, panel.height))
    _numbers(sheet, scene, panel.width + 30)
    return sheet


def example(scene: Scene) -> tuple[Tensor, Tensor, Tensor]:
    """The anchor that overlaps the spoon most, the spoon's box (canvas pixels, (4,) each), and the delta between."""
    spoon = list(OBJECTS).index("spoon")
    labels, matched = scene.assignment.labels[0], scene.assignment.matched[0]
    mine = torch.where((labels == 1) & (matched == spoon), scene.best_iou, -1.0)
    anchor, box = scene.anchors[int(mine.argmax())], scene.objects[0, spoon]
    return anchor, box, encode_boxes(box, anchor)


def _between_centres(panel: Panel, anchor: list[float], box: list[float]) -> None:
    start, end = (panel.at(((b[0] + b[2]) / 2, (b[1] + b[3]) / 2)) for b in (anchor, box))
    corner = (end[0], start[1])
    panel.arrow(start, corner, INK, line=3)
    panel.arrow(corner, end, INK, line=3)
    panel.text(((start[0] + end[0]) / 2, start[1] + 8), "dx", anchor="ma", halo=True)
    panel.text((end[0] - 10, (start[1] + end[1]) / 2), "dy", anchor="rm", halo=True)
    panel.dot(start, ORANGE)
    panel.dot(end, BLUE)


def _sides(panel: Panel, shown: tuple[float, ...], colour: str, inset: tuple[float, float]) -> None:
    """Arrows along the width and the height of a box, so far inside its top and its right edge."""
    x1, y1, x2, y2 = shown
    panel.arrow((x1, y1 + inset[1]), (x2, y1 + inset[1]), colour, line=3, both=True)
    panel.arrow((x2 - inset[0], y1), (x2 - inset[0], y2), colour, line=3, both=True)
    panel.text((x1 + (x2 - x1) / 4, y1 + inset[1]), "w", colour=colour, anchor="mm", halo=True)
    panel.text((x2 - inset[0], y1 + 0.75 * (y2 - y1)), "h", colour=colour, anchor="mm", halo=True)


def _numbers(sheet: Sheet, scene: Scene, x: float) -> None:
    anchor, box, change = example(scene)
    ax, ay, aw, ah = _centre_and_sides(anchor)
    bx, by, bw, bh = _centre_and_sides(box)
    dx, dy, dw, dh = change.tolist()
    rows = [
        (f"anchor: centre ({ax:.1f}, {ay:.1f}), {aw:.1f} x {ah:.1f}", ORANGE),
        (f"box: centre ({bx:.1f}, {by:.1f}), {bw:.1f} x {bh:.1f}", BLUE),
        ("in canvas pixels", GREY),
        ("", INK),
        (f"dx = ({bx:.1f} - {ax:.1f}) / {aw:.1f} = {dx:+.3f}", INK),
        (f"dy = ({by:.1f} - {ay:.1f}) / {ah:.1f} = {dy:+.3f}", INK),
        (f"dw = ln({bw:.1f} / {aw:.1f}) = {dw:+.3f}", INK),
        (f"dh = ln({bh:.1f} / {ah:.1f}) = {dh:+.3f}", INK),
        ("", INK),
        ("decoded again:", GREY),
        (_corners(decode_deltas(change, anchor)), BLUE),
        ("the box's corners:", GREY),
        (_corners(box), BLUE),
    ]
    for row, (words, colour) in enumerate(rows):
        sheet.text((x, 60 + 42 * row), words, size=SMALL if colour == GREY else TEXT, colour=colour)


def _corners(box: Tensor) -> str:
    return "  ".join(f"{value:.1f}" for value in box.tolist())


def _centre_and_sides(box: Tensor) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box.tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
