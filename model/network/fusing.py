"""A network that only serves, on a GPU: its layers replaced by those of `model.network.fused_modules`."""

from collections.abc import Callable
from itertools import pairwise

from torch import nn
from torchvision.models.regnet import ResBottleneckBlock
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import FeaturePyramidNetwork

from model.network.depthwise import DepthwiseConv2d
from model.network.fused_modules import (
    ConvBias,
    ConvReLU,
    HalvingMaxPool2d,
    PointwiseConv2d,
    Pyramid,
    Residual,
    StemConv2d,
)


def fuse(part: nn.Module) -> None:
    """Put these in the place of what they compute, for good; batch norms have been folded (`fold_norms`) before.

    ``part``: of a network that computes in bfloat16. In float32, where no tensor core is to round anything, such calls
    of cuDNN's were not tried, and `fuse_depthwise` is what there is.
    """
    _replace(part, _one_for_one)
    _fuse_in_order(part, _fused)
    _replace(part, _alone, but_in=(ConvReLU, DepthwiseConv2d))


def _replace(
    part: nn.Module,
    other: Callable[[nn.Module], nn.Module | None],
    *,
    but_in: tuple[type[nn.Module], ...] = (),
) -> None:
    """Each module for which there is another."""
    for parent in list(part.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(parent, but_in) and (found := other(child)) is not None:
                setattr(parent, name, found)


def _alone(module: nn.Module) -> nn.Module | None:
    """For a convolution that nothing was fused with."""
    if not isinstance(module, nn.Conv2d):
        return None
    if PointwiseConv2d.takes(module):
        return PointwiseConv2d(module)
    return None if module.bias is None else ConvBias(module)


def fuse_depthwise(part: nn.Module) -> None:
    """The depthwise convolutions alone, in float32 or bfloat16."""
    _fuse_in_order(part, _depthwise)


def _fuse_in_order(part: nn.Module, fused: Callable[[nn.Conv2d, nn.Module], tuple[nn.Module, bool] | None]) -> None:
    """Each convolution by itself or, if the second of the answer says so, with what is called right after it."""
    for parent in list(part.modules()):
        if not isinstance(parent, nn.Sequential | nn.ModuleDict):  # torchvision's IntermediateLayerGetter is the latter
            continue
        present = [(name, child) for name, child in parent.named_children() if not isinstance(child, nn.Identity)]
        for (name, child), (next_name, following) in pairwise([*present, ("", nn.Identity())]):
            if isinstance(child, nn.Conv2d) and (found := fused(child, following)) is not None:
                other, both = found
                setattr(parent, name, other)
                if both and next_name:
                    setattr(parent, next_name, nn.Identity())


def _fused(convolution: nn.Conv2d, following: nn.Module) -> tuple[nn.Module, bool] | None:
    relu = isinstance(following, nn.ReLU)
    if StemConv2d.takes(convolution):
        return StemConv2d.of(convolution, with_relu=relu), relu
    return _depthwise(convolution, following) or ((ConvReLU(convolution), True) if relu else None)


def _depthwise(convolution: nn.Conv2d, following: nn.Module) -> tuple[nn.Module, bool] | None:
    return (DepthwiseConv2d(convolution, following), True) if DepthwiseConv2d.takes(convolution, following) else None


def _one_for_one(module: nn.Module) -> nn.Module | None:
    if isinstance(module, FeaturePyramidNetwork):
        return Pyramid(module)
    if isinstance(module, nn.MaxPool2d) and HalvingMaxPool2d.takes(module):
        return HalvingMaxPool2d()
    return _residual(module)


def _residual(block: nn.Module) -> nn.Module | None:
    """The block as one of ours, None if it is no residual block that is known."""
    if isinstance(block, Bottleneck | BasicBlock):
        layers = [layer for name, layer in block.named_children() if name.startswith("conv")]
        shortcut = block.downsample
    elif isinstance(block, ResBottleneckBlock) and not hasattr(block.f, "se"):
        layers, shortcut = [layer.get_submodule("0") for layer in block.f.children()], block.proj
    else:
        return None
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    if shortcut is not None:
        _hand_over_bias(shortcut.get_submodule("0"), convolutions[-1])
    return Residual([ConvReLU(one) for one in convolutions], shortcut)


def _hand_over_bias(giver: nn.Module, taker: nn.Conv2d) -> None:
    """Of two convolutions whose sums are added one adds both biases; the other has no pass over its map for it."""
    if isinstance(giver, nn.Conv2d) and giver.bias is not None and taker.bias is not None:
        taker.bias = nn.Parameter(taker.bias.detach() + giver.bias.detach(), requires_grad=False)
        giver.bias = None
