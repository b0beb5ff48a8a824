"""A checkpoint: one safetensors file that carries its own architecture, input rule, provenance and metrics.

How such a file is sealed and checked: `model.checkpoints.sealed_file`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.calibration import Calibration, Curve
from model.checkpoints.sealed_file import StoredTensors, read_sealed, write_sealed
from model.config import ModelConfig, build_dataclass
from model.errors import CheckpointError, ConfigError
from model.quantization import Quantization

if TYPE_CHECKING:  # a file can be read and checked without torch
    from torch import Tensor

FORMAT = "region-proposal-checkpoint"
FORMAT_VERSION = 1
# The document's key that not every checkpoint has; a service asks for it before it loads one.
QUANTIZATION = "quantization"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained network, all that is needed to build, feed and judge it.

    ``provenance``: data, recipe, seed, hardware, time; ``metrics``: measured figures; ``digest``: ``sha256:...`` over
    everything else, which answers carry so that a client knows which weights it was served by; ``calibration``: what
    makes its scores chances, None where they are served as the network gives them; ``quantization``: what
    computing it in 8-bit integers needs to know, None where nobody has measured it.
    """

    name: str
    version: str
    config: ModelConfig
    state_dict: "Mapping[str, Tensor]"
    provenance: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    calibration: Calibration | None = None
    quantization: Quantization | None = None

    @property
    def parameters(self) -> int:
        """How many weights it has; what norms have counted is none."""
        weights = [name for name in self.state_dict if "running_" not in name]
        if isinstance(self.state_dict, StoredTensors):  # counted without torch
            stored = [self.state_dict.stored[name] for name in weights]
            return sum(tensor.elements for tensor in stored if tensor.is_floating_point)
        tensors = [self.state_dict[name] for name in weights]
        return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())

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
            document["calibration"] = self.calibration.to_dict()
        if self.quantization is not None:
            document[QUANTIZATION] = self.quantization.to_dict()
        return document


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> str:
    """Write it, whole or not at all, and return its digest."""
    return write_sealed(path, checkpoint._document(), checkpoint.state_dict)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and check all of it.

    Raises:
        CheckpointError: the file is missing, truncated, changed, foreign, or a pickle; one line that says which.
    """
    return parse_checkpoint(path, *read_sealed(path))


def file_sha256(path: Path) -> str:
    """The SHA-256 of the file's bytes, as its card states it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_checkpoint(path: Path, document: dict[str, Any], tensors: StoredTensors, digest: str) -> Checkpoint:
    """The checkpoint of a file that `read_sealed` has read.

    Raises:
        CheckpointError: it is of another format, or its document is not one of ours.
    """
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
            quantization=Quantization.from_dict(document[QUANTIZATION]) if QUANTIZATION in document else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its metadata are not those of a checkpoint ({error!r})") from error
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _calibration(document: dict[str, Any]) -> Calibration | None:
    """None for a file without one, such as those written before there was any."""
    values = document.get("calibration")
    if values is None:
        return None
    if isinstance(values, dict) and "rise_low" in values:
        return Calibration((build_dataclass(Curve, values, "calibration"),))
    return build_dataclass(Calibration, values, "calibration")
