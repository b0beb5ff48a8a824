"""`rpn train --objective` as a user types it."""

from pathlib import Path

import pytest

from model.checkpoints.checkpoint import load_checkpoint
from model.detection import load_detector
from service import cli
from tests.scenes import CLASSES, draw_scene, write_coco, write_voc


def train(data: Path, out: Path, *arguments: str) -> int:
    command = ["train", "--data", str(data), "--out", str(out), "--epochs", "1", "--input-size", "96"]
    return cli.main([*command, "--device", "cpu", "--workers", "0", *arguments])


def test_a_detector_is_trained_on_the_classes_of_the_data(tmp_path: Path):
    for split, seeds in (("train", range(4)), ("val", range(20, 22))):
        write_voc(tmp_path / "data", split, seeds, classes=True)
    small = ["--roi-width", "16", "--rois-per-picture", "24", "--train-proposals", "100"]
    assert train(tmp_path / "data", tmp_path / "run", "--objective", "detection", *small) == 0
    trained_for = load_checkpoint(tmp_path / "run" / "best.safetensors").provenance["training"]["objective"]
    assert trained_for["heads"]["width"] == 16
    assert trained_for["sampler"]["per_picture"] == 24
    assert trained_for["selection"]["post_nms_top_n"] == 100
    detector = load_detector(tmp_path / "run" / "detector-best.safetensors", device="cpu")
    assert detector.classes == CLASSES
    assert set(detector.detect(draw_scene(0)[0]).labels) <= set(CLASSES)


def fault(capsys: pytest.CaptureFixture[str], data: Path, out: Path, *arguments: str) -> str:
    assert train(data, out, *arguments) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert not out.exists(), "nothing is written before the arguments are known to be good"
    return printed


def test_what_cannot_be_done_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data, out = tmp_path / "data", tmp_path / "run"
    for split in ("train", "val"):
        write_coco(data, split, range(2))
    detection = ("--objective", "detection")
    message = "--objective detection needs the classes of the data: "
    assert message in (line := fault(capsys, data, out, *detection))
    assert "scene_0.png: its box 1, of those to learn from, has no class" in line
    write_coco(data, "train", range(2), classes=True)
    assert "width and detections must be at least 1" in fault(capsys, data, out, *detection, "--roi-width", "0")
    assert "per_picture must be at least 1" in fault(capsys, data, out, *detection, "--rois-per-picture", "0")
    assert "post_nms_top_n must be at least 1" in fault(capsys, data, out, *detection, "--train-proposals", "0")
    assert "--roi-width is for --objective detection" in fault(capsys, data, out, "--roi-width", "8")
    two_stages = ("--architecture", "rpn_regnet_x_400mf_fpn_cascade")
    assert "take --architecture rpn_regnet_x_400mf_fpn in" in fault(capsys, data, out, *detection, *two_stages)
