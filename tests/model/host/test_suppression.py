"""Both ways of suppressing leave what torchvision's leaves."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from types import FunctionType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import nms as torchvision_nms

from model.host import openvino_suppression
from model.host.openvino_suppression import OpenVINOSuppression, fastest_nms
from model.host.share import Share
from model.host.suppression import Suppress, suppress

ious = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.95, 1.0])


needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="needs OpenVINO")


@pytest.fixture(scope="module", params=["NumPy", "OpenVINO, one thread", "OpenVINO, two"])
def nms(request: pytest.FixtureRequest) -> Iterator[Suppress]:
    if request.param == "NumPy":
        yield suppress
        return
    pytest.importorskip("openvino")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino_suppression, "_FEW", 1)
        yield OpenVINOSuppression(Share(2 if request.param.endswith("two") else 1))


def expected(boxes: np.ndarray, groups: np.ndarray, iou: float) -> list[int]:
    """What torchvision keeps of each group: planes (4, K), highest first."""
    rows, scores = torch.from_numpy(boxes.T.copy()), torch.arange(boxes.shape[1], 0, -1.0)
    kept = []
    for group in np.unique(groups):
        members = torch.from_numpy((groups == group).nonzero()[0])
        kept += members[torchvision_nms(rows[members], scores[members], iou)].tolist()
    return sorted(kept)


@st.composite
def whole_boxes(draw):
    """Boxes on whole pixels, many of them alike, empty, or overlapping by exactly a threshold."""
    count = draw(st.integers(0, 40))
    values = st.lists(st.integers(0, 10), min_size=count, max_size=count)
    x, y, w, h, groups = (np.array(draw(values), dtype=np.float32) for _ in range(5))
    return np.stack((x, y, x + w, y + h)), (groups % 3).astype(np.intp)


@settings(max_examples=300, deadline=None)
@given(whole_boxes(), ious)
def test_the_same_survive_as_with_torchvision(nms: Suppress, given_boxes, iou):
    boxes, groups = given_boxes
    with np.errstate(invalid="ignore"):
        assert nms(boxes, groups, iou).tolist() == expected(boxes, groups, iou)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4000), st.floats(1, 300), st.floats(1, 2000), ious)
def test_the_same_survive_of_many(nms: Suppress, seed, count, side, canvas, iou):
    random = np.random.default_rng(seed)
    corners = random.random((2, count), dtype=np.float32) * np.float32(canvas)
    sides = random.random((2, count), dtype=np.float32) * np.float32(side)
    boxes, groups = np.concatenate((corners, corners + sides)), random.integers(0, 5, count)
    found = nms(boxes, groups, iou)
    assert found.tolist() == expected(boxes, groups, iou)
    limit = len(found) // 2
    assert nms(boxes, groups, iou, limit=limit)[: limit + 1].tolist() == found[: limit + 1].tolist()
    assert nms(boxes, groups, iou, scenes=3).tolist() == found.tolist()


def test_boxes_that_crowd(nms: Suppress):
    random = np.random.default_rng(0)
    jitter = random.random((4, 6000), dtype=np.float32)
    boxes = np.array([[100.0], [100], [150], [150]], dtype=np.float32) + jitter
    groups = np.zeros(6000, dtype=np.intp)
    assert nms(boxes, groups, 0.7).tolist() == [0]


@pytest.mark.parametrize("iou", [0.1, 0.2, 0.3, 0.6, 0.7, 0.8, 0.9])
def test_an_overlap_of_exactly_the_threshold(nms: Suppress, iou):
    boxes = np.array([[0.0, 0], [0, 0], [10, 10 * iou], [10, 10]], dtype=np.float32)
    groups = np.zeros(2, dtype=np.intp)
    assert nms(boxes, groups, iou).tolist() == expected(boxes, groups, iou)


@needs_openvino
def test_few_boxes_are_left_to_numpy(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def noted(boxes, groups, iou, **options):
        asked.append((boxes.shape[1], options))
        return suppress(boxes, groups, iou, **options)

    monkeypatch.setattr(openvino_suppression, "suppress", noted)
    nms = OpenVINOSuppression(Share(1))
    random = np.random.default_rng(0)
    for count in (openvino_suppression._FEW - 1, openvino_suppression._FEW):
        boxes = np.sort(random.random((2, 2, count), dtype=np.float32) * 50, axis=0).reshape(4, count)
        groups = random.integers(0, 3, count)
        assert nms(boxes, groups, 0.5, scenes=2, limit=7)[:8].tolist() == expected(boxes, groups, 0.5)[:8]
    assert asked == [(openvino_suppression._FEW - 1, {"scenes": 2, "limit": 7})]


@needs_openvino
@pytest.mark.parametrize(("avx2", "kind"), [(True, OpenVINOSuppression), (False, FunctionType)])
def test_openvino_suppresses_where_it_does_so_in_vectors(monkeypatch: pytest.MonkeyPatch, avx2: bool, kind: type):
    monkeypatch.setattr(openvino_suppression, "has_avx2", lambda: avx2)
    assert isinstance(fastest_nms(Share(1)), kind)


@needs_openvino
def test_groups_may_begin_anywhere():
    random = np.random.default_rng(2)
    corners = random.random((2, 1500), dtype=np.float32) * 300
    boxes = np.concatenate((corners, corners + 60))
    groups = random.integers(0, 4, 1500)
    nms = OpenVINOSuppression(Share(1))
    assert nms(boxes, groups + 5_000_000, 0.6).tolist() == expected(boxes, groups, 0.6)


@needs_openvino
def test_threads_that_suppress_at_once_do_not_disturb_each_other():
    nms = OpenVINOSuppression(Share(2, 2))
    random = np.random.default_rng(1)

    def crowd(count: int) -> tuple[np.ndarray, np.ndarray]:
        corners = random.random((2, count), dtype=np.float32) * 300
        boxes = np.concatenate((corners, corners + random.random((2, count), dtype=np.float32) * 90))
        return boxes, random.integers(0, 4, count)

    crowds = [crowd(count) for count in (300, 900, 1500, 2100)] * 10
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda given: nms(*given, 0.6).tolist(), crowds))
    assert found == [suppress(*given, 0.6).tolist() for given in crowds]
