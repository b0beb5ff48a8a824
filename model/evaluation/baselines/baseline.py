"""The baselines by name.

EdgeBoxes (Zitnick and Dollár 2014) is not among them: OpenCV has it, but it starts from the edges of a structured
forest, whose trained model is a file that no package brings.
"""

from collections.abc import Callable
from functools import partial

from model.evaluation.baselines.random_boxes import random_boxes
from model.evaluation.baselines.selective_search import selective_search
from model.evaluation.baselines.sliding_windows import sliding_windows
from model.structures import FloatArray, PixelArray

# From a picture's pixels, uint8 (H, W, 3) RGB, to its ranked boxes, float32 (K, 4) xyxy in those pixels.
Baseline = Callable[[PixelArray], FloatArray]

_MAKERS: dict[str, Callable[[], Baseline]] = {
    "selective-search": selective_search,
    "selective-search-quality": partial(selective_search, quality=True),
    "sliding-window": lambda: sliding_windows,
    "random": lambda: random_boxes,
}
BASELINES = tuple(_MAKERS)


def load_baseline(name: str) -> Baseline:
    """One of `BASELINES`.

    Raises:
        MissingExtra: it needs a package that is not installed.
    """
    return _MAKERS[name]()
