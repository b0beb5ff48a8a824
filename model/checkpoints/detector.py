"""A whole detector's checkpoint: that of its proposal network, with the RoI heads and the names of their classes.

Its tensors have torchvision's names, so where torchvision has the same architecture it can take them::

    detector = load_detector_checkpoint(path)
    peer = fasterrcnn_resnet50_fpn(num_classes=len(detector.heads.classes) + 1, weights=None, weights_backbone=None)
    peer.load_state_dict(dict(detector.checkpoint.state_dict))

Heads of another width than 1024 do not fit there, nor does a backbone with frozen norms, which lacks the counters
``num_batches_tracked``. The service does not read this file: it serves the proposal network that lies beside it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from model.checkpoints.checkpoint import FORMAT as PROPOSAL_FORMAT
from model.checkpoints.checkpoint import FORMAT_VERSION as PROPOSAL_VERSION
from model.checkpoints.checkpoint import Checkpoint, parse_checkpoint
from model.checkpoints.sealed_file import read_sealed, write_sealed
from model.config import build_dataclass
from model.errors import CheckpointError, ConfigError
from model.network.roi_heads import RoIHeadsConfig

FORMAT = "region-detector-checkpoint"
FORMAT_VERSION = 1
_HEADS = "roi_heads"


@dataclass(frozen=True, slots=True)
class DetectorCheckpoint:
    """``checkpoint``: name, config, provenance and metrics of the proposal network, and every tensor of the detector;
    ``heads``: what the RoI heads are, with their classes."""

    checkpoint: Checkpoint
    heads: RoIHeadsConfig


def detector_path(path: Path) -> Path:
    """Where the detector lies whose proposal network is at ``path``: ``detector-best.safetensors`` beside ``best``."""
    return path.with_name(f"detector-{path.name}")


def save_detector(detector: DetectorCheckpoint, path: Path) -> str:
    """Write it, whole or not at all, and return its digest."""
    document = detector.checkpoint._document()
    document |= {"format": FORMAT, "format_version": FORMAT_VERSION, _HEADS: asdict(detector.heads)}
    return write_sealed(path, document, detector.checkpoint.state_dict)


def load_detector_checkpoint(path: Path) -> DetectorCheckpoint:
    """Read a detector's checkpoint and check all of it.

    Raises:
        CheckpointError: the file is missing, truncated, changed, foreign, a pickle, or a proposal network's.
    """
    document, tensors, digest = read_sealed(path)
    found = document.get("format"), document.get("format_version")
    if found != (FORMAT, FORMAT_VERSION):
        raise CheckpointError(f"{path}: format {found[0]} {found[1]}, not {FORMAT} {FORMAT_VERSION}")
    try:
        heads = build_dataclass(RoIHeadsConfig, document.pop(_HEADS, None), _HEADS)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    document |= {"format": PROPOSAL_FORMAT, "format_version": PROPOSAL_VERSION}
    return DetectorCheckpoint(parse_checkpoint(path, document, tensors, digest), heads)
