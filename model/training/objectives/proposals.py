"""The RPN alone (Faster R-CNN, section 3.1), and its own second stage."""

from typing import Any

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.network.network import ProposalNetwork, build_network
from model.network.rpn import ScoredAnchors
from model.training.dataset import Batch
from model.training.losses import rpn_losses
from model.training.objectives.objective import Objective
from model.training.recipe import Recipe
from model.training.refinement_loss import refinement_losses


class ProposalObjective(Objective):
    """Class-agnostic proposals, by one stage or two."""

    def build(self, config: ModelConfig) -> nn.Module:
        """A `ProposalNetwork`."""
        return build_network(config)

    def losses(self, network: nn.Module, batch: Batch, recipe: Recipe, generator: torch.Generator) -> dict[str, Tensor]:
        """The RPN's two, and as many of the second stage, where the network has one."""
        scored: ScoredAnchors = network(batch.pixels, batch.contents)
        losses = proposal_losses(scored, batch, recipe, generator)
        if isinstance(network, ProposalNetwork) and network.refinement is not None:
            second = refinement_losses(
                network.refinement, scored, batch, recipe.refinement, generator, recipe.rules.ignore_confident
            )
            losses |= {"refined_objectness": second.objectness, "refined_box": second.box}
        return losses

    def describe(self) -> dict[str, Any]:
        """Its name is all there is to it."""
        return {"name": "proposals"}


def proposal_losses(
    scored: ScoredAnchors, batch: Batch, recipe: Recipe, generator: torch.Generator
) -> dict[str, Tensor]:
    """The RPN's losses by the names that the log gives them, whatever else is trained with it."""
    losses = rpn_losses(scored, batch, recipe.rules, generator)
    return {"objectness": losses.objectness, "box": losses.box}
