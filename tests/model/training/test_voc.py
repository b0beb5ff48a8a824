from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.errors import DataError
from model.training.annotations import read_annotations
from model.training.faults import Fault, FaultKind
from model.training.voc import parse_voc
from tests.scenes import voc_object, voc_xml, write_coco, write_voc


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """One picture of 20x10 pixels, `a`, in a folder of its own."""
    path = write_voc(tmp_path / "voc", "train", range(0))
    path.write_text("a\n")
    Image.new("RGB", (20, 10)).save(tmp_path / "voc" / "JPEGImages" / "a.jpg")
    annotate(path, voc_xml(20, 10, voc_object(1, 2, 3, 4)))
    return path


def annotate(split: Path, xml: str, name: str = "a") -> Path:
    file = split.parent.parent.parent / "Annotations" / f"{name}.xml"
    file.write_text(xml)
    return file


def test_the_same_scenes_read_the_same_from_either_layout(tmp_path: Path):
    voc = read_annotations(write_voc(tmp_path / "voc", "train", range(12)))
    coco = read_annotations(write_coco(tmp_path / "coco", "train", range(12)))
    assert [p.path.stem for p in voc] == [p.path.stem for p in coco]
    for ours, theirs in zip(voc, coco, strict=True):
        assert ours.path.is_file()
        assert ours.size == theirs.size
        assert np.array_equal(ours.boxes, theirs.boxes)
        assert np.array_equal(ours.ignored, theirs.ignored)


def test_corners_counted_from_1_and_in_the_box_become_ours(split: Path):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>10</ymax></bndbox>"  # the whole picture
    annotate(split, voc_xml(20, 10, f"<object><name>cat</name>{box}</object>"))
    (picture,) = read_annotations(split)
    assert picture.boxes.tolist() == [[0, 0, 20, 10]]
    assert picture.boxes.dtype == np.float32


def test_difficult_objects_are_regions_to_ignore(split: Path):
    annotate(split, voc_xml(20, 10, voc_object(1, 2, 3, 4) + voc_object(5, 5, 5, 5, difficult=1)))
    (picture,) = read_annotations(split)
    assert picture.boxes.tolist() == [[1, 2, 4, 6]]
    assert picture.ignored.tolist() == [[5, 5, 10, 10]]


def test_the_parts_of_an_object_are_no_objects(split: Path):
    part = "<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>"
    annotate(split, voc_xml(20, 10, voc_object(1, 2, 3, 4).replace("</object>", f"{part}</object>")))
    assert read_annotations(split)[0].boxes.tolist() == [[1, 2, 4, 6]]


def test_another_format_is_found_by_the_filename_in_the_xml(split: Path):
    pictures = split.parent.parent.parent / "JPEGImages"
    annotate(split, voc_xml(20, 10).replace("renamed.jpg", "../JPEGImages/a.png"))
    assert read_annotations(split)[0].path == pictures / "a.jpg"
    (pictures / "a.jpg").rename(pictures / "a.png")
    assert read_annotations(split)[0].path == pictures / "a.png"
    annotate(split, voc_xml(20, 10).replace("renamed.jpg", "a" * 300))
    assert read_annotations(split)[0].path == pictures / "a.jpg", "no file can have that name"
    elsewhere = split.parent
    assert read_annotations(split, elsewhere)[0].path == elsewhere / "a.jpg"


BAD = [
    ("<annotation>", r"a\.xml: not XML"),
    ('<!DOCTYPE a [<!ENTITY x "boo">]><annotation>&x;</annotation>', r"a\.xml: declares a document type"),
    ("<annotation/>", r"a\.xml: size: 'size/width' is missing"),
    (voc_xml(0, 10), r"a\.xml: size: a picture of 0x10"),
    (voc_xml(10**300, 10), r"a\.xml: size: no picture has a side of more than 4,294,967,295 pixels"),
    (voc_xml(20, 10, "<object/>"), r"a\.xml: object\[0\]: 'bndbox/xmin' is missing"),
    (
        voc_xml(20, 10, voc_object(1, 2, 3, 4).replace("<xmin>2", "<xmin>two")),
        r"'bndbox/xmin' must be a number, not 'two'",
    ),
    (voc_xml(20, 10, voc_object(1, 2, 3, 4) + voc_object(1, 2, float("nan"), 4)), r"object\[1\]: bndbox .*not finite"),
]


@pytest.mark.parametrize(("xml", "message"), BAD)
def test_what_cannot_be_used_is_named(split: Path, xml: str, message: str):
    annotate(split, xml)
    with pytest.raises(DataError, match=message):
        read_annotations(split)


def test_a_list_that_cannot_be_used_is_named(split: Path):
    with pytest.raises(DataError, match=r"val\.txt: No such file"):
        read_annotations(split.with_name("val.txt"))
    split.write_text("a\n\nb\n")
    with pytest.raises(DataError, match=r"b\.xml: No such file"):
        read_annotations(split)
    split.write_text("a\na\n")
    with pytest.raises(DataError, match=r"train\.txt: line 2: 'a' is in the list twice"):
        read_annotations(split)
    split.write_text("a  1\nb -1\n")
    with pytest.raises(DataError, match=r"train\.txt: is the list of one class"):
        read_annotations(split)
    split.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match=r"train\.txt: .*utf-8"):
        read_annotations(split)


def test_a_reader_that_goes_on_lists_every_fault_and_keeps_the_rest(split: Path):
    split.write_text("a\nb\nc\nd\na\n")
    bad = annotate(split, voc_xml(0, 10, "<object/>"), "b")
    good = voc_object(1, 2, 3, 4)
    half = annotate(split, voc_xml(20, 10, good + "<object/>" + good.replace("shape", "")), "c")
    faults: list[Fault] = []
    records = parse_voc(split, split.parent, faults.append)
    missing = half.with_name("d.xml")
    assert [(f.kind, f.file, f.record) for f in faults] == [
        (FaultKind.BAD_RECORD, bad, "size"),
        (FaultKind.BAD_RECORD, bad, "object[0]"),
        (FaultKind.BAD_RECORD, half, "object[1]"),
        (FaultKind.UNKNOWN_CATEGORY, half, "object[2]"),
        (FaultKind.UNREADABLE_ANNOTATIONS, missing, ""),
        (FaultKind.DUPLICATE_ID, split, "line 5"),
    ]
    assert [(p.where, [b.where for b in p.boxes]) for p in records.pictures] == [
        ("image 'a'", ["object[0]"]),
        ("image 'c'", ["object[0]", "object[2]"]),
    ]
    assert {path.name for path in records.named} == {"a.jpg", "b.jpg", "c.jpg", "d.jpg"}


@pytest.mark.parametrize("text", ["maybe", "true", "2"])
def test_what_difficult_says_is_not_guessed(split: Path, text: str):
    annotate(split, voc_xml(20, 10, voc_object(1, 2, 3, 4).replace("<difficult>0<", f"<difficult>{text}<")))
    with pytest.raises(DataError, match=rf"object\[0\]: 'difficult' must be 0 or 1, not '{text}'"):
        read_annotations(split)
