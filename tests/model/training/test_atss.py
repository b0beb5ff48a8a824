import torch
from torchvision.ops import box_iou

from model.config import AnchorConfig
from model.network.anchors import AnchorGenerator
from model.structures import Canvas
from model.training.assignment import Assignment, Candidates
from model.training.atss import AdaptiveMatcher
from model.training.dataset import Batch

CONFIG = AnchorConfig(sizes=((12.0, 16.0), (30.0, 40.0)), aspect_ratios=(0.5, 1.0, 2.0), convention="centred")
STRIDES = (8, 16)


def assign(boxes: list[list[float]], ignored: list[list[float]] | None = None) -> tuple[Candidates, Assignment]:
    levels = AnchorGenerator(CONFIG, STRIDES)(Canvas(96, 96), ((12, 12), (6, 6)), torch.device("cpu"))
    given = torch.tensor(boxes).reshape(1, -1, 4)
    batch = Batch(
        pixels=torch.zeros(1, 96, 96, 3, dtype=torch.uint8),
        contents=torch.full((1, 2), 96.0),
        boxes=given,
        counts=torch.tensor([given.shape[1]]),
        ignored=torch.tensor(ignored or []).reshape(1, -1, 4),
    )
    centres = torch.cat([level.centres for level in levels])
    candidates = Candidates(
        anchors=torch.cat([level.boxes for level in levels]),
        centres=centres,
        levels=tuple(len(level.boxes) for level in levels),
        at_place=(CONFIG.per_location,) * len(levels),
        competing=torch.ones(1, len(centres), dtype=torch.bool),
        contents=batch.contents,
    )
    return candidates, AdaptiveMatcher()(candidates, batch)


def by_the_letter(candidates: Candidates, box: torch.Tensor) -> set[int]:
    """Algorithm 1 of the paper for one box, in loops."""
    here = CONFIG.per_location
    gathered: list[int] = []
    start = 0
    middle = (box[:2] + box[2:]) / 2

    def inside(index: int) -> bool:
        place = candidates.centres[index]
        return bool((box[:2] <= place).all() and (place <= box[2:]).all())

    for count in candidates.levels:
        distances = (candidates.centres[start : start + count] - middle).norm(dim=1)
        gathered += (distances.topk(9 * here, largest=False).indices + start).tolist()  # lines 3 to 6
        start += count
    overlaps = box_iou(box[None], candidates.anchors[gathered])[0]
    threshold = overlaps.mean() + overlaps.std(correction=0)  # lines 8 to 10
    chosen = {i for i, iou in zip(gathered, overlaps.tolist(), strict=True) if iou >= threshold and inside(i)}
    return chosen | {int(box_iou(box[None], candidates.anchors)[0].argmax())}


def test_the_paper_s_algorithm_for_a_box_alone():
    # off the grid's symmetry, so that no two places are equally near
    for box in ([13.1, 17.3, 41.9, 39.2], [40.7, 9.9, 80.2, 71.4], [3.3, 60.1, 21.7, 80.9]):
        candidates, assignment = assign([box])
        foreground = set((assignment.labels[0] == 1).nonzero().flatten().tolist())
        assert foreground == by_the_letter(candidates, torch.tensor(box))
        assert foreground


def test_an_anchor_that_two_boxes_want_goes_to_the_one_that_it_covers_best():
    boxes = [[20.0, 20, 52, 52], [24.0, 24, 56, 60]]
    candidates, assignment = assign(boxes)
    overlaps = box_iou(torch.tensor(boxes), candidates.anchors)
    foreground = assignment.labels[0] == 1
    assert set(assignment.matched[0][foreground].tolist()) == {0, 1}
    for box, best in enumerate(overlaps.argmax(dim=1).tolist()):
        assert assignment.matched[0][best] == box
        foreground[best] = False  # the best of a box is that box's, whatever else it covers
    assert foreground.sum() >= 10
    assert torch.equal(assignment.matched[0][foreground], overlaps.argmax(dim=0)[foreground])


def test_a_box_too_small_to_hold_a_place_still_gets_its_best_anchor():
    candidates, assignment = assign([[49.0, 49, 51, 51]])
    foreground = (assignment.labels[0] == 1).nonzero().flatten()
    overlaps = box_iou(torch.tensor([[49.0, 49, 51, 51]]), candidates.anchors)[0]
    assert len(foreground) >= 1
    assert (overlaps[foreground] == overlaps.max()).all()


def test_without_boxes_all_is_background_but_for_regions_to_ignore():
    candidates, assignment = assign([], ignored=[[0.0, 0, 40, 40]])
    assert set(assignment.labels[0].tolist()) == {0, -1}
    inside = (candidates.anchors[:, :2] >= 0).all(1) & (candidates.anchors[:, 2:] <= 40).all(1)
    assert (assignment.labels[0][inside] == -1).all()
    assert (assignment.labels[0][candidates.centres.amin(dim=1) > 60] == 0).all()


def test_the_best_anchor_of_a_box_learns_that_box_though_it_covers_another_better():
    boxes = [[20.0, 20, 52, 52], [33.0, 33, 39, 39]]  # the second is smaller than any anchor, and inside the first
    candidates, assignment = assign(boxes)
    overlaps = box_iou(torch.tensor(boxes), candidates.anchors)
    best = int(overlaps[1].argmax())
    assert assignment.labels[0][best] == 1
    assert assignment.matched[0][best] == 1
