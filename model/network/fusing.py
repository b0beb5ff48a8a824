"""Convolutions that do what follows them in one go, for a network that only serves, on a GPU.

One by one a bias, an activation and the sum of a residual block each read and write all of a map, and on a GPU that is
a third of what a ResNet takes. cuDNN computes all of them where a convolution leaves its sums.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.regnet import ResBottleneckBlock
from torchvision.models.resnet import BasicBlock, Bottleneck

from model.network.depthwise import DepthwiseConv2d


class ConvReLU(nn.Module):
    """``relu(convolution(maps) + other)``: one call of cuDNN's on an NVIDIA GPU."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, maps: Tensor, other: Tensor | None = None) -> Tensor:
        """Maps (N, C, H, W), and what their convolution is added to."""
        own = self.convolution
        if maps.device.type != "cuda":
            sums = own(maps)
            return F.relu(sums if other is None else sums + other)
        padding = own.padding
        assert not isinstance(padding, str)  # no network here pads by a name
        if other is None:
            return torch.cudnn_convolution_relu(
                maps, own.weight, own.bias, own.stride, padding, own.dilation, own.groups
            )
        return torch.cudnn_convolution_add_relu(
            maps, own.weight, other, 1.0, own.bias, own.stride, padding, own.dilation, own.groups
        )


class PointwiseConv2d(nn.Module):
    """A convolution of one pixel as a matrix product, which adds the bias by itself; maps in channels_last."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    @staticmethod
    def takes(convolution: nn.Conv2d) -> bool:
        """Whether this is one."""
        windows = (convolution.kernel_size, convolution.stride)
        return convolution.groups == 1 and all(set(pair) == {1} for pair in windows) and convolution.padding == (0, 0)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W)."""
        own = self.convolution
        pictures, channels, height, width = maps.shape
        pixels = maps.permute(0, 2, 3, 1).reshape(-1, channels)
        product = F.linear(pixels, own.weight.flatten(1), own.bias)
        return product.view(pictures, height, width, -1).permute(0, 3, 1, 2)


class Residual(nn.Module):
    """A residual block whose last layer takes up the sum (He et al. 2016): a `ConvReLU`, after others."""

    def __init__(self, layers: list[nn.Module], shortcut: nn.Module | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers[:-1])
        self.last = layers[-1]
        self.shortcut = shortcut

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W)."""
        other = maps if self.shortcut is None else self.shortcut(maps)
        for layer in self.layers:
            maps = layer(maps)
        result: Tensor = self.last(maps, other)
        return result


def fuse(part: nn.Module) -> None:
    """Put these in the place of what they compute, for good; batch norms have been folded (`fold_norms`) before.

    ``part``: of a network that computes in bfloat16. In float32, where no tensor core is to round anything, such calls
    of cuDNN's were not tried, and `fuse_depthwise` is what there is.
    """
    for parent in list(part.modules()):
        for name, child in list(parent.named_children()):
            if (residual := _residual(child)) is not None:
                setattr(parent, name, residual)
    _fuse_in_order(part, _fused)
    for parent in list(part.modules()):
        if not isinstance(parent, ConvReLU | DepthwiseConv2d | PointwiseConv2d):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.Conv2d) and PointwiseConv2d.takes(child):
                    setattr(parent, name, PointwiseConv2d(child))


def fuse_depthwise(part: nn.Module) -> None:
    """The depthwise convolutions alone, in float32 or bfloat16."""
    _fuse_in_order(part, _depthwise)


def _fuse_in_order(part: nn.Module, fused: Callable[[nn.Conv2d, nn.Module], nn.Module | None]) -> None:
    """Each convolution with what is called right after it, where there is one module for both."""
    for parent in list(part.modules()):
        if not isinstance(parent, nn.Sequential | nn.ModuleDict):  # torchvision's IntermediateLayerGetter is the latter
            continue
        present = [(name, child) for name, child in parent.named_children() if not isinstance(child, nn.Identity)]
        for (name, child), (next_name, following) in pairwise([*present, ("", nn.Identity())]):
            if isinstance(child, nn.Conv2d) and (both := fused(child, following)) is not None:
                setattr(parent, name, both)
                if next_name:
                    setattr(parent, next_name, nn.Identity())


def _fused(convolution: nn.Conv2d, following: nn.Module) -> nn.Module | None:
    if (both := _depthwise(convolution, following)) is not None:
        return both
    return ConvReLU(convolution) if isinstance(following, nn.ReLU) else None


def _depthwise(convolution: nn.Conv2d, following: nn.Module) -> nn.Module | None:
    return DepthwiseConv2d(convolution, following) if DepthwiseConv2d.takes(convolution, following) else None


def _residual(block: nn.Module) -> nn.Module | None:
    """The block as one of ours, None if it is no residual block that is known."""
    if isinstance(block, Bottleneck):
        convolutions = [block.conv1, block.conv2, block.conv3]
        return Residual([ConvReLU(one) for one in convolutions], block.downsample)
    if isinstance(block, BasicBlock):
        return Residual([ConvReLU(one) for one in (block.conv1, block.conv2)], block.downsample)
    if isinstance(block, ResBottleneckBlock) and not hasattr(block.f, "se"):
        layers = [layer.get_submodule("0") for layer in block.f.children()]
        return Residual([ConvReLU(one) for one in layers if isinstance(one, nn.Conv2d)], block.proj)
    return None
