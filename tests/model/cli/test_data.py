"""`rpn data check` as a user types it."""

import json
import os
from pathlib import Path

import pytest

from service import cli
from tests.scenes import write_coco


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_coco(tmp_path, "train", range(4))
    write_coco(tmp_path, "val", range(10, 12))
    return tmp_path


def test_clean_data_exit_with_0_and_are_counted(data: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["data", "check", str(data)]) == 0
    printed = capsys.readouterr().out
    assert "  4 pictures (0 without boxes), " in printed
    assert printed.endswith("0 errors, 0 warnings, 0 notes\n")


def test_warnings_alone_exit_with_0_and_depend_on_the_network(data: Path, capsys: pytest.CaptureFixture[str]):
    path = data / "train.json"
    content = json.loads(path.read_text())
    content["annotations"].append({"image_id": 0, "bbox": [10, 10, 1.5, 30]})  # of 160 pixels: 3 on a canvas of 320
    path.write_text(json.dumps(content))
    for options, warnings in (
        ([], 0),
        (["--thinner-than", "4"], 1),
        (["--input-size", "160"], 1),
        (["--architecture", "rpn_vgg16", "--thinner-than", "4"], 0),
    ):
        assert cli.main(["data", "check", str(data), *options]) == 0
        assert f"0 errors, {warnings} warning" in capsys.readouterr().out


def test_errors_exit_with_1_and_are_all_in_the_file(data: Path, capsys: pytest.CaptureFixture[str]):
    for seed in range(4):
        (data / "images" / f"scene_{seed}.png").write_bytes(b"")
    out = data / "faults.json"
    assert cli.main(["data", "check", str(data), "--examples", "1", "--json", str(out), "--workers", "1"]) == 1
    printed = capsys.readouterr().out
    assert "4 pictures that cannot be decoded [undecodable-picture]" in printed
    assert f"{data / 'train.json'}: image 0: {data / 'images' / 'scene_0.png'}: the picture is empty" in printed
    assert "and 3 more" in printed
    content = json.loads(out.read_text())
    assert content["errors"] == 4
    assert [r["record"] for r in content["faults"][0]["records"]] == [f"image {seed}" for seed in range(4)]


def test_names_and_sizes_that_no_file_has_are_in_the_report(data: Path, capsys: pytest.CaptureFixture[str]):
    path = data / "train.json"
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = f"{'a' * 300}.jpg"
    content["images"][1]["width"] = 10**400
    path.write_text(json.dumps(content))
    (data / "images" / os.fsdecode(b"\xff.jpg")).write_bytes((data / "images" / "scene_2.png").read_bytes())
    assert cli.main(["data", "check", str(data)]) == 1
    printed = capsys.readouterr().out
    assert "1 pictures that are not there [missing-picture]" in printed
    assert "image 1: width and height must be whole numbers from 1 to 4,294,967,295, not 1000" in printed
    assert f"{data / 'images'}/\\udcff.jpg: in no record" in printed
    assert cli.main(["train", "--data", str(data), "--out", str(data / "run")]) == 2
    assert "image 1: width and height must be" in capsys.readouterr().err


def test_where_nothing_can_be_written_is_said_before_anything_is_decoded(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    for target, message in ((data, "is a folder; a file is to be written"), (data / "none" / "x.json", "no folder")):
        assert cli.main(["data", "check", str(data), "--json", str(target)]) == 2
        printed = capsys.readouterr()
        assert (printed.out, message in printed.err) == ("", True)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # whatever the user who runs the tests may do
    assert cli.main(["data", "check", str(data), "--json", str(data / "x.json")]) == 2
    assert capsys.readouterr().err.endswith("x.json: may not be written\n")


def test_what_is_no_data_set_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["data", "check", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.endswith("none: No such file or folder\n")
    assert cli.main(["data", "check", str(tmp_path), "--input-size", "100"]) == 2
    assert "multiple of 32" in capsys.readouterr().err
    assert cli.main(["data", "check", str(tmp_path), "--examples", "-1"]) == 2
    assert "--examples must be at least 0, not -1" in capsys.readouterr().err


def test_the_help_says_how_a_split_is_named(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["data", "check", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "FOLDER/ImageSets/Main/val.txt" in printed
    assert "Exit status: 1 with errors" in printed
