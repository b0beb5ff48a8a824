"""The boxes that compete on the host: each level's highest anchors, decoded and clipped, of a whole batch at once.

Planes, not rows: NumPy runs along the last axis, so ``xyxy`` comes first and the boxes last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

import numpy as np

from model.host.anchors import LevelAnchors
from model.host.box_planes import decode_planes
from model.host.ordering import IndexArray, partitioned
from model.host.scored import RefinedBoxes, ScoredAnchors
from model.structures import BoolArray, FloatArray

_NEVER = -np.inf  # the logit of an anchor that does not compete

# From so many anchors on it pays to rule most of them out by a bound, which every _STEP-th one gives. 37 shares no
# factor with the usual numbers of anchors at a place, so that all their kinds are among those looked at.
_MANY = 2**15
_STEP = 37

# How many of a thing are kept at once: seven models of nine canvases, and a service's cameras have few formats.
_KEPT = 64


@dataclass(frozen=True, slots=True)
class Candidates:
    """K boxes of all pictures of a batch, in no order.

    ``boxes``: float32 (4, K), the planes of ``xyxy``, clipped to each picture; ``logits``: float32 (K,); ``competing``:
    bool (K,), false for what is not finite or lies in the padding; ``pictures`` and ``groups``: whole numbers (K,), the
    picture that each is of, and the boxes among which it may be suppressed.
    """

    boxes: FloatArray
    logits: FloatArray
    competing: BoolArray
    pictures: IndexArray
    groups: IndexArray


def anchor_candidates(scored: ScoredAnchors, contents: FloatArray, top_n: int) -> Candidates:
    """The ``top_n`` highest anchors of each level and picture, without those in the padding; a group is a level."""
    levels = tuple(scored.anchors)
    joined = _joined(levels)
    logits = _logits_inside(scored, levels, contents)
    places = _highest_of_levels(logits, joined.bounds, top_n)
    layout = _layout(len(logits), joined.bounds, tuple(level.shape[1] for level in places))
    anchors = layout.in_picture(places)
    top = logits.take(anchors + layout.picture_starts)
    if not top.max() < np.inf:  # NaN or plus infinity has taken another's place
        logits = np.where(np.isfinite(logits), logits, _NEVER)
        places = _highest_of_levels(logits, joined.bounds, top_n)
        anchors = layout.in_picture(places)
        top = logits.take(anchors + layout.picture_starts)
    boxes = decode_planes(_deltas(scored, places), joined.boxes.take(anchors, axis=1))
    _clip(boxes.reshape(4, len(logits), -1), contents)
    return Candidates(boxes, top, np.isfinite(top), layout.pictures, layout.groups)


def refined_candidates(refined: Sequence[RefinedBoxes], contents: FloatArray) -> Candidates:
    """All boxes of the second stage; a group is a picture."""
    planes = []
    for found, size in zip(refined, contents, strict=True):
        boxes = np.array(found.boxes.T, order="C")
        _clip(boxes[:, None], size[None])
        planes.append(boxes)
    logits = np.concatenate([found.logits for found in refined])
    pictures = np.arange(len(planes)).repeat([boxes.shape[1] for boxes in planes])
    return Candidates(np.concatenate(planes, axis=1), logits, np.isfinite(logits), pictures, pictures)


@dataclass(frozen=True, slots=True)
class _JoinedAnchors:
    """The R anchors of all levels: boxes as planes float32 (4, R), centres as columns float32 (2, R)."""

    boxes: FloatArray
    centres: FloatArray
    bounds: tuple[int, ...]


@lru_cache(maxsize=_KEPT)
def _joined(levels: tuple[LevelAnchors, ...]) -> _JoinedAnchors:
    boxes = np.concatenate([level.boxes.T for level in levels], axis=1)
    centres = np.concatenate([level.centres.T for level in levels], axis=1)
    bounds = accumulate((len(level.boxes) for level in levels), initial=0)
    return _JoinedAnchors(np.ascontiguousarray(boxes), np.ascontiguousarray(centres), tuple(bounds))


@lru_cache(maxsize=_KEPT)
def _padding(levels: tuple[LevelAnchors, ...], width: float, height: float) -> IndexArray:
    """The anchors, counted through all levels, whose places lie beyond a picture of this size.

    Those of the finest level's first column and row never do: of a strip that is narrower than their distance from the
    border nothing would be left.
    """
    x, y = _joined(levels).centres
    outside: IndexArray = (((x >= width) & (x > x[0])) | ((y >= height) & (y > y[0]))).nonzero()[0]
    return outside


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the K boxes of N pictures are from, picture by picture and within one level by level: all (N * K,).

    ``level_starts``: the first anchor of each one's level, among the anchors of all levels; ``picture_starts``: and
    the first of its picture, among those of all pictures.
    """

    pictures: IndexArray
    groups: IndexArray
    level_starts: IndexArray
    picture_starts: IndexArray

    def in_picture(self, places: list[IndexArray]) -> IndexArray:
        """Places (N, k_l) within each level, as places (N * K,) among all of a picture's anchors."""
        joined = np.concatenate(places, axis=1).reshape(-1)
        joined += self.level_starts
        return joined


@lru_cache(maxsize=_KEPT)
def _layout(count: int, bounds: tuple[int, ...], taken: tuple[int, ...]) -> _Layout:
    """For ``count`` pictures whose levels' anchors have these bounds, and so many taken of each."""
    pictures = np.arange(count).repeat(sum(taken))
    levels = np.tile(np.arange(len(taken)).repeat(taken), count)
    return _Layout(pictures, pictures * len(taken) + levels, np.array(bounds).take(levels), pictures * bounds[-1])


def _logits_inside(scored: ScoredAnchors, levels: tuple[LevelAnchors, ...], contents: FloatArray) -> FloatArray:
    """The logits of all levels (N, R), those of anchors in a picture's padding minus infinity."""
    logits = np.concatenate(scored.logits, axis=1)
    for row, (width, height) in zip(logits, contents.tolist(), strict=True):
        row[_padding(levels, width, height)] = _NEVER
    return logits


def _highest_of_levels(logits: FloatArray, bounds: tuple[int, ...], top_n: int) -> list[IndexArray]:
    """The places (N, k_l) of the highest logits of each level, within the level."""
    return [_highest(logits[:, low:high], top_n) for low, high in pairwise(bounds)]


def _highest(values: FloatArray, top_n: int) -> IndexArray:
    """The places (N, k) of each row's highest values (N, R), in no order; NaN counts as highest, or is left out."""
    total = values.shape[1]
    count = min(top_n, total)
    if count == total:
        whole: IndexArray = np.broadcast_to(np.arange(total), values.shape)
        return whole
    if total > _MANY:
        return np.stack([_highest_of_many(row, count) for row in values])
    return partitioned(values, total - count)[:, total - count :]


def _highest_of_many(row: FloatArray, count: int) -> IndexArray:
    """The same of one long row (R,)."""
    sample = row[::_STEP]
    # The bound leaves about twice as many as are wanted: rarely too few, never many.
    rank = len(sample) - 2 * count // _STEP - 16
    if rank > 0:
        # no NaN among them; none at all if the bound is NaN
        above: IndexArray = (row >= np.partition(sample, rank)[rank]).nonzero()[0]
        if len(above) >= count:
            return above[partitioned(row.take(above), len(above) - count)[len(above) - count :]]
    return partitioned(row, len(row) - count)[len(row) - count :]


def _deltas(scored: ScoredAnchors, places: list[IndexArray]) -> FloatArray:
    """The planes (4, N * K) of the deltas at the places (N, k_l), taken level by level: most of them are not wanted."""
    parts = []
    for level, index in zip(scored.deltas, places, strict=True):
        count, total, _ = level.shape
        rows = index if count == 1 else index + np.arange(0, count * total, total)[:, None]
        parts.append(level.reshape(-1, 4).take(rows, axis=0))
    return np.ascontiguousarray(np.concatenate(parts, axis=1).reshape(-1, 4).T)


def _clip(boxes: FloatArray, sizes: FloatArray) -> None:
    """Boxes (4, N, K) inside sizes (N, 2), in place."""
    np.maximum(boxes, 0, out=boxes)
    corners = boxes.reshape(2, 2, *boxes.shape[1:])
    np.minimum(corners, sizes.T[:, :, None], out=corners)
