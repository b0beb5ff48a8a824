"""Greedy non-maximum suppression on the host, over the pairs of boxes that lie near enough to matter.

The same boxes survive as with ``torchvision.ops.nms``: the overlap of a pair is computed as there, operation by
operation in float32. But that one goes through all pairs of a survivor and a lower box, one after the other. Here pairs
whose edges lie too far apart for such an overlap are never made, and the others are computed at once, for all levels
and pictures together.

For a box to go, its intersection with another must be wider than threshold * w, w the width of either. So their left
edges are less than (1 - threshold) * w apart, w the width of the one further left; and their top edges likewise.
"""

from functools import lru_cache
from typing import Protocol

import numpy as np

from model.host.ordering import IndexArray
from model.structures import FloatArray

# Boxes are taken in turns, highest first, the first one of so many boxes for each scene: where boxes crowd, its
# survivors suppress most of the others before these are paired with each other. A turn's pairs grow by its square, so
# the largest bounds the memory.
_FIRST_TURN = 128
_LARGEST_TURN = 1024
# Where only so many are wanted, one turn of a few more is often all it takes: with a limit of 150, 0.06 ms in the place
# of 0.17. A turn costs as much as its steps at least, and beyond some hundred boxes more than what it spares.
_BEYOND_LIMIT = 1.25
_FIRST_TURNS = (64, 256)
# From so many pairs on it pays to look at the top edges before gathering whole boxes.
_MANY_PAIRS = 4000
# Groups lie side by side, in float64, further apart than any canvas is wide.
_APART = 2.0**16
# Edges may lie further apart by this share of a side than in exact arithmetic, so that no overlap is missed that
# float32 rounds up to more than the threshold: its error is some 1e-6.
_SLACK = 1e-5


class Suppress(Protocol):
    """What suppresses as `suppress` does."""

    def __call__(
        self, boxes: FloatArray, groups: IndexArray, iou: float, *, scenes: int = 1, limit: int | None = None
    ) -> IndexArray:
        """The survivors."""


def suppress(
    boxes: FloatArray, groups: IndexArray, iou: float, *, scenes: int = 1, limit: int | None = None
) -> IndexArray:
    """The boxes, by their rising index, that no higher survivor of their group overlaps by more than ``iou``.

    ``boxes``: float32 (4, K), the planes of ``xyxy``, highest box first; coordinates from 0 to 2**15, ``x2 >= x1`` and
    ``y2 >= y1``. ``groups``: (K,), not negative; ``scenes``: how many pictures they are of. Once more than ``limit``
    survive, the rest is not looked at. Two empty boxes make NumPy warn of 0 / 0, unless it is told not to.
    """
    pairing = _Pairing(boxes, groups, iou)
    count = boxes.shape[1]
    stop = min(_first_turn(limit) * scenes, count)
    survivors = _settle(np.arange(stop), *pairing.within(np.arange(stop)))
    while stop < count and (limit is None or len(survivors) <= limit):
        start, stop = stop, min(stop + min(2 * stop, _LARGEST_TURN * scenes), count)
        turn = np.arange(start, stop)
        taken = np.zeros(len(turn), dtype=np.bool_)
        taken[pairing.under(survivors, turn)] = True
        turn = turn[~taken]
        survivors = np.concatenate((survivors, _settle(turn, *pairing.within(turn))))
    return survivors


def _first_turn(limit: int | None) -> int:
    if limit is None:
        return _FIRST_TURN
    fewest, most = _FIRST_TURNS
    return min(max(fewest, int(limit * _BEYOND_LIMIT)), most)


class _Pairing:
    """Finds pairs of boxes, by their index, that overlap by more than the threshold."""

    def __init__(self, boxes: FloatArray, groups: IndexArray, iou: float) -> None:
        self._boxes = boxes
        sides = boxes[2:] - boxes[:2]
        self._areas: FloatArray = sides[0] * sides[1]
        self._threshold = float32_below(iou)
        reach = sides * (1 - iou + _SLACK)
        self._left = groups * _APART
        self._left += boxes[0]
        self._right = self._left + reach[0]
        self._reach_down: FloatArray = reach[1]

    def within(self, turn: IndexArray) -> tuple[IndexArray, IndexArray]:
        """Those of one turn: the higher and the lower of each, as places in the turn."""
        left = self._left.take(turn)
        order = left.argsort()
        places = turn.take(order)
        following = np.arange(1, len(turn) + 1)
        ends = left.take(order).searchsorted(self._right.take(places), side="right")
        one, other = _expand(following, ends - following)
        near = self._overlapping(places.take(one), places.take(other))
        one, other = order.take(one.take(near)), order.take(other.take(near))
        return np.minimum(one, other), np.maximum(one, other)

    def under(self, survivors: IndexArray, turn: IndexArray) -> IndexArray:
        """The places in the turn of those that a survivor overlaps, some of them repeated."""
        order = self._left.take(turn).argsort()
        turn = turn.take(order)
        survivors = survivors.take(self._left.take(survivors).argsort())
        left, upper_left = self._left.take(turn), self._left.take(survivors)
        # a pair's left edges: the survivor's first (or both at one place), or the other's
        starts = left.searchsorted(upper_left, side="left")
        upper, lower = _expand(starts, left.searchsorted(self._right.take(survivors), side="right") - starts)
        starts = upper_left.searchsorted(left, side="right")
        lower_first, upper_next = _expand(
            starts, upper_left.searchsorted(self._right.take(turn), side="right") - starts
        )
        upper, lower = np.concatenate((upper, upper_next)), np.concatenate((lower, lower_first))
        near = self._overlapping(survivors.take(upper), turn.take(lower))
        return order.take(lower.take(near))

    def _overlapping(self, one: IndexArray, other: IndexArray) -> IndexArray:
        """The places of the pairs whose intersection over union is more than the threshold."""
        if len(one) < _MANY_PAIRS:
            return self._over(one, other)
        down = self._boxes[1].take(other)
        down -= self._boxes[1].take(one)
        near = down <= self._reach_down.take(one)
        near &= -down <= self._reach_down.take(other)
        places: IndexArray = near.nonzero()[0]
        return places[self._over(one.take(places), other.take(places))]

    def _over(self, one: IndexArray, other: IndexArray) -> IndexArray:
        # In the order of torchvision's operations, so that float32 rounds alike; 0 / 0 where both boxes are empty.
        first, second = self._boxes.take(one, axis=1), self._boxes.take(other, axis=1)
        sides = np.minimum(first[2:], second[2:])
        sides -= np.maximum(first[:2], second[:2])
        np.maximum(sides, 0, out=sides)
        intersection: FloatArray = sides[0]
        intersection *= sides[1]
        union = self._areas.take(one)
        union += self._areas.take(other)
        union -= intersection
        intersection /= union
        over: IndexArray = (intersection > self._threshold).nonzero()[0]
        return over


def _expand(starts: IndexArray, counts: IndexArray) -> tuple[IndexArray, IndexArray]:
    """Of each i, with ``counts[i]`` partners from ``starts[i]`` on, all the pairs (i, partner)."""
    ends = counts.cumsum()
    owners = np.arange(len(counts)).repeat(counts)
    partners = (starts - ends + counts).take(owners)
    partners += np.arange(len(owners))
    return owners, partners


def _settle(turn: IndexArray, higher: IndexArray, lower: IndexArray) -> IndexArray:
    """Those of the turn that remain, given which of them, by their places, overlap."""
    gone = np.zeros(len(turn), dtype=np.bool_)
    while len(higher):
        # Whoever is under nobody that is still in question is kept for good, and those under him are not.
        under = np.zeros(len(turn), dtype=np.bool_)
        under[lower] = True
        gone[lower[~under.take(higher)]] = True
        still = (~(gone.take(higher) | gone.take(lower))).nonzero()[0]
        higher, lower = higher.take(still), lower.take(still)
    return turn[~gone]


@lru_cache(maxsize=128)
def float32_below(threshold: float) -> np.float32:
    """The highest float32 that is not above: what exceeds the one exceeds the other, as torchvision compares them."""
    nearest = np.float32(threshold)
    return nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-1))
