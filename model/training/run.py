"""One training run: what, on what, how, and where to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from model.config import ModelConfig
from model.training.annotations import AnnotatedPicture
from model.training.objectives.objective import Objective
from model.training.objectives.proposals import ProposalObjective
from model.training.recipe import Recipe

# What most users of proposals ask for.
DEFAULT_BEST_BY = "AR@100"


@dataclass(frozen=True, slots=True)
class Run:
    """What to train, on what, how, and where to write.

    ``objective``: proposals alone, or something that holds them. ``start``: weights to start from, by name, all or some
    of the network's; those that it has not, or has in another shape, are an error of the caller. ``start_digest``: the
    digest of the checkpoint that they are from. ``provenance`` goes into the checkpoints as it is. ``tensorboard``:
    event files beside the log. ``best_by``: which of `FIGURES` on the validation set chooses the best epoch.
    """

    name: str
    config: ModelConfig
    recipe: Recipe
    train: Sequence[AnnotatedPicture]
    validation: Sequence[AnnotatedPicture]
    folder: Path
    device: torch.device
    objective: Objective = field(default_factory=ProposalObjective)
    workers: int = 1
    start: dict[str, torch.Tensor] | None = None
    start_digest: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    tensorboard: bool = False
    best_by: str = DEFAULT_BEST_BY
