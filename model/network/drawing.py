"""Pictures resized onto their canvases by an NVIDIA GPU, every pixel as Pillow has it.

The processor takes longer to resize a photograph than the GPU takes for all that follows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.cuda_kernels import Kernel, kernels_for, source
from model.imaging.resampling import FIXED_POINT_BITS, bilinear_taps, columns_first
from model.staging import offsets
from model.structures import ImageSize, PixelArray, Placement

_BLOCK = (32, 8, 1)  # a warp along a row, whose pixels lie together


def can_draw(device: torch.device) -> bool:
    """Whether this device has the kernel; where it cannot be had, the reason is logged once."""
    return bool(_kernels(device))


def draw(placed: Sequence[Tensor], placements: Sequence[Placement]) -> Tensor:
    """The pictures of `undrawn`, whose arrays a `Staging` has placed first, on their one canvas: uint8 (N, H, W, 3).

    As `model.imaging.canvas.draw_on_canvas` has them, but for its averaging of sides that shrink to less than a 64th.
    """
    table, canvas = placed[0], placements[0].canvas
    canvases = torch.empty((len(placements), canvas.height, canvas.width, 3), dtype=torch.uint8, device=table.device)
    (kernel,) = _kernels(table.device)
    grid = (-(-canvas.width // _BLOCK[0]), -(-canvas.height // _BLOCK[1]), len(placements))
    with torch.cuda.device(table.device):
        kernel(grid, _BLOCK, [table, canvases, canvas.height, canvas.width])
    return canvases


def undrawn(pictures: Sequence[PixelArray], placements: Sequence[Placement]) -> list[npt.NDArray[Any]]:
    """Upright RGB pictures, uint8 (h, w, 3), for `draw`: a table of where each one's arrays lie, and all of these."""
    table = np.empty((len(pictures), 11), dtype=np.int64)
    arrays: list[npt.NDArray[Any]] = [table]
    begin = offsets(arrays)[-1]
    for row, pixels, placement in zip(table, pictures, placements, strict=True):
        size, content = ImageSize(pixels.shape[1], pixels.shape[0]), placement.content
        across, down = bilinear_taps(size.width, content.width), bilinear_taps(size.height, content.height)
        own: list[npt.NDArray[Any]] = [pixels, across.starts, across.weights, down.starts, down.weights]
        *places, length = offsets(own)
        at, *taps_at = (begin + place for place in places)
        across_at, down_at = (*taps_at[:2], across.weights.shape[1]), (*taps_at[2:], down.weights.shape[1])
        where = (at, size.width, content.width, content.height)
        row[:] = (*where, *across_at, *down_at, columns_first(size, content))
        arrays += own
        begin += length
    return arrays


def _kernels(device: torch.device) -> tuple[Kernel, ...]:
    code = source("drawing.cu", BITS=FIXED_POINT_BITS)
    return kernels_for(device, code, ("draw",), "pictures are resized by the processor")
