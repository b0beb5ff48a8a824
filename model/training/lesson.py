"""The network with its losses on top: a batch in, what is to be minimised out, in one forward pass."""

import torch
from torch import Tensor, nn

from model.training.dataset import Batch
from model.training.objectives.objective import Objective
from model.training.recipe import Recipe


class Lesson(nn.Module):
    """What the processes of a training share: whichever parts of the network the losses call, it is one forward pass.

    DistributedDataParallel asks for that: it makes ready in its own ``forward`` for the backward pass that follows.
    """

    def __init__(self, network: nn.Module, objective: Objective, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self.objective = objective
        self.recipe = recipe

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The losses by name, scalars, whose sum is minimised; the generator draws what is random in them."""
        with torch.autocast(batch.pixels.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            return self.objective.losses(self.network, batch, self.recipe, generator)
