"""From scored anchors to proposals: what NMS takes away, and what is left."""

import torch
from torch import Tensor

from how_it_works.scene import OBJECTS, Scene
from how_it_works.sheet import BLUE, INK, ORANGE, SMALL, WIDTH, Numbers, Panel, Sheet, faded
from model.evaluation.overlap import iou_matrix
from model.evaluation.pictures import draw_boxes
from model.network.selection import SelectedBoxes

# A caller's default; the paper's for proposals (section 3.3).
NMS_IOU = 0.7
_CANDIDATES, _SHOWN, _LISTED, _ALL = 100, 20, 300, 1000
_KEEP_ALL = 1.0  # no two boxes overlap by more
_GAP = 16


def suppression(scene: Scene) -> Sheet:
    """What NMS is given, what it removes around one box, what is left, and the best for each box given by hand."""
    before, after = scene.select(_ALL, _KEEP_ALL), scene.select(_LISTED, NMS_IOU)
    rank, removed = most_crowded(before.boxes, scene.select(_ALL, NMS_IOU).boxes)
    width = (WIDTH - _GAP) // 2
    panels = (
        (f"before NMS: the {_SHOWN} highest", _drawn(scene, before, width)),
        (
            f"rank {rank + 1}, and the {len(removed)} that NMS removed around it",
            _crowd(scene, after.boxes[rank], removed, width),
        ),
        (f"after NMS at IoU {NMS_IOU}: the {_SHOWN} highest", _drawn(scene, after, width)),
        (f"the best of {_LISTED} for each box given by hand (dashed)", _best(scene, after, width)),
    )
    height = panels[0][1].height + 50
    sheet = Sheet(WIDTH, 2 * height)
    for index, (words, panel) in enumerate(panels):
        x, y = index % 2 * (width + _GAP), index // 2 * height
        sheet.text((x, y + 8), words, size=SMALL)
        sheet.paste(panel, (x, y + 42), (panel.width, panel.height))
    return sheet


def most_crowded(candidates: Tensor, survivors: Tensor) -> tuple[int, Tensor]:
    """Of the survivors that are shown, the rank (from 0) of the one with the most removed candidates around it; those.

    Around: overlapping it by more than the IoU of NMS. Both are (_, 4), highest first.
    """
    gone = ~(candidates[:, None] == survivors[None]).all(dim=-1).any(dim=1)
    removed = candidates[gone]
    near = torch.from_numpy(iou_matrix(survivors[:_SHOWN].numpy(), removed.numpy())) > NMS_IOU
    rank = int(near.sum(dim=1).argmax())
    return rank, removed[near[rank]]


def best_for_each(scene: Scene, found: SelectedBoxes) -> list[tuple[Numbers, float, int]]:
    """For each box given by hand: the proposal that overlaps it most, its IoU, and its rank from 1."""
    boxes = scene.in_photograph(found.boxes)
    iou = iou_matrix(boxes, scene.in_photograph(scene.objects[0]))
    return [(boxes[rank], float(iou[rank, g]), int(rank) + 1) for g, rank in enumerate(iou.argmax(axis=0))]


def _drawn(scene: Scene, found: SelectedBoxes, width: int) -> Panel:
    """As `rpn propose` draws them, brighter is higher, on a photograph large enough for the labels."""
    boxes = scene.in_photograph(found.boxes[:_SHOWN]) * 2
    large = faded(scene.photograph).resize((scene.photograph.width * 2, scene.photograph.height * 2))
    return Panel(draw_boxes(large, boxes, found.scores[:_SHOWN].numpy()), width)


def _crowd(scene: Scene, survivor: Tensor, removed: Tensor, width: int) -> Panel:
    panel = Panel(faded(scene.photograph), width)
    for box in scene.in_photograph(removed):
        panel.box(panel.on(box), ORANGE, line=1.5)
    panel.box(panel.on(scene.in_photograph(survivor)), BLUE, line=4, halo=True)
    return panel


def _best(scene: Scene, after: SelectedBoxes, width: int) -> Panel:
    panel = Panel(faded(scene.photograph), width)
    for name, (box, iou, rank) in zip(OBJECTS, best_for_each(scene, after), strict=True):
        panel.dashed_box(panel.on(OBJECTS[name]), INK)
        panel.box(panel.on(box), BLUE, line=3, halo=True)
        x, y = panel.at((float(box[0]), float(box[3])))
        words = f"{name}: IoU {iou:.2f}, rank {rank}"
        panel.text((x + 6, y - 8), words, size=SMALL, colour=BLUE, anchor="lb", halo=True)
    return panel


def candidates_and_proposals(scene: Scene) -> tuple[Numbers, Numbers]:
    """The highest candidates before NMS and the highest proposals after, in the photograph's pixels."""
    before, after = scene.select(_CANDIDATES, _KEEP_ALL), scene.select(_SHOWN // 2, NMS_IOU)
    return scene.in_photograph(before.boxes), scene.in_photograph(torch.as_tensor(after.boxes))
