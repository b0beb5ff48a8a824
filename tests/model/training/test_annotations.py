import json
from pathlib import Path

import numpy as np
import pytest

from model.errors import DataError
from model.training.annotations import read_coco


def write(folder: Path, content: object) -> Path:
    path = folder / "data.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def record(**changes: object) -> dict[str, object]:
    return {"id": 1, "image_id": 7, "bbox": [1, 2, 3, 4], **changes}


IMAGE = {"id": 7, "file_name": "a.jpg", "width": 20, "height": 10}


def test_boxes_become_corners_and_crowds_regions_to_ignore(tmp_path: Path):
    crowd = record(iscrowd=1, bbox=[0, 0, 9, 9])
    (picture,) = read_coco(write(tmp_path, {"images": [IMAGE], "annotations": [record(), crowd]}))
    assert picture.path == tmp_path / "images" / "a.jpg"
    assert picture.boxes.tolist() == [[1, 2, 4, 6]]
    assert picture.ignored.tolist() == [[0, 0, 9, 9]]


def test_boxes_are_clipped_and_those_outside_dropped(tmp_path: Path):
    records = [record(bbox=[15, 5, 30, 30]), record(bbox=[25, 0, 5, 5]), record(bbox=[3, 3, 0, 5])]
    (picture,) = read_coco(write(tmp_path, {"images": [IMAGE], "annotations": records}))
    assert picture.boxes.tolist() == [[15, 5, 20, 10]]


def test_a_picture_without_boxes_is_kept(tmp_path: Path):
    (picture,) = read_coco(write(tmp_path, {"images": [IMAGE], "annotations": []}), tmp_path / "elsewhere")
    assert picture.boxes.shape == (0, 4)
    assert picture.boxes.dtype == np.float32
    assert picture.path == tmp_path / "elsewhere" / "a.jpg"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ([], "the top level is no object"),
        ({"annotations": []}, "'images' is no list"),
        ({"images": [IMAGE], "annotations": [record(image_id=8)]}, r"annotations\[0\]: image_id 8 is in no record"),
        ({"images": [IMAGE], "annotations": [record(bbox=[1, 2, 3])]}, r"annotations\[0\]: bbox must be four numbers"),
        ({"images": [IMAGE], "annotations": [record(bbox=[1, 2, 3, "4"])]}, "bbox must be four numbers"),
        ({"images": [IMAGE], "annotations": [record(), {"image_id": 7}]}, r"annotations\[1\]: 'bbox' is missing"),
        ({"images": [{**IMAGE, "width": 0}], "annotations": []}, "image 7: a picture of 0x10"),
        ({"images": [{"id": 3}], "annotations": []}, "image 3: 'file_name' is missing"),
        ('{"images": [], "annotations": [], "x": NaN}', None),
        (json.dumps({"images": [IMAGE], "annotations": [record(bbox=[1, 2, 3, float("nan")])]}), "is not finite"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, content: object, message: str | None):
    path = write(tmp_path, content)
    if message is None:
        assert read_coco(path) == []
        return
    with pytest.raises(DataError, match=message) as caught:
        read_coco(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.json: No such file"):
        read_coco(tmp_path / "none.json")
