"""Which number format the network computes in."""

from pathlib import Path
from typing import Literal, get_args

from model.cores import CPUINFO, processor_fact
from model.errors import DeviceError

Precision = Literal["auto", "fp32", "bf16", "int8"]

# The instructions, as Linux names them, that multiply bfloat16, and those that OpenVINO's integer kernels are at home
# with, and those that add products of bytes in 32 bits; every core of a machine has the same.
_AMX, _AVX512_BF16 = "amx_bf16", "avx512_bf16"
_BF16 = {_AVX512_BF16, _AMX}
# AVX-512's own products of bf16 come at twice fp32's rate on AMD's, and at half of it on a Xeon that shows them without
# AMX, where a ResNet-50 took 1.8 times as long in bf16 (docs/performance.md).
_QUICK_WITHOUT_AMX = "AuthenticAMD"
_AVX2 = {"avx2"}
_VNNI = {"avx512_vnni", "avx_vnni"}


def choose_precision(name: str, device: str) -> Literal["fp32", "bf16"]:
    """Of floating point: ``auto`` (bf16 where the device is faster in it, else fp32), ``fp32`` or ``bf16``.

    Elsewhere bf16 is computed all the same, only slower than fp32. Where ``int8`` is computed, that is
    chosen with the runtime (`model.execution`).

    Raises:
        DeviceError: the name is none of these.
    """
    if name not in get_args(Precision):
        raise DeviceError(f"precision {name!r} is none of {', '.join(get_args(Precision))}")
    if name == "int8":
        raise DeviceError("precision 'int8' is computed by OpenVINO alone, not by torch")
    if name == "auto":
        return "bf16" if gains_by_bf16(device) else "fp32"
    return "bf16" if name == "bf16" else "fp32"


def multiplies_bf16(device: str, processor: Path = CPUINFO) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device != "cpu":
        import torch  # needed there anyway; a CPU's service does without

        with torch.cuda.device(device):  # what is asked for is the current one's
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return not _BF16.isdisjoint(_instructions(processor))


def gains_by_bf16(device: str, processor: Path = CPUINFO) -> bool:
    """Whether the device is of a kind that was measured to be faster in bfloat16 than in fp32."""
    if device != "cpu":
        return multiplies_bf16(device)
    found = _instructions(processor)
    return _AMX in found or (_AVX512_BF16 in found and processor_fact("vendor_id", processor) == _QUICK_WITHOUT_AMX)


def multiplies_int8(processor: Path = CPUINFO) -> bool:
    """Whether this processor is one on which 8-bit integers were measured to be the faster: an x86 with AVX2."""
    return has_avx2(processor)


def has_avx2(processor: Path = CPUINFO) -> bool:
    """Whether this is an x86 that says of itself that it has AVX2."""
    return not _AVX2.isdisjoint(_instructions(processor))


def has_vnni(processor: Path = CPUINFO) -> bool:
    """Whether this is an x86 that says of itself that its sums of products of bytes cannot overflow.

    Without VNNI one adds two of them in 16 bits.
    """
    return not _VNNI.isdisjoint(_instructions(processor))


def _instructions(processor: Path) -> set[str]:
    try:
        flags = next(line for line in processor.read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):  # not Linux, or not an x86
        return set()
    return set(flags.split())
