"""A checkpoint: one safetensors file that carries its own architecture, input rule, provenance and metrics.

The metadata hold one JSON document, under one key (safetensors writes several in random order, and the same checkpoint
must give the same file). It carries a digest of all tensors (names, types, shapes, bytes) and of its own other fields,
so that a file that was changed on its way is refused. Nothing in a file is ever run: safetensors holds plain arrays,
and anything else is refused by name.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from model.config import ModelConfig, build_dataclass
from model.errors import CheckpointError, ConfigError
from model.network.calibration import Calibration

FORMAT = "region-proposal-checkpoint"
FORMAT_VERSION = 1
_KEY = "checkpoint"
_DIGEST = "digest"
# safetensors' own bound on its header; past it a file is not worth asking the library about
_MAX_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained network, all that is needed to build, feed and judge it.

    ``provenance``: data, recipe, seed, hardware, time; ``metrics``: measured figures; ``digest``: ``sha256:...`` over
    everything else, which answers carry so that a client knows which weights it was served by; ``calibration``: what
    makes its scores chances, None where they are served as the network gives them.
    """

    name: str
    version: str
    config: ModelConfig
    state_dict: Mapping[str, Tensor]
    provenance: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    calibration: Calibration | None = None

    def _document(self) -> dict[str, Any]:
        document = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "version": self.version,
            "config": self.config.to_dict(),
            "provenance": self.provenance,
            "metrics": self.metrics,
        }
        if self.calibration is not None:
            document["calibration"] = asdict(self.calibration)
        return document


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> str:
    """Write it, whole or not at all, and return its digest."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.state_dict.items()}
    document = checkpoint._document()
    digest = _digest(tensors, document)
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not save_file, which leaves a file that only its owner may read.
    partial.write_bytes(save(tensors, metadata={_KEY: _canonical({**document, _DIGEST: digest})}))
    partial.replace(path)
    return digest


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and check all of it.

    Raises:
        CheckpointError: the file is missing, truncated, changed, foreign, or a pickle; one line that says which.
    """
    _check_signature(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            if _KEY not in metadata:
                raise CheckpointError(
                    f"{path}: safetensors, but not a checkpoint of this service (no metadata of ours)"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: truncated or damaged ({error})") from error
    try:
        document = dict(json.loads(metadata[_KEY]))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its metadata are not JSON ({error})") from error
    digest = document.pop(_DIGEST, None)
    if digest != _digest(tensors, document):
        raise CheckpointError(f"{path}: its content does not match its own digest: damaged or tampered with")
    return _parse(path, document, tensors, digest)


def file_sha256(path: Path) -> str:
    """The SHA-256 of the file's bytes, as its card states it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse(path: Path, document: dict[str, Any], tensors: dict[str, Tensor], digest: str) -> Checkpoint:
    try:
        if document["format"] != FORMAT or document["format_version"] != FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: format {document['format']} {document['format_version']}, not {FORMAT} {FORMAT_VERSION}"
            )
        return Checkpoint(
            name=str(document["name"]),
            version=str(document["version"]),
            config=ModelConfig.from_dict(document["config"]),
            state_dict=tensors,
            provenance=dict(document["provenance"]),
            metrics=dict(document["metrics"]),
            digest=digest,
            calibration=_calibration(document),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its metadata are not those of a checkpoint ({error!r})") from error
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _calibration(document: dict[str, Any]) -> Calibration | None:
    """None for a file without one, such as those written before there was any."""
    if document.get("calibration") is None:
        return None
    return build_dataclass(Calibration, document["calibration"], "calibration")


def _check_signature(path: Path) -> None:
    """Refuse, by what they are, the files that people hand in by mistake, before a parser sees them."""
    try:
        with path.open("rb") as file:
            head = file.read(8 + 1)
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    if len(head) == 9 and head[8:] == b"{" and (header := struct.unpack("<Q", head[:8])[0]) <= _MAX_HEADER:
        if header + 8 > size:
            raise CheckpointError(f"{path}: truncated or damaged (its header needs {header + 8} bytes, it has {size})")
        return
    if head.startswith((b"PK", b"\x80")):
        raise CheckpointError(f"{path}: a pickle or PyTorch archive, which can run code: only safetensors are read")
    if len(head) < 9:
        raise CheckpointError(f"{path}: truncated or damaged ({size} bytes)")
    raise CheckpointError(f"{path}: not a safetensors file")


def _canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, allow_nan=False)


def _digest(tensors: Mapping[str, Tensor], document: dict[str, Any]) -> str:
    sha = hashlib.sha256(_canonical(document).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return f"sha256:{sha.hexdigest()}"
