"""The RPN alone (Faster R-CNN, section 3.1)."""

from typing import Any

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.network.network import build_network
from model.network.rpn import ScoredAnchors
from model.training.dataset import Batch
from model.training.losses import rpn_losses
from model.training.objectives.objective import Objective
from model.training.recipe import Recipe


class ProposalObjective(Objective):
    """Class-agnostic proposals."""

    def build(self, config: ModelConfig) -> nn.Module:
        """A `ProposalNetwork`."""
        return build_network(config)

    def losses(self, network: nn.Module, batch: Batch, recipe: Recipe, generator: torch.Generator) -> dict[str, Tensor]:
        """The RPN's two."""
        return proposal_losses(network(batch.pixels, batch.contents), batch, recipe, generator)

    def describe(self) -> dict[str, Any]:
        """Its name is all there is to it."""
        return {"name": "proposals"}


def proposal_losses(
    scored: ScoredAnchors, batch: Batch, recipe: Recipe, generator: torch.Generator
) -> dict[str, Tensor]:
    """The RPN's losses by the names that the log gives them, whatever else is trained with it."""
    losses = rpn_losses(scored, batch, recipe.matcher, recipe.sampler, generator)
    return {"objectness": losses.objectness, "box": losses.box}
