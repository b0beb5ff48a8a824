"""Four training pictures in one: more objects, scales and neighbours in a batch (Bochkovskiy et al. 2020, section 3.3).

YOLOv4's way of putting it together is followed, not its code: a point near the middle parts the canvas into four
quarters, and each is filled with a part of another picture.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from model.structures import ImageSize, LabelArray
from model.training.augmentation import Sample, crop_to

# Where the quarters meet, as a share of each side: any nearer the border a quarter shows next to nothing.
_MEETING = (0.3, 0.7)
# A box of fewer pixels across than this, once it has shrunk with its picture, is nothing that could be learnt.
_MIN_SIDE = 2.0


def mosaic(samples: Sequence[Sample], size: ImageSize, random: np.random.Generator) -> Sample:
    """Four samples as one of this size. Each covers its quarter: it is resized to it and what hangs over is cut off.

    So a sample's zoom is passed over: there is no padding in a mosaic.
    """
    if len(samples) != 4:
        raise ValueError(f"a mosaic is of four pictures, not {len(samples)}")
    across, down = (int(side * random.uniform(*_MEETING)) for side in (size.width, size.height))
    xs, ys = (0, max(1, across), size.width), (0, max(1, down), size.height)
    canvas = Image.new("RGB", (size.width, size.height))
    parts = []
    for i, sample in enumerate(samples):
        left, right = xs[i % 2], xs[i % 2 + 1]
        top, bottom = ys[i // 2], ys[i // 2 + 1]
        if left == right or top == bottom:  # a side of one pixel cannot be parted
            continue
        part = _covering(sample, ImageSize(right - left, bottom - top), random)
        canvas.paste(part.picture, (left, top))
        corner = np.array([left, top, left, top], dtype=np.float32)
        parts.append(Sample(part.picture, part.boxes + corner, part.ignored + corner, labels=part.labels))
    return Sample(
        canvas,
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.ignored for part in parts]),
        labels=_labels(parts),
    )


def _covering(sample: Sample, size: ImageSize, random: np.random.Generator) -> Sample:
    width, height = sample.picture.size
    scale = max(size.width / width, size.height / height)
    # at least a pixel: of a very long picture a quarter may show less
    window_w = min(width, max(1, round(size.width / scale)))
    window_h = min(height, max(1, round(size.height / scale)))
    left = int(random.integers(0, width - window_w + 1))
    top = int(random.integers(0, height - window_h + 1))
    part = crop_to(sample, (left, top, left + window_w, top + window_h))
    factors = np.array([size.width / window_w, size.height / window_h] * 2, dtype=np.float32)
    boxes = part.boxes * factors
    large = (boxes[:, 2:] - boxes[:, :2] >= _MIN_SIDE).all(axis=1)
    return Sample(
        part.picture.resize((size.width, size.height), Image.Resampling.BILINEAR),
        boxes[large],
        np.concatenate([part.ignored * factors, boxes[~large]]),
        labels=None if part.labels is None else part.labels[large],
    )


def _labels(parts: Sequence[Sample]) -> LabelArray | None:
    """None where the data set is class-agnostic."""
    labels = [part.labels for part in parts if part.labels is not None]
    return np.concatenate(labels) if labels else None
