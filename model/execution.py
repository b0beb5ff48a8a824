"""How a loaded network is computed on its device: by which runtime, and with how much of the processor a call.

A CPU answers a lone picture soonest with all its cores on that one, and most pictures a second with a core for each:
cores that work on one picture wait for each other at every layer.
"""

import importlib.util
from collections.abc import Sequence
from typing import Literal, Protocol, get_args

from model.cores import default_threads
from model.errors import DeviceError, MissingExtra, ModelError
from model.precision import choose_precision, multiplies_bf16, multiplies_int8
from model.structures import FloatArray, PixelArray, Placement, Proposals, Selection

Runtime = Literal["auto", "torch", "openvino", "cuda-graphs"]

# Beyond so many pictures at once their memory grows, and a machine of so many cores has few cores' worth to gain.
_MOST_LANES = 8


class Execution(Protocol):
    """What `Predictor` runs its calls through."""

    @property
    def runtime(self) -> str:
        """What computes the network and in which format: ``torch fp32``, ``openvino int8``."""

    @property
    def lanes(self) -> int:
        """How many calls may run at once, each from a thread of its own."""

    @property
    def keeps_its_thread(self) -> bool:
        """Whether lone calls should come from the thread that it was made in."""

    @property
    def drawing(self) -> "DrawingExecution | None":
        """Itself, if it resizes pictures, sooner than a processor does."""

    def sizes_to_warm(self, largest: int) -> tuple[int, ...]:
        """The batch sizes whose first time takes longer, for batches of up to ``largest`` pictures."""

    def propose(
        self, pixels: PixelArray, contents: FloatArray, selections: Sequence[Selection], *, alone: bool
    ) -> list[Proposals]:
        """Each picture's proposals on its canvas; ``alone``: no other call is running, it may have the whole.

        ``pixels``: uint8 (N, H, W, 3); ``contents``: float32 (N, 2), the (width, height) that each picture covers.
        """


class DrawingExecution(Protocol):
    """What can be given pictures that are yet to be laid on their canvas."""

    def propose_undrawn(
        self,
        pictures: Sequence[PixelArray],
        placements: Sequence[Placement],
        contents: FloatArray,
        selections: Sequence[Selection],
    ) -> list[Proposals]:
        """As `Execution.propose`, from upright RGB pictures, uint8 (h, w, 3), of one canvas."""


def choose_lanes(wanted: int, device: str, runtime: str) -> int:
    """How many calls run at once: ``wanted``, or for 0 what pays here; on a GPU one.

    One for each of `default_threads`, at most eight; with OpenVINO one more, where there are several: a call that waits
    for Python's interpreter lock or for the event loop leaves its core to that one. On two cores 8 clients had 0.90 of
    the processor without it and 0.94 with it, and more answers; torch gave no more (docs/performance.md).
    """
    if device != "cpu":
        return 1
    threads = default_threads()
    spare = 1 if runtime == "openvino" and threads > 1 else 0
    return wanted or min(threads + spare, _MOST_LANES)


def choose_execution(runtime: str, precision: str, device: str, *, quantized: bool) -> tuple[str, str]:
    """By which runtime a network is computed, and in which of fp32, bf16 and int8.

    ``quantized``: its checkpoint knows what 8-bit integers need. Where it does, ``auto`` takes them wherever OpenVINO
    computes on a processor that is fast with them: half of fp32's time for convolutions (docs/performance.md).

    Raises:
        DeviceError: there is no such runtime or precision, or not here.
        MissingExtra: OpenVINO is asked for by name and is not installed.
    """
    if precision not in ("auto", "int8"):
        arithmetic = choose_precision(precision, device)
        return choose_runtime(runtime, device, arithmetic), arithmetic
    by_name = precision == "int8" and runtime == "auto" and device == "cpu"
    chosen = choose_runtime("openvino" if by_name else runtime, device)
    if precision == "int8":
        if chosen != "openvino":
            raise DeviceError(f"precision 'int8' is computed by OpenVINO on a CPU, not by {chosen} on {device}")
        return chosen, precision
    if chosen == "openvino" and quantized and multiplies_int8():
        return chosen, "int8"
    return chosen, choose_precision(precision, device)


def choose_runtime(name: str, device: str, precision: str = "fp32") -> str:
    """``auto`` (on a GPU CUDA graphs, on a CPU OpenVINO where it is installed, else torch) or the one of this name.

    OpenVINO computes in bf16 only where the processor does.

    Raises:
        DeviceError: there is none of this name, or it cannot compute this here.
        MissingExtra: OpenVINO is asked for by name and is not installed.
    """
    if name not in get_args(Runtime):
        raise DeviceError(f"runtime {name!r} is none of {', '.join(get_args(Runtime))}")
    if name == "torch":
        return name
    if device != "cpu" and name != "openvino":
        return "cuda-graphs"
    if name == "cuda-graphs":
        raise DeviceError(f"runtime 'cuda-graphs' computes on a GPU, not on {device}")
    obstacle = _obstacle(device, precision)
    if obstacle is None:
        return "openvino"
    if name == "openvino":
        raise obstacle
    return "torch"


def _obstacle(device: str, precision: str) -> ModelError | None:
    """Why OpenVINO cannot compute this here."""
    if device != "cpu":
        return DeviceError(f"runtime 'openvino' computes on the CPU, not on {device}")
    if precision == "bf16" and not multiplies_bf16(device):
        return DeviceError("runtime 'openvino' computes in bf16 only where the processor does; this one does not")
    if importlib.util.find_spec("openvino") is None:
        return MissingExtra("runtime 'openvino' needs its extra: pip install -e '.[openvino]' in the project's folder")
    return None
