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
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                self.values[name].lerp_(tensor, 1 - decay)
            else:
                self.values[name].copy_(tensor)

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
