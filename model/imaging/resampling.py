"""Pillow's bilinear resizing as tables, for whoever resizes elsewhere and wants its pixels to the bit.

The convention is that of Pillow 13 (``Resample.c``): a triangle as wide as what a new pixel covers, weights in fixed
point, one direction after the other with bytes in between.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from model.structures import ImageSize

# Pillow's: 32 bits less the 8 of a byte, less 2 for what weights beyond a sum of one may reach.
FIXED_POINT_BITS = 32 - 8 - 2
# Sides that are kept: a service sees a camera's sizes again and again.
_KEPT = 512


@dataclass(frozen=True, slots=True)
class Taps:
    """How a side becomes one of M pixels: where each of them begins, ``starts``, int32 (M,), and what it takes from
    there on, ``weights``, int32 (M, T), 0 for what lies beyond the side."""

    starts: npt.NDArray[np.int32]
    weights: npt.NDArray[np.int32]


@lru_cache(maxsize=_KEPT)
def bilinear_taps(side: int, becomes: int) -> Taps:
    """Those of a whole side.

    >>> (bilinear_taps(4, 2).weights / 2**FIXED_POINT_BITS).round(3)
    array([[0.429, 0.429, 0.143, 0.   , 0.   ],
           [0.143, 0.429, 0.429, 0.   , 0.   ]])
    """
    scale = side / becomes
    reach = max(scale, 1.0)  # of the triangle to either side; of an enlarged side it is one old pixel
    centres = (np.arange(becomes) + 0.5) * scale
    starts = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    ends = np.minimum((centres + reach + 0.5).astype(np.int64), side)
    places = starts[:, None] + np.arange(int(np.ceil(reach)) * 2 + 1)
    weights = np.maximum(1.0 - np.abs((places - centres[:, None] + 0.5) * (1.0 / reach)), 0.0)
    weights[places >= ends[:, None]] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    fixed = np.trunc(weights * (1 << FIXED_POINT_BITS) + 0.5)
    return Taps(starts.astype(np.int32), fixed.astype(np.int32))


def columns_first(picture: ImageSize, becomes: ImageSize) -> bool:
    """Whether columns are resized before rows: where the height shrinks by more than twice as many pixels."""
    shrinks = picture.height - becomes.height
    return shrinks > 0 and shrinks > 2 * (picture.width - becomes.width)
