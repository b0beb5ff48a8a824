"""A data set made smaller: what shows small objects, and a share of the rest."""

import json
from pathlib import Path
from typing import Any

import pytest

import focus_small
from model.training.annotations import read_annotations

# A picture's boxes by their heights, a crowd's after a minus. Pictures are 100 pixels wide, so below 15 is small.
HEIGHTS = {"two": [14, 14], "one": [14, 15], "crowd": [14, -14], "none": [], "three": [5, 5, 5], "last": [40]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, heights) in enumerate(HEIGHTS.items(), 7):
        (data / "images" / f"{name}.jpg").write_bytes(name.encode())
        images.append({"id": number, "file_name": f"{name}.jpg", "width": 100, "height": 50})
        annotations += [
            {
                "id": len(annotations) + i,
                "image_id": number,
                "category_id": 1,
                "bbox": [0, 0, 60, abs(height)],
                "iscrowd": int(height < 0),
            }
            for i, height in enumerate(heights)
        ]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    for split in ("train", "val"):
        (data / f"{split}.json").write_text(json.dumps(content))
    return tmp_path


def run(folder: Path, *options: str) -> None:
    focus_small.main([str(folder / "out"), "--data", str(folder / "data"), *options])


def names(folder: Path, split: str) -> list[str]:
    return [picture.path.stem for picture in read_annotations(folder / "out", split=split)]


def test_pictures_of_small_boxes_stay_and_each_nth_of_the_others(folder: Path, capsys: pytest.CaptureFixture[str]):
    run(folder, "--others", "2")
    assert names(folder, "train") == ["two", "one", "none", "three"], "of one, crowd, none and last each second"
    assert capsys.readouterr().out == f"{folder / 'out'}: 4 pictures to train on, 7 boxes\n"
    assert names(folder, "val") == list(HEIGHTS)
    [two, *_] = read_annotations(folder / "out", split="train")
    assert (two.boxes.tolist(), two.path.read_bytes()) == ([[0, 0, 60, 14]] * 2, b"two")


def test_what_is_small_and_how_many_of_them_is_asked_for(folder: Path):
    run(folder, "--boxes", "3", "--height", "0.06", "--others", "5")
    assert names(folder, "train") == ["two", "three"]


def test_what_cannot_be_done_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        run(folder, "--others", "0")
    assert "--boxes and --others start at 1" in capsys.readouterr().err
    (folder / "out").mkdir()
    with pytest.raises(SystemExit, match="File exists"):
        run(folder)
    (folder / "data" / "train.json").unlink()
    with pytest.raises(SystemExit, match=r"data/train\.json: .*No such file"):
        run(folder)


@pytest.mark.parametrize("content", ["[]", '{"images": []}'])
def test_a_file_without_boxes_is_named(folder: Path, content: str, capsys: pytest.CaptureFixture[str]):
    (folder / "data" / "train.json").write_text(content)
    with pytest.raises(
        SystemExit, match=r"train\.json: not a COCO instances file \('(images|annotations)' is no list\)"
    ):
        run(folder)
    assert not (folder / "out").exists()
