"""The two losses of the second stage: how well each box fits, and where it should be."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.config import RefinementConfig, SelectionConfig
from model.network.box_coding import decode_deltas
from model.network.proposing import first_stage
from model.network.refinement import RefinementHead
from model.network.rpn import ScoredAnchors
from model.training.assignment import pairwise_iou
from model.training.box_loss import aligned_iou, giou
from model.training.dataset import Batch
from model.training.objectness_loss import confident_background

# Faster R-CNN's second stage takes its foreground from this IoU on; boxes below it are not moved.
_FOREGROUND_IOU = 0.5
# What lies on nothing annotated: the bound of assignment by IoU. Boxes nearer to an object are known to be poor ones.
_BACKGROUND_IOU = 0.3
# The second stage's share: its losses are means of about the first stage's size, so neither is weighed down.
_BOX_WEIGHT = 2.0

# In training no box is left out for a low score: the second stage must learn what background is.
_SELECTION = SelectionConfig()


@dataclass(frozen=True, slots=True)
class RefinementLosses:
    """``objectness`` and ``box`` of the second stage, weighted scalars."""

    objectness: Tensor
    box: Tensor


@dataclass(frozen=True, slots=True)
class _Rois:
    """M boxes that the second stage is trained on: (M, 4), their pictures (M,), first logits (M,), overlap with the
    best annotated box (M,), and that box (M, 4)."""

    boxes: Tensor
    pictures: Tensor
    logits: Tensor
    overlaps: Tensor
    targets: Tensor


@dataclass(frozen=True, slots=True)
class RefinementRules:
    """Which boxes the second stage is trained on.

    ``per_picture`` of the first stage's, at random, at most ``foreground_share`` of them at an IoU of 0.5 or more with
    an annotated box; a box with ``ignore_share`` of its area in a region to ignore counts only as foreground.
    ``jittered``: copies of each annotated box, moved by up to ``shift`` of its sides and scaled by up to ``stretch``,
    which join them so that there is foreground from the first step on.
    """

    per_picture: int = 192
    foreground_share: float = 0.5
    jittered: int = 4
    shift: float = 0.15
    stretch: float = 0.3
    ignore_share: float = 0.5


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
    rois = _rois(scored, batch, head.config, rules, generator)
    logits, deltas = head(scored.features, rois.boxes, rois.pictures, rois.logits)
    moved = decode_deltas(deltas.float().detach(), rois.boxes)
    worth = ((aligned_iou(moved, rois.targets) - 0.45) / 0.5).clamp(0, 1)
    foreground = rois.overlaps >= _FOREGROUND_IOU
    errors = F.binary_cross_entropy_with_logits(logits.float(), worth, reduction="none")
    if ignore_confident is not None:
        errors = errors[~confident_background(logits.float(), rois.overlaps < _BACKGROUND_IOU, ignore_confident)]
    box = giou(deltas.float()[foreground], rois.boxes[foreground], rois.targets[foreground]).sum()
    return RefinementLosses(errors.sum() / max(1, len(errors)), _BOX_WEIGHT * box / foreground.sum().clamp(min=1))


@torch.no_grad()
def _rois(
    scored: ScoredAnchors,
    batch: Batch,
    config: RefinementConfig,
    rules: RefinementRules,
    generator: torch.Generator | None,
) -> _Rois:
    parts = []
    for picture, selected in enumerate(first_stage(scored, batch.contents, _SELECTION, config)):
        boxes = batch.boxes[picture, : int(batch.counts[picture])]
        jittered = _jittered(boxes.repeat(rules.jittered, 1), batch.contents[picture], rules, generator)
        rois = torch.cat([selected.boxes, jittered])
        scores = torch.cat([selected.scores, selected.scores.new_full((len(jittered),), 0.5)])
        if len(boxes):
            overlaps, nearest = pairwise_iou(boxes[None], rois)[0].max(dim=0)
            targets = boxes[nearest]
        else:
            # Targets without area: with the boxes themselves all of this background would be worth as much as can be.
            overlaps, targets = scores.new_zeros(len(rois)), torch.zeros_like(rois)
        shares = _share_inside(rois, batch.ignored[picture])
        usable = (overlaps >= _FOREGROUND_IOU) | (shares < rules.ignore_share)
        chosen = _drawn(overlaps, usable, rules, generator)
        where = torch.full((len(chosen),), picture, device=rois.device)
        parts.append((rois[chosen], where, scores[chosen].logit(eps=1e-6), overlaps[chosen], targets[chosen]))
    return _Rois(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _drawn(overlaps: Tensor, usable: Tensor, rules: RefinementRules, generator: torch.Generator | None) -> Tensor:
    order = torch.randperm(len(overlaps), generator=generator, device=overlaps.device)
    order = order[usable[order]]
    is_foreground = overlaps[order] >= _FOREGROUND_IOU
    foreground = order[is_foreground][: int(rules.per_picture * rules.foreground_share)]
    return torch.cat([foreground, order[~is_foreground][: rules.per_picture - len(foreground)]])


def _jittered(boxes: Tensor, content: Tensor, rules: RefinementRules, generator: torch.Generator | None) -> Tensor:
    noise = torch.rand(boxes.shape, generator=generator, device=boxes.device) * 2 - 1
    sides = boxes[:, 2:] - boxes[:, :2]
    middles = (boxes[:, 2:] + boxes[:, :2]) / 2 + noise[:, :2] * rules.shift * sides
    halves = sides / 2 * (noise[:, 2:] * rules.stretch).exp()
    return torch.minimum(torch.cat([middles - halves, middles + halves], dim=1).clamp(min=0), content.repeat(2))


def _share_inside(boxes: Tensor, regions: Tensor) -> Tensor:
    """(M,): the largest share of each box (M, 4) that lies in one of the regions (I, 4)."""
    if len(regions) == 0:
        return boxes.new_zeros(len(boxes))
    low = torch.maximum(boxes[:, None, :2], regions[:, :2])
    high = torch.minimum(boxes[:, None, 2:], regions[:, 2:])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1).clamp(min=1e-6)
    return ((high - low).clamp(min=0).prod(dim=-1) / areas[:, None]).amax(dim=1)
