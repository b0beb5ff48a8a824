"""A network that torch computes on a CPU."""

from collections.abc import Sequence

import torch

from model.calibration import Calibration
from model.config import SelectionConfig
from model.cores import default_threads
from model.network.network import ProposalNetwork
from model.network.proposing import propose
from model.structures import FloatArray, PixelArray, Proposals, Selection


class TorchExecution:
    """torch runs the network; each thread takes the share of the cores that its call is due."""

    drawing = None

    def __init__(
        self, network: ProposalNetwork, lanes: int, selection: SelectionConfig, calibration: Calibration | None
    ) -> None:
        self.lanes = lanes
        self.runtime = f"torch {network.precision}"
        # Each thread that takes several cores keeps threads of its own; with more of them than cores they stop spinning
        # between two operations, and every one waits to be woken: 55 ms a picture instead of 31.
        self.keeps_its_thread = True
        self._network = network
        self._selection = selection
        self._calibration = calibration
        self._threads = min(default_threads(), torch.get_num_threads())

    def sizes_to_warm(self, largest: int) -> tuple[int, ...]:
        """One picture: more gain nothing here, and would take long."""
        return (1,)

    @torch.inference_mode()
    def propose(
        self, pixels: PixelArray, contents: FloatArray, selections: Sequence[Selection], *, alone: bool
    ) -> list[Proposals]:
        """Each picture's proposals on its canvas, as `model.execution.Execution`."""
        use_threads(self._threads if alone else max(1, self._threads // self.lanes))
        given = torch.from_numpy(pixels), torch.from_numpy(contents)
        found = propose(self._network, *given, self._selection, selections, self._calibration)
        return [Proposals(one.boxes.numpy(), one.scores.numpy(), one.truncated) for one in found]


def use_threads(count: int) -> None:
    """Set how many threads torch takes for what the calling thread asks of it."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
