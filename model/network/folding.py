"""Batch norms folded into the convolutions before them, for a network that only serves."""

from collections.abc import Iterator
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d


def fold_norms(network: nn.Module) -> None:
    """Fold every batch norm whose statistics are fixed into the convolution that its module lists before it.

    In place, and for good: the network can then only be evaluated. Each norm becomes an identity, so that the names of
    what is left stay; a test holds that the outputs are the same.
    """
    for parent, convolution, name, norm in list(normed_convolutions(network)):
        _fold(convolution, norm)
        setattr(parent, name, nn.Identity())


def normed_convolutions(
    network: nn.Module,
) -> Iterator[tuple[nn.Module, nn.Conv2d, str, nn.BatchNorm2d | FrozenBatchNorm2d]]:
    """Each convolution that a batch norm follows: the module of both, the convolution, the norm's name there, the norm.

    Every backbone here lists a norm right after the convolution that feeds it.
    """
    for parent in network.modules():
        for (_, module), (name, following) in pairwise(parent.named_children()):
            if isinstance(module, nn.Conv2d) and isinstance(following, nn.BatchNorm2d | FrozenBatchNorm2d):
                yield parent, module, name, following


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d | FrozenBatchNorm2d) -> None:
    fixed = norm.state_dict()  # detached, and the same names for both kinds
    weight, bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        fixed["running_mean"],
        fixed["running_var"],
        norm.eps,
        fixed["weight"],
        fixed["bias"],
    )
    convolution.weight, convolution.bias = nn.Parameter(weight), nn.Parameter(bias)
