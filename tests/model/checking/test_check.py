"""Every kind of fault, seeded in drawn data sets and found exactly."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from model.checking.boxes import BoxRules
from model.checking.check import check_data
from model.checking.report import DataReport
from model.config import longest_side_rule
from model.errors import DataError
from model.training.annotations import read_annotations
from model.training.faults import FaultKind, Severity
from tests.scenes import voc_object, voc_xml, write_coco, write_voc


def check(path: Path, images: Path | None = None) -> DataReport:
    return check_data(path, images, BoxRules(longest_side_rule(320)), workers=2, progress=False)


def found(path: Path) -> list[tuple[FaultKind, str, str]]:
    """Each fault's kind, file name and record."""
    return [(fault.kind, fault.file.name, fault.record) for fault in check(path).faults]


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    write_coco(tmp_path, "train", range(4))
    write_coco(tmp_path, "val", range(10, 12))
    return tmp_path


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    write_voc(tmp_path, "train", range(4))
    write_voc(tmp_path, "val", range(10, 12))
    return tmp_path


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_clean_data_have_no_faults_and_count_the_same_in_either_layout(tmp_path: Path):
    write_coco(tmp_path / "coco", "train", range(8))
    write_voc(tmp_path / "voc", "train", range(8))
    write_coco(tmp_path / "coco", "val", range(10, 12))
    write_voc(tmp_path / "voc", "val", range(10, 12))
    coco, voc = check(tmp_path / "coco"), check(tmp_path / "voc")
    assert coco.faults == voc.faults == []
    ours, theirs = coco.statistics["train"], voc.statistics["train"]
    assert (ours.pictures, ours.boxes, ours.ignored, ours.sizes) == (8, theirs.boxes, theirs.ignored, theirs.sizes)
    assert ours.boxes == sum(len(p.boxes) for p in read_annotations(tmp_path / "coco", split="train"))
    assert theirs.categories == {"shape": theirs.boxes}


BOX_FAULTS = [
    ({"bbox": [10, 10, 0, 20]}, FaultKind.EMPTY_BOX),
    ({"bbox": [10, 10, -4, 20]}, FaultKind.EMPTY_BOX),
    ({"bbox": [10, float("nan"), 4, 20]}, FaultKind.NON_FINITE_BOX),
    ({"bbox": [200, 10, 30, 20]}, FaultKind.OUTSIDE_BOX),
    ({"bbox": [150, 10, 30, 20]}, FaultKind.CLIPPED_BOX),
    ({"bbox": [10, 10, 0.9, 20]}, FaultKind.THIN_BOX),
    ({"bbox": [10, 10, 20]}, FaultKind.BAD_RECORD),
    ({"image_id": 99}, FaultKind.UNKNOWN_IMAGE),
    ({"category_id": 5}, FaultKind.UNKNOWN_CATEGORY),
]


@pytest.mark.parametrize(("change", "kind"), BOX_FAULTS)
def test_a_fault_of_a_box(coco: Path, change: dict[str, Any], kind: FaultKind):
    def seed(content: dict[str, Any]) -> None:
        content["categories"] = [{"id": 1, "name": "shape"}]
        content["annotations"].append({"image_id": 0, "bbox": [10, 10, 20, 20], **change})
        content["annotations"].append({"image_id": 0, "bbox": [11, 11, 20, 20]})  # what comes after it is read

    edit(coco / "train.json", seed)
    seeded = len(json.loads((coco / "train.json").read_text())["annotations"]) - 2
    assert found(coco) == [(kind, "train.json", f"annotations[{seeded}]")]


def test_a_box_twice(coco: Path):
    edit(coco / "val.json", lambda content: content["annotations"].append(content["annotations"][0]))
    seeded = len(json.loads((coco / "val.json").read_text())["annotations"]) - 1
    assert found(coco) == [(FaultKind.DUPLICATE_BOX, "val.json", f"annotations[{seeded}]")]


@pytest.mark.parametrize(("width", "kind"), [(161, FaultKind.WRONG_SIZE), (0, FaultKind.BAD_RECORD)])
def test_a_fault_of_an_image_s_size(coco: Path, width: int, kind: FaultKind):
    edit(coco / "train.json", lambda content: content["images"][0].update(width=width))
    assert found(coco) == [(kind, "train.json", "image 0")]


def test_an_id_twice(coco: Path):
    edit(coco / "train.json", lambda content: content["images"].append(content["images"][0]))
    assert found(coco) == [(FaultKind.DUPLICATE_ID, "train.json", "images[4]")]


def test_a_picture_that_is_missing_or_damaged(coco: Path):
    (coco / "images" / "scene_1.png").unlink()
    damaged = coco / "images" / "scene_2.png"
    damaged.write_bytes(damaged.read_bytes()[:500])
    assert found(coco) == [
        (FaultKind.MISSING_PICTURE, "train.json", "image 1"),
        (FaultKind.UNDECODABLE_PICTURE, "train.json", "image 2"),
    ]


def test_pictures_that_exif_turns(coco: Path):
    for seed in (0, 1):
        path = coco / "images" / f"scene_{seed}.png"
        exif = Image.Exif()
        exif[0x0112] = 6
        with Image.open(path) as picture:
            picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    assert [fault.kind for fault in check(coco).faults] == [FaultKind.TURNED_PICTURE] * 2
    edit(coco / "train.json", lambda content: content["images"][1].update(width=120, height=160))
    kinds = [fault.kind for fault in check(coco).faults if fault.kind.severity is not Severity.WARNING]
    assert kinds == [FaultKind.TURNED_PICTURE, FaultKind.TURNED_SIZE]


def test_the_same_picture_again(coco: Path):
    images = coco / "images"
    shutil.copy(images / "scene_0.png", images / "again.png")
    shutil.copy(images / "scene_1.png", images / "leak.png")

    def add(content: dict[str, Any], key: int, name: str) -> None:
        content["images"].append({"id": key, "file_name": name, "width": 160, "height": 120})
        content["annotations"].append({"image_id": key, "bbox": [10, 10, 20, 20]})

    edit(coco / "train.json", lambda content: add(content, 50, "again.png"))
    edit(coco / "train.json", lambda content: add(content, 51, "scene_2.png"))
    edit(coco / "val.json", lambda content: add(content, 52, "leak.png"))
    assert found(coco) == [
        (FaultKind.DUPLICATE_FILE_NAME, "train.json", "image 51"),
        (FaultKind.DUPLICATE_PICTURE, "train.json", "image 50"),
        (FaultKind.LEAK, "val.json", "image 52"),
    ]


def test_a_picture_without_boxes_and_one_without_a_record(coco: Path):
    def strip(content: dict[str, Any]) -> None:
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 3]

    edit(coco / "train.json", strip)
    (coco / "images" / "deep").mkdir()
    Image.new("RGB", (4, 4)).save(coco / "images" / "deep" / "lonely.JPG")
    (coco / "images" / "notes.md").write_text("no picture")
    assert found(coco) == [
        (FaultKind.NO_BOXES, "train.json", "image 3"),
        (FaultKind.UNNAMED_PICTURE, "lonely.JPG", ""),
    ]


def test_a_split_that_cannot_be_read_does_not_hide_the_other(coco: Path):
    (coco / "val.json").write_text("{")
    edit(coco / "train.json", lambda content: content["images"][0].update(width=161))
    kinds = [(kind, name) for kind, name, _ in found(coco) if kind is not FaultKind.UNNAMED_PICTURE]
    assert kinds == [(FaultKind.UNREADABLE_ANNOTATIONS, "val.json"), (FaultKind.WRONG_SIZE, "train.json")]


def test_one_file_and_pictures_elsewhere(coco: Path, tmp_path: Path):
    (coco / "images").rename(tmp_path / "elsewhere")
    report = check(coco / "train.json", tmp_path / "elsewhere")
    assert list(report.files) == ["train"]
    named = [fault.file.name for fault in report.faults if fault.kind is FaultKind.UNNAMED_PICTURE]
    assert named == ["scene_10.png", "scene_11.png"], "those of val, which was not read"
    assert len(report.faults) == 2


def test_the_faults_of_voc_are_named_by_xml_and_object(voc: Path):
    annotations = voc / "Annotations"
    good = voc_object(10, 10, 20, 20)
    outside = voc_object(155, 10, 20, 20, difficult=1)
    (annotations / "scene_0.xml").write_text(voc_xml(160, 120, good + good + outside + voc_object(9, 9, 9, 9, name="")))
    (annotations / "scene_1.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>')
    (annotations / "scene_2.xml").write_text(voc_xml(160, 121, good + "<object><name>shape</name></object>"))
    (voc / "JPEGImages" / "scene_3.jpg").unlink()
    (voc / "ImageSets" / "Main" / "val.txt").write_text("scene_10\nscene_0\nscene_10\n")
    assert sorted(found(voc), key=lambda fault: list(FaultKind).index(fault[0])) == [
        (FaultKind.UNREADABLE_ANNOTATIONS, "scene_1.xml", ""),
        (FaultKind.BAD_RECORD, "scene_2.xml", "object[1]"),
        (FaultKind.DUPLICATE_ID, "val.txt", "line 3"),
        (FaultKind.MISSING_PICTURE, "scene_3.xml", "image 'scene_3'"),
        (FaultKind.WRONG_SIZE, "scene_2.xml", "image 'scene_2'"),
        (FaultKind.LEAK, "scene_0.xml", "image 'scene_0'"),
        *[(FaultKind.CLIPPED_BOX, "scene_0.xml", "object[2]")] * 2,  # once for each split that reads the file
        *[(FaultKind.DUPLICATE_BOX, "scene_0.xml", "object[1]")] * 2,
        *[(FaultKind.UNKNOWN_CATEGORY, "scene_0.xml", "object[3]")] * 2,
        (FaultKind.UNNAMED_PICTURE, "scene_11.jpg", ""),
    ]


def test_no_data_set_is_no_report(tmp_path: Path):
    with pytest.raises(DataError, match="neither train"):
        check(tmp_path)
    with pytest.raises(DataError, match="No such file or folder"):
        check(tmp_path / "none")


def test_every_error_of_the_annotations_stops_training_too(coco: Path):
    """What the check calls an error in a record is what the strict reader raises, in the same words."""
    edit(coco / "train.json", lambda content: content["annotations"][1].update(bbox=[1, 2, 3]))
    (fault,) = (fault for fault in check(coco).faults if fault.kind.severity is Severity.ERROR)
    with pytest.raises(DataError) as caught:
        read_annotations(coco / "train.json")
    assert str(caught.value) == str(fault)


def test_what_stops_a_training_is_an_error(coco: Path):
    (coco / "val.json").unlink()
    assert (FaultKind.NO_SPLIT, "val.json", "") in found(coco)
    edit(coco / "train.json", lambda content: content.update(images=[], annotations=[]))
    assert (FaultKind.NO_PICTURES, "train.json", "") in found(coco)


def test_a_split_of_which_nothing_can_be_learnt_is_an_error(voc: Path, coco: Path):
    edit(coco / "train.json", lambda content: [box.update(iscrowd=1) for box in content["annotations"]])
    assert (FaultKind.NO_OBJECTS, "train.json", "") in found(coco)
    assert not [fault for fault in check(coco / "val.json").faults if fault.kind.severity is Severity.ERROR]


def test_a_test_split_may_be_of_pictures_alone_and_must_not_leak(coco: Path):
    """As COCO's own are."""
    edit(coco / "val.json", lambda content: content.update(images=content["images"][:1], annotations=[]))
    (coco / "val.json").rename(coco / "test.json")
    before = found(coco)
    edit(coco / "test.json", lambda content: content.pop("annotations"))
    assert found(coco) == before
    shared = json.loads((coco / "train.json").read_text())["images"][:1]
    edit(coco / "test.json", lambda content: content.update(images=shared))
    assert FaultKind.LEAK in {fault.kind for fault in check(coco).faults if fault.file.name == "test.json"}


def test_a_test_split_is_for_no_training_to_stop_at(coco: Path, tmp_path: Path):
    (coco / "train.json").rename(coco / "test.json")
    (coco / "val.json").unlink()
    edit(coco / "test.json", lambda content: content.update(annotations=[]))
    assert not [fault for fault in check(coco).faults if fault.kind.severity is Severity.ERROR]
