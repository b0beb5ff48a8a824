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
    """Every objective trains a proposal network, alone or within a larger one: that part is measured and served."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names that the batches' labels count; None, unless overridden: batches without labels."""
        return None

    @abstractmethod
    def build(self, config: ModelConfig) -> nn.Module:
        """The network to train, with fresh weights; the proposal network's have the names that they have alone.

        Raises:
            ConfigError: the parts do not fit together.
        """

    @abstractmethod
    def losses(self, network: nn.Module, batch: Batch, recipe: Recipe, generator: torch.Generator) -> dict[str, Tensor]:
        """Run the network on a batch and judge it: scalars by name, the same names each time. Their sum is minimised.

        The network is called as a whole, through its ``forward``, since it may be wrapped to run in parallel.
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
