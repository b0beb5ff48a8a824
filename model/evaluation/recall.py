"""Average recall of class-agnostic proposals, by the COCO protocol (Hosang et al. 2015; Lin et al. 2014).

A picture's N highest proposals are matched to its boxes greedily, the highest-scored first, each to the free box that
it overlaps most; recall is the share of all boxes found; average recall is its mean over the IoU thresholds. The same
numbers as pycocotools gives with ``useCats=0``, ``maxDets=N``; regions to ignore are no boxes and cost nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.structures import FloatArray

THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())
BUDGETS = (1, 10, 100, 300, 1000)
# COCO's: a small box is under 32^2 pixels of the picture, a large one over 96^2.
SIZES: dict[str, tuple[float, float]] = {
    "all": (0.0, float("inf")),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, float("inf")),
}


@dataclass(frozen=True, slots=True)
class RecallInput:
    """One picture: its proposals, highest first, and its boxes, both float32 (_, 4) ``xyxy`` in the same pixels."""

    proposals: FloatArray
    boxes: FloatArray


@dataclass(frozen=True, slots=True)
class Recall:
    """``values[size][budget]``: recall at each of `THRESHOLDS`; ``counts[size]``: how many boxes there are.

    Without boxes of a size the recall is NaN, as there is nothing to recall.
    """

    values: dict[str, dict[int, npt.NDArray[np.float64]]]
    counts: dict[str, int]

    def average(self, budget: int, size: str = "all") -> float:
        """AR@budget over all thresholds, for boxes of that size."""
        return float(self.values[size][budget].mean())

    def at(self, iou: float, budget: int, size: str = "all") -> float:
        """Recall at one of `THRESHOLDS`."""
        return float(self.values[size][budget][THRESHOLDS.index(iou)])

    def to_dict(self) -> dict[str, float]:
        """The figures by the names that the field uses, e.g. ``AR@100``, ``AR@100/small``, ``R@100/0.5``.

        What is not a number, as there are no such boxes, is left out.
        """
        figures = {f"AR@{budget}": self.average(budget) for budget in self.values["all"]}
        for size in ("small", "medium", "large"):
            figures |= {f"AR@{b}/{size}": self.average(b, size) for b in self.values[size]}
        for iou in (0.5, 0.7):
            figures |= {f"R@{b}/{iou}": self.at(iou, b) for b in self.values["all"]}
        return {name: round(value, 4) for name, value in figures.items() if not math.isnan(value)}


def measure_recall(pictures: Sequence[RecallInput], budgets: Sequence[int] = BUDGETS) -> Recall:
    """The recall of all pictures' boxes together, for each budget of proposals a picture.

    For a size, only the boxes of that size take part in the matching (COCO: the others are ignored, and a proposal
    prefers a box that is not).
    """
    values: dict[str, dict[int, npt.NDArray[np.float64]]] = {}
    counts = {}
    for size, (low, high) in SIZES.items():
        ranks = [_match_ranks(p.proposals[: max(budgets)], _of_area(p.boxes, low, high)) for p in pictures]
        joined = np.concatenate([np.zeros((len(THRESHOLDS), 0)), *ranks], axis=1)
        counts[size] = joined.shape[1]
        empty = np.full(len(THRESHOLDS), np.nan)
        values[size] = {b: (joined < b).mean(axis=1) if counts[size] else empty for b in budgets}
    return Recall(values, counts)


def _of_area(boxes: FloatArray, low: float, high: float) -> FloatArray:
    areas = _areas(boxes)
    return boxes[(areas >= low) & (areas <= high)]


def _match_ranks(proposals: FloatArray, boxes: FloatArray) -> npt.NDArray[np.float64]:
    """(T, G): the rank, from 0, of the proposal that finds each box at each threshold; infinity where none does.

    Greedy matching looks at proposals in rank order, so a box is found within N exactly if its rank is under N.
    """
    iou = _iou(proposals, boxes)  # (P, G)
    ranks = np.full((len(THRESHOLDS), len(boxes)), np.inf)
    near = np.flatnonzero((iou >= THRESHOLDS[0]).any(axis=1))
    for row, threshold in zip(ranks, THRESHOLDS, strict=True):
        for rank in near:
            free = np.where(np.isinf(row), iou[rank], -1.0)
            best = int(free.argmax())
            if free[best] >= threshold:
                row[best] = rank
    return ranks


def _iou(first: FloatArray, second: FloatArray) -> npt.NDArray[np.float64]:
    a, b = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    intersection: npt.NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    union = _areas(first)[:, None] + _areas(second)[None] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def _areas(boxes: FloatArray) -> npt.NDArray[np.float64]:
    sides: npt.NDArray[np.float64] = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
    return sides[:, 0] * sides[:, 1]
