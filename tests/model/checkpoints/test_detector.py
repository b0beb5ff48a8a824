from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.checkpoints.detector import DetectorCheckpoint, detector_path, load_detector_checkpoint, save_detector
from model.checkpoints.restore import restore_detector
from model.checkpoints.sealed_file import write_sealed
from model.config import ModelConfig
from model.errors import CheckpointError
from model.network.detector import build_detector
from model.network.roi_heads import RoIHeadsConfig


@pytest.fixture
def detector(tiny_config: ModelConfig) -> DetectorCheckpoint:
    heads = RoIHeadsConfig(("cat", "dog"), width=8, detections=7)
    weights = build_detector(tiny_config, heads).state_dict()
    return DetectorCheckpoint(
        Checkpoint("tiny", "3", tiny_config, weights, {"seed": 0}, {"val": {"AR@100": 0.5}}), heads
    )


def test_what_was_saved_is_loaded(detector: DetectorCheckpoint, tmp_path: Path):
    digest = save_detector(detector, tmp_path / "x")
    loaded = load_detector_checkpoint(tmp_path / "x")
    assert loaded.heads == detector.heads
    assert loaded.checkpoint.digest == digest
    assert replace(loaded.checkpoint, state_dict={}, digest="") == replace(detector.checkpoint, state_dict={})
    restored = restore_detector(loaded, tmp_path / "x").state_dict()
    assert all(torch.equal(t, restored[n]) for n, t in detector.checkpoint.state_dict.items())


def test_it_lies_beside_its_proposal_network():
    assert detector_path(Path("run/best.safetensors")) == Path("run/detector-best.safetensors")


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        restore_detector(load_detector_checkpoint(path), path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_neither_kind_is_taken_for_the_other(detector: DetectorCheckpoint, tmp_path: Path):
    save_detector(detector, tmp_path / "detector")
    with pytest.raises(CheckpointError, match="format region-detector-checkpoint 1, not region-proposal-checkpoint 1"):
        load_checkpoint(tmp_path / "detector")
    save_checkpoint(detector.checkpoint, tmp_path / "proposals")
    assert "format region-proposal-checkpoint 1, not region-detector-checkpoint 1" in refused(tmp_path / "proposals")


def test_what_cannot_be_used_is_named(detector: DetectorCheckpoint, tmp_path: Path):
    path = tmp_path / "x"
    fewer = {n: t for n, t in detector.checkpoint.state_dict.items() if n != "roi_heads.box_head.fc6.weight"}
    save_detector(replace(detector, checkpoint=replace(detector.checkpoint, state_dict=fewer)), path)
    assert "weights 'roi_heads.box_head.fc6.weight' are missing" in refused(path)
    save_detector(replace(detector, heads=replace(detector.heads, classes=("cat",))), path)
    assert "weights 'roi_heads.box_predictor.bbox_pred.bias' have shape (12,), not (8,)" in refused(path)
    document = {"format": "region-detector-checkpoint", "format_version": 1}
    write_sealed(path, document, {})
    assert "roi_heads must be an object, not NoneType" in refused(path)
    write_sealed(path, {**document, "roi_heads": {"classes": []}}, {})
    assert "RoI heads: needs at least one class" in refused(path)
    write_sealed(path, {**document, "roi_heads": {"classes": ["cat"]}}, {})
    assert "its metadata are not those of a checkpoint" in refused(path)
    assert "No such file" in refused(tmp_path / "none")
