"""How much boxes overlap, in float64, as COCO's own evaluation computes it."""

import numpy as np
import numpy.typing as npt

from model.structures import FloatArray

Overlaps = npt.NDArray[np.float64]


def areas(boxes: FloatArray) -> Overlaps:
    """(N,), in square pixels, of boxes (N, 4) ``xyxy``."""
    sides: Overlaps = np.diff(boxes.astype(np.float64).reshape(-1, 2, 2), axis=1)[:, 0]
    return sides[:, 0] * sides[:, 1]


def iou_matrix(first: FloatArray, second: FloatArray) -> Overlaps:
    """(N, M): intersection over union of boxes (N, 4) and (M, 4); 0 where neither box has an area."""
    intersection = _intersections(first, second)
    return _ratio(intersection, areas(first)[:, None] + areas(second)[None] - intersection)


def share_inside(boxes: FloatArray, regions: FloatArray) -> Overlaps:
    """(N, M): the share of each box (N, 4) that lies in each region (M, 4); COCO's overlap with a crowd."""
    intersection = _intersections(boxes, regions)
    return _ratio(intersection, np.broadcast_to(areas(boxes)[:, None], intersection.shape))


def _intersections(first: FloatArray, second: FloatArray) -> Overlaps:
    a, b = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    product: Overlaps = sides[..., 0] * sides[..., 1]
    return product


def _ratio(part: Overlaps, whole: Overlaps) -> Overlaps:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
