"""Deltas to boxes by planes (Faster R-CNN, equation 2), as `model.network.box_coding` does it in torch."""

import math

import numpy as np

from model.structures import FloatArray

# A predicted side is at most 1000/16 times its anchor's: exp() of an untrained or broken network must not overflow.
# detectron2's and torchvision's bound; a 16 px anchor then never becomes a box of over 1000 px.
SCALE_CLAMP = math.log(1000.0 / 16)


def decode_planes(deltas: FloatArray, anchors: FloatArray) -> FloatArray:
    """The boxes that deltas make of anchors, all float32 (4, K). What is not finite stays so, or overflows.

    In the order of torchvision's ``BoxCoder``, so that fp32 results agree to the last bit.
    """
    sides = anchors[2:] - anchors[:2]
    middles = 0.5 * sides
    middles += anchors[:2]
    middles += deltas[:2] * sides
    halves = np.minimum(deltas[2:], np.float32(SCALE_CLAMP))
    np.exp(halves, out=halves)
    halves *= sides
    halves *= 0.5
    return np.concatenate((middles - halves, middles + halves))
