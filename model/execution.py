"""How a loaded network is computed on its device: by which runtime, and with how much of the processor a call.

A CPU answers a lone picture soonest with all its cores on that one, and most pictures a second with a core for each:
cores that work on one picture wait for each other at every layer.
"""

import importlib.util
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol, get_args

import torch

from model.cores import usable_cores
from model.errors import DeviceError, MissingExtra, ModelError
from model.network.network import ProposalNetwork
from model.network.openvino_network import OpenVINONetwork, Share, compile_convolutions, hand_over
from model.network.proposing import ScoringNetwork
from model.precision import multiplies_bf16
from model.structures import Canvas

_log = logging.getLogger("model.execution")

Runtime = Literal["auto", "torch", "openvino"]

_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}

# Beyond so many pictures at once their memory grows, and a machine of so many cores has few cores' worth to gain.
_MOST_LANES = 8


class Execution(Protocol):
    """What `Predictor` runs its calls through."""

    @property
    def runtime(self) -> str:
        """What computes the network and in which format: ``torch fp32``, ``openvino bf16``."""

    @property
    def lanes(self) -> int:
        """How many calls may run at once, each from a thread of its own."""

    @property
    def keeps_its_thread(self) -> bool:
        """Whether lone calls should come from the thread that it was made in."""

    def network(self, *, alone: bool) -> ScoringNetwork:
        """The network for one call of this thread; ``alone``: no other call is running, it may have the whole."""


def choose_lanes(wanted: int, device: torch.device) -> int:
    """How many calls run at once: ``wanted``, or for 0 as many as `default_threads`, at most eight; on a GPU one."""
    if device.type != "cpu":
        return 1
    return wanted or min(default_threads(), _MOST_LANES)


def choose_runtime(name: str, device: torch.device, dtype: torch.dtype = torch.float32) -> str:
    """``auto`` (OpenVINO on a CPU where it is installed, else torch), ``torch`` or ``openvino``.

    OpenVINO computes in bf16 only where the processor does.

    Raises:
        DeviceError: the name is none of these, or OpenVINO is asked for where it cannot compute this.
        MissingExtra: OpenVINO is asked for by name and is not installed.
    """
    if name not in get_args(Runtime):
        raise DeviceError(f"runtime {name!r} is none of {', '.join(get_args(Runtime))}")
    if name == "torch":
        return name
    obstacle = _obstacle(device, dtype)
    if obstacle is None:
        return "openvino"
    if name == "openvino":
        raise obstacle
    return "torch"


def _obstacle(device: torch.device, dtype: torch.dtype) -> ModelError | None:
    """Why OpenVINO cannot compute this here."""
    if device.type != "cpu":
        return DeviceError(f"runtime 'openvino' computes on the CPU, not on {device}")
    if dtype is torch.bfloat16 and not multiplies_bf16(device):
        return DeviceError("runtime 'openvino' computes in bf16 only where the processor does; this one does not")
    if importlib.util.find_spec("openvino") is None:
        return MissingExtra("runtime 'openvino' needs its extra: pip install 'region-proposal-service[openvino]'")
    return None


class TorchExecution:
    """torch runs the network; on a CPU each thread takes the share of the cores that its call is due."""

    def __init__(self, network: ProposalNetwork, device: torch.device, lanes: int) -> None:
        self.lanes = lanes
        self.runtime = f"torch {_NAMES[next(network.backbone.parameters()).dtype]}"
        self._network = network
        self._on_cpu = device.type == "cpu"
        # Each thread that takes several cores keeps threads of its own; with more of them than cores they stop spinning
        # between two operations, and every one waits to be woken: 55 ms a picture instead of 31.
        self.keeps_its_thread = True
        self._threads = default_threads()

    def network(self, *, alone: bool) -> ScoringNetwork:
        """The network, after this thread's number of torch threads is set."""
        if self._on_cpu:
            use_threads(_share(self._threads, self.lanes, alone=alone))
        return self._network


class OpenVINOExecution:
    """OpenVINO runs the convolutions, torch the rest.

    They are compiled twice: for one call on all cores, and for as many calls at once as there are lanes. The second is
    warmed in the background when calls first come together; until then they take turns on the first.
    """

    def __init__(self, network: ProposalNetwork, dtype: torch.dtype, lanes: int, canvases: Sequence[Canvas]) -> None:
        self.lanes = lanes
        self.runtime = f"openvino {_NAMES[dtype]}"
        self.keeps_its_thread = False
        self._threads = default_threads()
        self._canvases = canvases
        shares = [Share(self._threads), Share(max(self._threads, lanes), lanes)]
        compiled = compile_convolutions(network, shares if lanes > 1 else shares[:1], dtype)
        hand_over(network)
        self._whole, self._shared = (OpenVINONetwork(network, model) for model in (compiled[0], compiled[-1]))
        self._warming = threading.Lock()  # once taken, for good: it is warmed once
        self._warm = threading.Event()

    def network(self, *, alone: bool) -> ScoringNetwork:
        """The compiled model for this call."""
        use_threads(_share(self._threads, self.lanes, alone=alone))
        if alone or self.lanes == 1:
            return self._whole
        if self._warming.acquire(blocking=False):
            threading.Thread(target=self._warm_up, name="warm up", daemon=True).start()
        return self._shared if self._warm.is_set() else self._whole

    def _warm_up(self) -> None:
        """Every canvas as often at once as there are lanes: each of them has kernels of its own."""
        try:
            with ThreadPoolExecutor(self.lanes, thread_name_prefix="warm up") as threads:
                for canvas in self._canvases:
                    list(threads.map(self._run_blank, [canvas] * self.lanes))
        except Exception:
            _log.exception("calls cannot share the processor; they go on taking turns")
        else:
            self._warm.set()

    @torch.inference_mode()
    def _run_blank(self, canvas: Canvas) -> None:
        size = torch.tensor([[canvas.width, canvas.height]], dtype=torch.float32)
        self._shared(torch.zeros(1, canvas.height, canvas.width, 3, dtype=torch.uint8), size)


def _share(threads: int, lanes: int, *, alone: bool) -> int:
    return threads if alone else max(1, threads // lanes)


def default_threads() -> int:
    """The threads that torch takes unless told otherwise (``OMP_NUM_THREADS`` is heard), no more than usable cores."""
    return min(torch.get_num_threads(), usable_cores())


def use_threads(count: int) -> None:
    """Set how many threads torch takes for what the calling thread asks of it."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
