"""The losses that boxes can be trained by: on deltas, as the paper has it, or on the boxes that they make."""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.network.box_coding import decode_deltas, encode_boxes

# Where smooth L1 turns from a square into a line; the value of py-faster-rcnn (sigma 3), torchvision and detectron2.
_SMOOTH_L1_BETA = 1.0 / 9
# Keeps the generalised IoU of boxes without area a number; torchvision's.
_GIOU_EPS = 1e-7


def smooth_l1(deltas: Tensor, anchors: Tensor, boxes: Tensor) -> Tensor:
    """Smooth L1 of deltas (M, 4) against those that turn anchors into boxes, summed over the four: (M,)."""
    targets = encode_boxes(boxes, anchors)
    return F.smooth_l1_loss(deltas, targets, beta=_SMOOTH_L1_BETA, reduction="none").sum(dim=-1)


def l1(deltas: Tensor, anchors: Tensor, boxes: Tensor) -> Tensor:
    """L1 of the deltas, summed over the four: (M,) (detectron2's default for its RPN)."""
    return F.l1_loss(deltas, encode_boxes(boxes, anchors), reduction="none").sum(dim=-1)


def giou(deltas: Tensor, anchors: Tensor, boxes: Tensor) -> Tensor:
    """One minus the generalised IoU of the decoded and the annotated boxes: (M,) (Rezatofighi et al. 2019).

    As torchvision's ``generalized_box_iou_loss``, which takes the boxes that meet by a mask: a GPU is waited for to
    count them.
    """
    moved = decode_deltas(deltas, anchors)
    sides = torch.minimum(moved[:, 2:], boxes[:, 2:]) - torch.maximum(moved[:, :2], boxes[:, :2])
    around = torch.maximum(moved[:, 2:], boxes[:, 2:]) - torch.minimum(moved[:, :2], boxes[:, :2])
    intersection = _product(sides).where((sides > 0).all(dim=-1), 0.0)
    union = _product(moved[:, 2:] - moved[:, :2]) + _product(boxes[:, 2:] - boxes[:, :2]) - intersection
    enclosing = _product(around)
    return 1 - (intersection / (union + _GIOU_EPS) - (enclosing - union) / (enclosing + _GIOU_EPS))


def aligned_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU of each box (M, 4) with the other of its row: (M,)."""
    low, high = torch.maximum(boxes[:, :2], others[:, :2]), torch.minimum(boxes[:, 2:], others[:, 2:])
    intersection = (high - low).clamp(min=0).prod(dim=-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1) + (others[:, 2:] - others[:, :2]).prod(dim=-1)
    return intersection / (areas - intersection).clamp(min=1e-6)


def _product(sides: Tensor) -> Tensor:
    """Areas (M,) of sides (M, 2). Not ``prod``, whose gradient takes several passes."""
    return sides[:, 0] * sides[:, 1]
