"""The default network on other backbones: each is what it says it is, and can be trained and timed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import compare_backbones
from model.architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE, architecture
from model.checkpoints.checkpoint import load_checkpoint
from model.network.backbones import BACKBONES, build_backbone
from model.training.run_folder import LAST_FILE
from tests.scenes import write_coco


@pytest.fixture(autouse=True)
def _registries_as_they_were() -> Iterator[None]:
    bodies, architectures = dict(BACKBONES), dict(ARCHITECTURES)
    yield
    for name in BACKBONES.keys() - bodies.keys():
        del BACKBONES[name]
    for name in ARCHITECTURES.keys() - architectures.keys():
        del ARCHITECTURES[name]


def test_the_maps_have_the_strides_and_widths_that_are_declared():
    for name in compare_backbones.register():
        config = architecture(name)
        backbone = build_backbone(config.backbone).eval()
        assert backbone.strides == (8, 16, 32, 64)
        with torch.inference_mode():
            maps = backbone(torch.zeros(1, 3, 64, 128))
        assert [tuple(m.shape) for m in maps] == [(1, 128, 64 // s, 128 // s) for s in backbone.strides], name


def test_all_else_is_equal():
    default, *others = (architecture(name).to_dict() for name in compare_backbones.register())
    assert len(others) == len(compare_backbones.CANDIDATES) + len(compare_backbones.OTHERS)
    for config in others:
        assert {**config, "architecture": None, "backbone": None} == {**default, "architecture": None, "backbone": None}
        assert config["backbone"] | {"name": None} == default["backbone"] | {"name": None}


def test_two_are_trained_and_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_coco(tmp_path / "scenes", "train", range(2))
    write_coco(tmp_path / "scenes", "val", range(20, 21))
    names = [DEFAULT_ARCHITECTURE, "rpn_shufflenet_v2_x1_0_fpn_cascade"]
    folders = ["--data", str(tmp_path / "scenes"), "--out", str(tmp_path / "runs")]
    training = ["--input-size", "64", "--device", "cpu", "--workers", "0", "--epochs", "1", "--batch-size", "2"]
    assert compare_backbones.main([*folders, "--only", *names, "--", *training]) == 0
    rows = [row.split(" | ") for row in capsys.readouterr().out.splitlines() if row.startswith("| rpn_")]
    assert [row[0] for row in rows] == [f"| {name}" for name in names]
    assert rows[0][1].startswith("1.00 (1.00 - 1.00)")
    for name in names:
        command = load_checkpoint(tmp_path / "runs" / name / LAST_FILE).provenance["command"]
        assert command.startswith("rpn train --data ")
        assert f"--architecture {name} " in command


def test_a_failed_training_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert compare_backbones.main(["--data", str(tmp_path), "--out", str(tmp_path / "runs")]) == 2
    assert "rpn:" in capsys.readouterr().err
