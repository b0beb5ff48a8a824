"""Boxes to deltas and back (Faster R-CNN, equation 2; R-CNN, appendix C).

A delta is (dx, dy, dw, dh): the shift of the centre in units of the anchor's sides, and the logarithm of the sides'
ratios. The order of operations follows torchvision's ``BoxCoder``, so that fp32 results agree to the last bit.
"""

import torch
from torch import Tensor

from model.host.box_planes import SCALE_CLAMP


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """The deltas (..., 4) that turn ``anchors`` into ``boxes``, both ``xyxy`` (..., 4) with positive sides."""
    anchor_x, anchor_y, anchor_w, anchor_h = _centres_and_sides(anchors)
    x, y, w, h = _centres_and_sides(boxes)
    shifts = ((x - anchor_x) / anchor_w, (y - anchor_y) / anchor_h)
    return torch.stack((*shifts, torch.log(w / anchor_w), torch.log(h / anchor_h)), dim=-1)


def decode_deltas(deltas: Tensor, anchors: Tensor) -> Tensor:
    """The ``xyxy`` boxes (..., 4) that ``deltas`` (..., 4) make of ``anchors`` (..., 4). Inverse of `encode_boxes`."""
    sides = anchors[..., 2:] - anchors[..., :2]
    middles = deltas[..., :2] * sides + (anchors[..., :2] + 0.5 * sides)
    halves = 0.5 * (torch.exp(torch.clamp(deltas[..., 2:], max=SCALE_CLAMP)) * sides)
    return torch.cat((middles - halves, middles + halves), dim=-1)


def _centres_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    width, height = x2 - x1, y2 - y1
    return x1 + 0.5 * width, y1 + 0.5 * height, width, height
