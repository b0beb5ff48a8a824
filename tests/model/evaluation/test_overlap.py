import numpy as np
import pytest

from model.evaluation.overlap import areas, iou_matrix, share_inside

BOXES = np.array([[0, 0, 10, 10], [5, 0, 15, 20], [3, 3, 3, 9]], dtype=np.float32)
NONE = np.zeros((0, 4), dtype=np.float32)


def test_by_hand():
    assert areas(BOXES).tolist() == [100.0, 200.0, 0.0]
    assert iou_matrix(BOXES[:2], BOXES[:2]).tolist() == [[1.0, 50 / 250], [50 / 250, 1.0]]
    assert share_inside(BOXES[:2], BOXES[:2]).tolist() == [[1.0, 0.5], [0.25, 1.0]]


def test_a_box_without_area_overlaps_nothing_not_even_itself():
    assert iou_matrix(BOXES[2:], BOXES).tolist() == [[0.0, 0.0, 0.0]]
    assert share_inside(BOXES[2:], BOXES).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("measure", [iou_matrix, share_inside])
def test_none_on_either_side(measure):
    assert measure(NONE, BOXES).shape == (0, 3)
    assert measure(BOXES, NONE).shape == (3, 0)
    assert areas(NONE).shape == (0,)
