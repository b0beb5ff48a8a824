"""How each picture did, and which went best and worst."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.evaluation.findings import Findings
from model.evaluation.overlap import iou_matrix
from model.evaluation.recall import match_ranks
from model.structures import FloatArray

# The proposals that an object may be found by.
BUDGET = 100


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One picture: its position in the data set, its average recall within `BUDGET` proposals, and ``found``: bool
    (G,), which of its boxes were found at IoU 0.5.
    """

    index: int
    recall: float
    found: npt.NDArray[np.bool_]


def judge_pictures(findings: Findings) -> list[Exhibit]:
    """Every picture that has boxes; one without cannot be judged."""
    pairs = zip(findings.proposals, findings.pictures, strict=True)
    return [
        _judge(index, proposals.boxes, picture.boxes)
        for index, (proposals, picture) in enumerate(pairs)
        if len(picture.boxes)
    ]


def choose_extremes(exhibits: Sequence[Exhibit], count: int) -> tuple[list[Exhibit], list[Exhibit]]:
    """The best and the worst, at most ``count`` each and none twice; a lone picture is among the best.

    Of pictures with the same recall the one with more boxes goes first: it is the better find, or the worse miss.
    """
    best = sorted(exhibits, key=lambda e: (-e.recall, -len(e.found), e.index))[: min(count, (len(exhibits) + 1) // 2)]
    chosen = {e.index for e in best}
    worst = sorted(exhibits, key=lambda e: (e.recall, -len(e.found), e.index))
    return best, [e for e in worst if e.index not in chosen][:count]


def _judge(index: int, proposals: FloatArray, boxes: FloatArray) -> Exhibit:
    ranks = match_ranks(iou_matrix(proposals[:BUDGET], boxes))
    return Exhibit(index, float(np.isfinite(ranks).mean()), np.isfinite(ranks[0]))
