"""The RPN alone (Faster R-CNN, section 3.1)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.network.network import build_network
from model.training.dataset import Batch
from model.training.losses import rpn_losses
from model.training.objectives.objective import Objective
from model.training.recipe import Recipe


class ProposalObjective(Objective):
    """Class-agnostic proposals."""

    loss_names = ("objectness", "box")

    def build(self, config: ModelConfig, start: Mapping[str, Tensor] | None) -> nn.Module:
        """A `ProposalNetwork`."""
        network = build_network(config)
        if start is not None:
            network.load_state_dict(start)
        return network

    def losses(self, network: nn.Module, batch: Batch, recipe: Recipe, generator: torch.Generator) -> dict[str, Tensor]:
        """The RPN's two."""
        scored = network(batch.pixels, batch.contents)
        losses = rpn_losses(scored, batch, recipe.matcher, recipe.sampler, generator)
        return {"objectness": losses.objectness, "box": losses.box}

    def describe(self) -> dict[str, Any]:
        """Its name is all there is to it."""
        return {"name": "proposals"}
