"""Average recall of class-agnostic proposals, by the COCO protocol (Hosang et al. 2015; Lin et al. 2014).

A picture's N highest proposals are matched to its boxes greedily, the highest-scored first, each to the free box that
it overlaps most; recall is the share of all boxes found; average recall is its mean over the IoU thresholds. The same
numbers as pycocotools gives with ``useCats=0``, ``maxDets=N`` on the same boxes, to the last bit
(`tests/model/evaluation/test_coco_parity.py`); regions to ignore are no boxes and cost nothing.

Two things that pycocotools knows and we do not: an object's area is that of its box, not of its mask; and boxes stand
in the order of the file, not category by category, which only matters where two IoUs are equal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.evaluation.overlap import areas, iou_matrix
from model.structures import FloatArray

# Unrounded, as pycocotools has them: 0.9 is 0.8999999999999999 there, and an IoU can lie in between.
THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
BUDGETS = (1, 10, 100, 300, 1000)
# COCO's: a small box has at most 32^2 pixels, a large one at least 96^2; a box on the border is of both sizes.
SIZES: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e5**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}
# The figures of all sizes by their names: average recall, and recall at one IoU.
FIGURES = (*(f"AR@{b}" for b in BUDGETS), *(f"R@{b}/{iou}" for b in BUDGETS for iou in (0.5, 0.7)))


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
        """Recall at one of `THRESHOLDS`, given to two decimals.

        Raises:
            ValueError: it is none of them.
        """
        places = [round(threshold, 2) for threshold in THRESHOLDS]
        return float(self.values[size][budget][places.index(iou)])

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
    found: dict[str, list[npt.NDArray[np.float64]]] = {size: [np.zeros((len(THRESHOLDS), 0))] for size in SIZES}
    for picture in pictures:
        iou = iou_matrix(picture.proposals[: max(budgets)], picture.boxes)
        area = areas(picture.boxes)
        for size, (low, high) in SIZES.items():
            found[size].append(match_ranks(iou[:, (area >= low) & (area <= high)]))
    ranks = {size: np.concatenate(rows, axis=1) for size, rows in found.items()}  # (T, G) each
    return Recall(
        values={size: {b: _share_under(b, row) for b in budgets} for size, row in ranks.items()},
        counts={size: row.shape[1] for size, row in ranks.items()},
    )


def match_ranks(iou: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(T, G): the rank, from 0, of the proposal that finds each box at each threshold; infinity where none does.

    ``iou``: (P, G), the proposals in rank order. Greedy matching looks at them in that order, so a box is found
    within N exactly if its rank is under N. All thresholds are matched side by side, for speed.
    """
    thresholds, rows = np.array(THRESHOLDS), np.arange(len(THRESHOLDS))
    ranks = np.full((len(THRESHOLDS), iou.shape[1]), np.inf)
    for rank in np.flatnonzero((iou >= thresholds[0]).any(axis=1)):
        free = np.where(np.isinf(ranks), iou[rank], -1.0)
        best = free.shape[1] - 1 - free[:, ::-1].argmax(axis=1)  # of equal ones the last, as pycocotools takes it
        matched = free[rows, best] >= thresholds
        ranks[rows[matched], best[matched]] = rank
    return ranks


def _share_under(budget: int, ranks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(T,): how many of the boxes are found within the budget; without boxes NaN."""
    if not ranks.shape[1]:
        return np.full(len(THRESHOLDS), np.nan)
    share: npt.NDArray[np.float64] = (ranks < budget).mean(axis=1)
    return share
