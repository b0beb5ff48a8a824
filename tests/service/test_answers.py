import numpy as np
import pytest

from model.structures import ImageSize
from service.answers import convert_boxes, slowest

BOX = np.array([[10.0, 20.0, 40.0, 80.0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("box_format", "normalized", "expected"),
    [
        ("xyxy", False, [10, 20, 40, 80]),
        ("xywh", False, [10, 20, 30, 60]),
        ("cxcywh", False, [25, 50, 30, 60]),
        ("xyxy", True, [0.05, 0.2, 0.2, 0.8]),
        ("xywh", True, [0.05, 0.2, 0.15, 0.6]),
        ("cxcywh", True, [0.125, 0.5, 0.15, 0.6]),
    ],
)
def test_box_formats(box_format, normalized, expected):
    boxes = convert_boxes(BOX, ImageSize(200, 100), box_format, normalized=normalized)
    np.testing.assert_allclose(boxes, [expected])


def test_no_boxes_are_no_boxes():
    empty = np.empty((0, 4), dtype=np.float32)
    assert convert_boxes(empty, ImageSize(2, 1), "cxcywh", normalized=True).tolist() == []


def test_of_several_results_the_slowest_counts_and_problems_do_not():
    results = [
        {"timings_ms": {"decode": 1.0, "queue": 5.0}},
        {"code": "undecodable_image"},
        {"timings_ms": {"decode": 2.0, "queue": 3.0}},
    ]
    assert slowest(results) == {"decode": 2.0, "queue": 5.0}
    assert slowest([{"code": "x"}]) == {}
