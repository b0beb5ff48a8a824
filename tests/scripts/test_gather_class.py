"""A data set made larger by another's pictures of one class."""

import json
from pathlib import Path
from typing import Any

import pytest

import gather_class
from model.training.annotations import read_annotations


def write(folder: Path, split: str, names: list[str], boxes: list[tuple[int, str, int]], classes: list[str]) -> None:
    """``boxes``: the number of a picture from 1 on, a class, and whether it is a crowd."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / "images" / name).write_bytes(folder.name.encode())
    content: dict[str, Any] = {
        "images": [{"id": i, "file_name": name, "width": 9, "height": 9} for i, name in enumerate(names, 1)],
        "annotations": [
            {
                "id": i,
                "image_id": picture,
                "category_id": 10 + classes.index(kind),
                "bbox": [0, 0, i, i],
                "iscrowd": crowd,
            }
            for i, (picture, kind, crowd) in enumerate(boxes, 1)
        ],
        "categories": [{"id": 10 + i, "name": name} for i, name in enumerate(classes)],
    }
    (folder / f"{split}.json").write_text(json.dumps(content))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    write(tmp_path / "base", "train", ["a.jpg"], [(1, "person", 0)], ["person"])
    write(tmp_path / "base", "val", ["v.jpg"], [(1, "person", 0)], ["person"])
    names = ["a.jpg", "v.jpg", "cat.jpg", "new.jpg", "crowd.jpg", "other.png"]
    boxes = [(1, "person", 0), (2, "person", 0), (3, "cat", 0), (4, "cat", 0), (4, "person", 0), (4, "person", 1)]
    write(tmp_path / "more", "train", names, [*boxes, (5, "person", 1), (6, "person", 0)], ["cat", "person"])
    return tmp_path


def run(folders: Path, *options: str) -> None:
    command = [str(folders / "out"), "--base", str(folders / "base"), "--add", str(folders / "more")]
    gather_class.main([*command, "--class", "person", *options])


def test_pictures_that_show_it_are_added_with_its_boxes_alone(folders: Path, capsys: pytest.CaptureFixture[str]):
    run(folders, "--only", "*.jpg")
    assert capsys.readouterr().out == f"{folders / 'out'}: 2 pictures to train on, 3 boxes\n"
    one, new = read_annotations(folders / "out", split="train")
    assert (one.path.name, new.path.name) == ("a.jpg", "new.jpg")
    assert (one.boxes.tolist(), one.classes) == ([[0, 0, 1, 1]], ("person",))
    assert (new.boxes.tolist(), new.classes, new.ignored.tolist()) == ([[0, 0, 5, 5]], ("person",), [[0, 0, 6, 6]])
    assert [one.path.read_bytes(), new.path.read_bytes()] == [b"base", b"more"]
    [val] = read_annotations(folders / "out", split="val")
    assert val.path.read_bytes() == b"base"


def test_without_a_pattern_all_are_taken(folders: Path):
    run(folders)
    names = [picture.path.name for picture in read_annotations(folders / "out", split="train")]
    assert names == ["a.jpg", "new.jpg", "other.png"]


def test_what_the_base_tests_on_is_not_trained_on(folders: Path):
    write(folders / "base", "test", ["new.jpg"], [(1, "person", 0)], ["person"])
    run(folders)
    names = [picture.path.name for picture in read_annotations(folders / "out", split="train")]
    assert names == ["a.jpg", "other.png"]
    assert not (folders / "out" / "test.json").exists()


def test_a_file_that_several_records_name_is_linked_once(folders: Path):
    write(folders / "base", "val", ["v.jpg", "a.jpg", "v.jpg"], [], ["person"])
    write(folders / "more", "train", ["new.jpg", "new.jpg"], [(1, "person", 0), (2, "person", 0)], ["person"])
    run(folders)
    assert sorted(path.name for path in (folders / "out" / "images").iterdir()) == ["a.jpg", "new.jpg", "v.jpg"]
    for split, count in (("train", 3), ("val", 3)):
        assert len(read_annotations(folders / "out", split=split)) == count


def test_background_is_what_has_no_box_of_it_not_even_one_to_ignore(folders: Path):
    run(folders, "--only", "new*", "--background", "c*.jpg")
    _, cat, new = read_annotations(folders / "out", split="train")
    assert (cat.path.name, new.path.name) == ("cat.jpg", "new.jpg"), "crowd.jpg has a box to ignore"
    assert (len(cat.boxes), len(cat.ignored)) == (0, 0)


def test_background_can_be_told_by_a_class_that_goes_with_it(folders: Path):
    write(folders / "base", "train", ["a.jpg"], [(1, "face", 0)], ["face"])
    write(folders / "base", "val", ["v.jpg"], [(1, "face", 0)], ["face"])
    run(folders, "--class", "face", "--background", "*.jpg", "--without", "person")
    face, cat = read_annotations(folders / "out", split="train")
    assert (face.path.name, cat.path.name) == ("a.jpg", "cat.jpg"), "in all the others persons are"
    assert (len(face.boxes), len(cat.boxes), len(cat.ignored)) == (1, 0, 0)


def test_what_shows_the_class_is_no_background_whatever_else_it_lacks(folders: Path):
    run(folders, "--background", "*", "--without", "cat")
    found = {picture.path.name: len(picture.boxes) for picture in read_annotations(folders / "out", split="train")}
    assert found == {"a.jpg": 1, "new.jpg": 1, "other.png": 1}


def test_what_cannot_be_done_is_one_line(folders: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="no class 'dog' among person"):
        run(folders, "--class", "dog")
    with pytest.raises(SystemExit, match="no class 'dog' among cat, person"):
        run(folders, "--background", "*", "--without", "dog")
    with pytest.raises(SystemExit):
        run(folders, "--without", "cat")
    assert "name them by --background" in capsys.readouterr().err
    assert not (folders / "out").exists()
    (folders / "out" / "images").mkdir(parents=True)
    with pytest.raises(SystemExit, match="File exists"):
        run(folders)
    (folders / "more" / "train.json").unlink()
    with pytest.raises(SystemExit, match=r"more/train\.json: .*No such file"):
        run(folders)


@pytest.mark.parametrize(
    ("split", "missing"),
    [("base/train", "categories"), ("more/train", "categories"), ("base/val", "images"), ("base/test", "images")],
)
def test_a_file_without_what_is_needed_of_it_is_named(split: str, missing: str, folders: Path):
    write(folders / "base", "test", ["t.jpg"], [], ["person"])
    path = folders / f"{split}.json"
    content = json.loads(path.read_text())
    del content[missing]
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit) as ended:
        run(folders)
    assert ended.value.code == f"gather_class.py: {path}: not a COCO instances file ('{missing}' is no list)"
    assert not (folders / "out").exists()


def test_ids_may_be_texts_and_a_box_may_have_no_class(folders: Path):
    for name in ("base", "more"):
        file = folders / name / "train.json"
        content = json.loads(file.read_text())
        for picture in content["images"]:
            picture["id"] = f"p{picture['id']}"
        for box in content["annotations"]:
            box["image_id"] = f"p{box['image_id']}"
            del box["id"]
        content["annotations"].append({"image_id": "p1", "bbox": [0, 0, 8, 8]})
        file.write_text(json.dumps(content))
    run(folders, "--only", "*.jpg")
    one, new = read_annotations(folders / "out", split="train")
    assert one.boxes.tolist() == [[0, 0, 1, 1], [0, 0, 8, 8]]
    assert (new.path.name, new.boxes.tolist(), new.ignored.tolist()) == ("new.jpg", [[0, 0, 5, 5]], [[0, 0, 6, 6]])
