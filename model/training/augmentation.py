"""Random changes to a training picture that leave it a plausible photograph, and its boxes with it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from model.structures import FloatArray, LabelArray


@dataclass(frozen=True, slots=True)
class AugmentationConfig:
    """How far the changes go. All off is the picture as it is.

    ``flip``: the chance of a left-right flip. ``crop``: the chance of a random crop, which the canvas then enlarges.
    ``min_crop``: the least side of a crop, as a share of the picture's. ``zoom_out``: the chance of shrinking the
    picture on its canvas, to at least ``min_zoom`` of its size. ``colour``: the range of brightness, contrast and
    saturation around 1.
    """

    flip: float = 0.5
    crop: float = 0.5
    min_crop: float = 0.4
    zoom_out: float = 0.2
    min_zoom: float = 0.5
    colour: float = 0.3


@dataclass(slots=True)
class Sample:
    """A picture with its boxes, and the share of its full scale at which it is to lie on the canvas.

    ``labels``: int64 (G,), the boxes' classes, None where the data set is class-agnostic.
    """

    picture: Image.Image
    boxes: FloatArray
    ignored: FloatArray
    zoom: float = 1.0
    labels: LabelArray | None = None


# A box of which less than this remains in a crop is not the object any more: it becomes a region to ignore.
_MIN_VISIBLE = 0.4


def augment(sample: Sample, config: AugmentationConfig, random: np.random.Generator) -> Sample:
    """One random variant; the same generator state gives the same variant."""
    if random.random() < config.flip:
        sample = _flipped(sample)
    if random.random() < config.crop:
        sample = _cropped(sample, config.min_crop, random)
    elif random.random() < config.zoom_out:
        sample.zoom = float(random.uniform(config.min_zoom, 1.0))
    if config.colour > 0:
        sample.picture = _recoloured(sample.picture, config.colour, random)
    return sample


def _flipped(sample: Sample) -> Sample:
    width = sample.picture.width
    picture = sample.picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    boxes, ignored = _mirror(sample.boxes, width), _mirror(sample.ignored, width)
    return Sample(picture, boxes, ignored, sample.zoom, sample.labels)


def _mirror(boxes: FloatArray, width: int) -> FloatArray:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def _cropped(sample: Sample, min_side: float, random: np.random.Generator) -> Sample:
    width, height = sample.picture.size
    crop_w = max(1, int(width * random.uniform(min_side, 1.0)))
    crop_h = max(1, int(height * random.uniform(min_side, 1.0)))
    left = int(random.integers(0, width - crop_w + 1))
    top = int(random.integers(0, height - crop_h + 1))
    window = np.array([left, top, left + crop_w, top + crop_h], dtype=np.float32)
    boxes, shares = _clipped(sample.boxes, window)
    ignored, ignored_shares = _clipped(sample.ignored, window)
    cut, kept = boxes[(shares > 0) & (shares < _MIN_VISIBLE)], shares >= _MIN_VISIBLE
    picture = sample.picture.crop((left, top, left + crop_w, top + crop_h))
    return Sample(
        picture,
        boxes[kept],
        np.concatenate([ignored[ignored_shares > 0], cut]),
        sample.zoom,
        None if sample.labels is None else sample.labels[kept],
    )


def _clipped(boxes: FloatArray, window: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The boxes inside the window, in its coordinates, and the share of each one's area that remains."""
    corner = np.concatenate([window[:2], window[:2]])
    low, high = np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])
    sides = np.maximum(high - low, 0)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    shares = sides.prod(axis=1) / np.maximum(areas, 1e-6)
    return (np.concatenate([low, high], axis=1) - corner).astype(np.float32), shares.astype(np.float32)


def _recoloured(picture: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = kind(picture).enhance(float(random.uniform(1 - strength, 1 + strength)))
    return picture
