import os
from dataclasses import replace
from pathlib import Path

import pytest

from model import preparation
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.config import ModelConfig
from model.errors import CheckpointError, DeviceError
from model.host import graphs
from model.network.network import build_network
from model.predictor import Predictor
from model.preparation import prepare, unprepared
from model.quantization import Quantization

pytest.importorskip("openvino")


@pytest.fixture
def checkpoint(tiny_config: ModelConfig, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(Checkpoint("tiny", "1", tiny_config, build_network(tiny_config).state_dict()), path)
    return path


@pytest.fixture
def quantized(checkpoint: Path) -> Path:
    """The same, with ranges for what its head reads."""
    path = checkpoint.with_name("quantized.safetensors")
    quantization = Quantization({"head.conv.0.0": (-1.0, 1.0)})
    save_checkpoint(replace(load_checkpoint(checkpoint), quantization=quantization), path)
    return path


def missing(
    *paths: Path, cache: Path, device: str = "cpu", runtime: str = "auto", precision: str = "fp32"
) -> list[Path]:
    return unprepared(paths, device=device, precision=precision, runtime=runtime, cache=cache)


def test_what_is_prepared_is_not_prepared_again(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache = tmp_path / "cache"
    assert missing(checkpoint, cache=cache) == [checkpoint]
    assert prepare(checkpoint, cache)
    assert missing(checkpoint, cache=cache) == []
    assert not prepare(checkpoint, cache)
    (place,) = cache.iterdir()
    (place / "convolutions.bin").write_bytes(b"")
    assert prepare(checkpoint, cache), "what is damaged is made again"
    from model.network import openvino_graphs

    monkeypatch.setattr(openvino_graphs, "convert", lambda network: pytest.fail("converted again"))
    assert Predictor.load(checkpoint, device="cpu", precision="fp32", cache=cache).runtime == "openvino fp32"


def test_integers_are_prepared_beside_floats(checkpoint: Path, quantized: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    assert missing(checkpoint, quantized, cache=cache, precision="int8") == [quantized], "the other cannot"
    assert missing(checkpoint, quantized, cache=cache, precision="auto") == [checkpoint, quantized]
    assert prepare(quantized, cache)
    assert len(list(cache.iterdir())) == 2
    for precision in ("int8", "fp32", "auto"):
        assert missing(quantized, cache=cache, precision=precision) == []
    assert not prepare(quantized, cache)
    for place in cache.iterdir():
        (place / "convolutions.bin").write_bytes(b"")
    assert prepare(quantized, cache), "both are damaged, and made again"
    assert not prepare(quantized, cache)
    foreign = quantized.with_name("foreign.safetensors")
    ranges = Quantization({"another.network": (0.0, 1.0)})
    save_checkpoint(replace(load_checkpoint(quantized), quantization=ranges), foreign)
    with pytest.raises(CheckpointError, match=r"foreign\.safetensors: quantization: another\.network is no layer"):
        prepare(foreign, cache)
    assert Predictor.load(quantized, device="cpu", precision="int8", cache=cache).runtime == "openvino int8"
    assert Predictor.load(quantized, device="cpu", precision="fp32", cache=cache).runtime == "openvino fp32"
    with pytest.raises(DeviceError, match=r"tiny\.safetensors: precision 'int8' needs the ranges"):
        Predictor.load(checkpoint, device="cpu", precision="int8", cache=cache)


def test_loading_prepares_what_is_not(checkpoint: Path, tmp_path: Path):
    Predictor.load(checkpoint, device="cpu", precision="fp32", cache=tmp_path / "cache")
    assert missing(checkpoint, cache=tmp_path / "cache") == []


def test_nothing_is_prepared_for_torch_nor_for_a_folder_that_cannot_be_written_to(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert missing(checkpoint, cache=tmp_path / "cache", runtime="torch") == []
    assert missing(checkpoint, cache=tmp_path / "cache", device="cuda") == []
    (tmp_path / "file").write_text("")
    assert missing(checkpoint, cache=tmp_path / "file" / "cache") == []
    with pytest.raises(PermissionError):
        prepare(checkpoint, tmp_path / "file" / "cache")
    with monkeypatch.context() as full:
        full.setattr(graphs, "_write", lambda folder, converted: os.write(-1, b"no space is left"))
        with pytest.raises(OSError, match="cache"):
            prepare(checkpoint, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert Predictor.load(checkpoint, device="cpu", precision="fp32", cache=tmp_path / "file" / "cache").lanes == 1


def test_a_start_renews_its_own_before_it_makes_room(checkpoint: Path, quantized: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    prepare(checkpoint, cache)
    (own,) = cache.iterdir()
    other = cache / "graphs-other"
    other.mkdir()
    for place in (own, other):
        os.utime(place, (0, 0))
    assert missing(checkpoint, quantized, cache=cache, precision="auto") == [quantized]
    assert list(cache.iterdir()) == [own]


def test_a_bad_checkpoint_is_for_its_loading_to_name(tmp_path: Path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    assert missing(bad, tmp_path / "none.safetensors", cache=tmp_path / "cache") == []
    with pytest.raises(CheckpointError, match="truncated"):
        preparation.prepare(bad, tmp_path / "cache")
