"""Depthwise convolutions on an NVIDIA GPU, each with its bias and what follows it as one kernel of our own.

They move bytes and compute next to nothing. cuDNN compiles its own anew for every size of picture and batch: two
seconds each for MobileNetV3, of which a service records dozens before it is ready.
"""

import torch
from torch import Tensor, nn

from model.cuda_kernels import Kernel, kernels_for, source

_THREADS = 256  # of a block: eight warps, so that some compute while others wait for what they read
# How many places of a row a thread does: with several it reads weights once for all of them, where there are threads
# enough left to fill a GPU (an H200 holds 270,000).
_PLACES, _ENOUGH_THREADS = 4, 100_000
_VECTOR_BYTES = 16  # what a thread reads at once
_ITEM_BYTES = {torch.float32: 4, torch.bfloat16: 2}
_FOLLOWING: dict[type[nn.Module], int] = {nn.Identity: 0, nn.ReLU: 1, nn.Hardswish: 2}


class DepthwiseConv2d(nn.Module):
    """A depthwise convolution and its activation: one kernel on an NVIDIA GPU, the two of them elsewhere.

    The convolution's dtype is the maps', float32 or bfloat16; sums are float32.
    """

    taps: Tensor
    bias: Tensor

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution
        self.activation = activation
        weight = convolution.weight.detach().float()
        self.size, self.stride, self.padding = _window(convolution)
        self.register_buffer("taps", weight.flatten(1).T.contiguous(), persistent=False)  # (size * size, C)
        bias = weight.new_zeros(len(weight)) if convolution.bias is None else convolution.bias.detach().float()
        self.register_buffer("bias", bias, persistent=False)

    @staticmethod
    def takes(convolution: nn.Conv2d, activation: nn.Module) -> bool:
        """Whether the kernel does these: a filter for each channel, alike both ways, and channels in whole vectors."""
        channels, dtype = convolution.in_channels, convolution.weight.dtype
        return (
            channels == convolution.groups == convolution.out_channels
            and channels * _ITEM_BYTES.get(dtype, 0) % _VECTOR_BYTES == 0
            and dtype in _ITEM_BYTES
            and convolution.padding_mode == "zeros"
            and not isinstance(convolution.padding, str)
            and set(convolution.dilation) == {1}
            and all(len(set(pair)) == 1 for pair in (convolution.kernel_size, convolution.stride, convolution.padding))
            and type(activation) in _FOLLOWING
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W) to those after both."""
        pictures, channels, *sides = maps.shape
        height, width = ((side + 2 * self.padding - self.size) // self.stride + 1 for side in sides)
        vectors = pictures * height * width * channels * maps.itemsize // _VECTOR_BYTES
        places = _PLACES if vectors // _PLACES >= _ENOUGH_THREADS else 1
        code = kernel_source(self.size, self.stride, maps.dtype, self.activation, places)
        usual = maps.dtype == self.convolution.weight.dtype and self.taps.dtype == torch.float32
        kernels = kernels_for(maps.device, code, ("depthwise",), "depthwise convolutions are cuDNN's") if usual else ()
        if not kernels:
            result: Tensor = self.activation(self.convolution(maps))
            return result
        return self._by(kernels[0], places, maps.contiguous(memory_format=torch.channels_last), height, width)

    def _by(self, kernel: Kernel, places: int, maps: Tensor, out_height: int, out_width: int) -> Tensor:
        pictures, channels, height, width = maps.shape
        out = torch.empty(
            (pictures, channels, out_height, out_width),
            dtype=maps.dtype,
            device=maps.device,
            memory_format=torch.channels_last,
        )
        groups = channels * maps.itemsize // _VECTOR_BYTES
        blocks = -(-pictures * out_height * -(-out_width // places) * groups // _THREADS)
        sizes = (pictures, height, width, out_height, out_width, groups, self.padding)
        with torch.cuda.device(maps.device):
            kernel((blocks, 1, 1), (_THREADS, 1, 1), [maps, self.taps, self.bias, out, *sizes])
        return out


def kernel_source(size: int, stride: int, dtype: torch.dtype, activation: nn.Module, places: int) -> str:
    """CUDA C++ for windows of this size and stride, for maps of this dtype, and for so many places to a thread."""
    half, following = int(dtype == torch.bfloat16), _FOLLOWING[type(activation)]
    files = ("vectors.cu", "depthwise.cu")
    return source(*files, HALF=half, KERNEL=size, STRIDE=stride, FOLLOWING=following, PLACES=places)


def _window(convolution: nn.Conv2d) -> tuple[int, int, int]:
    """Size, stride and padding, each alike both ways."""
    return convolution.kernel_size[0], convolution.stride[0], int(convolution.padding[0])
