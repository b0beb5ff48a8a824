"""The RoIs that the second stage learns from: a sample of the proposals, each with what it is to become."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.errors import ConfigError
from model.training.classes import BACKGROUND_CLASS
from model.training.dataset import Batch
from model.training.matcher import Matcher
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

    ``ignore_share``: a proposal of which this share lies in a region to ignore is no background, by the same rule as
    an anchor: the same `Matcher` judges both. Its other rule, that the best anchor of a box is foreground whatever
    their IoU, changes nothing here, since the best candidate of a box is the box itself.
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
        if not len(candidates):
            return candidates, labels, boxes
        matcher = Matcher(self.foreground_iou, self.foreground_iou, self.ignore_share)
        competing = torch.ones(1, len(candidates), dtype=torch.bool, device=candidates.device)
        count = torch.tensor([len(boxes)], device=candidates.device)
        assignment = matcher(candidates, competing, boxes[None], count, ignored[None])
        sampler = AnchorSampler(self.per_picture, self.foreground_share)
        foreground, background = (mask[0] for mask in sampler(assignment.labels, generator))
        chosen = (foreground | background).nonzero()[:, 0]
        # One row more than there are boxes, so that there is one to point at where there are none.
        matched = assignment.matched[0, chosen]
        classes = torch.where(foreground[chosen], F.pad(labels, (0, 1))[matched], BACKGROUND_CLASS)
        return candidates[chosen], classes, F.pad(boxes, (0, 0, 0, 1))[matched]
