"""Random changes to a training picture that leave it a plausible photograph, and its boxes with it."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from model.errors import ConfigError
from model.structures import FloatArray, LabelArray


@dataclass(frozen=True, slots=True)
class AugmentationConfig:
    """How far the changes go. All off is the picture as it is.

    ``flip``: the chance of a left-right flip. ``crop``: the chance of a random crop, which the canvas then enlarges.
    ``min_crop``: the least side of a crop, as a share of the picture's. ``zoom_out``: of those that are not cropped,
    the chance of shrinking the picture on its canvas, to at least ``min_zoom`` of its size; the whole chance is
    (1 - crop) * zoom_out. ``colour``: the range of brightness, contrast and saturation around 1.

    ``scale_jitter``: in the place of crops and zooming out, every picture at a random scale between these two, a crop
    above 1 and a smaller picture below: (0.1, 2) is the large-scale jitter of Ghiasi et al. 2021, section 3.
    ``mosaic``: the chance of four pictures in one (Bochkovskiy et al. 2020, section 3.3; `model.training.mosaic`).
    """

    flip: float = 0.5
    crop: float = 0.5
    min_crop: float = 0.4
    zoom_out: float = 0.2
    min_zoom: float = 0.5
    colour: float = 0.3
    scale_jitter: tuple[float, float] | None = None
    mosaic: float = 0.0

    def __post_init__(self) -> None:
        for name in ("flip", "crop", "zoom_out", "mosaic"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"augmentation: {name} is a chance, between 0 and 1, not {getattr(self, name)}")
        if not 0 <= self.colour < 1:
            raise ConfigError(f"augmentation: colour must be at least 0 and below 1, not {self.colour}")
        if self.scale_jitter is not None and not 0 < self.scale_jitter[0] <= self.scale_jitter[1] < math.inf:
            raise ConfigError(f"augmentation: scale_jitter needs 0 < low <= high, finite, not {self.scale_jitter}")


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
    if config.scale_jitter is not None:
        sample = _rescaled(sample, random.uniform(*config.scale_jitter), random)
    elif random.random() < config.crop:
        sample = _cropped(sample, (random.uniform(config.min_crop, 1.0), random.uniform(config.min_crop, 1.0)), random)
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


def _rescaled(sample: Sample, scale: float, random: np.random.Generator) -> Sample:
    if scale > 1:
        return _cropped(sample, (1 / scale, 1 / scale), random)
    sample.zoom = scale
    return sample


def _cropped(sample: Sample, shares: tuple[float, float], random: np.random.Generator) -> Sample:
    """A window of these shares of the picture's width and height, anywhere in it."""
    width, height = sample.picture.size
    crop_w, crop_h = max(1, int(width * shares[0])), max(1, int(height * shares[1]))
    left = int(random.integers(0, width - crop_w + 1))
    top = int(random.integers(0, height - crop_h + 1))
    return crop_to(sample, (left, top, left + crop_w, top + crop_h))


def crop_to(sample: Sample, corners: tuple[int, int, int, int]) -> Sample:
    """The sample inside a window (left, top, right, bottom) of its picture."""
    window = np.array(corners, dtype=np.float32)
    boxes, shares = _clipped(sample.boxes, window)
    ignored, ignored_shares = _clipped(sample.ignored, window)
    cut, kept = boxes[(shares > 0) & (shares < _MIN_VISIBLE)], shares >= _MIN_VISIBLE
    return Sample(
        sample.picture.crop(corners),
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
