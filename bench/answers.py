"""Whether two answers to one picture hold the same boxes."""

from dataclasses import dataclass

import numpy as np

from model.structures import FloatArray

# What callers use most, and what is left of the ranking where scores are as good as equal.
TOP = 100
# A box that has moved by less is the same to anybody who looks at a picture.
TOLERANCE_PX = 0.5
# x1, y1, x2, y2, score
_NUMBERS = 5


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well an answer holds the boxes of another.

    ``same``: the share of the other's top boxes that lie within `TOLERANCE_PX` of one of its own, in [0, 1];
    ``furthest_px``: the largest distance among those.
    """

    same: float
    furthest_px: float


def read_floats(body: bytes) -> FloatArray:
    """An ``application/octet-stream`` answer: float32 (K, 5)."""
    return np.frombuffer(body, dtype="<f4").reshape(-1, _NUMBERS).astype(np.float32)


def agreement(reference: FloatArray, boxes: FloatArray) -> Agreement:
    """How many of the reference's first `TOP` boxes (K, 4 or more columns) there are; the ranking may differ in ties.

    >>> one = np.array([[0, 0, 10, 10]], dtype=np.float32)
    >>> agreement(one, one + 0.25)
    Agreement(same=1.0, furthest_px=0.25)
    """
    wanted = reference[:TOP, :4]
    if not len(wanted):
        return Agreement(1.0 if not len(boxes) else 0.0, 0.0)
    if not len(boxes):
        return Agreement(0.0, 0.0)
    distances = np.abs(wanted[:, None] - boxes[None, :, :4]).max(axis=2).min(axis=1)
    near = distances[distances <= TOLERANCE_PX]
    return Agreement(float(len(near) / len(wanted)), float(near.max()) if len(near) else 0.0)
