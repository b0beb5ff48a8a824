"""Which number format the network computes in."""

from pathlib import Path
from typing import Literal, get_args

from model.errors import DeviceError

Precision = Literal["auto", "fp32", "bf16"]

# The instructions, as Linux names them, that multiply bfloat16; every core of a machine has the same.
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}
_PROCESSOR = Path("/proc/cpuinfo")


def choose_precision(name: str, device: str) -> Literal["fp32", "bf16"]:
    """``auto`` (bf16 where the device multiplies it in hardware, else fp32), ``fp32`` or ``bf16``.

    Without that hardware bf16 is computed all the same, only slower than fp32.

    Raises:
        DeviceError: the name is none of these.
    """
    if name not in get_args(Precision):
        raise DeviceError(f"precision {name!r} is none of {', '.join(get_args(Precision))}")
    if name == "auto":
        return "bf16" if multiplies_bf16(device) else "fp32"
    return "bf16" if name == "bf16" else "fp32"


def multiplies_bf16(device: str, processor: Path = _PROCESSOR) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device != "cpu":
        import torch  # needed there anyway; a CPU's service does without

        with torch.cuda.device(device):  # what is asked for is the current one's
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        flags = next(line for line in processor.read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):  # not Linux, or not an x86
        return False
    return not _INSTRUCTIONS.isdisjoint(flags.split())
