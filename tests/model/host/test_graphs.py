"""What is kept of a network is what was put there, or nothing."""

import json
import logging
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.config import ModelConfig, RefinementConfig
from model.host import graphs
from model.host.graphs import GraphFolder, Graphs
from model.host.openvino_network import OpenVINONetwork
from model.host.share import Share
from model.network.network import build_network
from model.network.openvino_graphs import convert
from service.settings import Settings

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def cascade(tiny_config: ModelConfig) -> ModelConfig:
    return replace(tiny_config, refinement=RefinementConfig(proposals=20, channels=8, hidden=16))


@pytest.fixture(scope="module")
def converted(cascade: ModelConfig) -> Graphs:
    return convert(build_network(cascade).eval())


def test_what_is_found_computes_as_what_was_kept(cascade: ModelConfig, converted: Graphs, tmp_path: Path):
    folder = GraphFolder(tmp_path / "not" / "there" / "yet")
    assert folder.find("sha256:1") is None
    assert not folder.holds("sha256:1")
    folder.keep("sha256:1", converted)
    assert folder.holds("sha256:1")
    found = folder.find("sha256:1")
    assert found is not None
    assert found.strides == converted.strides
    pixels = np.random.default_rng(0).integers(0, 256, (1, 96, 64, 3), dtype=np.uint8)
    contents = np.array([[64, 96]], dtype=np.float32)
    boxes, logits = np.array([[3, 4, 50, 60]], dtype=np.float32), np.array([0.3], dtype=np.float32)
    before, after = (OpenVINONetwork(cascade, one, Share(2), "fp32") for one in (converted, found))
    scored = [network.score(pixels, contents) for network in (before, after)]
    for ours, theirs in zip(scored[0].logits + scored[0].deltas, scored[1].logits + scored[1].deltas, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    features = [level[0] for level in scored[0].features]
    np.testing.assert_allclose(
        before.refine(features, boxes, logits).boxes, after.refine(features, boxes, logits).boxes, atol=1e-4
    )


@pytest.mark.parametrize("part", ["_code", "_openvino", "_torch"])
def test_another_checkpoint_other_code_or_another_version_finds_nothing(
    converted: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
):
    folder = GraphFolder(tmp_path)
    folder.keep("sha256:1", converted)
    assert folder.find("sha256:2") is None
    with monkeypatch.context() as patch:
        patch.setattr(graphs, part, lambda: "other")
        assert folder.find("sha256:1") is None
    assert folder.find("sha256:1") is not None


FILES = ("convolutions.xml", "convolutions.bin", "refinement.xml", "refinement.bin", "facts.json")


def flip(content: bytes) -> bytes:
    """One bit in the middle: of weights OpenVINO would not notice."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [flip, lambda content: content[: len(content) // 2], None])
def test_what_is_damaged_is_made_again(
    converted: Graphs, tmp_path: Path, name: str, damage: Callable[[bytes], bytes] | None
):
    folder = GraphFolder(tmp_path)
    assert folder.keep("sha256:1", converted)
    [file] = tmp_path.glob(f"*/{name}")
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(file.read_bytes()))
    assert folder.find("sha256:1") is None
    assert folder.keep("sha256:1", converted)
    assert folder.find("sha256:1") is not None


def with_its_digest(strides: list[float], files: object) -> str:
    return json.dumps({"strides": strides, "files": files, "digest": graphs._facts_digest(strides, files)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "facts",
    [
        "",
        "1",
        "[]",
        '{"files": {}}',
        '{"files": {}, "strides": [8], "digest": ""}',
        with_its_digest([8.0], []),
        with_its_digest([math.inf], {}),
        with_its_digest([8.0], {"none": "0"}),
    ],
)
def test_facts_that_are_none_end_no_start(converted: Graphs, tmp_path: Path, facts: str):
    folder = GraphFolder(tmp_path)
    folder.keep("sha256:1", converted)
    [file] = tmp_path.glob("*/facts.json")
    file.write_text(facts)
    assert folder.find("sha256:1") is None


def test_another_stride_is_damage(converted: Graphs, tmp_path: Path):
    folder = GraphFolder(tmp_path)
    folder.keep("sha256:1", converted)
    [file] = tmp_path.glob("*/facts.json")
    facts = json.loads(file.read_text())
    facts["strides"][0] += 1
    file.write_text(json.dumps(facts))
    assert folder.find("sha256:1") is None


def test_where_it_may_not_look_nothing_is_kept(monkeypatch: pytest.MonkeyPatch):
    folder = GraphFolder(Path("/root/cache"))
    folder.holds("sha256:1")  # what its name is made of has been read

    def forbidden(path: object, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", forbidden)  # root, who may run the tests, may look anywhere
    assert not folder.holds("sha256:1")
    assert folder.find("sha256:1") is None
    folder.drop_unused()


def test_what_another_process_has_kept_meanwhile_is_left_to_those_who_read_it(converted: Graphs, tmp_path: Path):
    folder = GraphFolder(tmp_path)
    folder.keep("sha256:1", converted)
    [place] = tmp_path.iterdir()
    before = place.stat().st_ino
    assert folder.keep("sha256:1", converted)
    assert [(p, p.stat().st_ino) for p in tmp_path.iterdir()] == [(place, before)]


def test_where_nothing_can_be_written_it_is_said(converted: Graphs, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "file").write_text("")
    folder = GraphFolder(tmp_path / "file" / "folder")
    assert not folder.writable
    with caplog.at_level(logging.WARNING):
        assert not folder.keep("sha256:1", converted)
    assert "cannot be kept" in caplog.text
    assert folder.find("sha256:1") is None


def test_two_processes_may_keep_the_same(converted: Graphs, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for _ in range(2):
        GraphFolder(tmp_path).keep("sha256:1", converted)
    assert len(list(tmp_path.iterdir())) == 1, "nothing half written is left"
    assert not caplog.records


def test_a_user_without_a_home_keeps_nothing(converted: Graphs, monkeypatch: pytest.MonkeyPatch):
    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    folder = GraphFolder(graphs.DEFAULT_CACHE)
    assert not folder.writable
    assert not folder.keep("sha256:1", converted)
    assert folder.find("sha256:1") is None


def test_what_was_not_read_for_long_goes_and_nothing_that_is_not_ours(converted: Graphs, tmp_path: Path):
    folder = GraphFolder(tmp_path)
    theirs = tmp_path / "photographs"
    theirs.mkdir()
    for digest in ("used", "unused"):
        folder.keep(digest, converted)
    half, fresh_half = tmp_path / ".partial-graphs-1", tmp_path / ".partial-graphs-2"
    half.mkdir()
    fresh_half.mkdir()
    for place in (theirs, half, folder._place("used"), folder._place("unused")):
        os.utime(place, (0, 0))
    assert folder.find("used") is not None  # in use again
    folder.keep("new", converted)
    assert folder.holds("unused"), "what is put there by hand drops nothing"
    folder.drop_unused()
    assert [folder.holds(digest) for digest in ("used", "unused", "new")] == [True, False, True]
    assert (theirs.exists(), half.exists(), fresh_half.exists()) == (True, False, True)


def test_all_code_that_a_graph_is_made_of_is_in_its_name():
    names = {path.name for path in graphs._sources()}
    assert {"refinement.py", "backbones.py", "config.py", "box_planes.py", "integer_weights.py"} <= names


def test_the_commands_keep_graphs_where_the_service_is_told_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("RPN_CACHE_DIR", raising=False)
    assert graphs.chosen_cache() == graphs.DEFAULT_CACHE == Settings().cache_dir
    monkeypatch.setenv("RPN_CACHE_DIR", "")
    assert graphs.chosen_cache() == graphs.DEFAULT_CACHE == Settings().cache_dir
    monkeypatch.setenv("RPN_CACHE_DIR", str(tmp_path))
    assert graphs.chosen_cache() == tmp_path == Settings().cache_dir
