"""A network whose convolutions OpenVINO computes: on a CPU it fuses and lays out what torch runs one by one.

The graph is taken from the network itself when it is loaded, for pictures of any size, so that one compiled model
serves every canvas; normalisation, anchors, selection and the second stage's boxes stay as they are.
"""

import contextlib
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.network.convolutions import Convolutions
from model.network.head import flatten_maps
from model.network.network import ProposalNetwork
from model.network.rpn import ScoredAnchors
from model.structures import Canvas, FloatArray

# Whichever picture the operations are recorded on, they hold for all.
_EXAMPLE = (1, 64, 64, 3)


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the processor a compiled model takes: ``calls`` at once, with ``threads`` among all of them."""

    threads: int
    calls: int = 1


def compile_convolutions(network: ProposalNetwork, shares: Sequence[Share], dtype: torch.dtype) -> list[Any]:
    """A network's `Convolutions` as OpenVINO models, one for each share of this processor.

    They compute in float32 or bfloat16, and take and give float32.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    from openvino import Core

    graph, core = _graph(network), Core()
    precision = "bf16" if dtype is torch.bfloat16 else "f32"
    return [
        core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": precision,
                "INFERENCE_NUM_THREADS": share.threads,
                "NUM_STREAMS": share.calls,
                "ENABLE_CPU_PINNING": False,  # or every process of a machine would take the same first cores
            },
        )
        for share in shares
    ]


def _graph(network: ProposalNetwork) -> Any:
    """The network's operations, recorded by torch and read by OpenVINO, for pictures of any size."""
    from openvino import PartialShape, Type
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros(_EXAMPLE)
    try:
        with torch.no_grad(), _quiet():
            recorded = torch.jit.trace(Convolutions(network).eval(), (example,), check_trace=False)  # type: ignore[no-untyped-call]
            # The decoder must outlive the conversion: the front end only borrows it.
            decoder = TorchScriptPythonDecoder(torch.jit.freeze(recorded), example_input=(example,))
        front_end = FrontEndManager().load_by_framework("pytorch")
        graph = front_end.load(decoder)
        (pictures,) = graph.get_inputs()
        graph.set_element_type(pictures, Type.f32)
        graph.set_partial_shape(pictures, PartialShape([-1, -1, -1, 3]))
        return front_end.convert(graph)
    finally:
        # torch keeps every recorded module's weights with its type, for good: 25 MB a model that nobody uses again.
        torch.jit._state._clear_class_state()
        torch._C._jit_clear_class_registry()


class OpenVINONetwork:
    """Called as the `ProposalNetwork` that it was made of, from as many threads as its share has calls.

    What it returns are views of the calling thread's own buffers, good until that thread's next call.
    """

    def __init__(self, network: ProposalNetwork, compiled: Any) -> None:
        self.refinement = network.refinement
        self._scale, self._shift = network.normalisation.scale.numpy(), network.normalisation.shift.numpy()
        self._anchor_generator = network.rpn.anchor_generator
        self._levels = len(network.backbone.strides)
        self._compiled = compiled
        self._own = threading.local()

    def __call__(self, pixels: Tensor, contents: Tensor) -> ScoredAnchors:
        """Score every anchor of N pictures: pixels uint8 (N, H, W, 3), contents float32 (N, 2) as (width, height)."""
        outputs = self._infer(self._normalised(pixels, contents))
        logits, deltas = outputs[: self._levels], outputs[self._levels : 2 * self._levels]
        features = [level.permute(0, 3, 1, 2) for level in outputs[2 * self._levels :]]
        canvas = Canvas(width=int(pixels.shape[2]), height=int(pixels.shape[1]))
        maps = tuple((int(level.shape[1]), int(level.shape[2])) for level in logits)
        return ScoredAnchors(
            *flatten_maps(logits, deltas), self._anchor_generator(canvas, maps, pixels.device), features
        )

    def _normalised(self, pixels: Tensor, contents: Tensor) -> FloatArray:
        """As `Normalisation` does it, in NumPy: torch's threads, once awake, get in the way of OpenVINO's."""
        count, height, width, channels = pixels.shape
        rows = pixels.numpy().reshape(count, height, -1).astype(np.float32)
        rows *= np.tile(self._scale, width)  # a whole row at a time: NumPy is slow where the last axis is of three
        rows += np.tile(self._shift, width)
        pictures: FloatArray = rows.reshape(count, height, width, channels)
        for picture, (right, bottom) in zip(pictures, contents.int().tolist(), strict=True):
            picture[bottom:] = 0
            picture[:, right:] = 0
        return pictures

    def _infer(self, pictures: FloatArray) -> list[Tensor]:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        found = self._own.request.infer([pictures], share_inputs=True, share_outputs=True)
        return [torch.from_numpy(found[port]) for port in self._compiled.outputs]


def hand_over(network: ProposalNetwork) -> None:
    """Let go of what the graph has taken over: the convolutions' weights are in the compiled model now."""
    network.backbone.to_empty(device="meta")
    network.rpn.head.to_empty(device="meta")
    if network.refinement is not None:
        network.refinement.register_module("narrow", nn.Identity())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings that torch's tracing is going to be replaced: its successor takes seconds for each network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
