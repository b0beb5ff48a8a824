"""Greedy non-maximum suppression by OpenVINO: on x86 it looks at as many boxes a step as a register holds.

The same boxes survive as `model.host.suppression.suppress` leaves: the overlap of a pair is computed by the same
operations in float32.
"""

import threading
from typing import Any

import numpy as np

from model.host.openvino_core import core
from model.host.ordering import IndexArray
from model.host.share import Share
from model.host.suppression import Suppress, float32_below, suppress
from model.precision import has_avx2
from model.structures import FloatArray

# Fewer boxes are NumPy's, which stops at the caller's limit while OpenVINO still wakes its threads: of 440 with a limit
# of 150 it took 0.08 ms, and what follows MobileNetV3 0.16 ms in the place of 0.42.
_FEW = 1024
# A box's score here is how many are above it, negative; below the bound is what only fills a group up.
_BOUND, _FILLING = np.float32(-(2.0**30)), np.float32(-(2.0**31))

_TINY = np.finfo(np.float32).tiny  # what is smaller a processor may be told to take for nothing


def fastest_nms(share: Share) -> Suppress:
    """OpenVINO's on an x86 with AVX2; elsewhere it goes through pairs one by one, and NumPy's is the faster.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    return OpenVINOSuppression(share) if has_avx2() else suppress


class OpenVINOSuppression:
    """Called as `suppress`, from as many threads as its share has calls.

    Raises:
        ImportError: OpenVINO is not installed.
    """

    def __init__(self, share: Share) -> None:
        self._model = core().compile_model(_graph(), "CPU", share.options("f32"))
        self._own = threading.local()

    def __call__(
        self, boxes: FloatArray, groups: IndexArray, iou: float, *, scenes: int = 1, limit: int | None = None
    ) -> IndexArray:
        """The boxes, by their rising index, that no higher survivor of their group overlaps by more than ``iou``."""
        count = boxes.shape[1]
        if count < _FEW:
            return suppress(boxes, groups, iou, scenes=scenes, limit=limit)
        groups = groups - groups.min()  # a batch's last picture would come with an empty row for each before it
        # Groups are a batch's pictures times their levels, some dozens: 16 bits NumPy sorts eight times as fast as 64.
        order = groups.astype(np.uint16).argsort(kind="stable")
        sizes = np.bincount(groups)
        ends = sizes.cumsum()
        starts = ends - sizes
        sorted_boxes, sorted_scores = boxes.T.take(order, axis=0), np.negative(order, dtype=np.float32)
        laid = np.zeros((len(sizes), sizes.max(), 4), dtype=np.float32)
        scores = np.full((len(sizes), 1, sizes.max()), _FILLING, dtype=np.float32)
        for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            laid[row, : end - start] = sorted_boxes[start:end]
            scores[row, 0, : end - start] = sorted_scores[start:end]
        wanted = count if limit is None else min(limit + 1, count)
        found, number = self._infer([laid, scores, np.array(wanted), np.array(_least_over(iou))])
        chosen = found[: int(number[0])]
        survivors: IndexArray = order.take(starts.take(chosen[:, 0]) + chosen[:, 2])
        survivors.sort()
        return survivors

    def _infer(self, inputs: list[Any]) -> list[Any]:
        if not hasattr(self._own, "request"):
            self._own.request = self._model.create_infer_request()
        found = self._own.request.infer(inputs, share_inputs=True, share_outputs=True)
        return [found[port] for port in self._model.outputs]


def _least_over(iou: float) -> np.float32:
    """OpenVINO's threshold is the least overlap that a box goes for, ours the most that it stays for."""
    following = np.nextafter(float32_below(iou), np.float32(np.inf))
    return max(following, _TINY)


def _graph() -> Any:
    """Of groups of boxes (G, K, 4), their scores (G, 1, K), the most wanted of each and the threshold: the survivors.

    Those are rows of group, 0, place (M', 3), of which the first M count, and M.
    """
    from openvino import Model, opset9

    boxes, scores = opset9.parameter([-1, -1, 4], np.float32), opset9.parameter([-1, 1, -1], np.float32)
    most, iou = opset9.parameter([], np.int64), opset9.parameter([], np.float32)
    kept = opset9.non_max_suppression(
        boxes, scores, most, iou, opset9.constant(_BOUND), opset9.constant(np.float32(0)), "corner", False, "i32"
    )
    return Model([kept.output(0), kept.output(2)], [boxes, scores, most, iou])
