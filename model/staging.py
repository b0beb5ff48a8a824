"""Arrays on their way to a GPU: gathered in memory that it reads by itself, and taken over in one go.

From any other memory a copy goes piece by piece through such memory of the driver's, and each waits for the last.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# One core copies some ten bytes a nanosecond, a GPU takes over fifty; a small array is not worth waking a thread for.
_THREADS, _WORTH_A_THREAD = 4, 2**18
# Where an array may begin: no vector that a kernel reads is longer.
_ALIGNMENT = 16

_log = logging.getLogger(__name__)

Arrays = Sequence[npt.NDArray[Any]]


class Staging:
    """For one device and one thread. Its memory is the power of two that holds the most that was placed at once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._host = torch.empty(0, dtype=torch.uint8)
        self._taken: torch.cuda.Event | None = None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="staging")

    def place(self, arrays: Arrays) -> list[Tensor]:
        """The arrays as tensors on the device, in one block of its memory; on a CPU the arrays themselves."""
        if self._device.type == "cpu":
            return [torch.from_numpy(array) for array in arrays]
        lying = self._taken_over(arrays)
        return [
            lying[start : start + array.nbytes].view(_dtype_of(array)).view(array.shape)
            for start, array in zip(offsets(arrays)[:-1], arrays, strict=True)
        ]

    def _taken_over(self, arrays: Arrays) -> Tensor:
        *starts, total = offsets(arrays)
        if self._taken is not None:
            self._taken.synchronize()  # what was placed last has left
        if len(self._host) < total:
            self._host = _host_memory(1 << (total - 1).bit_length())
        memory = self._host.numpy()
        self._copy(arrays, [memory[start : start + array.nbytes] for start, array in zip(starts, arrays, strict=True)])
        with torch.cuda.device(self._device):
            lying = self._host[:total].to(self._device, non_blocking=True)
            self._taken = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._taken.record()
        return lying

    def _copy(self, arrays: Arrays, targets: Sequence[npt.NDArray[np.uint8]]) -> None:
        pairs = [(t.view(a.dtype).reshape(a.shape), a) for a, t in zip(arrays, targets, strict=True)]
        *others, own = sorted(pairs, key=lambda pair: pair[1].nbytes)
        large = [self._threads.submit(np.copyto, *pair) for pair in others if pair[1].nbytes > _WORTH_A_THREAD]
        for pair in [own, *(pair for pair in others if pair[1].nbytes <= _WORTH_A_THREAD)]:
            np.copyto(*pair)
        for copy in large:
            copy.result()


def _host_memory(size: int) -> Tensor:
    """Bytes that the GPU reads by itself or, where none of these are to be had, any."""
    try:
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)
    except RuntimeError as error:
        _log.warning("no pinned memory for %d bytes: %s", size, str(error).partition("\n")[0])
        return torch.empty(size, dtype=torch.uint8)


def offsets(arrays: Arrays) -> list[int]:
    """Where each begins in a block of all of them, in bytes, and last where the block ends.

    >>> offsets([np.zeros(3, np.uint8), np.zeros(5, np.float32), np.zeros(1, np.uint8)])
    [0, 16, 48, 64]
    """
    starts = [0]
    for array in arrays:
        starts.append(starts[-1] + -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT)
    return starts


def _dtype_of(array: npt.NDArray[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype=array.dtype)).dtype
