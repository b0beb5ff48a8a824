"""Intersection over union, as pictures."""

import torch

from how_it_works.scene import OBJECTS, Scene
from how_it_works.sheet import BLUE, INK, ORANGE, SMALL, WIDTH, Panel, Sheet, faded
from model.training.assignment import pairwise_iou

IOUS = (0.3, 0.5, 0.7)
_USES = ("below: background", "from here on: found (COCO's lowest)", "from here on: foreground; NMS")


def overlap(scene: Scene) -> Sheet:
    """The cup's box and a copy moved aside so far that their IoU is 0.3, 0.5 and 0.7."""
    gap = 16
    width = (WIDTH - 2 * gap) // 3
    panels = [_panel(scene, iou, width) for iou in IOUS]
    sheet = Sheet(WIDTH, panels[0].height + 90)
    for index, (panel, iou, use) in enumerate(zip(panels, IOUS, _USES, strict=True)):
        x = index * (width + gap)
        sheet.text((x + width / 2, 6), f"IoU {measured(iou):.2f}", size=30, anchor="ma")
        sheet.paste(panel, (x, 48), (panel.width, panel.height))
        sheet.text((x + width / 2, panel.height + 58), use, size=SMALL, anchor="ma")
    return sheet


def pair(iou: float) -> tuple[list[float], list[float]]:
    """The cup's box and its copy: of equal boxes, one moved by a share s of the width, the IoU is (1 - s) / (1 + s)."""
    x1, y1, x2, y2 = OBJECTS["cup"]
    shift = (x2 - x1) * (1 - iou) / (1 + iou)
    return [x1, y1, x2, y2], [x1 + shift, y1, x2 + shift, y2]


def measured(iou: float) -> float:
    """The IoU of the pair, by the matcher's own code."""
    first, second = (torch.tensor([box]) for box in pair(iou))
    return float(pairwise_iou(first[None], second)[0, 0, 0])


def _panel(scene: Scene, iou: float, width: int) -> Panel:
    panel = Panel(faded(scene.photograph), width)
    first, second = (panel.on(box) for box in pair(iou))
    panel.shade((second[0], first[1], first[2], first[3]), INK, 0.55)
    panel.box(first, BLUE, line=4, halo=True)
    panel.box(second, ORANGE, line=4, halo=True)
    return panel
