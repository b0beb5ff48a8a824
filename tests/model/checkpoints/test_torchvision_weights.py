"""Real torchvision state dicts, as people have them on disk. That the networks agree is test_parity's."""

import hashlib
import pickle
import re
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import detection
from torchvision.ops import FrozenBatchNorm2d

from model.checkpoints import torchvision_weights
from model.checkpoints.checkpoint import load_checkpoint
from model.checkpoints.restore import restore_network
from model.checkpoints.torchvision_weights import import_torchvision
from model.errors import CheckpointError, ConfigError
from model.predictor import Predictor
from service import cli

MOBILENET = "fasterrcnn_mobilenet_v3_large_320_fpn"
OURS = "rpn_mobilenet_v3_large_320_fpn"


def weights(detector: str) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(getattr(detection, detector)(weights=None, weights_backbone=None).state_dict())


@pytest.fixture(scope="module")
def mobilenet() -> dict[str, Tensor]:
    return weights(MOBILENET)


@pytest.fixture(scope="module")
def resnet() -> dict[str, Tensor]:
    return weights("fasterrcnn_resnet50_fpn")


def saved(folder: Path, content: object, name: str = "weights.pth") -> Path:
    path = folder / name
    torch.save(content, path)
    return path


def without_counters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in tensors.items() if not name.endswith("num_batches_tracked")}


def old_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As torchvision 0.12 and before named them, and as its own files still do."""
    renamed = {name.replace("rpn.head.conv.0.0.", "rpn.head.conv."): t for name, t in tensors.items()}
    for blocks in ("inner_blocks", "layer_blocks"):
        renamed = {
            (name.replace(".0.weight", ".weight").replace(".0.bias", ".bias") if f"fpn.{blocks}" in name else name): t
            for name, t in renamed.items()
        }
    return renamed


def test_the_architecture_is_recognised_and_the_source_kept(resnet: dict[str, Tensor], tmp_path: Path):
    path = saved(tmp_path, resnet)
    checkpoint = import_torchvision(path)
    assert checkpoint.config.architecture == "rpn_resnet50_fpn"
    assert checkpoint.provenance["imported"] == {
        "file": "weights.pth",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "network": "torchvision's fasterrcnn_resnet50_fpn",
    }
    assert not [name for name in checkpoint.state_dict if name.startswith("roi_heads.")]


def test_the_second_version_is_told_from_the_first(tmp_path: Path):
    path = saved(tmp_path, weights("fasterrcnn_resnet50_fpn_v2"))
    assert import_torchvision(path).config.architecture == "rpn_resnet50_fpn_v2"


def test_whichever_way_the_weights_are_stored_they_are_the_same(mobilenet: dict[str, Tensor], tmp_path: Path):
    safetensors = tmp_path / "weights.safetensors"
    save_file({name: t.contiguous() for name, t in mobilenet.items()}, safetensors)
    stored = [
        saved(tmp_path, mobilenet, "plain.pth"),
        saved(tmp_path, {"model": mobilenet, "epoch": 25, "optimizer": {"lr": 0.1}}, "script.pth"),
        saved(tmp_path, {f"module.{name}": t for name, t in mobilenet.items()}, "parallel.pth"),
        saved(tmp_path, {"state_dict": {f"model.{name}": t for name, t in mobilenet.items()}}, "lightning.ckpt"),
        saved(tmp_path, old_names(mobilenet), "old.pth"),
        safetensors,
    ]
    for path in stored:
        found = import_torchvision(path, architecture_name=OURS).state_dict
        expected = {name: t for name, t in mobilenet.items() if not name.startswith("roi_heads.")}
        assert found.keys() == expected.keys(), path.name
        assert all(torch.equal(t, expected[name]) for name, t in found.items()), path.name


def test_frozen_norms_stay_frozen_with_their_epsilon(resnet: dict[str, Tensor], tmp_path: Path):
    path = saved(tmp_path, without_counters(resnet))
    for given, expected in ((None, 1e-5), (0.0, 0.0)):
        checkpoint = import_torchvision(path, norm_eps=given)
        norm = restore_network(checkpoint, path).get_submodule("backbone.body.bn1")
        assert isinstance(norm, FrozenBatchNorm2d)
        assert norm.eps == expected


def test_torchvisions_own_files_are_known_by_their_hash(
    mobilenet: dict[str, Tensor], resnet: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The files cannot be had in a test, so these take their place in the tables."""
    small, large = saved(tmp_path, mobilenet, "m.pth"), saved(tmp_path, without_counters(resnet), "r.pth")
    known = {path: hashlib.sha256(path.read_bytes()).hexdigest()[:8] for path in (small, large)}
    official = {known[small]: MOBILENET, known[large]: "fasterrcnn_resnet50_fpn"}
    monkeypatch.setattr(torchvision_weights, "_OFFICIAL", official)
    monkeypatch.setattr(torchvision_weights, "_WITHOUT_EPS", known[large])
    assert import_torchvision(small).config.architecture == OURS
    assert import_torchvision(large).config.backbone.norm_eps == 0.0


def test_the_table_of_hashes_is_torchvisions():
    urls = {
        kind.COCO_V1.url.rsplit("/", 1)[-1]
        for kind in vars(detection).values()
        if hasattr(kind, "COCO_V1") and "fasterrcnn" in kind.COCO_V1.url
    }
    assert {url.removesuffix(".pth").rsplit("-", 1)[-1] for url in urls} == set(torchvision_weights._OFFICIAL)
    for digits, detector in torchvision_weights._OFFICIAL.items():
        assert any(url in (f"{detector}-{digits}.pth", f"{detector}_coco-{digits}.pth") for url in urls)


def test_mobilenets_are_alike_until_told(mobilenet: dict[str, Tensor], tmp_path: Path):
    path = saved(tmp_path, mobilenet)
    with pytest.raises(CheckpointError, match=r"fit rpn_mobilenet_v3_large_320_fpn and .* --architecture says which"):
        import_torchvision(path)
    for name in (OURS, MOBILENET):
        assert import_torchvision(path, architecture_name=name).config.input.size == 320
    for name, size in ((MOBILENET, 320), ("fasterrcnn_mobilenet_v3_large_fpn", 800)):
        assert import_torchvision(saved(tmp_path, mobilenet, f"{name}-mine.pth")).config.input.size == size


def refusal(path: Path, **options: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        import_torchvision(path, **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


def test_what_does_not_fit_is_refused_by_its_name(resnet: dict[str, Tensor], tmp_path: Path):
    closest = "not the weights of fasterrcnn_resnet50_fpn, which is closest: "
    path = saved(tmp_path, {**resnet, "backbone.body.extra.weight": torch.zeros(1)})
    assert refusal(path) == closest + "'backbone.body.extra.weight' does not belong to it"
    path = saved(tmp_path, {**resnet, "rpn.head.cls_logits.weight": torch.zeros(5, 256, 1, 1)})
    assert refusal(path) == closest + "'rpn.head.cls_logits.weight' has shape (5, 256, 1, 1), not (3, 256, 1, 1)"
    path = saved(tmp_path, {name: t for name, t in resnet.items() if name != "rpn.head.bbox_pred.bias"})
    assert refusal(path) == closest + "'rpn.head.bbox_pred.bias' is missing"
    path = saved(tmp_path, {**resnet, "backbone.body.conv1.weight": torch.full((64, 3, 7, 7), torch.nan)})
    assert "'backbone.body.conv1.weight' hold values that are not finite" in refusal(path)
    assert "architecture 'rpn_vgg16' is none of" in refusal(path, architecture_name="rpn_vgg16")


def test_other_networks_are_refused(tmp_path: Path):
    retina = weights("retinanet_resnet50_fpn")
    assert "which is closest: 'backbone.fpn.inner_blocks.0.0.weight' has shape (256, 512, 1, 1), not" in refusal(
        saved(tmp_path, retina)
    )
    assert "'yolo.0.weight' belongs to none of" in refusal(saved(tmp_path, {"yolo.0.weight": torch.zeros(3)}))
    assert "it holds none" in refusal(saved(tmp_path, {"epoch": 3}))
    assert refusal(saved(tmp_path, torch.zeros(3))) == "not a state dict, but a Tensor"


@pytest.mark.parametrize("detector", ["maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn"])
def test_detectors_with_more_heads_are_other_networks(detector: str, tmp_path: Path):
    text = refusal(saved(tmp_path, weights(detector)))
    assert re.fullmatch(r"not the weights of a Faster R-CNN: 'roi_heads\.(mask|keypoint)_\S+' belongs to none", text)


def test_tensors_that_hold_no_weights(resnet: dict[str, Tensor], tmp_path: Path):
    name = "backbone.body.conv1.weight"
    kinds = {
        "a sparse tensor": resnet[name].to_sparse(),
        "a tensor without values (on the meta device)": resnet[name].to("meta"),
        "a tensor of complex64, not of floating point": resnet[name].to(torch.complex64),
        "a tensor of int8, not of floating point": resnet[name].to(torch.int8),
    }
    for kind, tensor in kinds.items():
        assert refusal(saved(tmp_path, {**resnet, name: tensor})) == f"{name!r} is {kind}"
    with pytest.raises(ConfigError, match="norm_eps must be finite"):
        import_torchvision(saved(tmp_path, resnet), norm_eps=float("nan"))


def test_safetensors_whose_first_byte_is_a_pickles(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    for padding in range(64):  # the byte is the low one of the header's length, a multiple of eight
        save_file({"yolo.0.weight": torch.zeros(3)}, path, metadata={"note": " " * 8 * padding})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert "'yolo.0.weight' belongs to none of" in refusal(path)


def test_names_that_differ_by_a_wrapper_alone(tmp_path: Path):
    tensors = {name: torch.zeros(1) for name in ("backbone.x", "model.module.backbone.x")}
    assert "some of its names differ by module. or model. alone" in refusal(saved(tmp_path, tensors))


class Evil:
    ran = False

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("from tests.model.checkpoints.test_torchvision_weights import Evil; Evil.ran = True",)


def test_files_that_are_no_weights(mobilenet: dict[str, Tensor], tmp_path: Path):
    evil = tmp_path / "evil.pth"
    evil.write_bytes(pickle.dumps({"backbone": Evil()}))
    assert "holds more than weights, which could run code" in refusal(evil)
    assert "holds more than weights" in refusal(saved(tmp_path, {"model": Evil()}))
    assert not Evil.ran
    whole = saved(tmp_path, mobilenet).read_bytes()
    for name, content in {"cut.pth": whole[:50_000], "text.pth": b"hello, weights", "empty.pth": b""}.items():
        (tmp_path / name).write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert refusal(tmp_path / name)
    assert refusal(tmp_path / "none.pth") == "No such file or directory"


def test_the_command_writes_a_checkpoint_that_is_served(
    mobilenet: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "peer.safetensors"
    command = ["weights", "import", str(saved(tmp_path, mobilenet)), "--out", str(out)]
    assert cli.main(command) == 2
    assert "--architecture says which" in capsys.readouterr().err
    assert cli.main([*command, "--architecture", OURS, "--name", "peer"]) == 0
    checkpoint = load_checkpoint(out)
    said = capsys.readouterr().out
    assert said == f"{out}: {OURS}, from torchvision's {MOBILENET}, {checkpoint.digest}\n"
    predictor = Predictor.load(out, device="cpu")
    assert (predictor.info.name, predictor.info.architecture) == ("peer", OURS)
