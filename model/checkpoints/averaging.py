"""The mean of several checkpoints' weights: of networks that lie near each other, often better than any of them.

Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization", for one training's; Wortsman
et al. 2022, "Robust fine-tuning of zero-shot models", for a network and what was fine-tuned from it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoints.checkpoint import Checkpoint
from model.config import ModelConfig
from model.errors import CheckpointError, ConfigError

# What a released checkpoint says of how it was made ready; the mean is not.
_OF_RELEASES = ("released_by", "quantized_by")


def average(checkpoints: Sequence[tuple[Path, Checkpoint]], shares: Sequence[float] = ()) -> Checkpoint:
    """One checkpoint of the mean weights, float32, in all else the last one's, unmeasured.

    ``shares``: one for each, in any unit; equal ones if there are none. Norms' statistics are averaged as well, what
    they have counted is the last one's. Paths are for messages alone.

    Raises:
        ConfigError: fewer than two checkpoints, or shares that do not fit them.
        CheckpointError: one is another network than the last.
    """
    if len(checkpoints) < 2:
        raise ConfigError("a mean is of two checkpoints or more")
    parts = _parts(len(checkpoints), shares)
    last_path, last = checkpoints[-1]
    for path, checkpoint in checkpoints[:-1]:
        _check_alike(path, checkpoint, last_path, last)
    state_dict = {name: _mean([one.state_dict[name] for _, one in checkpoints], parts) for name in last.state_dict}
    averaged = [_member(one, part) for (_, one), part in zip(checkpoints, parts, strict=True)]
    kept = {name: value for name, value in last.provenance.items() if name not in _OF_RELEASES}
    return replace(
        last,
        version="0",
        state_dict=state_dict,
        provenance={**kept, "averaged": averaged},
        metrics={},
        digest="",
        calibration=None,
        quantization=None,
    )


def _parts(count: int, shares: Sequence[float]) -> list[float]:
    """The shares as parts of one."""
    shares = shares or [1.0] * count
    if len(shares) != count:
        raise ConfigError(f"{count} checkpoints want as many shares, not {len(shares)}")
    for share in shares:
        if not 0 < share < math.inf:
            raise ConfigError(f"a share must be above 0 and finite, not {share:g}")
    largest = max(shares)  # whose sum may be more than a number can be
    return [share / largest / math.fsum(other / largest for other in shares) for share in shares]


def _member(checkpoint: Checkpoint, part: float) -> dict[str, Any]:
    """What the mean's provenance says of one; of one that is a mean itself, its members too."""
    member = {"name": checkpoint.name, "version": checkpoint.version, "digest": checkpoint.digest, "share": part}
    if earlier := checkpoint.provenance.get("averaged"):
        member["averaged"] = earlier
    return member


def _check_alike(path: Path, checkpoint: Checkpoint, last_path: Path, last: Checkpoint) -> None:
    if _structure(checkpoint.config) != _structure(last.config):
        theirs, ours = checkpoint.config.architecture, last.config.architecture
        other = f"{theirs}, not {ours}" if theirs != ours else f"{theirs} with other settings"
        raise CheckpointError(f"{path}: another network than {last_path}: {other}")
    for name, tensor in last.state_dict.items():
        if name not in checkpoint.state_dict or checkpoint.state_dict[name].shape != tensor.shape:
            raise CheckpointError(f"{path}: another network than {last_path}: {name} does not fit")


def _structure(config: ModelConfig) -> tuple[object, ...]:
    """What weights are made for: all but how large pictures are drawn, and how many boxes are taken."""
    refinement = config.refinement and replace(config.refinement, proposals=1)
    pixels = (config.input.mean, config.input.std)
    return (config.architecture, config.backbone, config.anchors, config.head, pixels, refinement)


def _mean(tensors: Sequence[Tensor], parts: Sequence[float]) -> Tensor:
    if not tensors[-1].is_floating_point():
        return tensors[-1]
    return torch.stack([tensor.double() * part for tensor, part in zip(tensors, parts, strict=True)]).sum(0).float()
