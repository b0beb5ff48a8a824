"""The plain types that cross the door between the service and the model. No torch here.

Coordinates: boxes are ``xyxy`` absolute floats in the pixels of the upright picture (EXIF applied), before any
resizing; ``x2`` and ``y2`` are exclusive edges, so a box's width is ``x2 - x1``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
PixelArray = npt.NDArray[np.uint8]
# Of a picture: left, top, right and bottom, in its pixels and their fractions.
Part = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, order=True)
class ImageSize:
    """Width and height in pixels."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a picture of {self.width}x{self.height} pixels has no area")

    @property
    def pixels(self) -> int:
        """The area in pixels."""
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True, order=True)
class Canvas:
    """A padded shape that the network sees: one of a short fixed list, so that every shape can be warmed."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """The area in pixels."""
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture lies on its canvas: resized to ``content``, at the top left corner, the rest padding.

    It depends on the picture's own size alone, never on its batch companions.
    """

    image: ImageSize
    content: ImageSize
    canvas: Canvas

    @property
    def scale_x(self) -> float:
        """Canvas pixels per picture pixel, horizontally."""
        return self.content.width / self.image.width

    @property
    def scale_y(self) -> float:
        """Canvas pixels per picture pixel, vertically."""
        return self.content.height / self.image.height


@dataclass(frozen=True, slots=True)
class Selection:
    """What one caller wants of his picture's proposals.

    ``top_n``: at most so many; ``score_threshold``: a score, as it is served, of at least this, in [0, 1];
    ``nms_iou``: of two proposals of one level that overlap by more, the one that the network scores lower
    goes (1.0 keeps all).
    """

    top_n: int = 300
    score_threshold: float = 0.0
    nms_iou: float = 0.7

    def __post_init__(self) -> None:
        if self.top_n < 1:
            raise ValueError(f"top_n must be at least 1, not {self.top_n}")
        for name in ("score_threshold", "nms_iou"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must lie between 0 and 1, not {value}")


@dataclass(frozen=True, slots=True)
class Proposals:
    """One picture's ranked boxes.

    ``boxes``: float32 (K, 4), ``xyxy``; ``scores``: float32 (K,), highest first: the chance that the box covers an
    object where the checkpoint is calibrated, otherwise its objectness, in [0, 1] both; ``truncated``: more survived
    the selection than were asked for.
    """

    boxes: FloatArray
    scores: FloatArray
    truncated: bool = False

    def __len__(self) -> int:
        return int(self.scores.shape[0])


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a loaded checkpoint says of itself; ``nms_iou`` is for callers who name none.

    ``overlap_penalty``: what ranks proposals lower that are much like a better one, in words, if anything does.
    """

    name: str
    version: str
    digest: str
    architecture: str
    parameters: int
    input_rule: str
    provenance: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    nms_iou: float = 0.7
    overlap_penalty: str | None = None
