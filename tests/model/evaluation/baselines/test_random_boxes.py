import numpy as np
import pytest

from model.evaluation.baselines.random_boxes import random_boxes
from model.evaluation.overlap import areas


def noise(seed: int, width: int = 160, height: int = 120) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("width", "height"), [(160, 120), (1, 1), (1, 300)])
def test_they_lie_in_the_picture_and_have_an_area(width: int, height: int):
    boxes = random_boxes(noise(0, width, height))
    assert boxes.shape == (1000, 4)
    assert boxes.dtype == np.float32
    assert boxes.min() >= 0
    assert (boxes.max(axis=0) <= [width, height, width, height]).all()
    assert (areas(boxes) > 0).mean() > 0.99


def test_a_picture_gets_the_same_every_time_and_another_gets_others():
    np.testing.assert_array_equal(random_boxes(noise(1)), random_boxes(noise(1)))
    assert (random_boxes(noise(1)) != random_boxes(noise(2))).any()


def test_no_place_and_no_shape_is_preferred():
    boxes = random_boxes(noise(3, 1000, 1000))
    inside = boxes[(boxes.min(axis=1) > 0) & (boxes.max(axis=1) < 1000)]
    centres = (inside[:, :2] + inside[:, 2:]) / 2
    sides = inside[:, 2:] - inside[:, :2]
    assert centres.mean(axis=0) == pytest.approx([500, 500], abs=40)
    assert np.log(sides[:, 0] / sides[:, 1]).mean() == pytest.approx(0, abs=0.08)
