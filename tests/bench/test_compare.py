"""The service beside other frameworks: a real server of one of them, and what the page says of visits."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from bench.compare import OURS, Visit, page
from bench.frameworks.framework_process import FRAMEWORKS, FrameworkProcess, installed
from bench.load import Plan, run_load
from bench.memory import process_tree
from bench.networks import write_weights
from bench.peer import load_peer, parts
from bench.picture_sets import write_pictures
from tests.bench.test_serve import LOAD

PATIENCE_S = 10


@pytest.mark.e2e
@pytest.mark.parametrize("name", ["FastAPI", "LitServe", "BentoML"])  # Ray Serve's own processes outlive it by a while
def test_a_framework_serves_what_torchvision_proposes_and_leaves_nothing_behind(name: str, tmp_path: Path):
    if name not in installed():
        pytest.skip(f"{name} is not installed; `make compare` does that")
    weights, _ = write_weights("mobilenet")
    [picture] = write_pictures(((160, 120),), tmp_path / "pictures")
    answers = tmp_path / "answers"
    answers.mkdir()
    with FrameworkProcess(name, "mobilenet", weights, str(picture)) as server:
        members = process_tree(server.pid)
        assert server.peak_bytes() > 100 * 2**20
        plan = Plan([server.address], [str(picture)], clients=2, requests=4, warm_up=0, multipart=True)
        assert run_load(replace(plan, answers=str(answers))).statuses == {"200": 5}
    assert len(members) > 1, "a worker for each core"
    end = time.monotonic() + PATIENCE_S
    while left := [pid for pid in members if _runs(pid)]:
        assert time.monotonic() < end, left
        time.sleep(0.05)
    [answer] = answers.iterdir()
    found = json.loads(answer.read_bytes())
    np.testing.assert_allclose(found["boxes"], _torchvision_boxes(weights, picture), atol=1e-3)
    assert found["scores"] == sorted(found["scores"], reverse=True)


def _torchvision_boxes(weights: Path, picture: Path) -> list[list[float]]:
    """What torchvision's own ``rpn`` answers, in pixels of the picture."""
    transform, backbone, rpn = parts(load_peer("mobilenet", weights))
    pixels = pil_to_tensor(Image.open(picture).convert("RGB"))
    with torch.inference_mode():
        images, _ = transform([pixels / 255])
        [boxes], _ = rpn(images, backbone(images.tensors))
    height, width = images.image_sizes[0]
    placed: list[list[float]] = (boxes * torch.tensor([160 / width, 120 / height] * 2)).tolist()
    return placed


def _runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "\nState:\tZ" not in status.read_text()


def test_ratios_are_taken_round_by_round_and_what_is_absent_is_named():
    def visits(*rates: float) -> list[Visit]:
        return [Visit(2.0, 300.0, [replace(LOAD, rate=rate)]) for rate in rates]

    text = page({OURS: visits(30, 40), "FastAPI": visits(10, 20)}, [("640x480", 8)]).markdown({}, "`x`")
    assert "| 640x480, 8 clients | requests a second | p50, ms | p99 | ours over it |" in text
    assert (
        "| FastAPI | 15.0 (10.0 - 20.0) | 100.0 (100.0 - 100.0) | 120.0 (120.0 - 120.0) | 2.50 (2.00 - 3.00) |" in text
    )
    assert "| FastAPI | 2.0 (2.0 - 2.0) | 300 (300 - 300) |" in text
    assert "Not installed here: LitServe, BentoML, Ray Serve." in text


def test_every_framework_has_its_server():
    folder = Path(__file__).parents[2] / "bench" / "frameworks"
    assert {f"{module}.py" for module, _ in FRAMEWORKS.values()} == {path.name for path in folder.glob("with_*.py")}
