"""The exponential moving average of a network's weights: smoother than the last step's, and better to serve."""

import torch
from torch import Tensor, nn


class MovingAverage:
    """Averages weights and batch-norm statistics; counters are copied.

    The decay grows from 0.1 towards ``decay`` as (1 + t) / (10 + t), as in TensorFlow's ``ExponentialMovingAverage``,
    so that the random start is soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.values = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network's present weights."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        present = network.state_dict()
        averaged = [name for name, tensor in present.items() if tensor.is_floating_point()]
        # All of a kind by one call: on a GPU it starts a few operations in the place of hundreds.
        torch._foreach_lerp_([self.values[n] for n in averaged], [present[n] for n in averaged], 1 - decay)
        if counters := [name for name, tensor in present.items() if not tensor.is_floating_point()]:
            torch._foreach_copy_([self.values[n] for n in counters], [present[n] for n in counters])

    def state_dict(self) -> dict[str, Tensor | int]:
        """For resuming."""
        return {"steps": self.steps, **self.values}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Take up where `state_dict` was saved."""
        for name, value in state.items():
            if isinstance(value, Tensor):
                self.values[name].copy_(value)
            else:
                self.steps = value
