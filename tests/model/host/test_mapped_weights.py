"""Weights that are let go of take no memory, and are still there."""

import mmap
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.config import ModelConfig
from model.host import mapped_weights
from model.host.graphs import GraphFolder
from model.host.mapped_weights import MappedWeights
from model.host.openvino_core import core
from model.host.openvino_network import OpenVINONetwork
from model.host.share import Share
from model.network.network import build_network
from model.structures import FloatArray

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is resident is read from /proc")

SIDE = 512
WEIGHTS = SIDE * SIDE * 4


@pytest.fixture(scope="module")
def matrix() -> FloatArray:
    return np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)


@pytest.fixture
def product(matrix: FloatArray) -> Any:
    """Rows times the matrix, as a graph that is in memory alone."""
    from openvino import Model, opset13

    rows = opset13.parameter([-1, SIDE], np.float32)
    return Model([opset13.matmul(rows, opset13.constant(matrix), False, False)], [rows])


@pytest.fixture
def mapped(product: Any, tmp_path: Path) -> Any:
    from openvino import save_model

    save_model(product, tmp_path / "product.xml", compress_to_fp16=False)
    return core().read_model(tmp_path / "product.xml")


def resident(folder: Path) -> int:
    """Bytes of this folder's mapped files that count as this process's memory."""
    found, ours = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = f" {folder}/" in line
        elif ours and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


def constant(graph: Any) -> FloatArray:
    """As OpenVINO has it, not copied."""
    (found,) = (operation for operation in graph.get_ops() if operation.get_type_name() == "Constant")
    values: FloatArray = found.data
    return values


def test_they_are_not_resident_and_read_as_before(mapped: Any, matrix: FloatArray, tmp_path: Path):
    weights = MappedWeights(mapped)
    np.testing.assert_array_equal(constant(mapped), matrix)
    before = resident(tmp_path)
    assert before >= WEIGHTS
    weights.let_go()
    assert resident(tmp_path) == before - weights.bytes
    assert weights.bytes > WEIGHTS - 2 * mmap.PAGESIZE, "all but the pages that they share with others"
    np.testing.assert_array_equal(constant(mapped), matrix)
    assert resident(tmp_path) == before


def test_what_is_not_in_a_file_is_left_alone(product: Any, matrix: FloatArray):
    weights = MappedWeights(product)
    assert weights.bytes == 0
    weights.let_go()
    np.testing.assert_array_equal(constant(product), matrix)


def test_where_nothing_says_what_is_mapped_all_is_kept(mapped: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mapped_weights, "_MAPS", tmp_path / "none")
    assert MappedWeights(mapped).bytes == 0


@pytest.mark.skipif(mmap.PAGESIZE > 4096, reason="a tiny network's weights fill no larger page")
def test_a_network_lets_go_once_it_has_laid_them_out(
    tiny_config: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from model.network.openvino_graphs import convert

    monkeypatch.setattr(mapped_weights, "_LEAST_BYTES", 1)
    folder = GraphFolder(tmp_path)
    assert folder.keep("sha256:1", convert(build_network(tiny_config).eval()))
    graphs = folder.find("sha256:1")
    assert graphs is not None
    network = OpenVINONetwork(tiny_config, graphs, Share(2), "fp32")
    limit = MappedWeights(graphs.convolutions).bytes
    assert limit > 0
    answers = []
    for height, width in ((96, 64), (64, 96), (96, 64)):
        pixels = np.full((1, height, width, 3), 90, dtype=np.uint8)
        scored = network.score(pixels, np.array([[width, height]], dtype=np.float32))
        answers.append([level.copy() for level in scored.logits])
    whole = sum(path.stat().st_size for path in tmp_path.rglob("*.bin"))
    assert resident(tmp_path) <= whole - limit + mmap.PAGESIZE * len(list(tmp_path.rglob("*.bin")))
    for first, again in zip(answers[0], answers[2], strict=True):
        np.testing.assert_array_equal(first, again)
