"""The README's commands are run, those of make and docker elsewhere, and what it shows is what they give."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models import detection

from model.checkpoints.checkpoint import load_checkpoint
from model.precision import has_vnni
from service.commands.settings import markdown_table
from tests.e2e.conftest import REPOSITORY, boxes_of, server  # noqa: F401 - a fixture
from tests.scenes import write_coco

README = (REPOSITORY / "README.md").read_text()
ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text()
COMMANDS = [
    line.split("   #")[0] for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()
]
CURLS = [command for command in COMMANDS if command.startswith("curl")]


def run(command: str, folder: Path = REPOSITORY) -> str:
    rpn = f"{shlex.quote(sys.executable)} -m service.cli"
    done = subprocess.run(
        ["bash", "-c", command.replace(".venv/bin/rpn", rpn)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def ask(command: str, address: str) -> dict[str, Any]:
    return json.loads(run(command.replace("http://127.0.0.1:8000", address).replace("curl", "curl -sS --fail", 1)))


def test_every_command_is_known_here():
    kinds = (
        ".venv/bin/rpn data",
        "curl ",
        "make ",
        ".venv/bin/rpn propose",
        ".venv/bin/rpn train",
        ".venv/bin/rpn eval",
        ".venv/bin/rpn weights import",
        ".venv/bin/rpn weights release",
        "RPN_MODELS=",
        "docker ",
        "TORCH_CPU_INDEX=... docker ",
    )
    assert len(COMMANDS) >= 9
    assert [command for command in COMMANDS if not command.startswith(kinds)] == []


@pytest.mark.e2e
def test_the_answer_shown_is_the_answer_given(server: str):  # noqa: F811
    shown = json.loads(re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0])
    given = ask(CURLS[0], server)
    expected = boxes_of(shown)
    if not has_vnni():  # the first box is one of the loose ones, whose place without VNNI is told elsewhere
        [told] = re.findall(r"^\| int8 with AVX2.*\| ([\d., ]+) \|$", ARCHITECTURE, re.MULTILINE)
        expected[0] = [float(number) for number in told.split(",")]
    np.testing.assert_allclose(boxes_of(given), expected, atol=1.0)
    scores = [[proposal["score"] for proposal in answer["proposals"]] for answer in (given, shown)]
    np.testing.assert_allclose(*scores, atol=0.02 if has_vnni() else 0.1)
    for each in (shown, given):
        del each["request_id"], each["timings_ms"], each["proposals"]
    assert given == shown


@pytest.mark.e2e
def test_the_other_requests_are_answered(server: str, tmp_path: Path):  # noqa: F811
    raw, several = (ask(command, server) for command in CURLS[1:] if "boxes.f32" not in command)
    assert all(p["score"] >= 0.5 for p in raw["proposals"])
    assert [result["count"] for result in several["results"]] == [10, 10]
    (binary,) = (command for command in CURLS if "boxes.f32" in command)
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    run(binary.replace("http://127.0.0.1:8000", server), tmp_path)
    assert np.fromfile(tmp_path / "boxes.f32", dtype="<f4").reshape(-1, 5).shape == (300, 5)


@pytest.mark.e2e
def test_boxes_are_drawn(tmp_path: Path):
    (command,) = (c for c in COMMANDS if "rpn propose" in c)
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    run(f"export PYTHONPATH={shlex.quote(str(REPOSITORY))}; {command}", tmp_path)
    assert (tmp_path / "boxes.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.e2e
def test_your_own_data(tmp_path: Path):
    write_coco(tmp_path / "mydata", "train", range(8))
    write_coco(tmp_path / "mydata", "val", range(100, 104))
    (tmp_path / "weights").symlink_to(REPOSITORY / "weights")
    check, train, evaluate, release = (
        next(c for c in COMMANDS if f"rpn {name}" in c) for name in ("data", "train", "eval", "weights release")
    )
    path = f"export PYTHONPATH={shlex.quote(str(REPOSITORY))};"
    assert "0 errors, 0 warnings" in run(f"{path} {check}", tmp_path)
    run(f"{path} {train} --epochs 1 --batch-size 4", tmp_path)
    assert "AR@100" in run(f"{path} {evaluate}", tmp_path)
    assert "<svg" in (tmp_path / "report.html").read_text()
    run(f"{path} {release}", tmp_path)
    released = load_checkpoint(tmp_path / "mine.safetensors")
    assert (released.name, released.version) == ("mine", "1")
    assert released.calibration is not None


def test_torchvisions_weights(tmp_path: Path):
    network = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    torch.save(network.state_dict(), tmp_path / "detector.pth")
    command = next(c for c in COMMANDS if "rpn weights import" in c)
    assert "from torchvision's fasterrcnn_resnet50_fpn" in run(
        f"export PYTHONPATH={shlex.quote(str(REPOSITORY))}; {command}", tmp_path
    )
    assert load_checkpoint(tmp_path / "peer.safetensors").config.architecture == "rpn_resnet50_fpn"


def test_the_table_of_settings_is_the_programs_own():
    assert markdown_table() in README
