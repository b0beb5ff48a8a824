import sys
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import MissingExtra
from model.evaluation.baselines.selective_search import selective_search
from model.evaluation.overlap import iou_matrix
from tests.scenes import draw_scene

SEARCH = selective_search()


def scene(seed: int, **size: int) -> tuple[np.ndarray, np.ndarray]:
    picture, rows = draw_scene(seed, **size)
    boxes = np.array(rows, dtype=np.float32)
    return np.array(picture), np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def test_a_shape_on_a_plain_ground_is_found_where_it_is():
    pixels = np.zeros((100, 140, 3), dtype=np.uint8)
    pixels[20:60, 30:90] = (250, 40, 10)
    overlaps = iou_matrix(SEARCH(pixels), np.array([[30, 20, 90, 60]], dtype=np.float32))
    assert overlaps.max() > 0.85  # its edges are blurred before it looks


def test_the_scenes_objects_are_mostly_found():
    found = [iou_matrix(SEARCH(pixels), boxes).max(axis=0) >= 0.5 for pixels, boxes in map(scene, range(20, 23))]
    assert np.concatenate(found).mean() > 0.7


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_whatever_the_size_boxes_lie_in_the_picture(width: int, height: int, seed: int):
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    boxes = SEARCH(pixels)
    assert boxes.dtype == np.float32
    assert boxes.shape[1] == 4
    assert len(boxes)
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert boxes.min() >= 0
    assert (boxes.max(axis=0) <= [width, height, width, height]).all()


def test_a_pictures_answer_does_not_depend_on_those_before_it():
    first, second = scene(1)[0], scene(2)[0]
    alone = SEARCH(first)
    SEARCH(second)
    np.testing.assert_array_equal(SEARCH(first), alone)


def test_a_large_picture_is_searched_smaller_and_answered_in_its_own_pixels():
    pixels = np.zeros((400, 1200, 3), dtype=np.uint8)
    pixels[100:300, 600:1000] = (30, 200, 90)
    boxes = SEARCH(pixels)
    assert boxes.max() <= 1200
    assert iou_matrix(boxes, np.array([[600, 100, 1000, 300]], dtype=np.float32)).max() > 0.85
    assert (boxes[:, 2:].max(axis=0) == [1200, 400]).all()


def test_the_quality_mode_finds_more():
    pixels = scene(3)[0][:60, :80]
    assert len(selective_search(quality=True)(pixels)) > len(SEARCH(pixels))


@pytest.mark.parametrize("module", [None, ModuleType("cv2")], ids=["no OpenCV", "OpenCV without contrib"])
def test_without_the_extra_one_sentence_names_it(module: ModuleType | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cv2", module)
    with pytest.raises(MissingExtra, match=r"pip install -e '\.\[baselines\]'"):
        selective_search()
