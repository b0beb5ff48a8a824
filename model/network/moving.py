"""What moves feature maps and computes next to nothing: kernels of our own on an NVIDIA GPU, in bfloat16.

torch's take two to eight times as long as the memory needs. Elsewhere, and in other formats, torch's are called.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.cuda_kernels import Kernel, kernels_for, source

_NAMES = ("add_upsampled", "add_bias", "max_pool", "space_to_depth")
_THREADS = 256  # of a block: eight warps, so that some compute while others wait for what they read
_CHANNELS = 8  # of a thread
_OF_A_BLOCK = 16  # channels of two by two pixels of three colours, filled up to whole vectors


def add_upsampled(maps: Tensor, top: Tensor) -> Tensor:
    """``maps`` (N, C, H, W), changed in place: to each place is added that of ``top`` (N, C, h, w) which covers it."""
    pictures, channels, height, width = maps.shape
    doubled = (top.shape[2] * 2, top.shape[3] * 2) == (height, width)
    kernels = _kernels_for(maps, top) if doubled and channels % _CHANNELS == 0 else ()
    if not kernels:
        return maps.add_(F.interpolate(top, size=(height, width), mode="nearest"))
    sizes = (pictures, height, width, channels // _CHANNELS)
    _start(kernels[0], maps.numel() // _CHANNELS, maps, top.contiguous(memory_format=torch.channels_last), *sizes)
    return maps


def add_bias(maps: Tensor, bias: Tensor) -> Tensor:
    """``maps`` (N, C, H, W), changed in place: each channel by that of ``bias`` (C,)."""
    channels = maps.shape[1]
    kernels = _kernels_for(maps) if channels % _CHANNELS == 0 and bias.dtype == maps.dtype else ()
    if not kernels:
        return maps.add_(bias[:, None, None])
    groups = channels // _CHANNELS
    _start(kernels[1], maps.numel() // _CHANNELS, maps, bias, maps.numel() // channels, groups)
    return maps


def max_pool(maps: Tensor) -> Tensor:
    """The largest of every three by three, every second one, of maps (N, C, H, W) with a border of nothing."""
    pictures, channels, height, width = maps.shape
    kernels = _kernels_for(maps) if channels % _CHANNELS == 0 else ()
    if not kernels:
        return F.max_pool2d(maps, kernel_size=3, stride=2, padding=1)
    out = _empty(maps, channels, (height + 1) // 2, (width + 1) // 2)
    _start(kernels[2], out.numel() // _CHANNELS, maps, out, pictures, height, width, channels // _CHANNELS)
    return out


def space_to_depth(pictures: Tensor, lead: int, trail: int) -> Tensor:
    """Pictures (N, 3, H, W), of even sides, as (N, 16, lead + H / 2 + trail, lead + W / 2 + trail).

    Channel 3 * (2 * row + column) + colour is that pixel's of each block of two by two; the last four, and the border
    of ``lead`` blocks at the top and left and ``trail`` at the bottom and right, are 0.
    """
    count, colours, height, width = pictures.shape
    kernels = _kernels_for(pictures)
    if not kernels:
        blocks = pictures.view(count, colours, height // 2, 2, width // 2, 2).permute(0, 3, 5, 1, 2, 4)
        blocks = blocks.reshape(count, 4 * colours, height // 2, width // 2)
        return F.pad(blocks, (lead, trail, lead, trail, 0, _OF_A_BLOCK - 4 * colours))
    border = lead + trail
    out = _empty(pictures, _OF_A_BLOCK, height // 2 + border, width // 2 + border)
    _start(kernels[3], out.numel() // _OF_A_BLOCK, pictures, out, count, height, width, lead, border)
    return out


def _start(kernel: Kernel, threads: int, *arguments: Tensor | int) -> None:
    with torch.cuda.device(next(value.device for value in arguments if isinstance(value, Tensor))):
        kernel((-(-threads // _THREADS), 1, 1), (_THREADS, 1, 1), arguments)


def _empty(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    return torch.empty(
        (len(like), channels, height, width),
        dtype=like.dtype,
        device=like.device,
        memory_format=torch.channels_last,
    )


def _kernels_for(*maps: Tensor) -> tuple[Kernel, ...]:
    """Those of ``maps.cu``, if they do these."""
    first = maps[0]
    usual = first.is_contiguous(memory_format=torch.channels_last) and {one.dtype for one in maps} == {torch.bfloat16}
    code = source("vectors.cu", "maps.cu", HALF=1)
    return kernels_for(first.device, code, _NAMES, "maps are moved by torch") if usual else ()
