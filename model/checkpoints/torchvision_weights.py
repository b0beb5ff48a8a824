"""torchvision's detection weights as checkpoints of ours: backbone and RPN, without the RoI heads.

The weights' names are the same on both sides, but for those of files that were saved before torchvision 0.13. Which
detector a file is of is told by its names and shapes; where those fit two detectors, by the SHA-256 of torchvision's
own files, whose first eight digits are part of their names, or by a file name that says it.
"""

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model.architectures import architecture
from model.checkpoints.checkpoint import Checkpoint, file_sha256
from model.checkpoints.restore import restore_network
from model.config import ModelConfig
from model.errors import CheckpointError
from model.network.network import build_network

# Our architectures by the name of torchvision's function.
_DETECTORS = {
    "fasterrcnn_resnet50_fpn": "rpn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2": "rpn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_320_fpn": "rpn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn": "rpn_mobilenet_v3_large_fpn",
}

# torchvision's own files, by the first digits of their SHA-256 (models/detection/faster_rcnn.py).
_OFFICIAL = {
    "258fb6c6": "fasterrcnn_resnet50_fpn",
    "dd69338a": "fasterrcnn_resnet50_fpn_v2",
    "907ea3f9": "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fb6a3cc7": "fasterrcnn_mobilenet_v3_large_fpn",
}
# The one of them whose norms were trained without an epsilon: torchvision's constructor sets it to 0 for this file.
_WITHOUT_EPS = "258fb6c6"
_COUNTER = ".num_batches_tracked"  # what a batch norm keeps and a frozen one does not
# Where training scripts put the weights among their optimizer's.
_NESTED = ("model", "state_dict", "model_state_dict")
# What wrappers put before every name: DistributedDataParallel, Lightning.
_PREFIXES = ("module.", "model.")
# What a Faster R-CNN has behind its RPN, and all that is left out unread; Mask and Keypoint R-CNN have heads beside it.
_ROI_HEADS = "roi_heads."
_DETECTION_HEADS = ("roi_heads.box_head.", "roi_heads.box_predictor.")
# Names before torchvision 0.13, when neither the pyramid's nor the head's convolutions could have a norm.
_OLD_NAMES = (
    (re.compile(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$"), r"\1.0.\2"),
    (re.compile(r"^(rpn\.head\.conv)\.(weight|bias)$"), r"\1.0.0.\2"),
)


@dataclass(frozen=True, slots=True)
class _Fit:
    """How a file's weights suit a detector: ``fault`` is the first that does not, None where all do."""

    detector: str
    config: ModelConfig
    common: int
    fault: str | None


def import_torchvision(
    path: Path, *, name: str | None = None, architecture_name: str | None = None, norm_eps: float | None = None
) -> Checkpoint:
    """The checkpoint of a torchvision detection state dict: ``.pth`` or safetensors.

    A ``.pth`` is read with ``weights_only=True``, so nothing in it is run. ``architecture_name`` is needed only where
    the weights fit two; ``norm_eps`` only for frozen norms that were trained with another epsilon than torchvision's
    constructor gives: a network that was fine-tuned from torchvision's own ``fasterrcnn_resnet50_fpn`` has 0.

    Raises:
        CheckpointError: the file cannot be read, or is of another network; the message names the first weights that
            do not fit.
    """
    tensors = _proposal_weights(path, _read(path))
    sha256 = file_sha256(path)
    fit = _recognise(path, tensors, architecture_name, _OFFICIAL.get(sha256[:8]) or _named_by(path))
    config = fit.config
    if norm_eps is None and sha256.startswith(_WITHOUT_EPS):
        norm_eps = 0.0
    if norm_eps is not None:
        config = replace(config, backbone=replace(config.backbone, norm_eps=norm_eps))
    source = {"file": path.name, "sha256": sha256, "network": f"torchvision's {fit.detector}"}
    checkpoint = Checkpoint(name or fit.detector, "1", config, tensors, provenance={"imported": source})
    restore_network(checkpoint, path)
    return checkpoint


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            head = file.read(9)
        # Of safetensors the first eight bytes are a length, which may look like anything, and then comes JSON.
        if head[8:] == b"{" or not head.startswith((b"PK", b"\x80")):
            return load_file(path, device="cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are not torch's own: they are refused, or read well
            return _nested(path, torch.load(path, map_location="cpu", weights_only=True))
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path}: neither a PyTorch file nor whole safetensors ({error})") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: holds more than weights, which could run code: save the state dict") from error
    except Exception as error:  # a damaged file fails in as many ways as there are
        raise CheckpointError(f"{path}: truncated or damaged ({_first_sentence(error)})") from error


def _first_sentence(error: Exception) -> str:
    """Of torch's advice, which goes on for lines."""
    return re.split(r"\.\s|\n", str(error), maxsplit=1)[0]


def _nested(path: Path, content: Any) -> Mapping[str, Any]:
    """The state dict itself, which training scripts save under a name beside other things."""
    for name in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: not a state dict, but a {type(content).__name__}")
    return content


def _proposal_weights(path: Path, content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Backbone and RPN by today's names; wrappers' prefixes go, and so do the RoI heads."""
    named = {_unwrapped(str(name)): value for name, value in content.items()}
    if len(named) != len(content):
        raise CheckpointError(f"{path}: some of its names differ by {' or '.join(_PREFIXES)} alone")
    for name in named:
        if name.startswith(_ROI_HEADS) and not name.startswith(_DETECTION_HEADS):
            raise CheckpointError(f"{path}: not the weights of a Faster R-CNN: {name!r} belongs to none")
    tensors = {n: v for n, v in named.items() if isinstance(v, Tensor) and not n.startswith(_ROI_HEADS)}
    for name, tensor in tensors.items():
        if kind := _unusable_kind(tensor):
            raise CheckpointError(f"{path}: {name!r} is {kind}")
    return {_todays_name(name): tensor for name, tensor in tensors.items()}


def _unwrapped(name: str) -> str:
    while prefix := next((p for p in _PREFIXES if name.startswith(p)), ""):
        name = name.removeprefix(prefix)
    return name


def _unusable_kind(tensor: Tensor) -> str | None:
    """Why these are no weights, whatever their shape; a batch norm counts its batches in an integer without an axis."""
    if tensor.layout is not torch.strided:
        return "a sparse tensor"
    if tensor.is_meta:
        return "a tensor without values (on the meta device)"
    if not tensor.is_floating_point() and tensor.ndim > 0:
        return f"a tensor of {str(tensor.dtype).removeprefix('torch.')}, not of floating point"
    return None


def _todays_name(name: str) -> str:
    for pattern, today in _OLD_NAMES:
        name = pattern.sub(today, name)
    return name


def _named_by(path: Path) -> str | None:
    """The detector whose name is in the file's."""
    return next((detector for detector in _DETECTORS if detector in path.name), None)


def _recognise(path: Path, tensors: Mapping[str, Tensor], wanted: str | None, hint: str | None) -> _Fit:
    """The detector whose weights these are; ``hint``: which of two that they fit alike."""
    fits = [_fit(detector, tensors) for detector in _DETECTORS]
    if wanted is not None:
        fits = [fit for fit in fits if wanted in (fit.detector, fit.config.architecture)]
        if not fits:
            raise CheckpointError(f"architecture {wanted!r} is none of {', '.join(_DETECTORS)}")
    closest = max(fits, key=lambda fit: fit.common)
    if not closest.common:
        first = next(iter(tensors), None)
        raise CheckpointError(
            f"{path}: not the weights of a torchvision Faster R-CNN: "
            + ("it holds none" if first is None else f"{first!r} belongs to none of {', '.join(_DETECTORS)}")
        )
    fitting = [fit for fit in fits if fit.fault is None]
    if not fitting:
        raise CheckpointError(f"{path}: not the weights of {closest.detector}, which is closest: {closest.fault}")
    chosen = [fit for fit in fitting if fit.detector == hint] or fitting
    if len(chosen) != 1:
        names = " and ".join(fit.config.architecture for fit in fitting)
        raise CheckpointError(f"{path}: its weights fit {names} alike; --architecture says which")
    return chosen[0]


def _fit(detector: str, tensors: Mapping[str, Tensor]) -> _Fit:
    config = architecture(_DETECTORS[detector])
    frozen = not any(name.startswith("backbone.body.") and name.endswith(_COUNTER) for name in tensors)
    config = replace(config, backbone=replace(config.backbone, frozen_norm=frozen))
    with torch.device("meta"):  # names and shapes alone
        expected = {name: tuple(t.shape) for name, t in build_network(config).state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    common = sum(found.get(name) == shape for name, shape in expected.items())
    return _Fit(detector, config, common, _first_fault(found, expected))


def _first_fault(found: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]) -> str | None:
    for name, shape in found.items():
        if name not in expected:
            return f"{name!r} does not belong to it"
        if shape != expected[name]:
            return f"{name!r} has shape {shape}, not {expected[name]}"
    missing = next((name for name in expected if name not in found), None)
    return None if missing is None else f"{missing!r} is missing"
