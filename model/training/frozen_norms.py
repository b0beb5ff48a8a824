"""Batch norms that keep the statistics they came with: mmdetection's ``norm_eval``, for fine-tuning.

Their scale and offset are still learnt. With fixed statistics a norm is a linear map, which the convolution before it
can do: no pass over the activations is left, forward or backward. On a CPU, where those passes wait for the memory,
that makes a training step 1.25 to 1.3 times as fast (docs/training.md).
"""

from collections.abc import Container

from torch import Tensor, nn
from torch.nn import functional

from model.errors import ConfigError
from model.network.folding import normed_convolutions


def freeze_norms(network: nn.Module, start: Container[str]) -> None:
    """From now on every `nn.BatchNorm2d` of the network normalises by its running statistics, which stay.

    In place. Parameters, buffers and their names are as before, so that its checkpoints are, too. ``start``: the names
    of the weights that the network starts from.

    Raises:
        ConfigError: a norm follows no convolution, or has no statistics to start from.
    """
    for name, module in network.named_modules():
        if type(module) is nn.BatchNorm2d and f"{name}.running_mean" not in start:
            raise ConfigError(f"recipe: freeze_norms keeps statistics, and no checkpoint gives {name} any")
    for _, convolution, _, norm in normed_convolutions(network):
        if isinstance(norm, nn.BatchNorm2d):
            convolution.__class__, norm.__class__ = _NormedConv2d, _NormedBefore
            vars(convolution)["norm"] = norm  # not as a submodule: its weights would be there twice
    if left := next((name for name, module in network.named_modules() if type(module) is nn.BatchNorm2d), None):
        raise ConfigError(f"recipe: freeze_norms: {left} follows no convolution that could do its work")


class _NormedConv2d(nn.Conv2d):
    """A convolution, and in the same pass the norm after it."""

    norm: nn.BatchNorm2d

    def forward(self, features: Tensor) -> Tensor:
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None  # as in every norm that tracks its statistics
        assert variance is not None
        scale = self.norm.weight * (variance + self.norm.eps).rsqrt()
        bias = self.norm.bias - mean * scale
        if self.bias is not None:
            bias = bias + self.bias * scale
        weight = self.weight * scale[:, None, None, None]
        return functional.conv2d(features, weight, bias, self.stride, self.padding, self.dilation, self.groups)


class _NormedBefore(nn.BatchNorm2d):
    """Holds what the convolution before it works with."""

    def forward(self, features: Tensor) -> Tensor:
        return features
