"""What anchors are to learn: the labels that the ways of assignment share, and the overlaps that they go by."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.network.rpn import ScoredAnchors
from model.training.dataset import Batch

FOREGROUND, BACKGROUND, IGNORED = 1, 0, -1


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
    anchors each feature level has, R in all; ``competing``: bool (N, R), which lie in the picture, not in its padding;
    ``contents``: float32 (N, 2), each picture's (width, height) on the canvas.
    """

    anchors: Tensor
    centres: Tensor
    levels: tuple[int, ...]
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
            competing=(centres < batch.contents[:, None, :]).all(dim=-1),
            contents=batch.contents,
        )

    def overlaps(self, batch: Batch) -> Tensor:
        """IoU (N, G, R) of each picture's boxes and the anchors; -1 where the box is padding or the anchor in it.

        G is at least 1, so that a picture without boxes needs no special case.
        """
        iou = pairwise_iou(batch.boxes, self.anchors)
        real = torch.arange(batch.boxes.shape[1], device=iou.device) < batch.counts[:, None]
        iou = torch.where(real[..., None] & self.competing[:, None, :], iou, -1.0)
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
    """Intersection over union of boxes (N, G, 4) and anchors (R, 4): (N, G, R); 0 for boxes without area.

    Picture by picture: on the way each takes several times its part of the result, which of all at once is gigabytes.
    """
    areas = _area(anchors)
    iou = torch.empty(*boxes.shape[:2], len(anchors), device=boxes.device)
    for row, of_picture in zip(iou, boxes, strict=True):
        intersection = _intersection(of_picture, anchors)
        torch.div(intersection, _area(of_picture)[..., None] + areas - intersection, out=row)
    return iou


def best_anchors(iou: Tensor) -> Tensor:
    """(N, G, R): for each box the anchors that no other beats, ties included; 1e-3 keeps out the mere touch."""
    best = iou.amax(dim=2, keepdim=True)
    return (iou == best) & (best > 1e-3)


def _intersection(boxes: Tensor, anchors: Tensor) -> Tensor:
    sides = torch.minimum(boxes[..., None, 2:], anchors[:, 2:])
    sides -= torch.maximum(boxes[..., None, :2], anchors[:, :2])
    return sides.clamp_(min=0).prod(dim=-1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
