"""Host and device select alike: both on the CPU here, one in NumPy, the other in torch."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from model.calibration import Calibration, Curve
from model.config import OverlapPenalty, SelectionConfig
from model.host import candidates
from model.network import device_selection, selection
from model.network.anchors import LevelAnchors
from model.network.refinement import RefinedBoxes
from model.network.rpn import ScoredAnchors
from model.network.selected_boxes import SelectedBoxes
from model.structures import Selection

CANVAS = 200.0
NOT_FINITE = [np.nan, np.inf, -np.inf]

selections = st.builds(
    Selection,
    top_n=st.sampled_from([1, 5, 40, 1000]),
    score_threshold=st.sampled_from([0.0, 0.0, 0.3, 0.6]),
    nms_iou=st.sampled_from([0.0, 0.3, 0.7, 0.8, 1.0]),
)
configs = st.builds(
    SelectionConfig,
    pre_nms_top_n=st.sampled_from([1, 7, 30, 1000]),
    post_nms_top_n=st.sampled_from([3, 30, 1000]),
    score_threshold=st.sampled_from([0.0, 0.0, 0.2]),
    min_side=st.sampled_from([1e-3, 8.0]),
    # losses that no two of the logits drawn below differ by, or ranks would be shared
    overlap_penalty=st.sampled_from(
        [None, None, OverlapPenalty(logits=1.41421), OverlapPenalty((0.0, 0.25, 0.6), 0.37373)]
    ),
)
calibrations = st.sampled_from(
    [
        None,
        Calibration((Curve(1.3, 0.6, -1.0),)),
        Calibration((Curve(1.3, 0.6, -1.0), Curve(0.5, 1.0, 1.0, ((-1.0, 2.0, 0.7),))), (0.3, 0.8)),
    ]
)
contents = st.lists(st.sampled_from([(CANVAS, CANVAS), (CANVAS, 90.0), (55.5, CANVAS), (7.0, 7.0)]), max_size=3)


@st.composite
def pictures(draw):
    """How many anchors each level has, each picture's size, and what the rest is drawn from."""
    levels = draw(st.lists(st.integers(1, 120), min_size=1, max_size=3))
    sizes = draw(contents.filter(bool))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.sampled_from([0.0, 0.1, 0.9]))
    return levels, torch.tensor(sizes), random, share


def scored(levels: list[int], count: int, random: np.random.Generator, share: float) -> ScoredAnchors:
    """Random anchors; no two logits alike; a ``share`` of logits and some deltas not finite."""
    total = sum(levels)
    logits = random.permuted(np.linspace(-4, 4, count * total)).astype(np.float32).reshape(count, total)
    deltas = random.normal(0, 0.5, (count, total, 4)).astype(np.float32)
    logits[random.random(logits.shape) < share] = random.choice(NOT_FINITE)
    deltas[random.random(deltas.shape) < share / 4] = random.choice([*NOT_FINITE, 1e30, -1e30])
    corners = random.random((total, 2), dtype=np.float32) * np.float32(CANVAS)
    boxes = np.concatenate((corners - 20, corners + 20), axis=1) + random.random((total, 4), dtype=np.float32) * 9
    parts = [list(torch.from_numpy(values).split(levels, axis)) for values, axis in ((logits, 1), (deltas, 1))]
    anchors = zip(torch.from_numpy(boxes).split(levels), torch.from_numpy(corners).split(levels), strict=True)
    return ScoredAnchors(*parts, [LevelAnchors(*level) for level in anchors])


def assert_alike(host: list[SelectedBoxes], device: list[SelectedBoxes]) -> None:
    for ours, theirs in zip(host, device, strict=True):
        torch.testing.assert_close(ours.boxes, theirs.boxes, rtol=1e-6, atol=1e-3)
        torch.testing.assert_close(ours.scores, theirs.scores, rtol=1e-5, atol=1e-6)
        assert ours.truncated == theirs.truncated


def refined_on_device(refined, sizes, config, wanted, curve) -> list[SelectedBoxes]:
    """Each with as many places as the fullest picture has boxes."""
    places = max(len(picture.logits) for picture in refined)
    boxes = torch.stack([F.pad(picture.boxes, (0, 0, 0, places - len(picture.boxes))) for picture in refined])
    logits = [F.pad(picture.logits, (0, places - len(picture.logits)), value=-torch.inf) for picture in refined]
    asked = device_selection.Wanted.by(wanted)
    found = device_selection.select_refined(boxes, torch.stack(logits), sizes, config, asked, curve)
    return device_selection.by_picture(found, wanted)


@settings(max_examples=300, deadline=None)
@given(pictures(), configs, st.lists(selections, min_size=3, max_size=3), calibrations)
def test_proposals_are_those_of_the_device(given_pictures, config, wanted, curve):
    levels, sizes, random, share = given_pictures
    given_anchors = scored(levels, len(sizes), random, share)
    arguments = (given_anchors, sizes, config, wanted[: len(sizes)], curve)
    found = selection.select_proposals(*arguments)
    assert_alike(found, device_selection.select_proposals(*arguments))
    for n, one in enumerate(found):
        alone = replace(
            given_anchors,
            logits=[level[n : n + 1] for level in given_anchors.logits],
            deltas=[level[n : n + 1] for level in given_anchors.deltas],
        )
        [single] = selection.select_proposals(alone, sizes[n : n + 1], config, [wanted[n]], curve)
        assert torch.equal(single.boxes, one.boxes)
        assert torch.equal(single.scores, one.scores)


@settings(max_examples=150, deadline=None)
@given(pictures(), configs, st.lists(selections, min_size=3, max_size=3), calibrations)
def test_so_is_what_the_second_stage_found(given_pictures, config, wanted, curve):
    _, sizes, random, share = given_pictures
    refined = []
    for _ in sizes:
        anchors = scored([int(random.integers(1, 300))], 1, random, share)
        refined.append(RefinedBoxes(anchors.anchors[0].boxes, anchors.logits[0][0]))
    arguments = (sizes, config, wanted[: len(sizes)], curve)
    assert_alike(selection.select_refined(refined, *arguments), refined_on_device(refined, *arguments))


@settings(max_examples=50, deadline=None)
@given(pictures(), configs, st.integers(0, 3))
def test_of_logits_that_are_alike_as_many_are_taken(given_pictures, config, decimals):
    levels, sizes, random, share = given_pictures
    given_anchors = scored(levels, len(sizes), random, share)
    given_anchors.logits[:] = [level.round(decimals=decimals) for level in given_anchors.logits]
    given_anchors.deltas[:] = [
        torch.zeros_like(level) for level in given_anchors.deltas
    ]  # none is dropped for its side
    # Which of those alike are taken is anyone's choice, and nothing may hang on it: no NMS, no penalty.
    config = replace(config, min_side=0.0, overlap_penalty=None)
    arguments = (given_anchors, sizes, config, [Selection(top_n=1000, nms_iou=1.0)] * len(sizes))
    for ours, theirs in zip(
        selection.select_proposals(*arguments), device_selection.select_proposals(*arguments), strict=True
    ):
        torch.testing.assert_close(ours.scores, theirs.scores, rtol=1e-5, atol=1e-6)


def test_a_network_that_computes_in_bfloat16():
    given_anchors = scored([300, 50], 2, np.random.default_rng(5), 0.0)
    halved = replace(
        given_anchors,
        logits=[level.bfloat16() for level in given_anchors.logits],
        deltas=[level.bfloat16() for level in given_anchors.deltas],
    )
    widened = replace(
        halved, logits=[level.float() for level in halved.logits], deltas=[level.float() for level in halved.deltas]
    )
    rest = (torch.full((2, 2), CANVAS), SelectionConfig(), [Selection()] * 2)
    for narrow, wide in zip(
        selection.select_proposals(halved, *rest), selection.select_proposals(widened, *rest), strict=True
    ):
        assert torch.equal(narrow.boxes, wide.boxes)
        assert torch.equal(narrow.scores, wide.scores)


def test_what_is_given_stays_as_it_is():
    given_anchors = scored([60], 1, np.random.default_rng(1), 0.1)
    before = given_anchors.logits[0].clone()
    given_anchors.deltas[0].requires_grad_()
    selection.select_proposals(given_anchors, torch.tensor([[50.0, 50.0]]), SelectionConfig(), [Selection()])
    torch.testing.assert_close(given_anchors.logits[0], before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("kind", ["varied", "alike", "sorted", "not finite"])
@pytest.mark.parametrize("count", [1, 1000, 99_000])
def test_the_highest_of_a_long_level(kind, count):
    random = np.random.default_rng(0)
    row = random.normal(size=100_000).astype(np.float32)
    if kind == "alike":
        row[:] = 0.5
    if kind == "sorted":
        row.sort()
    if kind == "not finite":
        row[::3] = np.nan  # one of the sample is among them: no bound
    [places] = candidates._highest(row[None], count)
    assert len(set(places.tolist())) == count
    if kind == "not finite":
        assert np.isnan(row[places]).sum() == min(count, np.isnan(row).sum())
    else:
        assert np.array_equal(np.sort(row[places]), np.sort(row)[-count:])


def rows(found: SelectedBoxes) -> Counter[tuple[float, ...]]:
    return Counter(map(tuple, found.boxes.tolist()))


def scored_rows(found: SelectedBoxes) -> Counter[tuple[float, ...]]:
    return Counter(map(tuple, torch.cat((found.boxes, found.scores[:, None]), dim=1).tolist()))


@settings(max_examples=60, deadline=None)
@given(pictures(), calibrations, st.sampled_from([0.6, 0.8, 1.0]))
def test_an_overlap_penalty_changes_the_order_and_nothing_else(given_pictures, curve, iou):
    levels, sizes, random, share = given_pictures
    given_anchors = scored(levels, len(sizes), random, share)
    plain, penalised = SelectionConfig(), SelectionConfig(overlap_penalty=OverlapPenalty(logits=1.41421))

    def ask(config: SelectionConfig, **wanted) -> list[SelectedBoxes]:
        asked = [Selection(**{"top_n": 1000, "nms_iou": iou} | wanted)] * len(sizes)
        return selection.select_proposals(given_anchors, sizes, config, asked, curve)

    everything, strict, first, high = (
        ask(penalised, **wanted) for wanted in ({}, {"nms_iou": 0.5}, {"top_n": 7}, {"score_threshold": 0.3})
    )
    for before, after, alone, few, scoring in zip(ask(plain), everything, strict, first, high, strict=True):
        assert rows(before) == rows(after)
        assert (after.scores.diff() <= 0).all()
        assert torch.equal(few.boxes, after.boxes[:7])
        assert few.truncated == (len(after.boxes) > 7)
        assert torch.equal(scoring.scores, after.scores[after.scores >= 0.3])
        # a looser NMS may drop what 0.5 leaves, by a box that 0.5 has dropped before, and has a curve of its own
        if iou == 1 and (curve is None or not curve.nms_ious):
            assert scored_rows(alone) <= scored_rows(after), "what a strict NMS leaves has lost nothing"
    for asked in (0.5, 0.3):  # no looser than the penalty's lowest
        for one, other in zip(ask(plain, nms_iou=asked), ask(penalised, nms_iou=asked), strict=True):
            assert torch.equal(one.boxes, other.boxes)
            assert torch.equal(one.scores, other.scores)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 40, 300]), st.sampled_from([0.4, 1.41421, 20.0]))
def test_few_of_many_penalised_boxes_are_the_first_of_all(seed, few, loss):
    """Where more boxes compete than are looked at for a few, most of them second guesses at a hundred things."""
    random = np.random.default_rng(seed)
    centres = random.choice(random.uniform(30, 170, (100, 2)), 4000) + random.normal(0, 2, (4000, 2))
    halves = random.uniform(15, 25, (4000, 2))
    boxes = torch.from_numpy(np.concatenate((centres - halves, centres + halves), axis=1).astype(np.float32))
    logits = torch.from_numpy(random.permuted(np.linspace(-4, 4, 4000)).astype(np.float32))
    anchors = LevelAnchors(boxes, (boxes[:, :2] + boxes[:, 2:]) / 2)
    many = ScoredAnchors([logits[None]], [torch.zeros(1, 4000, 4)], [anchors])
    config = SelectionConfig(4000, 4000, overlap_penalty=OverlapPenalty(logits=loss))
    everything, first, high = (
        selection.select_proposals(many, torch.tensor([[CANVAS, CANVAS]]), config, [Selection(*asked, nms_iou=0.9)])[0]
        for asked in ((4000, 0.0), (few, 0.0), (few, 0.6))
    )
    assert len(everything.boxes) > 1000
    assert first.truncated
    assert torch.equal(first.boxes, everything.boxes[:few])
    assert torch.equal(first.scores, everything.scores[:few])
    high_ones = everything.scores[everything.scores >= 0.6]
    assert torch.equal(high.scores, high_ones[:few])
    assert high.truncated == (len(high_ones) > few)


def test_a_second_guess_comes_after_another_object():
    """Two guesses at one object, then a lower one at another: the second guess loses 3 logits."""
    boxes = torch.tensor([[0.0, 0, 100, 100], [0, 0, 100, 90], [120, 0, 160, 40]])
    anchors = LevelAnchors(boxes, (boxes[:, :2] + boxes[:, 2:]) / 2)
    given_anchors = ScoredAnchors([torch.tensor([[3.0, 2.0, 0.0]])], [torch.zeros(1, 3, 4)], [anchors])
    config = SelectionConfig(overlap_penalty=OverlapPenalty((0.5, 0.7), 1.5))
    for select in (selection.select_proposals, device_selection.select_proposals):
        [found] = select(given_anchors, torch.tensor([[CANVAS, CANVAS]]), config, [Selection(nms_iou=0.95)])
        torch.testing.assert_close(found.boxes, boxes[[0, 2, 1]])
        torch.testing.assert_close(found.scores, torch.tensor([3.0, 0.0, -1.0]).sigmoid())


def test_what_a_step_has_left_the_next_ones_leave_too():
    """At 0.5 the first box drops the second, and the third stays; at 0.7 the second stays, and would drop the third."""
    boxes = torch.tensor([[0.0, 0, 100, 100], [30, 0, 130, 100], [45, 0, 145, 100]])
    anchors = LevelAnchors(boxes, (boxes[:, :2] + boxes[:, 2:]) / 2)
    given_anchors = ScoredAnchors([torch.tensor([[3.0, 2.0, 1.5]])], [torch.zeros(1, 3, 4)], [anchors])
    config = SelectionConfig(overlap_penalty=OverlapPenalty((0.5, 0.7), 1.0))
    for select in (selection.select_proposals, device_selection.select_proposals):
        [found] = select(given_anchors, torch.tensor([[CANVAS, CANVAS]]), config, [Selection(nms_iou=0.95)])
        torch.testing.assert_close(found.boxes, boxes[[0, 2, 1]])
        torch.testing.assert_close(found.scores, torch.tensor([3.0, 1.5, 1.0]).sigmoid())
