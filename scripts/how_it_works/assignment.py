"""Which anchors learn what: the real matcher and sampler on the two boxes given by hand."""

from itertools import pairwise

import torch
from torch import Tensor

from how_it_works.scene import OBJECTS, Scene
from how_it_works.sheet import BLUE, GREY, INK, ORANGE, SMALL, TEXT, WIDTH, Panel, Sheet, faded
from model.training.assignment import IGNORED, pairwise_iou
from model.training.rules import CLASSIC_RULES

_GAP = 16


def assignment(scene: Scene) -> Sheet:
    """Foreground, ignored, and the background that one step draws; under them the scale of IoU that divides them."""
    width = (WIDTH - 2 * _GAP) // 3
    groups = (
        ("foreground: {}", foreground(scene), BLUE, 3.0),
        ("neither: {}, not learnt from", neither(scene), GREY, 1.5),
        ("background: {} drawn at random", scene.sampled[1], ORANGE, 1.0),
    )
    panels = [_panel(scene, chosen, colour, line, width) for _, chosen, colour, line in groups]
    sheet = Sheet(WIDTH, panels[0].height + 170)
    for index, ((name, chosen, colour, _), panel) in enumerate(zip(groups, panels, strict=True)):
        x = index * (width + _GAP)
        sheet.text((x, 6), name.format(int(chosen.sum())), size=SMALL, colour=colour)
        sheet.paste(panel, (x, 42), (panel.width, panel.height))
    _iou_scale(sheet, panels[0].height + 62)
    return sheet


def foreground(scene: Scene) -> Tensor:
    """(R,): the foreground of the step that is drawn."""
    return scene.sampled[0]


def neither(scene: Scene) -> Tensor:
    """(R,): ignored, though they lie in the photograph."""
    return (scene.assignment.labels[0] == IGNORED) & scene.competing[0]


def best_of_each(scene: Scene) -> dict[str, float]:
    """The highest IoU that an anchor of the photograph has with each box given by hand."""
    iou = pairwise_iou(scene.objects, scene.anchors)[0].where(scene.competing, 0.0).amax(dim=1)
    return dict(zip(OBJECTS, iou.tolist(), strict=True))


def _panel(scene: Scene, chosen: Tensor, colour: str, line: float, width: int) -> Panel:
    panel = Panel(faded(scene.photograph), width)
    for box in scene.in_photograph(scene.anchors[chosen]):
        panel.box(panel.on(box), colour, line=line)
    for name, box in OBJECTS.items():
        panel.dashed_box(panel.on(box), INK, line=3)
        panel.text(panel.at((box[0] + 8, box[1] + 6)), name, size=SMALL, halo=True)
    if colour == BLUE:
        _write_iou(scene, panel, chosen)
    return panel


def _write_iou(scene: Scene, panel: Panel, chosen: Tensor) -> None:
    for index in torch.nonzero(chosen)[:, 0].tolist():
        x1, _, _, y2 = scene.in_photograph(scene.anchors[index])
        corner = panel.at((float(x1), float(y2)))
        words = f"IoU {scene.best_iou[index]:.2f}"
        panel.text((corner[0] + 6, corner[1] - 8), words, size=SMALL, colour=BLUE, anchor="lb", halo=True)


def _iou_scale(sheet: Sheet, y: float) -> None:
    matcher = CLASSIC_RULES.matcher
    left, width = 180.0, WIDTH - 360.0
    cuts = (0.0, matcher.background_iou, matcher.foreground_iou, 1.0)
    names = ("background", "neither", "foreground")
    for (low, high), name, colour in zip(pairwise(cuts), names, (ORANGE, GREY, BLUE), strict=True):
        start, end = left + low * width, left + high * width
        sheet.fill((start, y, end - 2, y + 40), colour)
        sheet.text(((start + end) / 2, y + 20), name, size=TEXT, colour="white", anchor="mm")
    for cut in cuts:
        sheet.text((left + cut * width, y + 48), f"{cut:g}", size=SMALL, anchor="ma")
    sheet.text((left - 20, y + 20), "best IoU", size=SMALL, anchor="rm")
    sheet.text(
        (WIDTH / 2, y + 80), "and foreground: the best anchor of each box, whatever its IoU", size=SMALL, anchor="ma"
    )
