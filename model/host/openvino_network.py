"""A network that OpenVINO computes: on a CPU it fuses and lays out what torch runs one by one.

One compiled model serves every canvas. Anchors, selection, and normalisation where the graph does not read pixels, are
NumPy's work.
"""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from model.config import ModelConfig
from model.host.anchors import AnchorGenerator
from model.host.graphs import Graphs
from model.host.mapped_weights import MappedWeights
from model.host.openvino_core import core
from model.host.openvino_suppression import fastest_nms
from model.host.scored import RefinedBoxes, ScoredAnchors
from model.host.share import Share
from model.structures import Canvas, FloatArray, PixelArray


class OpenVINONetwork:
    """Scores and refines, from as many threads as its share has calls.

    ``precision``: fp32, bf16 or int8, of the convolutions; the second stage is fp32, since it reckons with coordinates.
    ``anchors``: another network's, of the same model, so that they and what is made of them are there once. What
    `score` returns are views of the calling thread's own buffers, good until that thread's next call.

    Raises:
        ImportError: OpenVINO is not installed.
    """

    def __init__(
        self, config: ModelConfig, graphs: Graphs, share: Share, precision: str, anchors: AnchorGenerator | None = None
    ) -> None:
        self.config = config
        # The arithmetic of `model.network.normalisation`, so that both give the same to the last bit.
        mean, std = (np.array(values, dtype=np.float32) for values in (config.input.mean, config.input.std))
        self._scale: FloatArray = np.reciprocal(255 * std)
        self._shift: FloatArray = -mean / std
        self.anchors = anchors or AnchorGenerator(config.anchors, graphs.strides)
        self._levels = len(graphs.strides)
        self._frame = graphs.frame
        self._mean_colour: PixelArray = np.rint(255 * np.clip(mean, 0, 1)).astype(np.uint8)
        self._convolutions = _Compiled(graphs.convolutions, share, "bf16" if precision == "bf16" else "f32")
        self._refinement = None if graphs.refinement is None else _Compiled(graphs.refinement, share, "f32")
        self.nms = fastest_nms(share)

    @property
    def reads_pixels(self) -> bool:
        """Whether its first layer normalises what it reads, in integers."""
        return self._frame is not None

    def score(self, pixels: PixelArray, contents: FloatArray) -> ScoredAnchors:
        """Score every anchor of N pictures: pixels uint8 (N, H, W, 3), contents float32 (N, 2) as (width, height)."""
        count, height, width, _ = pixels.shape
        prepare = self._framed if self.reads_pixels else self._normalised
        found = self._convolutions([prepare(pixels, contents)])
        logits, deltas = found[: self._levels], found[self._levels : 2 * self._levels]
        maps = tuple((int(level.shape[1]), int(level.shape[2])) for level in logits)
        return ScoredAnchors(
            [level.reshape(count, -1) for level in logits],
            [level.reshape(count, -1, 4) for level in deltas],
            self.anchors(Canvas(width=width, height=height), maps),
            found[2 * self._levels :],
        )

    def refine(self, features: Sequence[FloatArray], boxes: FloatArray, logits: FloatArray) -> RefinedBoxes:
        """The second stage on one picture's K boxes (K, 4) and logits (K,).

        ``features``: L times (H_l, W_l, C), of `score`.
        """
        assert self._refinement is not None
        table = np.concatenate([level.reshape(-1, level.shape[-1]) for level in features])
        maps = np.array([level.shape[:2] for level in features], dtype=np.int64)
        # The graph takes one number of boxes only; an empty one costs as much as any other and is dropped again.
        (at_once,) = self._refinement.input_shape(3)
        room = -(-len(boxes) // at_once) * at_once
        given_boxes, given_logits = np.zeros((room, 4), dtype=np.float32), np.zeros(room, dtype=np.float32)
        given_boxes[: len(boxes)], given_logits[: len(boxes)] = boxes, logits
        moved, new_logits = np.empty_like(given_boxes), np.empty_like(given_logits)
        for start in range(0, room, at_once):
            part = slice(start, start + at_once)
            new_logits[part], moved[part] = self._refinement([table, maps, given_boxes[part], given_logits[part]])
        return RefinedBoxes(moved[: len(boxes)], new_logits[: len(boxes)])

    def _framed(self, pixels: PixelArray, contents: FloatArray) -> PixelArray:
        """The pictures' contents on the mean colour, which is what padding is."""
        assert self._frame is not None
        count, height, width, channels = pixels.shape
        frame = self._frame
        framed: PixelArray = np.empty((count, height + 2 * frame, width + 2 * frame, channels), dtype=np.uint8)
        rows = framed.reshape(count, height + 2 * frame, -1)
        rows[...] = np.tile(self._mean_colour, width + 2 * frame)  # a row at a time, as in `_normalised`
        for picture, whole, (right, bottom) in zip(framed, pixels, contents.astype(int).tolist(), strict=True):
            picture[frame : frame + bottom, frame : frame + right] = whole[:bottom, :right]
        return framed

    def _normalised(self, pixels: PixelArray, contents: FloatArray) -> FloatArray:
        count, height, width, channels = pixels.shape
        rows = pixels.reshape(count, height, -1).astype(np.float32)
        rows *= np.tile(self._scale, width)  # a whole row at a time: NumPy is slow where the last axis is of three
        rows += np.tile(self._shift, width)
        pictures: FloatArray = rows.reshape(count, height, width, channels)
        for picture, (right, bottom) in zip(pictures, contents.astype(int).tolist(), strict=True):
            picture[bottom:] = 0
            picture[:, right:] = 0
        return pictures


class _Compiled:
    """A graph compiled for this processor; each thread that calls it has buffers of its own."""

    def __init__(self, graph: Any, share: Share, precision: str) -> None:
        self._model = core().compile_model(graph, "CPU", share.options(precision))
        self._weights = MappedWeights(graph)
        self._own = threading.local()

    def input_shape(self, number: int) -> tuple[int, ...]:
        """The shape of an input that has one."""
        return tuple(self._model.inputs[number].shape)

    def __call__(self, inputs: Sequence[Any]) -> list[FloatArray]:
        if not hasattr(self._own, "request"):
            self._own.request, self._own.shapes = self._model.create_infer_request(), set()
        found = self._own.request.infer(inputs, share_inputs=True, share_outputs=True)
        if inputs[0].shape not in self._own.shapes:  # it has laid out for this one what it had not yet
            self._own.shapes.add(inputs[0].shape)
            self._weights.let_go()
        return [found[port] for port in self._model.outputs]
