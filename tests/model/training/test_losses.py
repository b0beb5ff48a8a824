from dataclasses import replace
from typing import Any

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.rpn import RegionProposalNetwork as TorchvisionRPN
from torchvision.ops import box_iou, sigmoid_focal_loss

from model.config import AnchorConfig
from model.errors import ConfigError
from model.network.anchors import AnchorGenerator
from model.network.rpn import ScoredAnchors
from model.structures import Canvas
from model.training.assignment import BACKGROUND, FOREGROUND, Candidates
from model.training.dataset import Batch
from model.training.losses import rpn_losses
from model.training.matcher import Matcher
from model.training.rules import RULES, Rules
from model.training.sampler import AnchorSampler
from tests.model.training.waits import Waits

MAPS = ((8, 8), (4, 4))
EVERYTHING = AnchorSampler(per_picture=10_000)


def setup(boxes: list[list[list[float]]]) -> tuple[ScoredAnchors, Batch]:
    generator = AnchorGenerator(AnchorConfig(sizes=((16.0,), (32.0,)), convention="torchvision"), (8, 16))
    anchors = generator(Canvas(64, 64), MAPS, torch.device("cpu"))
    count = len(boxes)
    logits = [torch.randn(count, len(a.boxes), requires_grad=True) for a in anchors]
    deltas = [torch.randn(count, len(a.boxes), 4, requires_grad=True) for a in anchors]
    padded = torch.zeros(count, max(1, *(len(b) for b in boxes)), 4)
    for row, values in zip(padded, boxes, strict=True):
        row[: len(values)] = torch.tensor(values).reshape(-1, 4)
    batch = Batch(
        pixels=torch.zeros(count, 64, 64, 3, dtype=torch.uint8),
        contents=torch.full((count, 2), 64.0),
        boxes=padded,
        counts=torch.tensor([len(b) for b in boxes]),
        ignored=torch.zeros(count, 0, 4),
    )
    return ScoredAnchors(logits, deltas, anchors), batch


BOXES = [[[4.0, 4, 20, 22], [30, 30, 60, 62]], [[10.0, 10, 44, 40]]]


def test_equal_to_torchvision_when_every_anchor_is_sampled():
    scored, batch = setup(BOXES)
    losses = rpn_losses(scored, batch, Rules(sampler=EVERYTHING))
    peer = TorchvisionRPN(None, None, 0.7, 0.3, 10_000, 0.5, {}, {}, 0.7)  # type: ignore[arg-type]
    anchors = [torch.cat([a.boxes for a in scored.anchors])] * 2
    targets = [{"boxes": torch.tensor(b)} for b in BOXES]
    labels, matched = peer.assign_targets_to_anchors(anchors, targets)
    regression = peer.box_coder.encode(matched, anchors)
    objectness, box = peer.compute_loss(
        torch.cat(scored.logits, dim=1).reshape(-1, 1),
        torch.cat(scored.deltas, dim=1).reshape(-1, 4),
        labels,
        regression,
    )
    torch.testing.assert_close(losses.objectness, objectness)
    torch.testing.assert_close(losses.box, box)


def foreground_of(scored: ScoredAnchors, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Foreground and trained anchors, bool (N, R), where all are sampled."""
    labels = Matcher()(Candidates.of(scored, batch), batch).labels
    return labels == FOREGROUND, (labels == FOREGROUND) | (labels == BACKGROUND)


def test_boxes_are_divided_by_what_the_rules_say_and_weighted():
    scored, batch = setup(BOXES)
    foreground, trained = foreground_of(scored, batch)
    assert 0 < foreground.sum() < trained.sum()
    base = rpn_losses(scored, batch, Rules(sampler=EVERYTHING)).box * trained.sum()  # the sum

    def box(**rules) -> torch.Tensor:
        return rpn_losses(scored, batch, Rules(sampler=EVERYTHING, **rules)).box

    torch.testing.assert_close(box(box_weight=10.0), 10 * base / trained.sum())
    torch.testing.assert_close(box(box_per="foreground"), base / foreground.sum())
    places = len(batch.boxes) * sum(height * width for height, width in MAPS)
    torch.testing.assert_close(box(box_per="places"), base / places)


def test_l1_is_the_distance_of_the_deltas():
    scored, batch = setup(BOXES)
    foreground, _ = foreground_of(scored, batch)
    found = rpn_losses(scored, batch, Rules(sampler=EVERYTHING, box="l1", box_per="foreground")).box
    anchors = torch.cat([level.boxes for level in scored.anchors])
    matched = Matcher()(Candidates.of(scored, batch), batch).matched
    rows, places = foreground.nonzero(as_tuple=True)
    targets = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode_single(batch.boxes[rows, matched[rows, places]], anchors[places])
    distance = (torch.cat(scored.deltas, dim=1)[rows, places] - targets).abs().sum()
    torch.testing.assert_close(found, distance / foreground.sum())


def test_focal_is_torchvisions():
    scored, batch = setup(BOXES)
    foreground, trained = foreground_of(scored, batch)
    found = rpn_losses(scored, batch, Rules(objectness="focal", box_per="foreground")).objectness
    logits = torch.cat(scored.logits, dim=1)[trained]
    peer = sigmoid_focal_loss(logits, foreground[trained].float(), alpha=0.25, gamma=2, reduction="sum")
    torch.testing.assert_close(found, peer / 32)  # the least that two pictures' foreground counts as


def crowded(pictures: int) -> list[list[list[float]]]:
    """Boxes on 25 anchors of each picture."""
    return [[[8.0 * x, 8.0 * y, 8.0 * x + 16, 8.0 * y + 16] for x in range(5) for y in range(5)]] * pictures


@pytest.mark.parametrize("objectness", ["focal", "quality"])
def test_where_there_is_foreground_enough_both_are_divided_by_it(objectness: Any):
    rules = Rules(objectness=objectness, box_per="foreground")
    scored, batch = setup(crowded(2))
    foreground, _ = foreground_of(scored, batch)
    assert foreground.sum() == 2 * 25
    every, one = rpn_losses(scored, batch, rules), rpn_losses(*some_of(scored, batch, slice(0, 1)), rules)
    other = rpn_losses(*some_of(scored, batch, slice(1, 2)), rules)
    torch.testing.assert_close(every.objectness, (one.objectness + other.objectness) / 2)
    torch.testing.assert_close(every.box, (one.box + other.box) / 2)
    boxes = rpn_losses(scored, batch, Rules(sampler=EVERYTHING, box_per="foreground")).box
    torch.testing.assert_close(every.box, boxes)


def some_of(scored: ScoredAnchors, batch: Batch, rows: slice) -> tuple[ScoredAnchors, Batch]:
    """Some of its pictures, as a batch of their own."""
    part = {name: getattr(batch, name)[rows] for name in ("pixels", "contents", "boxes", "counts", "ignored")}
    logits, deltas = [x[rows] for x in scored.logits], [x[rows] for x in scored.deltas]
    return ScoredAnchors(logits, deltas, scored.anchors), Batch(**part)


@pytest.mark.parametrize("objectness", ["focal", "quality"])
def test_pictures_without_objects_weigh_no_more_in_a_batch_of_their_own(objectness: Any):
    """Of a step's batches one may have none, by `accumulate`, among several processes, or as what an epoch leaves."""
    rules = Rules(objectness=objectness, box_per="foreground")
    scored, batch = setup([*crowded(2), [], []])
    together = rpn_losses(scored, batch, rules).objectness
    with_objects, without = (
        rpn_losses(*some_of(scored, batch, rows), rules).objectness for rows in (slice(0, 2), slice(2, 4))
    )
    # Foreground, as it counts: 50 anchors and 32; of all four pictures 64, for they have 50.
    torch.testing.assert_close(together, (with_objects * 50 + without * 32) / 64)


def test_confident_background_may_be_left_out():
    scored, batch = setup(BOXES)
    foreground, trained = foreground_of(scored, batch)
    level = scored.logits[0]
    background = (trained & ~foreground)[:, : level.shape[1]]
    with torch.no_grad():
        level.fill_(0)
        level[tuple(background.nonzero()[0])] = 5.0
    rpn_losses(scored, batch, Rules(sampler=EVERYTHING, ignore_confident=0.9)).objectness.backward()
    assert level.grad is not None
    assert level.grad[level == 5].tolist() == [0.0]
    assert (level.grad[background & (level == 0)] > 0).all()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"objectness": "focal"}, "box_per 'anchors' needs objectness 'bce', which samples, not 'focal'"),
        ({"box_weight": 0.0}, "box_weight must be positive and finite, not 0.0"),
        ({"ignore_confident": 1.0}, "ignore_confident must lie between 0 and 1, not 1.0"),
    ],
)
def test_rules_that_make_no_sense_are_told(rules: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        Rules(**rules)


def test_a_batch_without_boxes_has_a_finite_objectness_loss_and_no_box_loss():
    scored, batch = setup([[], []])
    losses = rpn_losses(scored, batch, Rules())
    assert losses.box.item() == 0.0
    assert 0 < losses.objectness.item() < 10
    losses.total.backward()
    assert all(level.grad is not None and level.grad.isfinite().all() for level in scored.logits)


def test_only_sampled_anchors_get_gradients():
    scored, batch = setup(BOXES)
    rules = Rules(sampler=AnchorSampler(per_picture=8))
    rpn_losses(scored, batch, rules, torch.Generator().manual_seed(0)).total.backward()
    touched = sum(int((level.grad != 0).sum()) for level in scored.logits if level.grad is not None)
    assert touched == 2 * 8


def test_what_is_not_trained_on_may_be_no_number():
    scored, batch = setup(BOXES)
    _, trained = foreground_of(scored, batch)
    level = scored.logits[0]
    between = ~trained[:, : level.shape[1]]
    assert between.any()
    with torch.no_grad():
        level.masked_fill_(between, torch.nan)
    losses = rpn_losses(scored, batch, Rules(sampler=EVERYTHING))
    losses.objectness.backward()
    assert losses.objectness.isfinite()
    assert level.grad is not None
    assert level.grad[between].tolist() == [0.0] * int(between.sum())


@pytest.mark.parametrize("name", RULES)
def test_a_gpu_is_waited_for_once_to_count_the_foreground(name: str):
    scored, batch = setup(BOXES)
    rules = replace(RULES[name], ignore_confident=0.9)
    rpn_losses(scored, batch, rules)  # how many anchors share a place is counted once for a canvas
    with Waits() as waits:
        rpn_losses(scored, batch, rules).total.backward()
    assert waits.found == ["nonzero"]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("objectness", [True, False])
def test_following_the_gradient_lowers_each_loss(name: str, objectness: bool):
    scored, batch = setup(BOXES)
    leaves = scored.logits if objectness else scored.deltas
    optimizer = torch.optim.Adam(leaves, lr=0.1)
    history = []
    for _ in range(40):
        losses = rpn_losses(scored, batch, RULES[name], torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        history.append((losses.objectness if objectness else losses.box).item())
    assert history[-1] < 0.2 * history[0]


def test_quality_is_the_iou_that_the_anchors_own_boxes_reach():
    """Generalized focal loss, equation 3, in plain words; the boxes learn nothing by it."""
    scored, batch = setup(crowded(1))
    foreground, trained = foreground_of(scored, batch)
    rules = Rules(objectness="quality", box_per="foreground")
    anchors = torch.cat([level.boxes for level in scored.anchors])
    matched = Matcher()(Candidates.of(scored, batch), batch).matched[0]
    boxes = BoxCoder((1.0, 1.0, 1.0, 1.0)).decode_single(torch.cat(scored.deltas, dim=1)[0], anchors)
    reached = box_iou(boxes, batch.boxes[0]).gather(1, matched[:, None])[:, 0].where(foreground[0], 0.0).detach()
    chances = torch.cat(scored.logits, dim=1)[0].sigmoid()
    loss = -((reached - chances).abs() ** 2) * (reached * chances.log() + (1 - reached) * (1 - chances).log())
    assert 0.1 < reached.max() < 0.99
    found = rpn_losses(scored, batch, rules).objectness
    torch.testing.assert_close(found, loss[trained[0]].sum() / foreground.sum())
    found.backward()
    assert all(level.grad is None or not level.grad.any() for level in scored.deltas)
    assert all(level.grad is not None and level.grad.any() for level in scored.logits)
