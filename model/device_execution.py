"""A network that torch computes on an accelerator, as one batch from pixels to proposals, read back in one copy."""

import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from model.calibration import Calibration
from model.config import SelectionConfig
from model.cuda_graphs import CUDAGraphRecorder, Work
from model.errors import DeviceLost, DeviceOutOfMemory
from model.network.device_proposing import propose_on_device
from model.network.device_selection import Wanted
from model.network.drawing import can_draw, draw, undrawn
from model.network.network import ProposalNetwork
from model.network.packed_boxes import all_settled, pack, unpack
from model.staging import Arrays, Staging
from model.structures import FloatArray, PixelArray, Placement, Proposals, Selection

# Rounds of NMS (`model.network.suppression`) before anything is read back. On photographs `general` and `face` took up
# to 16; a batch that takes more is computed once more.
ROUNDS = 24

_Shape = tuple[int, int, int]  # of a batch: pictures, height and width


class Recorder(Protocol):
    """Records work on tensors of fixed shapes, `model.cuda_graphs` on a GPU."""

    def record(self, work: Work, given: Sequence[Tensor]) -> Callable[..., Tensor] | None:
        """Something to be called with such tensors, or None where it cannot be done."""


class DeviceExecution:
    """torch runs the network on an accelerator, operation by operation or, given a recorder, played back."""

    lanes = 1
    keeps_its_thread = True  # what one thread has recorded is played back from there

    def __init__(
        self,
        network: ProposalNetwork,
        device: torch.device,
        selection: SelectionConfig,
        calibration: Calibration | None,
        recorder: Recorder | None = None,
    ) -> None:
        self.runtime = f"{'torch' if recorder is None else 'cuda-graphs'} {network.precision}"
        self._network = network
        self._device = device
        self._selection = selection
        self._calibration = calibration
        self._recorder = recorder
        self._staging = Staging(device)
        self._recordings: dict[_Shape, Callable[..., Tensor] | None] = {}
        self._too_large: set[_Shape] = set()

    @property
    def drawing(self) -> "DeviceExecution | None":
        """Itself, if this device draws. Not kept: a cycle would hold a network that is let go of on its GPU."""
        return self if can_draw(self._device) else None

    def sizes_to_warm(self, largest: int) -> tuple[int, ...]:
        """One picture and the largest batch; with recordings all sizes that are recorded."""
        if self._recorder is None:
            return tuple(dict.fromkeys((1, largest)))
        return (*(2**power for power in range((largest - 1).bit_length())), largest)

    def propose(
        self, pixels: PixelArray, contents: FloatArray, selections: Sequence[Selection], *, alone: bool
    ) -> list[Proposals]:
        """Each picture's proposals on its canvas, as `model.execution.Execution`.

        Raises:
            DeviceOutOfMemory: a smaller batch may pass.
            DeviceLost: only a new process can go on.
        """
        return self._found([pixels], lambda placed: placed[0], contents, selections)

    def propose_undrawn(
        self,
        pictures: Sequence[PixelArray],
        placements: Sequence[Placement],
        contents: FloatArray,
        selections: Sequence[Selection],
    ) -> list[Proposals]:
        """The same from upright pictures, uint8 (h, w, 3), which it resizes itself; only where it is ``drawing``."""
        return self._found(undrawn(pictures, placements), partial(draw, placements=placements), contents, selections)

    @torch.inference_mode()
    def _found(
        self,
        arrays: Arrays,
        canvases: Callable[[list[Tensor]], Tensor],
        contents: FloatArray,
        selections: Sequence[Selection],
    ) -> list[Proposals]:
        wanted = Wanted.by(selections)
        # One array of all that is asked, and one copy: each that a recording is given is a call more.
        asked = np.column_stack((contents, wanted.ious.numpy(), wanted.thresholds.numpy()))
        try:
            packed = self._computed([*arrays, asked], canvases)
        except torch.OutOfMemoryError as error:
            traceback.clear_frames(error.__traceback__)
        except DeviceOutOfMemory as error:
            traceback.clear_frames(error.__traceback__)
            raise
        except torch.AcceleratorError as error:
            reason = str(error).splitlines()[0]
            if "out of memory" not in reason:  # as what is not torch's own allocator puts it
                # An illegal access or assert: the device's context is lost for good.
                raise DeviceLost(f"{self._device} has failed: {reason}") from error
            traceback.clear_frames(error.__traceback__)
        else:
            return unpack(packed, selections)
        # Nothing holds what was computed so far any more: neither a frame, nor an error that holds frames.
        torch.cuda.empty_cache()
        raise DeviceOutOfMemory(f"{self._device} cannot hold a batch of {len(contents)}")

    def _computed(self, arrays: Arrays, canvases: Callable[[list[Tensor]], Tensor]) -> FloatArray:
        """In a frame of its own: where memory is short, what it holds goes with it."""
        placed = self._staging.place(arrays)
        given = (canvases(placed), placed[-1])
        packed: FloatArray = self._quickly(given).cpu().numpy()
        if not all_settled(packed):
            packed = self._propose(*given, rounds=None).cpu().numpy()
        return packed

    def _quickly(self, given: tuple[Tensor, ...]) -> Tensor:
        recording = self._recording(given)
        if recording is None:
            return self._propose(*given, rounds=ROUNDS)
        return recording(*given)

    def _recording(self, given: tuple[Tensor, ...]) -> Callable[..., Tensor] | None:
        """For this canvas and the next power of two from this batch on, made where it is not there yet."""
        if self._recorder is None:
            return None
        count, height, width, _ = given[0].shape
        places = 1 << (count - 1).bit_length()
        shape = (places, height, width)
        if shape in self._too_large:
            raise DeviceOutOfMemory(f"{self._device} could not hold a batch of {places} before")
        if shape not in self._recordings:
            self._recordings[shape] = self._record(self._recorder, shape, given)
        return self._recordings[shape]

    def _record(self, recorder: Recorder, shape: _Shape, given: tuple[Tensor, ...]) -> Callable[..., Tensor] | None:
        places = shape[0]
        try:
            fitting = [tensor.new_zeros(places, *tensor.shape[1:]) for tensor in given]
            return recorder.record(partial(self._propose, rounds=ROUNDS), fitting)
        except torch.OutOfMemoryError:
            if places > 1:  # a lone picture, which cannot be halved, is tried again
                self._too_large.add(shape)
            raise

    def _propose(self, pixels: Tensor, asked: Tensor, *, rounds: int | None) -> Tensor:
        found = propose_on_device(
            self._network,
            pixels,
            asked[:, :2],
            Wanted(asked[:, 2], asked[:, 3]),
            self._selection,
            self._calibration,
            rounds=rounds,
        )
        return pack(found)


def on_accelerator(
    network: ProposalNetwork,
    device: str,
    selection: SelectionConfig,
    calibration: Calibration | None,
    *,
    recorded: bool,
) -> DeviceExecution:
    """On the device of this name, with CUDA graphs if it is to be recorded.

    In fp32 the whole process goes without TF32, which torch lets convolutions use: its 10 bits of mantissa would make a
    picture's boxes depend on the batch, whose size chooses the algorithm.
    """
    if network.precision == "fp32":
        torch.backends.cudnn.allow_tf32 = False
    # by its number, as the tensors that lie there name it
    place = torch.device("cuda", torch.cuda.current_device()) if device == "cuda" else torch.device(device)
    return DeviceExecution(network, place, selection, calibration, CUDAGraphRecorder(place) if recorded else None)
