"""A network that OpenVINO computes on a CPU, without torch in the process."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from model.calibration import Calibration
from model.config import ModelConfig
from model.cores import default_threads
from model.host.graphs import Graphs
from model.host.openvino_network import OpenVINONetwork, Share
from model.host.proposing import propose
from model.structures import Canvas, FloatArray, PixelArray, Proposals, Selection

_log = logging.getLogger("model.execution")


class OpenVINOExecution:
    """The graphs are compiled twice: for one call on all cores, and for as many calls at once as there are lanes.

    The second is made in the background when calls first come together; until then they take turns on the first.
    """

    def __init__(
        self, config: ModelConfig, graphs: Graphs, precision: str, lanes: int, calibration: Calibration | None
    ) -> None:
        self.lanes = lanes
        self.runtime = f"openvino {precision}"
        self.keeps_its_thread = False
        self._config = config
        self._calibration = calibration
        self._precision = precision
        self._threads = default_threads()
        self._whole = OpenVINONetwork(config, graphs, Share(self._threads), precision)
        self._graphs: Graphs | None = graphs if lanes > 1 else None  # let go of once compiled
        self._shared: OpenVINONetwork | None = None
        self._sharing = threading.Lock()  # once taken, for good: it is made once

    def propose(
        self, pixels: PixelArray, contents: FloatArray, selections: Sequence[Selection], *, alone: bool
    ) -> list[Proposals]:
        """Each picture's proposals on its canvas, as `model.execution.Execution`."""
        return propose(self.network(alone=alone), pixels, contents, selections, self._calibration)

    def network(self, *, alone: bool) -> OpenVINONetwork:
        """The compiled network for this call."""
        if alone or self.lanes == 1:
            return self._whole
        if self._sharing.acquire(blocking=False):
            threading.Thread(target=self._share, name="sharing", daemon=True).start()
        return self._shared or self._whole

    def _share(self) -> None:
        """Every canvas as often at once as there are lanes: each of them has kernels of its own."""
        assert self._graphs is not None
        try:
            share = Share(max(self._threads, self.lanes), self.lanes)
            network = OpenVINONetwork(self._config, self._graphs, share, self._precision, self._whole.anchors)
            with ThreadPoolExecutor(self.lanes, thread_name_prefix="sharing") as threads:
                for canvas in self._config.input.canvases:
                    list(threads.map(_run_blank, [network] * self.lanes, [canvas] * self.lanes))
        except Exception:
            _log.exception("calls cannot share the processor; they go on taking turns")
        else:
            self._shared = network
        self._graphs = None


def _run_blank(network: OpenVINONetwork, canvas: Canvas) -> None:
    contents = np.array([[canvas.width, canvas.height]], dtype=np.float32)
    propose(network, np.zeros((1, canvas.height, canvas.width, 3), dtype=np.uint8), contents, [Selection()])
