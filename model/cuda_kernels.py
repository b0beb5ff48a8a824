"""Kernels of our own for an NVIDIA GPU: compiled for the one at hand when they are first asked for.

NVRTC compiles, a library that torch's CUDA builds bring with them, as they do NVIDIA's Python bindings since 2.10, so
no compiler need be installed. It takes a tenth of a second.
"""

import ctypes
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Size = tuple[int, int, int]

_FOLDER = Path(__file__).parent / "network" / "kernels"

_log = logging.getLogger(__name__)


class KernelError(Exception):
    """A kernel cannot be compiled or loaded; the message is the library's."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One function of a module that lies on a device, for good."""

    name: str
    _function: Any

    def __call__(self, grid: Size, block: Size, arguments: Sequence[Tensor | int], *, shared_bytes: int = 0) -> None:
        """Start it on the current stream of the current device; tensors are handed over as they lie, ints as C's.

        Raises:
            torch.AcceleratorError: it could not be started, as torch has it for kernels of its own.
        """
        from cuda.bindings import driver

        values = tuple(value.data_ptr() if isinstance(value, Tensor) else value for value in arguments)
        types = tuple(ctypes.c_void_p if isinstance(value, Tensor) else ctypes.c_int for value in arguments)
        stream = driver.CUstream(torch.cuda.current_stream().cuda_stream)
        (status,) = driver.cuLaunchKernel(self._function, *grid, *block, shared_bytes, stream, (values, types), 0)
        if status:
            words = _checked(driver.cuGetErrorString(status)).decode()
            raise torch.AcceleratorError(f"CUDA error: {words} ({self.name})")


@cache
def source(*files: str, **defined: int) -> str:
    """CUDA C++ from files of ``model/network/kernels``, one after the other, with these macros."""
    macros = "".join(f"#define {name} {value}\n" for name, value in defined.items())
    return macros + "\n".join((_FOLDER / file).read_text() for file in files)


@cache
def kernels_for(device: torch.device, code: str, names: tuple[str, ...], instead: str) -> tuple[Kernel, ...]:
    """`compile_kernels` once; none where they cannot be had, and then what is done ``instead`` is logged, with why."""
    if device.type != "cuda" or not torch.cuda.is_available():
        return ()
    try:
        return tuple(compile_kernels(code, names, device))
    except KernelError as error:
        _log.warning("%s: %s: %s", device, instead, str(error).partition("\n")[0])
        return ()


def compile_kernels(code: str, names: Sequence[str], device: torch.device) -> list[Kernel]:
    """The functions of these names, declared ``extern "C"``, of CUDA C++ code, for a device and lying on it.

    Raises:
        KernelError: the code is at fault, or the libraries are not there.
    """
    major, minor = torch.cuda.get_device_capability(device)
    binary = compile_for(code, f"sm_{major}{minor}")
    from cuda.bindings import driver

    with torch.cuda.device(device):
        torch.cuda.current_stream().synchronize()  # its context is made, if nothing was done there yet
        module = _checked(driver.cuModuleLoadData(binary))
        return [Kernel(name, _checked(driver.cuModuleGetFunction(module, name.encode()))) for name in names]


def compile_for(code: str, architecture: str) -> bytes:
    """The machine code of CUDA C++ for an architecture such as ``sm_90``; no GPU is needed.

    Raises:
        KernelError: the code is at fault, or the libraries are not there.
    """
    try:
        from cuda.bindings import nvrtc

        program = _checked(nvrtc.nvrtcCreateProgram(code.encode(), b"kernels.cu", 0, [], []))
    except (ImportError, RuntimeError) as error:  # no bindings; bindings that find no library
        raise KernelError(f"CUDA's compiler library is not here: {error}") from error
    options = [f"--gpu-architecture={architecture}".encode()]
    try:
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if status:
            log = bytearray(_checked(nvrtc.nvrtcGetProgramLogSize(program)))
            _checked(nvrtc.nvrtcGetProgramLog(program, log))
            raise KernelError(log.rstrip(b"\0\n").decode() or str(status))
        binary = bytearray(_checked(nvrtc.nvrtcGetCUBINSize(program)))
        _checked(nvrtc.nvrtcGetCUBIN(program, binary))
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return bytes(binary)


def _checked(answer: tuple[Any, ...]) -> Any:
    """What a call of NVIDIA's bindings returns beside its status."""
    status, *rest = answer
    if status:
        raise KernelError(str(status))
    return rest[0] if rest else None
