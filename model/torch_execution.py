"""A network that torch computes, on a CPU or a GPU."""

from collections.abc import Sequence
from itertools import accumulate

import torch

from model.calibration import Calibration
from model.config import SelectionConfig
from model.cores import default_threads
from model.errors import DeviceError, DeviceOutOfMemory
from model.network.network import ProposalNetwork
from model.network.proposing import propose
from model.network.selected_boxes import SelectedBoxes
from model.structures import FloatArray, PixelArray, Proposals, Selection

_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}


class TorchExecution:
    """torch runs the network; on a CPU each thread takes the share of the cores that its call is due."""

    def __init__(
        self,
        network: ProposalNetwork,
        device: torch.device,
        lanes: int,
        selection: SelectionConfig,
        calibration: Calibration | None,
    ) -> None:
        self.lanes = lanes
        self.runtime = f"torch {_NAMES[next(network.backbone.parameters()).dtype]}"
        # Each thread that takes several cores keeps threads of its own; with more of them than cores they stop spinning
        # between two operations, and every one waits to be woken: 55 ms a picture instead of 31.
        self.keeps_its_thread = True
        self._network = network
        self._device = device
        self._selection = selection
        self._calibration = calibration
        self._threads = min(default_threads(), torch.get_num_threads())

    @torch.inference_mode()
    def propose(
        self, pixels: PixelArray, contents: FloatArray, selections: Sequence[Selection], *, alone: bool
    ) -> list[Proposals]:
        """Each picture's proposals on its canvas, as `model.execution.Execution`.

        Raises:
            DeviceOutOfMemory: a smaller batch may pass.
            DeviceError: the device is lost; only a new process can go on.
        """
        if self._device.type == "cpu":
            use_threads(self._threads if alone else max(1, self._threads // self.lanes))
        try:
            found = propose(
                self._network,
                torch.from_numpy(pixels).to(self._device),
                torch.from_numpy(contents).to(self._device),
                self._selection,
                selections,
                self._calibration,
            )
            return _on_host(found)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise DeviceOutOfMemory(f"{self._device} cannot hold a batch of {len(pixels)}") from error
        except torch.AcceleratorError as error:  # an illegal access or assert: the device's context is lost for good
            raise DeviceError(f"{self._device} has failed: {str(error).splitlines()[0]}") from error


def _on_host(found: Sequence[SelectedBoxes]) -> list[Proposals]:
    """The batch's boxes and scores, in one copy: each waits for all that the device has yet to do."""
    rows = torch.cat([torch.cat((one.boxes, one.scores[:, None]), dim=1) for one in found]).cpu().numpy()
    ends = list(accumulate(len(one.boxes) for one in found))
    pictures = [rows[end - len(one.boxes) : end] for one, end in zip(found, ends, strict=True)]
    return [
        Proposals(row[:, :4].copy(), row[:, 4].copy(), one.truncated) for row, one in zip(pictures, found, strict=True)
    ]


def use_threads(count: int) -> None:
    """Set how many threads torch takes for what the calling thread asks of it."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
