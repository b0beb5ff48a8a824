"""Anchors as tensors, on the device where the network is."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.config import AnchorConfig
from model.host import anchors as host
from model.structures import Canvas, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LevelAnchors:
    """The anchors of one level; equal to itself alone, so that what is made of them can be kept.

    ``boxes``: float32 (R_l, 4), ``xyxy`` in canvas pixels; ``centres``: float32 (R_l, 2), the (x, y) place that each
    belongs to, by which an anchor is said to lie in the picture or in its padding.
    """

    boxes: Tensor
    centres: Tensor


class AnchorGenerator:
    """The anchors of a canvas, made once for each canvas and device and kept.

    ``strides``: canvas pixels between neighbouring places, per level.
    """

    def __init__(self, config: AnchorConfig, strides: tuple[int, ...]) -> None:
        self.strides = strides
        self._on_host = host.AnchorGenerator(config, strides)
        self._kept: dict[tuple[Canvas, tuple[tuple[int, int], ...], torch.device], list[LevelAnchors]] = {}

    def __call__(self, canvas: Canvas, maps: tuple[tuple[int, int], ...], device: torch.device) -> list[LevelAnchors]:
        """The anchors of feature maps of these (H_l, W_l) on this canvas, level by level."""
        key = (canvas, maps, device)
        if key not in self._kept:
            levels = self._on_host(canvas, maps)
            self._kept[key] = [LevelAnchors(_tensor(a.boxes, device), _tensor(a.centres, device)) for a in levels]
        return self._kept[key]


def _tensor(values: FloatArray, device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device)
