"""Given the same boxes, our recall is pycocotools' with ``useCats=0``, number by number, without any tolerance."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from model.evaluation.recall import BUDGETS, SIZES, THRESHOLDS, RecallInput, measure_recall
from model.structures import FloatArray
from tests.scenes import draw_scene

NONE = np.zeros((0, 4), dtype=np.float32)
Picture = tuple[FloatArray, FloatArray, FloatArray]  # proposals in rank order, boxes, regions to ignore


def theirs(pictures: Sequence[Picture]) -> np.ndarray:
    """pycocotools' recall, (T, sizes, budgets), NaN where it has nothing to recall."""
    truths, detections = [], []
    for image, (proposals, boxes, ignored) in enumerate(pictures):
        truths += [record(image, box) for box in boxes] + [record(image, box, iscrowd=1) for box in ignored]
        detections += [record(image, box, score=-rank) for rank, box in enumerate(proposals)]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(index(truths, len(pictures)), index(detections, len(pictures)), "bbox")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = list(BUDGETS)
        evaluation.evaluate()
        evaluation.accumulate()
    assert tuple(evaluation.params.iouThrs) == THRESHOLDS
    assert evaluation.params.areaRngLbl == list(SIZES)
    recall = evaluation.eval["recall"][:, 0]
    return np.where(recall < 0, np.nan, recall)


def record(image: int, box: np.ndarray, **more: float) -> dict[str, object]:
    x1, y1, x2, y2 = (float(v) for v in box)
    area = (x2 - x1) * (y2 - y1)
    return {"image_id": image, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": area, "iscrowd": 0, **more}


def index(records: list[dict[str, object]], images: int) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": 1}],
        "annotations": [{"id": number, **r} for number, r in enumerate(records, 1)],
    }
    coco.createIndex()
    return coco


def ours(pictures: Sequence[Picture]) -> np.ndarray:
    recall = measure_recall([RecallInput(proposals, boxes) for proposals, boxes, _ in pictures])
    return np.stack([[recall.values[size][b] for b in BUDGETS] for size in SIZES]).transpose(2, 0, 1)


def assert_same(pictures: Sequence[Picture]) -> None:
    np.testing.assert_array_equal(ours(pictures), theirs(pictures))


def shaken(random: np.random.Generator, boxes: FloatArray, spread: float) -> FloatArray:
    """The boxes with every corner moved by some share of the sides."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved = boxes + random.normal(0, spread, boxes.shape) * sides
    return np.concatenate([np.minimum(moved[:, :2], moved[:, 2:]), np.maximum(moved[:, :2], moved[:, 2:])], axis=1)


def random_boxes(random: np.random.Generator, count: int) -> FloatArray:
    corners = random.uniform(0, 500, (count, 2))
    return np.concatenate([corners, corners + random.lognormal(4, 1, (count, 2))], axis=1).astype(np.float32)


def random_picture(random: np.random.Generator) -> Picture:
    boxes = random_boxes(random, int(random.integers(0, 12)))
    near = np.concatenate([shaken(random, boxes, spread) for spread in (0.03, 0.1, 0.2)] * 4)
    proposals = random.permutation(np.concatenate([near, random_boxes(random, int(random.integers(0, 1200)))]))
    return proposals.astype(np.float32), boxes, random_boxes(random, int(random.integers(0, 3)))


@pytest.mark.parametrize("seed", range(3))
def test_on_random_boxes_with_regions_to_ignore(seed: int):
    random = np.random.default_rng(seed)
    assert_same([random_picture(random) for _ in range(15)])


def test_on_drawn_scenes():
    random = np.random.default_rng(0)
    pictures = []
    for seed in range(12):
        corners = np.array(draw_scene(seed)[1], dtype=np.float32)
        boxes = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1)
        proposals = np.concatenate([shaken(random, boxes, 0.1) for _ in range(20)]).astype(np.float32)
        pictures.append((proposals, boxes[1:], boxes[:1]))
    assert_same(pictures)


def test_without_boxes_without_proposals_and_without_anything():
    boxes = random_boxes(np.random.default_rng(1), 5)
    assert_same([(NONE, boxes, NONE), (boxes, NONE, NONE), (boxes, NONE, boxes[:2]), (NONE, NONE, NONE)])
    assert_same([(NONE, boxes, NONE)])
    assert_same([(NONE, boxes, boxes), (boxes[:3], boxes, NONE)])


def test_at_the_ends_of_the_sizes_and_of_the_thresholds():
    sides = [1.0, 31.999, 32, 32.001, 95.999, 96, 96.001, 400]
    boxes = np.array([[0, 500 * i, s, 500 * i + s] for i, s in enumerate(sides)], dtype=np.float32)
    for share in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0):
        proposals = boxes.copy()
        proposals[:, 2] *= np.float32(share)
        assert_same([(proposals, boxes, NONE)])
    exact = np.array([[0, 0, 20, 100]], dtype=np.float32)
    for width in range(10, 21):  # an IoU of exactly width / 20, such as 0.9
        assert_same([(np.array([[0, 0, width, 100]], dtype=np.float32), exact, NONE)])


# On a coarse grid equal IoUs, equal boxes and boxes on the border of two sizes are everywhere.
grid = st.sampled_from([0, 16, 32, 48, 64, 96, 128])
side = st.sampled_from([16, 32, 64, 96])
tied = st.tuples(grid, grid, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
rows = st.lists(tied, max_size=8).map(lambda boxes: np.array(boxes, dtype=np.float32).reshape(-1, 4))


@given(st.lists(st.tuples(rows, rows, st.just(NONE) | rows), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_where_overlaps_are_equal(pictures: list[Picture]):
    assert_same(pictures)


@pytest.mark.parametrize("flip", [1, -1])
def test_of_two_equal_overlaps_the_last_box_is_taken(flip: int):
    boxes = np.array([[0, 0, 64, 64], [64, 0, 128, 64]], dtype=np.float32)[::flip]
    between = np.array([[32, 0, 96, 64]], dtype=np.float32)
    tight = np.array([[0, 0, 128, 64]], dtype=np.float32)  # 0.5 with both
    assert_same([(np.concatenate([tight, between, boxes[:1]]), boxes, NONE)])
