"""Anchors: the reference boxes at every place of every feature level (Faster R-CNN, section 3.1.1)."""

from dataclasses import dataclass

import numpy as np

from model.config import AnchorConfig
from model.errors import ConfigError
from model.structures import Canvas, FloatArray

# The side of the paper's base anchor: py-faster-rcnn rounds each ratio's sides at this size, then scales them.
_PAPER_BASE = 16.0


@dataclass(frozen=True, slots=True, eq=False)
class LevelAnchors:
    """The anchors of one level; equal to itself alone, so that what is made of them can be kept.

    ``boxes``: float32 (R_l, 4), ``xyxy`` in canvas pixels; ``centres``: float32 (R_l, 2), the (x, y) place that each
    belongs to, by which an anchor is said to lie in the picture or in its padding.
    """

    boxes: FloatArray
    centres: FloatArray


class AnchorGenerator:
    """The anchors of a canvas, made once for each canvas and kept.

    ``strides``: canvas pixels between neighbouring places, per level.
    """

    def __init__(self, config: AnchorConfig, strides: tuple[int, ...]) -> None:
        if len(config.sizes) != len(strides):
            raise ConfigError(f"anchors: {len(config.sizes)} levels of sizes for {len(strides)} feature levels")
        self.config = config
        self.strides = strides
        self._kept: dict[tuple[Canvas, tuple[tuple[int, int], ...]], list[LevelAnchors]] = {}

    def __call__(self, canvas: Canvas, maps: tuple[tuple[int, int], ...]) -> list[LevelAnchors]:
        """The anchors of feature maps of these (H_l, W_l) on this canvas, level by level."""
        key = (canvas, maps)
        if key not in self._kept:
            levels = zip(self.config.sizes, self.strides, maps, strict=True)
            self._kept[key] = [self._level(canvas, *level) for level in levels]
        return self._kept[key]

    def _level(self, canvas: Canvas, sizes: tuple[float, ...], stride: int, grid: tuple[int, int]) -> LevelAnchors:
        cell = cell_anchors(self.config, sizes, stride)  # (A, 4)
        step_y, step_x = stride, stride
        if self.config.convention == "torchvision":
            step_y, step_x = canvas.height // grid[0], canvas.width // grid[1]
        offset = np.float32(0.0 if self.config.convention == "torchvision" else stride / 2)
        rows = np.arange(grid[0], dtype=np.float32) * step_y
        columns = np.arange(grid[1], dtype=np.float32) * step_x
        y, x = np.meshgrid(rows, columns, indexing="ij")
        corners = np.stack((x, y), axis=-1).reshape(-1, 1, 2)  # (H_l * W_l, 1, 2)
        boxes = (np.tile(corners, 2) + cell).reshape(-1, 4)
        centres = (corners + offset).repeat(len(cell), axis=1).reshape(-1, 2)
        return LevelAnchors(boxes, centres)


def cell_anchors(config: AnchorConfig, sizes: tuple[float, ...], stride: int) -> FloatArray:
    """The A anchors of the place at the origin: float32 (A, 4), ``xyxy`` relative to its top left corner.

    The paper's code counts inclusive pixels, so its [-84, -40, 99, 55] is [-84, -40, 100, 56] here.

    >>> config = AnchorConfig(sizes=((128.0,),), aspect_ratios=(0.5,), convention="paper")
    >>> cell_anchors(config, (128.0,), 16).tolist()
    [[-84.0, -40.0, 100.0, 56.0]]
    """
    if config.convention == "paper":
        return _paper_cell(sizes, config.aspect_ratios, stride)
    scales = np.array(sizes, dtype=np.float32)
    height_ratios = np.sqrt(np.array(config.aspect_ratios, dtype=np.float32))
    widths = ((1 / height_ratios)[:, None] * scales[None, :]).reshape(-1)
    heights = (height_ratios[:, None] * scales[None, :]).reshape(-1)
    anchors: FloatArray = np.stack([-widths, -heights, widths, heights], axis=1) * np.float32(0.5)
    return anchors.round() if config.convention == "torchvision" else anchors + np.float32(stride / 2)


def _paper_cell(sizes: tuple[float, ...], aspect_ratios: tuple[float, ...], stride: int) -> FloatArray:
    anchors = []
    for ratio in aspect_ratios:
        width = round((_PAPER_BASE**2 / ratio) ** 0.5)
        height = round(width * ratio)
        for size in sizes:
            half_width, half_height = width * size / _PAPER_BASE / 2, height * size / _PAPER_BASE / 2
            middle = stride / 2
            anchors.append([middle - half_width, middle - half_height, middle + half_width, middle + half_height])
    return np.array(anchors, dtype=np.float32)
