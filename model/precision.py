"""Which number format the network computes in."""

from typing import Literal, get_args

import torch

from model.errors import DeviceError

Precision = Literal["auto", "fp32", "bf16"]


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """``auto`` (bf16 where the device multiplies it in hardware, else fp32), ``fp32`` or ``bf16``.

    Without that hardware bf16 is computed all the same, only slower than fp32.

    Raises:
        DeviceError: the name is none of these.
    """
    if name not in get_args(Precision):
        raise DeviceError(f"precision {name!r} is none of {', '.join(get_args(Precision))}")
    if name == "auto":
        return torch.bfloat16 if multiplies_bf16(device) else torch.float32
    return torch.bfloat16 if name == "bf16" else torch.float32


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
