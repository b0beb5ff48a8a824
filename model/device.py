"""Devices by name."""

import ctypes
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import DeviceError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> "torch.device":
    """``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DeviceError: there is no such device here.
    """
    import torch  # here, for `is_cpu` is asked where torch is not

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"device {name!r} is none of auto, cpu, cuda, cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"device {name!r} is not here: {torch.cuda.device_count()} CUDA devices are visible")
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"device {name!r} is none of auto, cpu, cuda, cuda:N")
    return device


def is_cpu(name: str) -> bool:
    """Whether `choose_device` is going to choose the CPU, as far as can be told without torch: True is certain."""
    return name == "cpu" or (name == "auto" and not _may_find_a_gpu())


def _may_find_a_gpu() -> bool:
    """By the libraries that torch is built with; a build for CUDA on Linux by what the driver says as well."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    libraries = {path.name for path in (Path(spec.origin).parent / "lib").glob("*torch_*")}
    if "libtorch_cuda.so" in libraries:
        return _driver_has_a_device()
    return any("torch_cuda" in name or "torch_hip" in name for name in libraries)


def _driver_has_a_device() -> bool:
    """Asked of NVIDIA's driver itself, which hears CUDA_VISIBLE_DEVICES: torch would take seconds to say no."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
