"""Which proposals cover an object: what a score should tell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.evaluation.overlap import iou_matrix, share_inside
from model.structures import Proposals
from model.training.annotations import AnnotatedPicture

# What detection calls found (PASCAL VOC), and the lowest of COCO's thresholds.
COVERING_IOU = 0.5
# A proposal with half of its area in a region to ignore cannot be judged; COCO asks the same of its crowds at IoU 0.5.
_IGNORED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Coverage:
    """The proposals of many pictures together, M in all.

    ``scores``: float32 (M,); ``covered``: bool (M,), whether it covers an object; ``pictures``: int64 (M,), the
    position of its picture; ``ranks``: int64 (M,), its rank there, from 0.
    """

    scores: npt.NDArray[np.float32]
    covered: npt.NDArray[np.bool_]
    pictures: npt.NDArray[np.int64]
    ranks: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def where(self, kept: npt.NDArray[np.bool_]) -> "Coverage":
        """Those proposals alone."""
        return Coverage(self.scores[kept], self.covered[kept], self.pictures[kept], self.ranks[kept])

    def top(self, count: int) -> "Coverage":
        """The ``count`` highest proposals of each picture."""
        return self.where(self.ranks < count)


def measure_coverage(proposals: Sequence[Proposals], pictures: Sequence[AnnotatedPicture]) -> Coverage:
    """All proposals that can be judged: what lies in a region to ignore, and covers no box, is left out."""
    rows = [_of_picture(index, *pair) for index, pair in enumerate(zip(proposals, pictures, strict=True))]
    return Coverage(
        scores=np.concatenate([np.zeros(0, np.float32), *(r.scores for r in rows)]),
        covered=np.concatenate([np.zeros(0, np.bool_), *(r.covered for r in rows)]),
        pictures=np.concatenate([np.zeros(0, np.int64), *(r.pictures for r in rows)]),
        ranks=np.concatenate([np.zeros(0, np.int64), *(r.ranks for r in rows)]),
    )


def _of_picture(index: int, proposals: Proposals, picture: AnnotatedPicture) -> Coverage:
    covered = np.logical_or.reduce(iou_matrix(proposals.boxes, picture.boxes) >= COVERING_IOU, axis=1)
    ignored = np.logical_or.reduce(share_inside(proposals.boxes, picture.ignored) >= _IGNORED_SHARE, axis=1)
    every = Coverage(proposals.scores, covered, np.full(len(proposals), index), np.arange(len(proposals)))
    return every.where(covered | ~ignored)
