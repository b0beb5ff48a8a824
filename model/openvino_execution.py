"""A network that OpenVINO computes on a CPU, without torch in the process."""

from collections.abc import Sequence

from model.calibration import Calibration
from model.config import ModelConfig
from model.cores import default_threads
from model.host.graphs import Graphs
from model.host.openvino_network import OpenVINONetwork
from model.host.picture_layer import reading_pixels
from model.host.proposing import propose
from model.host.share import Share
from model.host.shared_network import SharedNetwork
from model.host.winograd import with_winograd
from model.precision import has_avx2, has_vnni
from model.structures import Canvas, FloatArray, PixelArray, Proposals, Selection


class OpenVINOExecution:
    """The graphs are compiled twice: for one call on all cores, and for as many calls at once as there are lanes.

    The second is made in the background when calls first come together; until then they take turns on the first.
    """

    drawing = None

    def __init__(
        self, config: ModelConfig, graphs: Graphs, precision: str, lanes: int, calibration: Calibration | None
    ) -> None:
        self.lanes = lanes
        self.runtime = f"openvino {precision}"
        self.keeps_its_thread = False
        self._calibration = calibration
        if precision == "int8" and has_vnni():
            graphs = reading_pixels(graphs, config.input)
        if precision == "fp32" and has_avx2():  # elsewhere it was not measured
            graphs = with_winograd(graphs, config.input.canvases)
        threads = default_threads()
        self._whole = OpenVINONetwork(config, graphs, Share(threads), precision)
        anchors = self._whole.anchors
        share = Share(max(threads, lanes), lanes)
        self._shared = (
            SharedNetwork(lambda: OpenVINONetwork(config, graphs, share, precision, anchors), lanes)
            if lanes > 1
            else None
        )

    def sizes_to_warm(self, largest: int) -> tuple[int, ...]:
        """One picture: more gain nothing here, and would take long."""
        return (1,)

    def propose(
        self, pixels: PixelArray, contents: FloatArray, selections: Sequence[Selection], *, alone: bool
    ) -> list[Proposals]:
        """Each picture's proposals on its canvas, as `model.execution.Execution`."""
        canvas = Canvas(width=pixels.shape[2], height=pixels.shape[1])
        return propose(self.network(canvas, alone=alone), pixels, contents, selections, self._calibration)

    def network(self, canvas: Canvas, *, alone: bool) -> OpenVINONetwork:
        """The compiled network for a call on this canvas."""
        shared = None if alone or self._shared is None else self._shared.at(canvas)
        return shared or self._whole
