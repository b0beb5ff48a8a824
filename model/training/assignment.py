"""What anchors are to learn: the labels that the ways of assignment share, and the overlaps that they go by."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from model.network.anchors import LevelAnchors
from model.network.rpn import ScoredAnchors
from model.training.dataset import Batch

FOREGROUND, BACKGROUND, IGNORED = 1, 0, -1

# Pairs whose overlaps are computed at once: on a CPU what its caches hold; for a GPU few operations are to be started.
_PAIRS, _PAIRS_ON_A_GPU = 2**20, 2**24
# How many levels are kept: a hundred canvases of five.
_KEPT = 512


@dataclass(frozen=True, slots=True)
class Assignment:
    """What each anchor is to learn.

    ``labels``: int8 (N, R), of `FOREGROUND`, `BACKGROUND`, `IGNORED`; ``matched``: int64 (N, R), each anchor's box.
    """

    labels: Tensor
    matched: Tensor


@dataclass(frozen=True, slots=True)
class Candidates:
    """The anchors of a batch of pictures on one canvas, before assignment.

    ``anchors``: float32 (R, 4); ``centres``: float32 (R, 2), the place that each belongs to; ``levels``: how many
    anchors each feature level has, R in all; ``at_place``: how many of each level share a place; ``competing``: bool
    (N, R), which lie in the picture, not in its padding; ``contents``: float32 (N, 2), each picture's (width, height)
    on the canvas.
    """

    anchors: Tensor
    centres: Tensor
    levels: tuple[int, ...]
    at_place: tuple[int, ...]
    competing: Tensor
    contents: Tensor

    @classmethod
    def of(cls, scored: ScoredAnchors, batch: Batch) -> "Candidates":
        """Those that the network has scored."""
        centres = torch.cat([level.centres for level in scored.anchors])
        return cls(
            anchors=torch.cat([level.boxes for level in scored.anchors]),
            centres=centres,
            levels=tuple(len(level.boxes) for level in scored.anchors),
            at_place=tuple(_at_place(level) for level in scored.anchors),
            # As in service the first column and row of the finest level always do, however slim a picture is.
            competing=((centres < batch.contents[:, None, :]) | (centres <= centres[0])).all(dim=-1),
            contents=batch.contents,
        )

    @property
    def places(self) -> int:
        """The places of all feature maps."""
        return sum(count // here for count, here in zip(self.levels, self.at_place, strict=True))

    def overlaps(self, batch: Batch) -> Tensor:
        """IoU (N, G, R) of each picture's boxes and the anchors; -1 where the box is padding or the anchor in it.

        G is at least 1, so that a picture without boxes needs no special case.
        """
        iou = pairwise_iou(batch.boxes, self.anchors)
        iou = torch.where(batch.real[..., None] & self.competing[:, None, :], iou, -1.0)
        return iou if iou.shape[1] else iou.new_full((iou.shape[0], 1, iou.shape[2]), -1.0)

    def inside_ignored(self, ignored: Tensor, share: float) -> Tensor:
        """(N, R): anchors of which at least this share lies in a region to ignore, (N, I, 4).

        COCO's rule for crowds: the intersection over the anchor's own area.
        """
        if ignored.shape[1] == 0:
            return torch.zeros_like(self.competing)
        areas = _area(self.anchors)
        return torch.stack([(_intersection(regions, self.anchors) / areas >= share).any(dim=0) for regions in ignored])


def pairwise_iou(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Intersection over union of boxes (N, G, 4) and anchors (R, 4), or each picture's own (N, R, 4): (N, G, R).

    0 for boxes without area, NaN for a pair of them. A few pictures at a time: on the way each takes several times its
    part of the result, which of all at once is gigabytes.
    """
    anchors = anchors.expand(len(boxes), -1, -1)
    iou = torch.empty(*boxes.shape[:2], anchors.shape[1], device=boxes.device)
    pairs = _PAIRS if boxes.device.type == "cpu" else _PAIRS_ON_A_GPU
    at_once = max(1, pairs // max(1, iou[:1].numel()))
    for first in range(0, len(boxes), at_once):
        some, others = boxes[first : first + at_once], anchors[first : first + at_once]
        intersection = _intersection(some, others)
        union = _area(some)[..., None] + _area(others)[:, None] - intersection
        torch.div(intersection, union, out=iou[first : first + at_once])
    return iou


def best_anchors(iou: Tensor) -> Tensor:
    """(N, G, R): for each box the anchors that no other beats, ties included; 1e-3 keeps out the mere touch."""
    best = iou.amax(dim=2, keepdim=True)
    return (iou == best) & (best > 1e-3)


@lru_cache(maxsize=_KEPT)
def _at_place(level: LevelAnchors) -> int:
    """How many anchors share a place; kept, since a GPU is waited for to count them."""
    return int((level.centres == level.centres[0]).all(dim=-1).sum())


def _intersection(boxes: Tensor, anchors: Tensor) -> Tensor:
    """(..., G, R) of boxes (..., G, 4) and anchors (..., R, 4)."""
    sides = torch.minimum(boxes[..., None, 2:], anchors[..., None, :, 2:])
    sides -= torch.maximum(boxes[..., None, :2], anchors[..., None, :, :2])
    return sides.clamp_(min=0).prod(dim=-1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
