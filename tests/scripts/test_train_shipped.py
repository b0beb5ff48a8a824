"""The recipe of the shipped weights, in miniature: every command of it runs, and none twice."""

import json
from pathlib import Path

import pytest

import train_shipped
from model.checkpoints.checkpoint import load_checkpoint
from tests.scenes import write_coco


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("general", "pedestrian", "face")):
        for split, count in (("train", 3), ("val", 1)):
            first = 10 * number + (5 if split == "val" else 0)
            path = write_coco(folder / name, split, range(first, first + count), classes=True)
            content = json.loads(path.read_text())
            content["categories"][0]["name"] = "person"
            path.write_text(json.dumps(content))
    return folder


def test_all_of_it_runs_and_nothing_twice(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    command = ["--data", str(data), "--out", str(tmp_path), "--device", "cpu", "--quick", "--version", "9"]
    assert train_shipped.main([*command, "--only", "general", "pedestrian"]) == 0
    assert commands(capfd) == ["train", "release", "gather", "train", "release"]
    general, pedestrian = (
        load_checkpoint(tmp_path / "released" / f"{n}.safetensors") for n in ("general", "pedestrian")
    )
    assert (pedestrian.name, pedestrian.version) == ("pedestrian", "9")
    assert pedestrian.config.selection.nms_iou == 0.5
    assert pedestrian.config.selection.overlap_penalty is None
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
