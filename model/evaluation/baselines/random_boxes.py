"""Boxes by chance: what any method must beat (the ``Uniform`` of Hosang et al. 2015).

Centre, square root of the area and logarithm of the aspect ratio are each uniform. Hosang et al. take the ranges from
the boxes of a training set; here they are the picture's own, so that nothing is learnt.
"""

import zlib

import numpy as np

from model.evaluation.recall import BUDGETS
from model.structures import FloatArray, PixelArray

_WIDEST = 4.0  # to 1, and as tall: few annotated objects are longer


def random_boxes(pixels: PixelArray) -> FloatArray:
    """Boxes (K, 4) ``xyxy`` float32 of a picture uint8 (H, W, 3), as many as the largest budget asks for.

    The pixels are the seed: a picture gets the same boxes every time, whatever is measured with it.
    """
    random = np.random.default_rng(zlib.crc32(pixels.tobytes()))
    count = max(BUDGETS)
    whole = np.array([pixels.shape[1], pixels.shape[0]], dtype=np.float64)
    centres = random.uniform(0, 1, (count, 2)) * whole
    side = random.uniform(0, np.sqrt(whole.prod()), (count, 1))
    stretch = np.exp(random.uniform(-1, 1, (count, 1)) * np.log(_WIDEST) / 2)
    half = side * np.concatenate([stretch, 1 / stretch], axis=1) / 2
    boxes = np.concatenate([(centres - half).clip(0, whole), (centres + half).clip(0, whole)], axis=1)
    return boxes.astype(np.float32)
