"""Anchor assignment: which anchors are foreground, background, or neither (Faster R-CNN, section 3.1.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor

FOREGROUND, BACKGROUND, IGNORED = 1, 0, -1


@dataclass(frozen=True, slots=True)
class Assignment:
    """What each anchor is to learn.

    ``labels``: int8 (N, R), of `FOREGROUND`, `BACKGROUND`, `IGNORED`; ``matched``: int64 (N, R), each anchor's box.
    """

    labels: Tensor
    matched: Tensor


@dataclass(frozen=True, slots=True)
class Matcher:
    """The paper's rule: foreground from this IoU on, or the best for some box; background below that; between: neither.

    ``ignore_share``: an anchor of which this share lies in a region to ignore is no background (COCO's rule for
    crowds: intersection over the anchor's own area).
    """

    foreground_iou: float = 0.7
    background_iou: float = 0.3
    ignore_share: float = 0.5

    def __call__(
        self, anchors: Tensor, competing: Tensor, boxes: Tensor, counts: Tensor, ignored: Tensor
    ) -> Assignment:
        """Assign anchors (R, 4), of which ``competing`` (N, R) lie in the picture, to boxes (N, G, 4).

        Only the first ``counts`` (N,) of each row of boxes are boxes; ``ignored`` (N, I, 4) are regions to ignore.
        A picture without boxes has background only: no special case.
        """
        iou = pairwise_iou(boxes, anchors)  # (N, G, R)
        real = torch.arange(boxes.shape[1], device=boxes.device) < counts[:, None]
        iou = torch.where(real[..., None] & competing[:, None, :], iou, -1.0)
        if iou.shape[1] == 0:
            iou = iou.new_full((iou.shape[0], 1, iou.shape[2]), -1.0)
        best_iou, matched = iou.max(dim=1)  # (N, R)
        labels = torch.full_like(best_iou, IGNORED, dtype=torch.int8)
        labels[best_iou < self.background_iou] = BACKGROUND
        labels[self._inside_ignored(anchors, ignored) & (labels == BACKGROUND)] = IGNORED
        labels[(best_iou >= self.foreground_iou) | _best_of_a_box(iou)] = FOREGROUND
        labels[~competing] = IGNORED
        return Assignment(labels, matched)

    def _inside_ignored(self, anchors: Tensor, ignored: Tensor) -> Tensor:
        if ignored.shape[1] == 0:
            return torch.zeros(ignored.shape[0], anchors.shape[0], dtype=torch.bool, device=anchors.device)
        share = _intersection(ignored, anchors) / _area(anchors)
        return (share >= self.ignore_share).any(dim=1)


def pairwise_iou(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Intersection over union of boxes (N, G, 4) and anchors (R, 4): (N, G, R); 0 for boxes without area."""
    intersection = _intersection(boxes, anchors)
    union = _area(boxes)[..., None] + _area(anchors) - intersection
    return intersection / union


def _best_of_a_box(iou: Tensor) -> Tensor:
    """(N, R): anchors that no other anchor beats for some box, ties included; 1e-3 keeps out the mere touch."""
    best = iou.amax(dim=2, keepdim=True)
    return ((iou == best) & (best > 1e-3)).any(dim=1)


def _intersection(boxes: Tensor, anchors: Tensor) -> Tensor:
    low = torch.maximum(boxes[..., None, :2], anchors[:, :2])
    high = torch.minimum(boxes[..., None, 2:], anchors[:, 2:])
    return (high - low).clamp_(min=0).prod(dim=-1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
