"""The recipe of the shipped weights, in miniature: every command of it runs, and none twice."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import train_shipped
from model.architectures import DEFAULT_ARCHITECTURE, architecture
from model.checkpoints.card import write_card
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
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
    assert pedestrian.config.architecture == face.config.architecture == "rpn_resnet16_fpn_cascade"
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


def test_what_is_released_otherwise_is_released_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another version or another text than those of what is there, or a card that is not its own."""
    ran: list[list[str]] = []
    monkeypatch.setattr(train_shipped, "_run", lambda command: ran.append(command) or 0)
    out, about = tmp_path / "released" / "general.safetensors", tmp_path / "general.json"
    out.parent.mkdir()
    about.write_text(json.dumps({"limits": "None.", "measured_on": "scenes"}))
    weights = {"weight": torch.zeros(1)}
    made = Checkpoint("general", "1", architecture(DEFAULT_ARCHITECTURE), weights, {"limits": "None."}, {"scenes": {}})
    made = replace(made, digest=save_checkpoint(made, out))
    card = write_card(made, out.name, "", 0)

    def released(card: str, *options: str) -> bool:
        ran.clear()
        out.with_suffix(".md").write_text(card)
        train_shipped.main(["--data", "none", "--out", str(tmp_path), "--device", "cpu", "--only", "general", *options])
        train, *others = ran
        assert "train" in train
        return any("release" in command for command in others)

    texts = ("--about", str(tmp_path))
    assert not released(card)
    assert not released(card, *texts)
    assert released(card, "--version", "2")
    assert released("# general 1\n")
    for other in ('{"limits": "Many."}', '{"measured_on": "others"}', '{"data": "Drawn."}', "[1]", "{"):
        about.write_text(other)
        assert released(card, *texts), other
    out.write_bytes(out.read_bytes()[:-1])
    assert released(card)


def test_a_stage_that_fails_ends_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert train_shipped.main(["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    assert "general: is no folder" in capfd.readouterr().err


def test_without_a_gpu_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        train_shipped.main(["--data", str(tmp_path), "--out", str(tmp_path)])
    assert "no CUDA device" in capsys.readouterr().err
