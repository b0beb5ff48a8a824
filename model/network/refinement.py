"""A second stage for the proposals: features sampled inside each box score it again and move it once more.

In the spirit of Cascade RPN (Vu et al. 2019): the second regression starts from the first one's boxes, on features
that are aligned with them. There an adaptive convolution aligns the features of every anchor; here they are sampled for
the best boxes only, on a grid in each as RoIAlign does (He et al. 2017, section 3), which costs a fraction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import RefinementConfig
from model.network.box_coding import decode_deltas

# Deltas are predicted in these units, about their spread after the first stage (Fast R-CNN's box targets' deviations).
_DELTA_UNITS = (0.1, 0.1, 0.2, 0.2)
# The grid's step is this share of a box's side: five points reach from border to border, more look beyond it.
_POINTS_ACROSS = 5
# The side of a box, in cells of the level that it is sampled from: near the grid's, so that no cell is skipped.
_CELLS_ACROSS = 6.0
# The four cells that a point lies between, as steps from the first of them: along y, and along x.
_CORNERS = ((0.0, 0.0, 1.0, 1.0), (0.0, 1.0, 0.0, 1.0))


class RefinementHead(nn.Module):
    """Boxes on feature maps to a new logit and new deltas for each."""

    steps: Tensor
    corners: Tensor
    units: Tensor
    level_strides: Tensor

    def __init__(self, config: RefinementConfig, in_channels: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.config = config
        self.strides = strides
        self.narrow = nn.Conv2d(in_channels, config.channels, kernel_size=1)
        # Beside the features: the first stage's logit, and the box's width and height as a share of the canvas.
        self.fc1 = SampleLayer(config.grid**2 * config.channels, 3, config.hidden)
        self.fc2 = nn.Linear(config.hidden, config.hidden)
        self.objectness = nn.Linear(config.hidden, 1)
        self.bbox_pred = nn.Linear(config.hidden, 4)
        nn.init.normal_(self.bbox_pred.weight, std=0.001)  # Fast R-CNN, section 4.1: starts as the identity
        nn.init.zeros_(self.bbox_pred.bias)
        steps = (torch.arange(config.grid) - (config.grid - 1) / 2) / (_POINTS_ACROSS - 1)
        self.register_buffer("steps", steps, persistent=False)
        self.register_buffer("corners", torch.tensor(_CORNERS), persistent=False)
        self.register_buffer("level_strides", torch.tensor(strides), persistent=False)
        self.register_buffer("units", torch.tensor(_DELTA_UNITS), persistent=False)
        self._kept_maps: dict[tuple[torch.device, tuple[tuple[int, ...], ...]], Tensor] = {}

    def forward(self, features: list[Tensor], boxes: Tensor, pictures: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """New logits (M,) and deltas (M, 4), relative to ``boxes`` (M, 4) on the maps (N, C, H_l, W_l).

        ``pictures``: int64 (M,), the map that each box lies on; ``logits``: (M,), the first stage's.
        """
        table, maps = as_table([self.narrow(level).permute(0, 2, 3, 1) for level in features])
        shapes = tuple(tuple(level.shape[-2:]) for level in features)
        placed = self._placed(maps, shapes, boxes.device)
        return self.judge(table, placed, boxes, pictures, logits, count=len(features[0]))

    def _placed(self, maps: Tensor, shapes: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
        """The maps' sizes on the device, kept for each canvas: a copy from the host would be waited for."""
        key = (device, shapes)
        if key not in self._kept_maps:
            self._kept_maps[key] = maps.to(device)
        return self._kept_maps[key]

    def judge(
        self, table: Tensor, maps: Tensor, boxes: Tensor, pictures: Tensor, logits: Tensor, *, count: int = 1
    ) -> tuple[Tensor, Tensor]:
        """The same from narrowed maps as one table of places (T, C), level by level and of each all N pictures.

        ``maps``: int64 (L, 2), each level's height and width; ``count``: N.
        """
        canvas = maps[0, 1] * self.strides[0]
        shapes = ((boxes[:, 2:] - boxes[:, :2]).clamp(min=1) / canvas).log()
        sampled = self._sample(table, maps, boxes, pictures, count)
        beside = torch.cat([logits[:, None].to(sampled), shapes.to(sampled)], dim=1)
        hidden = F.relu(self.fc2(F.relu(self.fc1(sampled, beside))))
        return self.objectness(hidden).squeeze(-1), self.bbox_pred(hidden) * self.units

    def _sample(self, table: Tensor, maps: Tensor, boxes: Tensor, pictures: Tensor, count: int) -> Tensor:
        """The features at each box's grid: (M, P * C), bilinear.

        Each point is a weighted sum of four rows of the table: an embedding bag, which is fast on every device.
        """
        heights, widths = maps.unbind(dim=1)
        sizes = heights * widths * count
        starts = sizes.cumsum(0) - sizes
        level = self._levels(boxes)
        height, width = heights[level], widths[level]
        stride = self.level_strides[level]
        start = starts[level] + pictures * height * width
        middles, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        ahead_y, ahead_x = self.corners.unbind()
        rows, down = self._neighbours(middles[:, 1], sides[:, 1], stride, height, ahead_y)
        columns, across = self._neighbours(middles[:, 0], sides[:, 0], stride, width, ahead_x)
        first = start.to(rows)[:, None, None] + rows * width.to(rows)[:, None, None]  # of each row, in the table
        # What a point reads of the maps depends on its row and its column in turn: (M, G, G, 4), y first.
        places = first.long()[:, :, None] + columns.long()[:, None]
        weights = down[:, :, None] * across[:, None]
        values = F.embedding_bag(
            places.reshape(-1, 4), table, mode="sum", per_sample_weights=weights.reshape(-1, 4).to(table)
        )
        return values.reshape(len(boxes), self.config.grid**2 * table.shape[1])

    def _neighbours(
        self, middle: Tensor, side: Tensor, stride: Tensor, cells: Tensor, ahead: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Along one axis, where the four cells of each of the G points lie, and how much each counts: (M, G, 4).

        Only two differ; each comes twice, in the order of ``ahead``: OpenVINO takes five times as long to combine
        arrays whose last axis is of two. The cells are floats, which it combines in one pass where whole numbers take
        one for each operation; up to 2**24, more than a table has places, floats are as exact.
        """
        last = (cells - 1).to(middle)[:, None]
        points = (middle[:, None] + self.steps * side[:, None]) / stride[:, None] - 0.5
        points = torch.minimum(points.clamp(min=0), last)
        low = points.floor()
        shares = (points - low)[..., None]
        return torch.minimum(low[..., None] + ahead, last[..., None]), (1 - ahead) + (2 * ahead - 1) * shares

    def _levels(self, boxes: Tensor) -> Tensor:
        """The level that each box is sampled from, by the square root of its area (Lin et al. 2017, equation 1)."""
        area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1).prod(dim=-1)
        level = (0.5 * area.log2() - math.log2(_CELLS_ACROSS * self.strides[0])).round()
        return level.long().clamp(0, len(self.strides) - 1)


def as_table(levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Maps, L times (N, H_l, W_l, C), as `RefinementHead.judge` takes them: the table (T, C), and int64 (L, 2)."""
    table = torch.cat([level.reshape(-1, level.shape[-1]) for level in levels])
    return table, torch.tensor([level.shape[1:3] for level in levels])


class SampleLayer(nn.Module):
    """The second stage's first layer: of a box's samples, and of a few figures that are told beside them.

    One weight for both, but two products: columns beyond a whole number of vectors would slow down the large one, and
    that one alone can be computed in 8-bit integers.
    """

    def __init__(self, samples: int, beside: int, out: int) -> None:
        super().__init__()
        whole = nn.Linear(samples + beside, out)
        self.weight, self.bias = whole.weight, whole.bias
        self.samples = samples

    def forward(self, sampled: Tensor, beside: Tensor) -> Tensor:
        """(M, out) of (M, samples) and (M, beside)."""
        of_samples, of_rest = self.weight[:, : self.samples], self.weight[:, self.samples :]
        return F.linear(sampled, of_samples, self.bias) + F.linear(beside, of_rest)


class SecondStage(nn.Module):
    """All of the second stage on one picture's boxes, as one graph of operations that another runtime can take over."""

    def __init__(self, head: RefinementHead) -> None:
        super().__init__()
        self.refinement = head

    def forward(self, table: Tensor, maps: Tensor, boxes: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (M,) that count in the end, and the moved boxes (M, 4), of what `RefinementHead.judge` takes."""
        pictures = torch.zeros_like(logits, dtype=torch.int64)
        new_logits, deltas = self.refinement.judge(table, maps, boxes, pictures, logits)
        return new_logits + self.refinement.config.first_weight * logits, decode_deltas(deltas, boxes)


@dataclass(frozen=True, slots=True)
class RefinedBoxes:
    """One picture's boxes after the second stage: boxes float32 (K, 4), logits float32 (K,), in no order."""

    boxes: Tensor
    logits: Tensor
