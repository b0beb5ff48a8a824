"""The network with its losses on top: a batch in, what is to be minimised out, in one forward pass."""

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.network.network import ProposalNetwork
from model.training.dataset import Batch
from model.training.losses import rpn_losses
from model.training.recipe import Recipe
from model.training.refinement_loss import refinement_losses


class Lesson(nn.Module):
    """What the processes of a training share: whichever parts of the network the losses call, it is one forward pass.

    DistributedDataParallel asks for that: it makes ready in its own ``forward`` for the backward pass that follows.
    """

    def __init__(self, network: ProposalNetwork, config: ModelConfig, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.recipe = recipe

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The losses by name, scalars, whose sum is minimised; the generator draws the anchors."""
        recipe = self.recipe
        with torch.autocast(batch.pixels.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            scored = self.network(batch.pixels, batch.contents)
        losses = rpn_losses(scored, batch, recipe.rules, generator).named()
        if self.network.refinement is not None:
            second = refinement_losses(self.network, scored, batch, self.config, recipe.refinement, generator)
            losses |= {"refined_objectness": second.objectness, "refined_box": second.box}
        return losses
