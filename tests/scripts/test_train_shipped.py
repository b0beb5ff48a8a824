"""The recipe of the shipped weights, in miniature: every command of it runs, and none twice."""

import json
from pathlib import Path

import pytest

import train_shipped
from model.checkpoints.checkpoint import load_checkpoint
from model.training.annotations import read_annotations
from tests.scenes import write_coco


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("general", "pedestrian", "face")):
        for split, count in (("train", 3), ("val", 1)):
            first = 10 * number + (5 if split == "val" else 0)
            path = write_coco(folder / name, split, range(first, first + count), classes=True)
            content = json.loads(path.read_text())
            content["categories"][0]["name"] = "face" if name == "face" else "person"
            path.write_text(json.dumps(content))
    show_nobody(folder / "general", "voc_empty.png")
    return folder


def show_nobody(folder: Path, name: str) -> None:
    """The first picture to train on is called so, and shows nothing."""
    content = json.loads((folder / "train.json").read_text())
    picture = content["images"][0]
    (folder / "images" / picture["file_name"]).rename(folder / "images" / name)
    picture["file_name"] = name
    content["annotations"] = [box for box in content["annotations"] if box["image_id"] != picture["id"]]
    (folder / "train.json").write_text(json.dumps(content))


def test_all_of_it_runs_and_nothing_twice(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    command = ["--data", str(data), "--out", str(tmp_path), "--device", "cpu", "--quick", "--version", "9"]
    assert train_shipped.main(command) == 0
    assert commands(capfd) == ["train", "release", *["gather", "train", "release"] * 2]
    general, pedestrian, face = (
        load_checkpoint(tmp_path / "released" / f"{n}.safetensors") for n in ("general", "pedestrian", "face")
    )
    assert (pedestrian.name, pedestrian.version) == ("pedestrian", "9")
    assert pedestrian.config.selection.nms_iou == 0.5
    assert pedestrian.config.selection.overlap_penalty is None
    assert face.config.selection == pedestrian.config.selection
    for name in ("persons", "faces"):
        trained_on = [picture.path.name for picture in read_annotations(tmp_path / name, split="train")]
        assert "voc_empty.png" in trained_on, "where nobody is there is no face either"
    assert general.config.refinement is not None
    assert general.config.refinement.proposals == 2000
    assert pedestrian.provenance["started_from"]["command"] == general.provenance["command"]
    assert train_shipped.main([*command, "--only", "general"]) == 0
    assert commands(capfd) == ["train"]  # which says that it is finished


def commands(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What each line that it announces is for."""
    kinds = ("train", "release", "gather")
    announced = [line.split() for line in capfd.readouterr().out.splitlines() if line.startswith("+ ")]
    return [next(kind for kind in kinds if any(kind in Path(word).stem for word in words[2:6])) for words in announced]


def test_a_stage_that_fails_ends_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert train_shipped.main(["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    assert "general: is no folder" in capfd.readouterr().err


def test_without_a_gpu_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        train_shipped.main(["--data", str(tmp_path), "--out", str(tmp_path)])
    assert "no CUDA device" in capsys.readouterr().err
