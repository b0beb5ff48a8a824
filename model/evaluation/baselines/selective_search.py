"""Selective search (Uijlings et al. 2013), the proposals of R-CNN and Fast R-CNN, as OpenCV's contrib modules have it.

The order is OpenCV's own, which is the authors': the level of a region in its hierarchy times a random number. OpenCV
draws that number by C's ``rand``, which is seeded here before each picture, so that a picture's answer depends neither
on the pictures before it nor on the day.

A picture is searched at its own size unless it is large. R-CNN's authors brought every picture to a width of 500
pixels; enlarging the small pictures of our `general` set to that cost recall (30 of its pictures, fast mode: AR@100
0.099 instead of 0.172, AR@1000 0.382 instead of 0.406) and five times the seconds.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image

from model.errors import MissingExtra
from model.structures import FloatArray, PixelArray

_LONGEST_SIDE = 500  # as R-CNN's authors searched; the seconds rise faster than the pixels
_SEED = 0


def selective_search(*, quality: bool = False) -> Callable[[PixelArray], FloatArray]:
    """What finds boxes (K, 4) ``xyxy`` float32 in a picture uint8 (H, W, 3) RGB; K is up to the picture.

    The fast mode is the authors' of 8 hierarchies, the quality mode that of 80. OpenCV gets as many threads as torch.

    Raises:
        MissingExtra: OpenCV's contrib modules are not installed.
    """
    segmentation = _opencv_segmentation()

    def propose(pixels: PixelArray) -> FloatArray:
        small, scale_x, scale_y = _reduced(pixels)
        search = segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(np.ascontiguousarray(small[..., ::-1]))  # OpenCV's pictures are BGR
        (search.switchToSelectiveSearchQuality if quality else search.switchToSelectiveSearchFast)()
        ctypes.CDLL(None).srand(_SEED)
        corner_and_size = np.asarray(search.process(), dtype=np.float32).reshape(-1, 4)
        corners = np.concatenate([corner_and_size[:, :2], corner_and_size[:, :2] + corner_and_size[:, 2:]], axis=1)
        return corners * np.array([scale_x, scale_y, scale_x, scale_y], dtype=np.float32)

    return propose


def _opencv_segmentation() -> Any:
    try:
        import cv2  # an optional extra: whoever does not ask for it need not have it

        segmentation = cv2.ximgproc.segmentation
    except (ImportError, AttributeError) as error:  # not there, or the OpenCV without its contrib modules
        raise MissingExtra(
            "selective search needs OpenCV's contrib modules, which are not installed here; the extra `baselines` "
            "brings them: pip install -e '.[baselines]' in the project's folder"
        ) from error
    cv2.setNumThreads(torch.get_num_threads())
    return segmentation


def _reduced(pixels: PixelArray) -> tuple[PixelArray, float, float]:
    """The picture at `_LONGEST_SIDE` at most, and how many of its pixels lie in one of those, across and down."""
    height, width = pixels.shape[:2]
    share = _LONGEST_SIDE / max(width, height)
    if share >= 1:
        return pixels, 1.0, 1.0
    size = (max(1, round(width * share)), max(1, round(height * share)))
    small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    return small, width / size[0], height / size[1]
