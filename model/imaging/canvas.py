"""From a picture's size to its canvas, and the picture onto it.

Serving and training place pictures with this one code, so a network sees in service what it saw in training.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from model.errors import ConfigError
from model.structures import Canvas, ImageSize, Part, PixelArray, Placement

# A side that shrinks to less than a 64th is first averaged down to 32 to 64 times what it becomes. Ordinary photographs
# never are; without it a strip of 50 million pixels in a row costs Pillow 800 MB of filter coefficients.
_REDUCING_GAP = 32.0
# How many times the pixels that it needs a picture may keep: of a JPEG, decoded at a half, a quarter or an eighth of
# its sides, less than that is left, but for the very largest.
_LEFT_OVER = 4


@dataclass(frozen=True, slots=True)
class InputRule:
    """How a picture is resized, and the closed list of canvases that it may land on.

    ``fit="longest"``: the longest side becomes ``size``. ``fit="shortest"``: the shortest side becomes ``size``
    unless the longest would pass ``max_size`` (torchvision's ``GeneralizedRCNNTransform``). Either way a picture
    that no canvas can hold is shrunk further, until the roomiest canvas for it holds it.
    ``mean`` and ``std`` normalise RGB in [0, 1], per channel.
    """

    fit: Literal["longest", "shortest"]
    size: int
    max_size: int
    canvases: tuple[Canvas, ...]
    mean: tuple[float, float, float] = (
        0.485,
        0.456,
        0.406,
    )  # ImageNet's, as every torchvision backbone has it
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if self.fit not in ("longest", "shortest"):
            raise ConfigError(f"input rule: fit must be 'longest' or 'shortest', not {self.fit!r}")
        if not 0 < self.size <= self.max_size:
            raise ConfigError(f"input rule: size {self.size} must be positive and at most max_size {self.max_size}")
        if not self.canvases:
            raise ConfigError("input rule: the list of canvases is empty")

    def place(self, image: ImageSize) -> Placement:
        """The placement of a picture of this size: the smallest canvas that holds it at full scale.

        >>> rule = longest_side_rule(320)
        >>> rule.place(ImageSize(640, 480)).content, rule.place(ImageSize(640, 480)).canvas
        (ImageSize(width=320, height=240), Canvas(width=320, height=256))
        """
        content = scaled(image, self._scale(image))
        holding = [c for c in self.canvases if c.width >= content.width and c.height >= content.height]
        if holding:
            return Placement(image, content, min(holding, key=lambda c: (c.pixels, c)))
        canvas = max(self.canvases, key=lambda c: (_room(c, content), -c.pixels, c))
        return self.place_on(image, canvas)

    def place_on(self, image: ImageSize, canvas: Canvas, zoom: float = 1.0) -> Placement:
        """The placement on a given canvas, as large as it holds, times ``zoom`` (at most 1): for training."""
        scale = min(canvas.width / image.width, canvas.height / image.height) * zoom
        content = scaled(image, scale)
        return Placement(image, ImageSize(min(content.width, canvas.width), min(content.height, canvas.height)), canvas)

    def _scale(self, image: ImageSize) -> float:
        longest, shortest = max(image.width, image.height), min(image.width, image.height)
        if self.fit == "longest":
            return self.size / longest
        return min(self.size / shortest, self.max_size / longest)

    def __str__(self) -> str:
        return f"{self.fit} side {self.size}, at most {self.max_size}, {len(self.canvases)} canvases"


def longest_side_rule(size: int, step: int = 32) -> InputRule:
    """The rule of the networks trained here: the longest side becomes ``size``, on canvases of five shapes.

    The short sides are those of the usual pictures (1:1, 5:4 and 4:3, 3:2, 16:9, and anything slimmer), rounded up
    to ``step``, so a usual picture has little padding and the list stays short enough to warm.

    >>> [str(c) for c in longest_side_rule(320).canvases][:4]
    ['320x320', '320x256', '256x320', '320x224']
    """
    if size % step:
        raise ConfigError(f"input rule: the longest side {size} is not a multiple of {step}")
    shorts = [-(-int(size * ratio) // step) * step for ratio in (1.0, 0.8, 2 / 3, 9 / 16, 0.4)]
    canvases: list[Canvas] = []
    for short in dict.fromkeys(shorts):
        canvases += dict.fromkeys((Canvas(size, short), Canvas(short, size)))
    return InputRule(fit="longest", size=size, max_size=size, canvases=tuple(canvases))


def scaled(image: ImageSize, scale: float) -> ImageSize:
    """The size after scaling, rounded to whole pixels, never without area."""
    return ImageSize(max(1, round(image.width * scale)), max(1, round(image.height * scale)))


def draw_on_canvas(picture: Image.Image, placement: Placement, part: Part | None = None) -> PixelArray:
    """An upright RGB picture, resized and laid at the canvas's top left corner: uint8 (H, W, 3), padding zero.

    ``part``: of ``picture``, in its pixels and their fractions, what is to be seen; None for all of it. Resizing is
    bilinear with antialiasing, as torchvision's and Pillow's own; the padding's value never reaches the network, which
    masks it after normalisation.
    """
    content = placement.content
    pixels = np.zeros((placement.canvas.height, placement.canvas.width, 3), dtype=np.uint8)
    pixels[: content.height, : content.width] = np.asarray(_resized(picture, content, part))
    return pixels


def left_to_draw(picture: Image.Image, placement: Placement, part: Part | None = None) -> PixelArray:
    """An upright RGB picture, uint8 (h, w, 3), for a device that resizes and lays it on its canvas itself.

    As it is, or resized already, where ``part`` is not all of it, which no device is told, or where it is much more
    than its canvas will show: many may be waiting.
    """
    content = placement.content
    if not _is_all(picture, part) or picture.width * picture.height > _LEFT_OVER * content.width * content.height:
        picture = _resized(picture, content, part)
    return np.asarray(picture)


def _resized(picture: Image.Image, content: ImageSize, part: Part | None) -> Image.Image:
    size = (content.width, content.height)
    if picture.size == size and _is_all(picture, part):
        return picture
    return picture.resize(size, Image.Resampling.BILINEAR, box=part, reducing_gap=_REDUCING_GAP)


def _is_all(picture: Image.Image, part: Part | None) -> bool:
    return part is None or part == (0, 0, *picture.size)


def _room(canvas: Canvas, content: ImageSize) -> float:
    return min(canvas.width / content.width, canvas.height / content.height)
