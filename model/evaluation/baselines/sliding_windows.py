"""Sliding windows: what the places and shapes of boxes are worth before anything is seen of the picture.

Windows of one area lie on a grid in three aspect ratios; each area is half of the one before it. Large windows go
first, since few of them cover the picture; those of one area stand in an order that was shuffled once, so that the
first N of them are spread over the picture and not its uppermost rows. Two pictures of one size get the same windows.
"""

import math

import numpy as np

from model.evaluation.recall import BUDGETS
from model.structures import FloatArray, ImageSize, PixelArray

_RATIOS = (0.5, 1.0, 2.0)  # width to height, those of the paper's anchors (Ren et al. 2015)
_SHRINK = math.sqrt(0.5)  # of the sides, which halves the area
_STEP = 0.5  # of a window's side: its neighbours overlap by a third (IoU)
_SEED = 0


def sliding_windows(pixels: PixelArray) -> FloatArray:
    """Windows (K, 4) ``xyxy`` float32 of a picture uint8 (H, W, 3), as many as the largest budget asks for."""
    height, width = pixels.shape[:2]
    return windows(ImageSize(width, height), max(BUDGETS))


def windows(picture: ImageSize, count: int) -> FloatArray:
    """The first ``count`` windows (K, 4) ``xyxy`` float32; fewer where windows of one pixel are too few."""
    random = np.random.default_rng(_SEED)
    side = math.sqrt(picture.pixels)
    boxes = np.zeros((0, 4), dtype=np.float32)
    while side >= 1 and len(boxes) < count:
        layer = np.concatenate([_grid(picture, side, ratio) for ratio in _RATIOS])
        boxes = _different(np.concatenate([boxes, random.permutation(layer)]))
        side *= _SHRINK
    return boxes[:count]


def _different(boxes: FloatArray) -> FloatArray:
    """The first of each that are equal, which windows may be that the picture's edges cut."""
    _, first = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(first)]


def _grid(picture: ImageSize, side: float, ratio: float) -> FloatArray:
    """Windows of one shape, from edge to edge of the picture; a side lies between one pixel and the picture's."""
    width = min(float(picture.width), max(1.0, side * math.sqrt(ratio)))
    height = min(float(picture.height), max(1.0, side / math.sqrt(ratio)))
    lefts, tops = _places(picture.width, width), _places(picture.height, height)
    x, y = (grid.ravel() for grid in np.meshgrid(lefts, tops))
    return np.stack([x, y, x + width, y + height], axis=1).astype(np.float32)


def _places(whole: int, part: float) -> FloatArray:
    """Where the parts begin: from 0 to where the last ends with the whole, none further apart than a step."""
    steps = math.ceil((whole - part) / (part * _STEP))
    return np.linspace(0, whole - part, steps + 1, dtype=np.float32)
