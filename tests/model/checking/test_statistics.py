from pathlib import Path

from model.checking.statistics import measure
from model.structures import ImageSize
from model.training.records import BoxRecord, PictureRecord


def picture(*boxes: tuple[float, float, float, float], ignored: bool = False) -> PictureRecord:
    records = tuple(BoxRecord("", box, ignored, "cat") for box in boxes)
    return PictureRecord(Path("train.json"), "", Path("a.jpg"), ImageSize(500, 500), records)


def test_boxes_are_counted_as_training_sees_them():
    found = measure(
        [
            picture((0, 0, 31, 32), (0, 0, 32, 32), (0, 0, 96, 95), (0, 0, 96, 96), (490, 490, 999, 999)),
            picture((0, 0, 0, 9), (600, 0, 700, 9)),
            picture((0, 0, 9, 9), ignored=True),
        ]
    )
    assert (found.pictures, found.boxes, found.ignored, found.without_boxes) == (3, 5, 1, 2)
    assert found.sizes == {"small": 2, "medium": 2, "large": 1}
    assert found.categories == {"cat": 8}
    assert found.boxes_per_picture == 5 / 3


def test_nothing_at_all():
    found = measure([])
    assert (found.pictures, found.boxes, found.boxes_per_picture) == (0, 0, 0.0)
    assert found.sizes == {"small": 0, "medium": 0, "large": 0}
