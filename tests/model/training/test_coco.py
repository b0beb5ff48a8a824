import json
from pathlib import Path

import numpy as np
import pytest

from model.errors import DataError
from model.training.annotations import read_annotations
from model.training.coco import parse_coco
from model.training.faults import Fault, FaultKind


def write(folder: Path, content: object) -> Path:
    path = folder / "data.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def record(**changes: object) -> dict[str, object]:
    return {"id": 1, "image_id": 7, "bbox": [1, 2, 3, 4], **changes}


IMAGE = {"id": 7, "file_name": "a.jpg", "width": 20, "height": 10}


@pytest.mark.parametrize("marks", [{"iscrowd": 1}, {"ignore": 1}, {"iscrowd": 0, "ignore": 1.0}, {"ignore": True}])
def test_boxes_become_corners_and_crowds_regions_to_ignore(tmp_path: Path, marks: dict[str, object]):
    crowd = record(**marks, bbox=[0, 0, 9, 9])
    (picture,) = read_annotations(write(tmp_path, {"images": [IMAGE], "annotations": [record(), crowd]}))
    assert picture.path == tmp_path / "images" / "a.jpg"
    assert picture.boxes.tolist() == [[1, 2, 4, 6]]
    assert picture.ignored.tolist() == [[0, 0, 9, 9]]


def test_boxes_are_clipped_and_those_outside_dropped(tmp_path: Path):
    records = [record(bbox=[15, 5, 30, 30]), record(bbox=[25, 0, 5, 5]), record(bbox=[3, 3, 0, 5])]
    (picture,) = read_annotations(write(tmp_path, {"images": [IMAGE], "annotations": records}))
    assert picture.boxes.tolist() == [[15, 5, 20, 10]]


def test_a_picture_without_boxes_is_kept(tmp_path: Path):
    (picture,) = read_annotations(write(tmp_path, {"images": [IMAGE], "annotations": []}), tmp_path / "elsewhere")
    assert picture.boxes.shape == (0, 4)
    assert picture.boxes.dtype == np.float32
    assert picture.path == tmp_path / "elsewhere" / "a.jpg"


def test_an_id_may_be_a_text_or_a_whole_float(tmp_path: Path):
    images = [IMAGE, {**IMAGE, "id": "b"}]
    annotations = [record(image_id=7.0), record(image_id="b"), record(image_id="b")]
    pictures = read_annotations(write(tmp_path, {"images": images, "annotations": annotations}))
    assert [len(p.boxes) for p in pictures] == [1, 2]


def test_a_byte_order_mark_is_taken(tmp_path: Path):
    assert read_annotations(write(tmp_path, '\ufeff{"images": [], "annotations": []}')) == []


BAD = [
    ("{", "not JSON"),
    ("[" * 100_000, "not JSON"),
    ([], "the top level is no object"),
    ({"annotations": []}, "'images' is no list"),
    ({"images": [IMAGE], "annotations": {}}, "'annotations' is no list"),
    ({"images": [3], "annotations": []}, r"images\[0\]: must be an object, not 3"),
    ({"images": [IMAGE, IMAGE], "annotations": []}, r"images\[1\]: the id 7 is that of another record"),
    ({"images": [{**IMAGE, "id": [7]}], "annotations": []}, r"images\[0\]: id must be a number or a text, not \[7\]"),
    ({"images": [{**IMAGE, "file_name": 7}], "annotations": []}, "image 7: file_name must be a text, not 7"),
    (
        {"images": [{**IMAGE, "width": 0}], "annotations": []},
        "image 7: width and height must be whole numbers from 1 to 4,294,967,295, not 0 and 10",
    ),
    ({"images": [{**IMAGE, "width": None}], "annotations": []}, "image 7: width and height must be whole num"),
    *(
        (
            f'{{"images": [{{"id": 7, "file_name": "a.jpg", "width": {width}, "height": 1}}], "annotations": []}}',
            "image 7: width and height must be whole numbers from 1 to 4,294,967,295, not ",
        )
        for width in ("Infinity", "NaN", '"abc"', "[3]", "1" * 400)
    ),
    ({"images": [{"id": 3}], "annotations": []}, "image 3: 'file_name' is missing"),
    ({"images": [IMAGE], "annotations": [record(image_id=8)]}, r"annotations\[0\]: image_id 8 is in no record"),
    ({"images": [IMAGE], "annotations": [record(bbox=[1, 2, 3])]}, r"annotations\[0\]: bbox must be four numbers"),
    ({"images": [IMAGE], "annotations": [record(bbox=[1, 2, 3, "4"])]}, "bbox must be four numbers"),
    ({"images": [IMAGE], "annotations": [record(bbox="x" * 500)]}, r"not 'x{70,80}\.\.\."),
    ({"images": [IMAGE], "annotations": [record(), {"image_id": 7}]}, r"annotations\[1\]: 'bbox' is missing"),
    ({"images": [IMAGE], "annotations": [record(bbox=[1, 2, 3, float("nan")])]}, "is not finite"),
    ({"images": [IMAGE], "annotations": [record(bbox=[1, 2, 3, 10**400])]}, "is not finite"),
    *(
        (
            {"images": [IMAGE], "annotations": [record(**{mark: x})]},
            rf"annotations\[0\]: {mark} must be 0 or 1, not {x!r}",
        )
        for mark, x in (("iscrowd", "0"), ("iscrowd", "yes"), ("iscrowd", 2), ("iscrowd", 0.5), ("ignore", "no"))
    ),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_what_cannot_be_used_is_named(tmp_path: Path, content: object, message: str):
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value)


def test_what_is_not_used_may_be_anything(tmp_path: Path):
    assert read_annotations(write(tmp_path, '{"images": [], "annotations": [], "x": NaN}')) == []


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.json: No such file"):
        read_annotations(tmp_path / "none.json")


def test_a_reader_that_goes_on_lists_every_fault_and_keeps_the_rest(tmp_path: Path):
    images = [IMAGE, {"id": 8, "file_name": "b.jpg", "width": "?", "height": 1}, {"id": 9}]
    annotations = [record(image_id=8), record(bbox=None), record(), record(image_id=9), record(image_id=10)]
    path = write(tmp_path, {"images": images, "annotations": annotations})
    faults: list[Fault] = []
    records = parse_coco(path, tmp_path, faults.append)
    assert [(f.kind, f.record) for f in faults] == [
        (FaultKind.BAD_RECORD, "image 8"),
        (FaultKind.BAD_RECORD, "image 9"),
        (FaultKind.BAD_RECORD, "annotations[1]"),
        (FaultKind.UNKNOWN_IMAGE, "annotations[4]"),
    ]
    assert all(f.file == path for f in faults)
    assert [(p.where, [b.where for b in p.boxes]) for p in records.pictures] == [("image 7", ["annotations[2]"])]
    assert records.named == {tmp_path / "a.jpg", tmp_path / "b.jpg"}


def test_categories_are_named_and_an_unknown_one_costs_no_box(tmp_path: Path):
    annotations = [record(category_id=1), record(category_id=5), record(category_id=[1]), record()]
    content = {"images": [IMAGE], "annotations": annotations, "categories": [{"id": 1, "name": "cat"}, "?"]}
    path = write(tmp_path, content)
    faults: list[Fault] = []
    (picture,) = parse_coco(path, tmp_path, faults.append).pictures
    assert [box.category for box in picture.boxes] == ["cat", None, None, None]
    assert [(f.kind, f.record) for f in faults] == [
        (FaultKind.UNKNOWN_CATEGORY, "annotations[1]"),
        (FaultKind.UNKNOWN_CATEGORY, "annotations[2]"),
    ]
    assert len(read_annotations(path)[0].boxes) == 4


def test_of_two_categories_of_one_id_the_first_is_taken_and_the_other_told(tmp_path: Path):
    categories = [{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}, {"id": 1, "name": "cat"}]
    path = write(tmp_path, {"images": [IMAGE], "annotations": [record(category_id=1)], "categories": categories})
    faults: list[Fault] = []
    (picture,) = parse_coco(path, tmp_path, faults.append).pictures
    assert [box.category for box in picture.boxes] == ["cat"]
    assert [str(fault) for fault in faults] == [
        f"{path}: categories[1]: 'dog' has the id 1 of 'cat', which its boxes are taken for"
    ]
    assert faults[0].kind is FaultKind.DUPLICATE_CATEGORY


def test_pictures_alone_are_no_fault_where_no_boxes_are_wanted(tmp_path: Path):
    path = write(tmp_path, {"images": [IMAGE]})
    faults: list[Fault] = []
    (picture,) = parse_coco(path, tmp_path, faults.append, boxes_wanted=False).pictures
    assert (picture.boxes, faults) == ((), [])
    assert parse_coco(path, tmp_path, faults.append).pictures == ()
    assert [fault.kind for fault in faults] == [FaultKind.UNREADABLE_ANNOTATIONS]
