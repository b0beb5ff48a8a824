import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.errors import DataError
from model.training.annotations import AnnotatedPicture, read_annotations
from model.training.classes import class_names, labels_of
from tests.scenes import CLASSES, draw_named_scene, write_coco, write_voc


@pytest.fixture
def pictures(tmp_path: Path) -> list[AnnotatedPicture]:
    return read_annotations(write_coco(tmp_path, "train", range(6), classes=True))


def test_the_classes_are_the_same_from_either_layout_and_in_any_order(pictures: list[AnnotatedPicture], tmp_path: Path):
    voc = read_annotations(write_voc(tmp_path / "voc", "train", range(6), classes=True))
    assert class_names(pictures) == class_names(voc) == class_names(pictures[::-1]) == CLASSES
    for ours, theirs in zip(pictures, voc, strict=True):
        assert labels_of(ours, CLASSES).tolist() == labels_of(theirs, CLASSES).tolist()


def test_a_label_is_the_place_of_the_boxs_class_counted_from_1(pictures: list[AnnotatedPicture]):
    for seed, picture in enumerate(pictures):
        names = draw_named_scene(seed)[2]
        assert picture.classes == tuple(names)
        labels = labels_of(picture, CLASSES)
        assert labels.dtype == np.int64
        assert [CLASSES[label - 1] for label in labels] == names


def test_a_box_that_is_dropped_takes_its_class_with_it(tmp_path: Path):
    image = {"id": 7, "file_name": "a.jpg", "width": 20, "height": 10}
    boxes = [
        ([3, 3, 0, 5], 1, 0),
        ([1, 2, 3, 4], 2, 0),
        ([0, 0, 9, 9], 1, 1),
        ([25, 0, 5, 5], 1, 0),
        ([2, 2, 3, 4], 1, 0),
    ]
    annotations = [{"image_id": 7, "bbox": box, "category_id": key, "iscrowd": crowd} for box, key, crowd in boxes]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"images": [image], "annotations": annotations, "categories": categories}))
    (picture,) = read_annotations(path)
    assert picture.boxes.tolist() == [[1, 2, 4, 6], [2, 2, 5, 6]]
    assert picture.classes == ("dog", "cat")


def test_what_has_no_classes_is_named(pictures: list[AnnotatedPicture], tmp_path: Path):
    agnostic = read_annotations(write_coco(tmp_path / "agnostic", "train", range(2)))
    with pytest.raises(
        DataError,
        match=r"scene_0\.png: its box 1, of those to learn from, has no class, which a detector is trained on",
    ):
        class_names(agnostic)
    with pytest.raises(DataError, match="the 0 training pictures have no box"):
        class_names([])
    with pytest.raises(DataError, match=r"scene_1\.png: class 'zebra' is none of the 2 that are trained"):
        labels_of(replace(pictures[1], classes=("zebra",)), CLASSES)
