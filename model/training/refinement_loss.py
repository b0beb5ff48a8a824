"""The two losses of the second stage: how well each box fits, and where it should be."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.network.box_coding import decode_deltas
from model.network.refinement import RefinementHead
from model.network.rpn import ScoredAnchors
from model.training.box_loss import aligned_iou, giou
from model.training.dataset import Batch
from model.training.objectness_loss import confident_background
from model.training.refinement_sampler import FOREGROUND_IOU, RefinementRules, refinement_samples

# What lies on nothing annotated: the bound of assignment by IoU. Boxes nearer to an object are known to be poor ones.
_BACKGROUND_IOU = 0.3
# The second stage's share: its losses are means of about the first stage's size, so neither is weighed down.
_BOX_WEIGHT = 2.0


@dataclass(frozen=True, slots=True)
class RefinementLosses:
    """``objectness`` and ``box`` of the second stage, weighted scalars."""

    objectness: Tensor
    box: Tensor


def refinement_losses(
    head: RefinementHead,
    scored: ScoredAnchors,
    batch: Batch,
    rules: RefinementRules,
    generator: torch.Generator | None = None,
    ignore_confident: float | None = None,
) -> RefinementLosses:
    """Cross-entropy of each box's logit against how much its moved self is worth, and GIoU of the foreground's boxes.

    What a box is worth is the share of the ten thresholds of average recall, 0.50 to 0.95, that it reaches, as a
    straight line through that staircase: so that the order of scores is the order in which boxes add to the figure.
    Where nothing is annotated it is 0. No gradient flows through the first boxes.

    ``ignore_confident``: as in `Rules`, boxes that score higher and lie on nothing annotated are not trained on.
    """
    rois = refinement_samples(scored, batch, head.config, rules, generator)
    logits, deltas = head(scored.features, rois.boxes, rois.pictures, rois.logits)
    logits, deltas = logits.float(), deltas.float()
    worth = ((aligned_iou(decode_deltas(deltas.detach(), rois.boxes), rois.targets) - 0.45) / 0.5).clamp(0, 1)
    trained, foreground = rois.drawn, rois.drawn & (rois.overlaps >= FOREGROUND_IOU)
    if ignore_confident is not None:
        trained = trained & ~confident_background(logits, rois.overlaps < _BACKGROUND_IOU, ignore_confident)
    # Masks, for an index of them would be waited for; what is not to be moved is left where it is.
    errors = F.binary_cross_entropy_with_logits(logits, worth, reduction="none").where(trained, 0.0)
    box = giou(deltas.where(foreground[:, None], 0.0), rois.boxes, rois.targets).where(foreground, 0.0)
    return RefinementLosses(
        errors.sum() / trained.sum().clamp(min=1), _BOX_WEIGHT * box.sum() / foreground.sum().clamp(min=1)
    )
