"""What makes a host wait for a GPU: an operation whose result, or the shape of whose result, it must know."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "repeat_interleave")


class Waits(TorchDispatchMode):
    """Within its context such operations are ``found``, on whatever device they are; and copies from one to another.

    Not what ``tolist`` and ``numpy`` read of a tensor on the CPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [value for value in (*args, result) if isinstance(value, Tensor)]
        crossing = len({tensor.device.type for tensor in tensors}) > 1
        name = func.overloadpacket.__name__
        if crossing or name in _WAITING or (name.startswith(("index", "_index")) and _by_mask(*args)):
            self.found.append(name)
        return result


def _by_mask(_: Tensor, indices: Any, *values: Any) -> bool:
    """One value for all that a mask tells is filled in without looking."""
    masks = any(isinstance(index, Tensor) and index.dtype == torch.bool for index in indices)
    return masks and not (values and isinstance(values[0], Tensor) and values[0].numel() == 1)
