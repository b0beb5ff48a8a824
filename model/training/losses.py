"""The two losses of the RPN (Faster R-CNN, equation 1)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.network.box_coding import encode_boxes
from model.network.rpn import ScoredAnchors
from model.training.dataset import Batch
from model.training.matcher import Matcher
from model.training.sampler import AnchorSampler

# Where smooth L1 turns from a square into a line; the value of py-faster-rcnn (sigma 3), torchvision and detectron2.
_SMOOTH_L1_BETA = 1.0 / 9


@dataclass(frozen=True, slots=True)
class Losses:
    """``objectness`` and ``box``, scalars; their sum is what is minimised."""

    objectness: Tensor
    box: Tensor

    @property
    def total(self) -> Tensor:
        """The weighted sum. Both are normalised by the sampled anchors, so the weights are one (as torchvision's)."""
        return self.objectness + self.box


def rpn_losses(
    scored: ScoredAnchors,
    batch: Batch,
    matcher: Matcher,
    sampler: AnchorSampler,
    generator: torch.Generator | None = None,
) -> Losses:
    """Binary cross-entropy on the sampled anchors' objectness, smooth L1 on the foreground's deltas.

    The first is the mean over the sampled anchors, the second the sum over the foreground divided by the number of
    sampled anchors, so that a picture with few objects weighs no more than one with many.
    """
    anchors = torch.cat([level.boxes for level in scored.anchors])  # (R, 4)
    centres = torch.cat([level.centres for level in scored.anchors])
    logits = torch.cat(scored.logits, dim=1).float()  # (N, R)
    deltas = torch.cat(scored.deltas, dim=1).float()  # (N, R, 4)
    competing = (centres < batch.contents[:, None, :]).all(dim=-1)
    assignment = matcher(anchors, competing, batch.boxes, batch.counts, batch.ignored)
    foreground, background = sampler(assignment.labels, generator)
    sampled = foreground | background
    count = sampled.sum().clamp(min=1)
    objectness = F.binary_cross_entropy_with_logits(logits[sampled], foreground[sampled].float(), reduction="sum")
    picture, place = foreground.nonzero(as_tuple=True)
    targets = encode_boxes(batch.boxes[picture, assignment.matched[picture, place]], anchors[place])
    box = F.smooth_l1_loss(deltas[picture, place], targets, beta=_SMOOTH_L1_BETA, reduction="sum")
    return Losses(objectness / count, box / count)
