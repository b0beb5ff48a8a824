from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou

from model.config import ModelConfig, RefinementConfig
from model.network import suppression
from model.network.anchors import LevelAnchors
from model.network.network import build_network
from model.network.refinement import RefinementHead
from model.network.rpn import ScoredAnchors
from model.training import refinement_sampler
from model.training.dataset import Batch
from model.training.refinement_loss import refinement_losses
from model.training.refinement_sampler import RefinementRules, RefinementSamples, refinement_samples
from tests.model.training.waits import Waits

STAGE = RefinementConfig(proposals=300, channels=8, hidden=32)
# What one picture has: three boxes, one, none.
BOXES = torch.tensor([[[10.0, 12, 50, 60], [60, 20, 90, 44], [5, 70, 25, 92]], [[30, 30, 70, 80], *[[0] * 4] * 2]])
BATCH = Batch(
    pixels=torch.zeros(3, 96, 96, 3, dtype=torch.uint8),
    contents=torch.tensor([[96.0, 96], [96, 90], [70, 96]]),
    boxes=torch.cat([BOXES, torch.zeros(1, 3, 4)]),
    counts=torch.tensor([3, 1, 0]),
    ignored=torch.tensor([[[0.0, 0, 96, 30]], [[0, 0, 0, 0]], [[20, 20, 60, 60]]]),
)


@pytest.fixture
def scored(tiny_config: ModelConfig) -> ScoredAnchors:
    network = build_network(replace(tiny_config, refinement=STAGE)).eval()
    with torch.no_grad():
        network.rpn.head.bbox_pred.weight *= 10
        scored: ScoredAnchors = network(torch.randint(0, 256, (3, 96, 96, 3), dtype=torch.uint8), BATCH.contents)
    return scored


def sample(scored: ScoredAnchors, seed: int = 0, **rules: float) -> RefinementSamples:
    generator = torch.Generator().manual_seed(seed)
    return refinement_samples(scored, BATCH, STAGE, RefinementRules(**rules), generator)  # type: ignore[arg-type]


def columns(samples: RefinementSamples) -> list[Tensor]:
    return [getattr(samples, name) for name in RefinementSamples.__slots__]


def test_every_sample_is_a_usable_box_of_its_picture(scored: ScoredAnchors):
    samples = sample(scored)
    assert samples.drawn.sum() > 100
    for picture, (boxes, content, ignored) in enumerate(zip(BATCH.boxes, BATCH.contents, BATCH.ignored, strict=True)):
        own = samples.drawn & (samples.pictures == picture)
        found, overlaps = samples.boxes[own], samples.overlaps[own]
        assert (found >= 0).all()
        assert (found <= content.repeat(2)).all()
        assert (found[:, 2:] > found[:, :2]).all()
        count = int(BATCH.counts[picture])
        if count == 0:
            assert not overlaps.any()
            assert not samples.targets[own].any(), "a target without area"
        else:
            iou = box_iou(found, boxes[:count])
            torch.testing.assert_close(overlaps, iou.amax(dim=1))
            meets = overlaps > 0
            torch.testing.assert_close(samples.targets[own][meets], boxes[iou.argmax(dim=1)][meets])
        assert not ((inside(found, ignored[0]) >= 0.5) & (overlaps < 0.5)).any(), "no background in what is ignored"


def inside(boxes: Tensor, region: Tensor) -> Tensor:
    sides = torch.minimum(boxes[:, 2:], region[2:]) - torch.maximum(boxes[:, :2], region[:2])
    return sides.clamp(min=0).prod(dim=1) / (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_copies_of_annotated_boxes_are_foreground_from_the_first_step_on(scored: ScoredAnchors, share: float):
    samples = sample(scored, per_picture=40, foreground_share=share, jittered=20)
    foreground = samples.drawn & (samples.overlaps >= 0.5)
    counts = [int((foreground & (samples.pictures == picture)).sum()) for picture in range(3)]
    assert counts == [40 * share, min(40 * share, 20), 0], "at most the share of them, and each picture its own"
    assert samples.drawn.tolist() == [True] * 120, "background fills up"


def test_a_sample_is_drawn_by_its_generator_alone(scored: ScoredAnchors):
    first, again, other = (columns(sample(scored, seed, per_picture=30)) for seed in (1, 1, 2))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


@given(
    kinds=st.lists(st.lists(st.sampled_from([1, 0, -1]), min_size=12, max_size=12), min_size=1, max_size=4),
    per_picture=st.integers(1, 14),
    share=st.sampled_from([0.2, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_the_law_of_the_draw(kinds: list[list[int]], per_picture: int, share: float, seed: int):
    """As much foreground as there is and the share allows, then as much background as is left, and nothing twice."""
    labels, rules = torch.tensor(kinds), RefinementRules(per_picture, share)
    drawn, places = refinement_sampler._drawn(labels, rules, torch.Generator().manual_seed(seed))
    assert drawn.shape == places.shape == (len(kinds), min(per_picture, 12))
    for row, (mask, place) in enumerate(zip(drawn, places, strict=True)):
        assert len(set(place.tolist())) == len(place)
        found = labels[row, place[mask]].tolist()
        foreground = min(kinds[row].count(1), int(per_picture * share))
        assert (found.count(1), found.count(-1)) == (foreground, 0)
        assert found.count(0) == min(kinds[row].count(0), per_picture - foreground)


def test_every_box_is_as_likely():
    labels = torch.zeros(4000, 40, dtype=torch.int64)
    drawn, places = refinement_sampler._drawn(labels, RefinementRules(10), torch.Generator().manual_seed(0))
    assert drawn.all()
    assert (places.flatten().bincount(minlength=40) / 4000 - 0.25).abs().max() < 0.04


def test_nothing_found_and_nothing_annotated_is_no_sample(scored: ScoredAnchors):
    nothing = replace(scored, logits=[torch.full_like(level, torch.nan) for level in scored.logits])
    empty = replace(BATCH, boxes=torch.zeros(3, 0, 4), counts=torch.zeros(3, dtype=torch.int64))
    samples = refinement_samples(nothing, empty, STAGE, RefinementRules())
    assert [len(column) for column in columns(samples)] == [0] * 6


def test_a_gpu_is_never_waited_for(monkeypatch: pytest.MonkeyPatch):
    """On tensors without values: whatever asks for one, or has a shape that depends on one, raises."""
    monkeypatch.setattr(suppression, "can_suppress", lambda *_: True)
    with torch.device("meta"):
        head, scored, batch = RefinementHead(STAGE, 16, (8, 16)), pretended_anchors(), pretended_batch()
    with Waits() as first:
        refinement_losses(head, scored, batch, RefinementRules())
    assert first.found == ["_to_copy"], "the maps' sizes are copied there once"
    with Waits() as then:
        losses = refinement_losses(head, scored, batch, RefinementRules(), ignore_confident=0.9)
        (losses.objectness + losses.box).backward()
    assert then.found == []
    assert head.bbox_pred.weight.grad is not None
    assert head.bbox_pred.weight.grad.device.type == "meta"


def pretended_anchors() -> ScoredAnchors:
    """Of two pictures, three at each place of two maps."""
    maps = ((12, 12), (6, 6))
    counts = [3 * height * width for height, width in maps]
    return ScoredAnchors(
        logits=[torch.empty(2, count) for count in counts],
        deltas=[torch.empty(2, count, 4) for count in counts],
        anchors=[LevelAnchors(torch.empty(count, 4), torch.empty(count, 2)) for count in counts],
        features=[torch.empty(2, 16, *sides) for sides in maps],
    )


def pretended_batch() -> Batch:
    boxes, ignored, pixels = torch.empty(2, 5, 4), torch.empty(2, 3, 4), torch.empty(2, 96, 96, 3)
    return Batch(pixels, torch.empty(2, 2), boxes, torch.empty(2, dtype=torch.int64), ignored)
