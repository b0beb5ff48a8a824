import json
import pickle
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model.calibration import Calibration, Curve
from model.checkpoints.checkpoint import QUANTIZATION, Checkpoint, file_sha256, load_checkpoint, save_checkpoint
from model.checkpoints.restore import restore_network
from model.checkpoints.sealed_file import declared_document
from model.config import ModelConfig
from model.errors import CheckpointError
from model.network.network import build_network
from model.quantization import Quantization
from service.settings import shipped_checkpoint


@pytest.fixture
def checkpoint(tiny_config: ModelConfig) -> Checkpoint:
    return Checkpoint(
        name="tiny",
        version="3",
        config=tiny_config,
        state_dict=build_network(tiny_config).state_dict(),
        provenance={"data": "none", "seed": 0},
        metrics={"val": {"AR@100": 0.5}},
    )


@pytest.fixture
def file(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(checkpoint, path)
    return path


def test_what_was_saved_is_loaded(checkpoint: Checkpoint, tmp_path: Path):
    path = tmp_path / "deep" / "tiny.safetensors"
    digest = save_checkpoint(checkpoint, path)
    loaded = load_checkpoint(path)
    assert loaded.digest == digest
    assert digest.startswith("sha256:")
    assert replace(loaded, state_dict={}, digest="") == replace(checkpoint, state_dict={})
    assert all(torch.equal(t, loaded.state_dict[n]) for n, t in checkpoint.state_dict.items())
    assert [p.name for p in path.parent.iterdir()] == ["tiny.safetensors"]


def test_saving_twice_gives_the_same_bytes(checkpoint: Checkpoint, tmp_path: Path):
    hashes = set()
    for _ in range(8):
        save_checkpoint(checkpoint, tmp_path / "x")
        hashes.add(file_sha256(tmp_path / "x"))
    assert len(hashes) == 1


def test_any_change_changes_the_digest(checkpoint: Checkpoint, tmp_path: Path):
    name = next(iter(checkpoint.state_dict))
    nudged = {**checkpoint.state_dict, name: checkpoint.state_dict[name] + 1e-3}
    variants = [
        checkpoint,
        replace(checkpoint, version="4"),
        replace(checkpoint, metrics={}),
        replace(checkpoint, calibration=Calibration((Curve(1.0, 1.0, 0.5),))),
        replace(checkpoint, state_dict=nudged),
        replace(
            checkpoint, config=replace(checkpoint.config, selection=replace(checkpoint.config.selection, min_side=2))
        ),
    ]
    assert len({save_checkpoint(variant, tmp_path / "x") for variant in variants}) == len(variants)


def test_a_calibration_is_kept_and_a_file_without_one_has_none(checkpoint: Checkpoint, tmp_path: Path):
    save_checkpoint(checkpoint, tmp_path / "plain")
    assert "calibration" not in checkpoint._document()
    assert load_checkpoint(tmp_path / "plain").calibration is None
    curve = Curve(1.25, 0.5, -2.0, ((-1.0, 1.0, 0.5),))
    for calibration in (Calibration((curve,)), Calibration((curve, Curve(1.0, 1.0, 0.0)), (0.5, 0.9))):
        save_checkpoint(replace(checkpoint, calibration=calibration), tmp_path / "calibrated")
        assert load_checkpoint(tmp_path / "calibrated").calibration == calibration


def test_what_integers_need_is_kept_and_a_file_without_it_says_so(checkpoint: Checkpoint, tmp_path: Path):
    save_checkpoint(checkpoint, tmp_path / "plain")
    assert QUANTIZATION not in declared_document(tmp_path / "plain")
    assert load_checkpoint(tmp_path / "plain").quantization is None
    quantization = Quantization({"head.conv.0.0": (-1.5, 2.25)})
    digest = save_checkpoint(replace(checkpoint, quantization=quantization), tmp_path / "quantized")
    assert digest != load_checkpoint(tmp_path / "plain").digest
    assert QUANTIZATION in declared_document(tmp_path / "quantized")
    assert load_checkpoint(tmp_path / "quantized").quantization == quantization


def test_one_curve_alone_is_written_as_before_there_could_be_several(checkpoint: Checkpoint):
    stored = {"rise_low": 1.25, "rise_high": 0.5, "offset": -2.0, "bands": ()}
    assert replace(checkpoint, calibration=Calibration((Curve(1.25, 0.5, -2.0),)))._document()["calibration"] == stored


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        restore_network(load_checkpoint(path), path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_a_missing_file(tmp_path: Path):
    assert "No such file" in refused(tmp_path / "none.safetensors")


def test_a_folder(tmp_path: Path):
    assert "directory" in refused(tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, 5000, -1000, -1])
def test_truncated_anywhere(file: Path, keep: int):
    content = file.read_bytes()
    file.write_bytes(content[:keep])
    assert "truncated or damaged" in refused(file)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.999])
def test_one_flipped_bit_in_the_weights(file: Path, share: float):
    content = bytearray(file.read_bytes())
    content[int(len(content) * share)] ^= 1
    file.write_bytes(content)
    assert "does not match its own digest" in refused(file)


def test_tampered_metadata(file: Path):
    content = file.read_bytes()
    changed = content.replace(b'\\"AR@100\\": 0.5', b'\\"AR@100\\": 0.9')
    assert changed != content
    file.write_bytes(changed)
    assert "does not match its own digest" in refused(file)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path):
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    assert "a pickle or PyTorch archive" in refused(path)
    torch.save({"weights": torch.zeros(1)}, path)
    assert "a pickle or PyTorch archive" in refused(path)
    assert not (tmp_path / "ran").exists()


def test_foreign_files(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    assert "not a checkpoint of this service" in refused(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert "not a safetensors file" in refused(path)
    path.write_bytes(struct.pack("<Q", 2**40) + b"{" + bytes(100))
    assert "not a safetensors file" in refused(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert "not a safetensors file" in refused(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format other 1, not region-proposal-checkpoint 1"),
        ({"format_version": 9}, "format region-proposal-checkpoint 9, not"),
        ({"config": {}}, "config"),
        ({"config": 3}, "config must be an object, not int"),
        ({"calibration": {"rise_low": 1}}, "calibration"),
        ({"calibration": {"rise_low": -1, "rise_high": 1, "offset": 0}}, "calibration: must rise"),
        ({"calibration": [1, 1, 0]}, "calibration must be an object, not list"),
        ({"quantization": {"input_ranges": {"head": [1, 0]}}}, "quantization: head cannot read from 1.0 to 0.0"),
        ({"quantization": 7}, "quantization: not a table of ranges"),
        ({"name": None, "metrics": 5}, "its metadata are not those of a checkpoint"),
    ],
)
def test_metadata_that_are_not_ours(
    checkpoint: Checkpoint, tmp_path: Path, change: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
):
    document = {**checkpoint._document(), **change}
    monkeypatch.setattr(Checkpoint, "_document", lambda self: document)
    save_checkpoint(checkpoint, tmp_path / "x")
    monkeypatch.undo()
    assert message in refused(tmp_path / "x")


def test_weights_that_do_not_fit_are_named(checkpoint: Checkpoint, tmp_path: Path):
    weights = dict(checkpoint.state_dict)
    name = "rpn.head.cls_logits.weight"
    cases = {
        f"weights {name!r} are missing": {k: v for k, v in weights.items() if k != name},
        "weights 'roi_heads.x' do not belong": {**weights, "roi_heads.x": torch.zeros(1)},
        f"weights {name!r} have shape (3, 32, 1, 1), not (9, 32, 1, 1)": {**weights, name: weights[name][:3]},
        f"weights {name!r} hold values that are not finite": {**weights, name: weights[name] / 0},
    }
    for message, state in cases.items():
        save_checkpoint(replace(checkpoint, state_dict=state), tmp_path / "x")
        assert message in refused(tmp_path / "x")


def test_the_document_is_plain_json(file: Path):
    (size,) = struct.unpack("<Q", file.read_bytes()[:8])
    header = json.loads(file.read_bytes()[8 : 8 + size])
    document = json.loads(header["__metadata__"]["checkpoint"])
    assert document["config"]["backbone"]["name"] == "regnet_x_400mf_fpn"


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("null", "no metadata of ours"),
        ('{"checkpoint": "' + "[" * 100_000 + '"}', "its metadata are not JSON"),
        ('{"checkpoint": "{\\"digest\\": \\"x\\", \\"name\\": NaN}"}', "its metadata are not JSON"),
    ],
)
def test_strange_metadata_are_named(tmp_path: Path, metadata: str, said: str):
    header = ('{"__metadata__":' + metadata + ',"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}').encode()
    path = tmp_path / "strange"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert said in refused(path)


def test_what_a_file_says_of_its_digest_is_what_it_has(checkpoint: Checkpoint, tmp_path: Path):
    assert save_checkpoint(checkpoint, tmp_path / "x") == declared_document(tmp_path / "x")["digest"]


def test_it_is_read_and_counted_without_torch():
    asked = (
        "import sys; from pathlib import Path; from model.checkpoints.checkpoint import load_checkpoint;"
        "from weights import __path__ as folder;"
        "print(load_checkpoint(Path(list(folder)[0]) / 'general.safetensors').parameters, 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    path = shipped_checkpoint("general")
    network = restore_network(load_checkpoint(path), path)
    assert said.stdout.split() == [str(sum(p.numel() for p in network.parameters())), "False"]
