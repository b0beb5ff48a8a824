import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.evaluation.baselines.sliding_windows import sliding_windows, windows
from model.evaluation.overlap import areas, iou_matrix
from model.structures import ImageSize

sizes = st.builds(ImageSize, st.integers(1, 600), st.integers(1, 600))


@given(sizes, st.integers(1, 1000))
@settings(deadline=None, max_examples=40)
def test_they_lie_in_the_picture_and_are_all_different(picture: ImageSize, count: int):
    boxes = windows(picture, count)
    assert 1 <= len(boxes) <= count
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= np.array([picture.width, picture.height]) * (1 + 1e-6)).all()
    assert (areas(boxes) > 0).all()
    assert len(np.unique(boxes, axis=0)) == len(boxes)


@given(sizes, st.integers(1, 999))
@settings(deadline=None, max_examples=40)
def test_fewer_of_them_are_the_first_of_more(picture: ImageSize, count: int):
    np.testing.assert_array_equal(windows(picture, count), windows(picture, 1000)[:count])


def test_large_ones_go_first_and_those_of_one_size_leave_no_gap():
    picture = ImageSize(320, 240)
    boxes = windows(picture, 400)
    whole = np.sort(areas(windows(picture, 3)))
    assert areas(boxes)[0] >= 0.5 * whole[-1]
    sides = np.sqrt(areas(boxes))
    assert (np.diff(np.minimum.accumulate(sides)) <= 0).all()
    assert sides[:50].mean() > 2 * sides[-50:].mean()
    # Any object of a shape and size of the windows is met: half a side off across and down is the worst case.
    objects = np.array([[x, y, x + 120, y + 120] for x in range(0, 200, 7) for y in range(0, 120, 7)], dtype=np.float32)
    assert iou_matrix(boxes, objects).max(axis=0).min() > 0.4


@pytest.mark.parametrize(("width", "height"), [(320, 240), (240, 320), (500, 60), (64, 64)])
def test_a_picture_of_any_shape_gets_as_many_as_the_largest_budget(width: int, height: int):
    assert len(sliding_windows(np.zeros((height, width, 3), dtype=np.uint8))) == 1000


def test_a_picture_of_one_pixel_is_its_own_only_window():
    np.testing.assert_array_equal(windows(ImageSize(1, 1), 1000), [[0, 0, 1, 1]])
