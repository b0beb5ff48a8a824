"""How many pictures and boxes a split has, and how large they are, as training sees them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluation.recall import SIZES
from model.training.annotations import AnnotatedPicture, annotated
from model.training.records import PictureRecord


@dataclass(frozen=True, slots=True)
class Statistics:
    """One split. ``boxes`` are those that training uses: clipped, with area, regions to ignore (``ignored``) not
    counted. ``sizes``: how many of them are small (under 32^2 pixels of the picture), medium (under 96^2), large.
    ``categories``: how many records of boxes have each name."""

    pictures: int
    boxes: int
    ignored: int
    without_boxes: int
    sizes: dict[str, int]
    categories: dict[str, int]

    @property
    def boxes_per_picture(self) -> float:
        """The mean; 0 where there are no pictures."""
        return self.boxes / self.pictures if self.pictures else 0.0


def measure(records: Sequence[PictureRecord]) -> Statistics:
    """The statistics of a split."""
    pictures = [annotated(record) for record in records]
    names = Counter(box.category for record in records for box in record.boxes if box.category is not None)
    return Statistics(
        pictures=len(pictures),
        boxes=sum(len(p.boxes) for p in pictures),
        ignored=sum(len(p.ignored) for p in pictures),
        without_boxes=sum(len(p.boxes) == 0 for p in pictures),
        sizes=_sizes(pictures),
        categories=dict(names.most_common()),
    )


def _sizes(pictures: Sequence[AnnotatedPicture]) -> dict[str, int]:
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(p.boxes for p in pictures)])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    bins = np.digitize(areas, [SIZES["medium"][0], SIZES["large"][0]])
    return {name: int((bins == i).sum()) for i, name in enumerate(("small", "medium", "large"))}
