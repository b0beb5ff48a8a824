"""What the loop asks of an objective, and nothing more: a network, its losses, and what is saved of it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.checkpoints.checkpoint import Checkpoint
from model.config import ModelConfig
from model.training.dataset import Batch
from model.training.recipe import Recipe


class Objective(ABC):
    """Every objective trains a proposal network, alone or within a larger one: that part is measured and served.

    ``loss_names``: the columns of the log; ``classes``: the names that the batches' labels count, None for batches
    without labels.
    """

    loss_names: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...] | None:
        """None, unless overridden."""
        return None

    @abstractmethod
    def build(self, config: ModelConfig, start: Mapping[str, Tensor] | None) -> nn.Module:
        """The network to train, with fresh weights, or with a proposal network's (``start``) where it has them.

        Raises:
            ConfigError: the parts do not fit together.
            RuntimeError: ``start`` is of another architecture.
        """

    @abstractmethod
    def losses(self, network: nn.Module, batch: Batch, recipe: Recipe, generator: torch.Generator) -> dict[str, Tensor]:
        """Run the network on a batch and judge it: a scalar for each of ``loss_names``. Their sum is minimised.

        Called under the recipe's autocast, so what a network gives in 16 bits is made float32 before it is compared.
        Whatever is random is drawn on ``generator``, so that a resumed run draws the same.
        """

    def proposal_weights(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The part of the network's weights that is the proposal network."""
        return weights

    def save_beside(self, checkpoint: Checkpoint, weights: Mapping[str, Tensor], path: Path) -> None:  # noqa: B027
        """Write what is to lie beside the proposal network's own checkpoint at ``path``; nothing, unless overridden."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Plain values: for the checkpoints, and for a resumed run to know that it is trained for the same."""
