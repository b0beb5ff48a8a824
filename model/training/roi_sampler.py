"""The RoIs that the second stage learns from: a sample of the proposals, each with what it is to become."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_area, box_iou

from model.errors import ConfigError
from model.training.assignment import BACKGROUND, FOREGROUND, IGNORED
from model.training.classes import BACKGROUND_CLASS
from model.training.dataset import Batch
from model.training.sampler import AnchorSampler


@dataclass(frozen=True, slots=True)
class RoISamples:
    """The sampled RoIs of N pictures, S in all.

    ``boxes``: N times float32 (S_n, 4) ``xyxy`` in canvas pixels; ``labels``: int64 (S,), 0 for background;
    ``matched``: float32 (S, 4), the object's box, of no meaning where the label is 0.
    """

    boxes: list[Tensor]
    labels: Tensor
    matched: Tensor


@dataclass(frozen=True, slots=True)
class RoISampler:
    """``per_picture`` proposals of each picture, at most ``foreground_share`` of them objects.

    The figures are Fast R-CNN's (section 2.3) and py-faster-rcnn's: 128 a picture, a quarter of them objects, an
    object from an IoU of ``foreground_iou`` with a box on. (torchvision takes 512 a picture, which is four times the
    work; on a CPU that is most of a step.) The objects' own boxes are candidates too, as in both.

    ``ignore_share``: a proposal of which this share lies in a region to ignore is never background, by the rule of the
    RPN's anchors (COCO's for crowds: intersection over the proposal's own area). It is left out of the draw, no more:
    it may still be an object's.
    """

    per_picture: int = 128
    foreground_share: float = 0.25
    foreground_iou: float = 0.5
    ignore_share: float = 0.5

    def __post_init__(self) -> None:
        if self.per_picture < 1:
            raise ConfigError(f"RoI sampler: per_picture must be at least 1, not {self.per_picture}")

    def __call__(self, proposals: list[Tensor], batch: Batch, generator: torch.Generator | None = None) -> RoISamples:
        """Sample from each picture's proposals, float32 (K_n, 4) in canvas pixels, drawn on ``generator``.

        Raises:
            ValueError: the batch has no labels.
        """
        if batch.labels is None:
            raise ValueError("the batch has no labels; its data set must be made with classes")
        rows = zip(proposals, batch.boxes, batch.labels, batch.counts.tolist(), batch.ignored, strict=True)
        samples = [
            self._of_picture(found, boxes[:count], labels[:count], ignored, generator)
            for found, boxes, labels, count, ignored in rows
        ]
        boxes, labels, matched = zip(*samples, strict=True)
        return RoISamples(list(boxes), torch.cat(labels), torch.cat(matched))

    def _of_picture(
        self, proposals: Tensor, boxes: Tensor, labels: Tensor, ignored: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        candidates = torch.cat((proposals, boxes))  # (R, 4)
        # A box without area, of class 0, comes last: what overlaps no object has that to point at.
        boxes, labels = F.pad(boxes, (0, 0, 0, 1)), F.pad(labels, (0, 1))
        best, matched = box_iou(candidates, boxes).max(dim=1)  # (R,)
        kinds = torch.where(best >= self.foreground_iou, FOREGROUND, BACKGROUND)
        kinds[(kinds == BACKGROUND) & self._in_ignored(candidates, ignored)] = IGNORED
        sampler = AnchorSampler(self.per_picture, self.foreground_share)
        foreground, background = (mask[0] for mask in sampler(kinds[None], generator))
        chosen = (foreground | background).nonzero()[:, 0]
        classes = torch.where(foreground, labels[matched], BACKGROUND_CLASS)
        return candidates[chosen], classes[chosen], boxes[matched[chosen]]

    def _in_ignored(self, candidates: Tensor, ignored: Tensor) -> Tensor:
        """(R,): which lie in a region (I, 4) by the share that counts; empty regions, the padding, hold none."""
        low = torch.maximum(candidates[:, None, :2], ignored[:, :2])
        high = torch.minimum(candidates[:, None, 2:], ignored[:, 2:])
        shares = (high - low).clamp(min=0).prod(dim=-1) / box_area(candidates)[:, None]  # (R, I)
        return (shares >= self.ignore_share).any(dim=1)
