"""What a network that only serves is made of on a GPU: layers that do in one go what torch does in several.

One by one a bias, an activation and the sum of a residual block each read and write all of a map, and on a GPU that is
a third of what a ResNet takes. cuDNN computes all of them where a convolution leaves its sums. On a CPU each of these
does the same in torch's steps.
"""

import logging
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from model.network.moving import add_bias, add_upsampled, max_pool, space_to_depth

_log = logging.getLogger(__name__)


class ConvReLU(nn.Module):
    """``relu(convolution(maps) + other)``: one call of cuDNN's on an NVIDIA GPU."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.in_one_call = True

    def forward(self, maps: Tensor, other: Tensor | None = None) -> Tensor:
        """Maps (N, C, H, W), and what their convolution is added to."""
        if self._can(maps):
            try:
                return self._by_cudnn(maps, other)
            except (torch.OutOfMemoryError, torch.AcceleratorError):
                raise
            except RuntimeError as error:  # no engine of this cuDNN's does this convolution on this GPU
                self.in_one_call = False
                _log.warning("%s goes without cuDNN's one call: %s", self.convolution, str(error).partition("\n")[0])
        sums = self.convolution(maps)
        return F.relu(sums if other is None else sums + other)

    def _can(self, maps: Tensor) -> bool:
        return self.in_one_call and maps.device.type == "cuda"

    def _by_cudnn(self, maps: Tensor, other: Tensor | None) -> Tensor:
        own = self.convolution
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


class ConvBias(nn.Module):
    """A convolution whose bias is added by a kernel of ours: cuDNN has no call for the two, and torch's is slow."""

    bias: Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        bias = convolution.bias
        assert bias is not None
        self.register_buffer("bias", bias.detach(), persistent=False)
        convolution.bias = None
        self.convolution = convolution

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W)."""
        return add_bias(self.convolution(maps), self.bias)


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


class StemConv2d(nn.Module):
    """A network's first convolution, of three colours and every second place, on blocks of two by two pixels.

    With twelve channels and a quarter of the places it fills tensor cores that three channels leave idle, as in
    MLPerf's ResNets. Its window is one pixel larger, by zeros, so that it is of whole blocks. ``layer``: a convolution
    made by `blockwise`, or a `ConvReLU` of it.
    """

    def __init__(self, layer: nn.Module, lead: int, trail: int) -> None:
        super().__init__()
        self.layer = layer
        self.lead = lead
        self.trail = trail

    @staticmethod
    def takes(convolution: nn.Conv2d) -> bool:
        """Whether it is one: an odd window, alike both ways, with the border that halves a picture exactly."""
        size = convolution.kernel_size[0]
        usual = (convolution.in_channels, convolution.groups, *convolution.stride, *convolution.dilation)
        return (
            usual == (3, 1, 2, 2, 1, 1)
            and convolution.kernel_size == (size, size)
            and size % 4 == 3
            and convolution.padding == (size // 2, size // 2)
            and convolution.padding_mode == "zeros"
        )

    @classmethod
    def of(cls, convolution: nn.Conv2d, *, with_relu: bool) -> "StemConv2d":
        """In the place of this one and, it may be, of the ReLU after it."""
        blocks = (convolution.kernel_size[0] + 1) // 2
        lead = blocks // 2  # the window begins so many blocks before the place's own
        layer = blockwise(convolution)
        return cls(ConvReLU(layer) if with_relu else layer, lead, blocks - 1 - lead)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, H, W)."""
        if pictures.shape[2] % 2 or pictures.shape[3] % 2:  # a convolution's own border is zeros, too
            pictures = F.pad(pictures, (0, pictures.shape[3] % 2, 0, pictures.shape[2] % 2))
        result: Tensor = self.layer(space_to_depth(pictures, self.lead, self.trail))
        return result


def blockwise(convolution: nn.Conv2d) -> nn.Conv2d:
    """One that `StemConv2d` takes as one on `space_to_depth`'s blocks, without a border of its own."""
    outputs, colours, size, _ = convolution.weight.shape
    blocks = (size + 1) // 2
    weight = F.pad(convolution.weight.detach(), (1, 0, 1, 0)).view(outputs, colours, blocks, 2, blocks, 2)
    weight = weight.permute(0, 3, 5, 1, 2, 4).reshape(outputs, 4 * colours, blocks, blocks)
    weight = F.pad(weight, (0, 0, 0, 0, 0, 16 - 4 * colours))
    other = nn.Conv2d(16, outputs, blocks, bias=convolution.bias is not None, device="meta")
    other.weight, other.bias = nn.Parameter(weight, requires_grad=False), convolution.bias
    return other


class HalvingMaxPool2d(nn.Module):
    """The largest of every three by three, every second one: a ResNet's, after its first convolution."""

    @staticmethod
    def takes(pool: nn.MaxPool2d) -> bool:
        """Whether this is it."""
        window = (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
        return window == (3, 2, 1, 1) and not pool.ceil_mode and not pool.return_indices

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W)."""
        return max_pool(maps)


class Pyramid(nn.Module):
    """torchvision's ``FeaturePyramidNetwork``; each level is added to the finer one's map in that one's place."""

    def __init__(self, pyramid: FeaturePyramidNetwork) -> None:
        super().__init__()
        self.inner_blocks = pyramid.inner_blocks
        self.layer_blocks = pyramid.layer_blocks
        self.extra_blocks = pyramid.extra_blocks

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """The body's maps by name, finest first, to as many of the pyramid's, and those of the extra blocks."""
        merged: list[Tensor] = []
        for inner, level in zip(reversed(self.inner_blocks), reversed(maps.values()), strict=True):
            lateral = inner(level)
            merged.append(add_upsampled(lateral, merged[-1]) if merged else lateral)
        levels = [layer(level) for layer, level in zip(self.layer_blocks, reversed(merged), strict=True)]
        names = list(maps)
        if self.extra_blocks is not None:
            levels, names = self.extra_blocks(levels, list(maps.values()), names)
        return OrderedDict(zip(names, levels, strict=True))
