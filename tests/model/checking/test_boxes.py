from pathlib import Path

import pytest

from model.checking.boxes import BoxRules, box_faults
from model.config import longest_side_rule
from model.structures import ImageSize
from model.training.faults import FaultKind
from model.training.records import BoxRecord, PictureRecord

RULES = BoxRules(longest_side_rule(320), thinnest=2.0)


def found(*corners: tuple[float, float, float, float], ignored: bool = False) -> list[tuple[FaultKind, str]]:
    boxes = tuple(BoxRecord(f"annotations[{i}]", box, ignored, None) for i, box in enumerate(corners))
    picture = PictureRecord(Path("train.json"), "image 7", Path("a.jpg"), ImageSize(640, 480), boxes)
    faults = list(box_faults(picture, RULES))
    assert all(fault.file == Path("train.json") and fault.detail.endswith(", in a.jpg") for fault in faults)
    return [(fault.kind, fault.record) for fault in faults]


@pytest.mark.parametrize(
    ("corners", "kind"),
    [
        ((0, 0, 640, 480), None),
        ((-0.4, 10, 640.4, 480.4), None),  # rounding
        ((10, 10, 10, 20), FaultKind.EMPTY_BOX),
        ((10, 10, 5, 20), FaultKind.EMPTY_BOX),
        ((640, 10, 700, 20), FaultKind.OUTSIDE_BOX),
        ((-50, 10, 0, 20), FaultKind.OUTSIDE_BOX),
        ((10, -20, 20, 0), FaultKind.OUTSIDE_BOX),
        ((10, 480, 20, 490), FaultKind.OUTSIDE_BOX),
        ((-1, 10, 20, 20), FaultKind.CLIPPED_BOX),
        ((600, 470, 641, 480), FaultKind.CLIPPED_BOX),
        ((10, 10, 14, 100), None),  # 4 pixels of 640 are the 2 of 320 that are asked for
        ((124.2, 10, 128.2, 100), None),  # 4 as well, but for the last bits
        ((10, 10, 13.9, 100), FaultKind.THIN_BOX),
        ((10, 10, 100, 13.9), FaultKind.THIN_BOX),
    ],
)
def test_each_fault_of_one_box(corners: tuple[float, float, float, float], kind: FaultKind | None):
    assert found(corners) == ([] if kind is None else [(kind, "annotations[0]")])


def test_what_is_left_of_a_clipped_box_may_be_thin():
    kinds = [kind for kind, _ in found((-50, 10, 3, 100))]
    assert kinds == [FaultKind.CLIPPED_BOX, FaultKind.THIN_BOX]


def test_a_region_to_ignore_may_be_thin_but_not_empty():
    assert found((10, 10, 11, 100), ignored=True) == []
    assert found((10, 10, 10, 100), ignored=True) == [(FaultKind.EMPTY_BOX, "annotations[0]")]


def test_the_same_box_again_is_named_once_for_each_repetition():
    box, other = (10, 10, 50, 50), (10, 10, 50, 51)
    twice = FaultKind.DUPLICATE_BOX
    assert found(box, other, box, (10.001, 10, 50, 50)) == [(twice, "annotations[2]"), (twice, "annotations[3]")]
