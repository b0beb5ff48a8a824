"""Greedy non-maximum suppression on an NVIDIA GPU: two kernels of our own, exact, and nothing is waited for.

Beside the rounds of `model.network.suppression`, whose passes over all pairs were most of what a picture took, they
take next to nothing (docs/performance.md).

They are an operation of torch's, so that tensors without values pass as well. `torch.library.custom_op`, the shorter
way to one, imports torch's compiler at its first call: seconds and 150 MB of every process (`model.light_import`).
"""

import torch
from torch import Tensor

from model.cuda_kernels import Kernel, kernels_for, source

_KERNELS = ("overlapping", "walk")
_BITS = 64  # boxes in a word
_THREADS = (32, 8, 1)  # of a walk
_OPERATION = "rpn::suppress"


def can_suppress(device: torch.device, thresholds: int) -> bool:
    """Whether this device has the kernels; where they cannot be had, the reason is logged once."""
    return bool(_kernels(device, thresholds))


def suppress_on_cuda(boxes: Tensor, competing: Tensor, ious: Tensor) -> Tensor:
    """Survivors, bool (T, S, K), as `model.network.suppression.suppress` has them, all settled.

    ``boxes``: float32 (S, K, 4), highest first; ``competing``: bool (S, K); ``ious``: float32 (T, S).
    """
    survivors: Tensor = torch.ops.rpn.suppress.default(boxes, competing, ious)
    return survivors


def _suppress(boxes: Tensor, competing: Tensor, ious: Tensor) -> Tensor:
    sets, count, _ = boxes.shape
    words = -(-count // _BITS)
    survivors = torch.empty((len(ious), sets, count), dtype=torch.bool, device=boxes.device)
    if survivors.numel() == 0:
        return survivors
    overlapping, walk = _kernels(boxes.device, len(ious))
    over = torch.empty((len(ious), sets, count, words), dtype=torch.int64, device=boxes.device)
    boxes, competing, ious = boxes.float().contiguous(), competing.contiguous(), ious.float().contiguous()
    sizes = (count, words, sets)
    with torch.cuda.device(boxes.device):
        overlapping((words, words, sets), (_BITS, 1, 1), [boxes, ious, over, *sizes])
        shared_bytes = (words + _BITS) * over.itemsize
        walk((sets, len(ious), 1), _THREADS, [over, competing, survivors, *sizes], shared_bytes=shared_bytes)
    return survivors


def _without_values(boxes: Tensor, competing: Tensor, ious: Tensor) -> Tensor:
    return boxes.new_empty((len(ious), *competing.shape), dtype=torch.bool)


def _kernels(device: torch.device, thresholds: int) -> tuple[Kernel, ...]:
    code = source("suppression.cu", THRESHOLDS=thresholds)
    return kernels_for(device, code, _KERNELS, "NMS goes by rounds")


torch.library.define(_OPERATION, "(Tensor boxes, Tensor competing, Tensor ious) -> Tensor")
torch.library.impl(_OPERATION, "cuda", _suppress)
torch.library.register_fake(_OPERATION, _without_values)
