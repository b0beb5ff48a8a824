"""The boxes that the proposals' second stage learns from: some of the first stage's, and copies of annotated ones.

Every shape is known beforehand, so that a GPU is not waited for: what is not there stays in its place under a mask.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from model.config import RefinementConfig, SelectionConfig
from model.host.proposing import LOGIT_EPS, first_stage_selection
from model.network.device_selection import Wanted, select_anchors
from model.network.proposing import first_stage
from model.network.rpn import ScoredAnchors
from model.training.assignment import BACKGROUND, FOREGROUND, IGNORED, pairwise_iou
from model.training.dataset import Batch
from model.training.sampler import AnchorSampler

# Faster R-CNN's second stage takes its foreground from this IoU on; boxes below it are not moved.
FOREGROUND_IOU = 0.5

# In training no box is left out for a low score: the second stage must learn what background is.
_SELECTION = SelectionConfig()


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


@dataclass(frozen=True, slots=True)
class RefinementSamples:
    """S boxes of each of N pictures, M in all.

    ``boxes``: float32 (M, 4); ``pictures``: int64 (M,), which each lies on; ``logits``: float32 (M,), the first
    stage's; ``overlaps``: float32 (M,), with the best annotated box; ``targets``: float32 (M, 4), that box; ``drawn``:
    bool (M,), which are trained on: where a picture has fewer than S, the rest are some that are not.
    """

    boxes: Tensor
    pictures: Tensor
    logits: Tensor
    overlaps: Tensor
    targets: Tensor
    drawn: Tensor


@torch.no_grad()
def refinement_samples(
    scored: ScoredAnchors,
    batch: Batch,
    config: RefinementConfig,
    rules: RefinementRules,
    generator: torch.Generator | None = None,
) -> RefinementSamples:
    """A sample of what the first stage finds in a batch; ``generator`` draws it, and moves the copies."""
    found, scores, filled = _first_stage(scored, batch.contents, config)
    copies = _jittered(batch, rules, generator)
    boxes = torch.cat([found, copies], dim=1)
    logits = torch.cat([scores, torch.full_like(copies[..., 0], 0.5)], dim=1).logit(eps=LOGIT_EPS)
    there = torch.cat([filled, batch.real.repeat(1, rules.jittered)], dim=1)
    overlaps, targets = _best_annotated(boxes, batch)
    labels = _labels(boxes, overlaps, batch.ignored, rules).masked_fill(~there, IGNORED)
    drawn, place = _drawn(labels, rules, generator)
    picture = torch.arange(len(boxes), device=boxes.device)[:, None].expand_as(place)
    columns = (boxes[picture, place], picture, *(values[picture, place] for values in (logits, overlaps, targets)))
    return RefinementSamples(*(column.flatten(0, 1) for column in (*columns, drawn)))


def _first_stage(scored: ScoredAnchors, contents: Tensor, config: RefinementConfig) -> tuple[Tensor, Tensor, Tensor]:
    """What it finds in P places: boxes (N, P, 4), scores (N, P), and which of the places are filled, bool (N, P)."""
    if contents.device.type != "cpu":
        enough, wanted = first_stage_selection(_SELECTION, config)
        found = select_anchors(scored, contents, enough, Wanted.alike(wanted, len(contents), contents.device))
        # What lies in a place without a box may be no number at all, which nothing may be sampled at.
        return found.boxes.where(found.filled[..., None], 0.0), found.scores, found.filled
    each = first_stage(scored, contents, _SELECTION, config)
    boxes, scores = (
        pad_sequence([getattr(selected, name) for selected in each], batch_first=True) for name in ("boxes", "scores")
    )
    counts = torch.tensor([len(selected.boxes) for selected in each])
    return boxes, scores, torch.arange(boxes.shape[1]) < counts[:, None]


def _jittered(batch: Batch, rules: RefinementRules, generator: torch.Generator | None) -> Tensor:
    """Copies of the annotated boxes and of their padding: (N, J, 4)."""
    boxes = batch.boxes.repeat(1, rules.jittered, 1)
    noise = torch.rand(boxes.shape, generator=generator, device=boxes.device) * 2 - 1
    sides = boxes[..., 2:] - boxes[..., :2]
    middles = (boxes[..., 2:] + boxes[..., :2]) / 2 + noise[..., :2] * rules.shift * sides
    halves = sides / 2 * (noise[..., 2:] * rules.stretch).exp()
    limits = batch.contents.repeat(1, 2)[:, None]
    return torch.minimum(torch.cat([middles - halves, middles + halves], dim=-1).clamp(min=0), limits)


def _best_annotated(boxes: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Overlap (N, K) of each box (N, K, 4) with the best annotated one, and that one (N, K, 4).

    Where nothing is annotated it is one without area: with the boxes themselves all of this background would be worth
    as much as can be.
    """
    annotated = F.pad(batch.boxes.where(batch.real[..., None], 0.0), (0, 0, 0, 1))
    overlaps, nearest = pairwise_iou(annotated, boxes).nan_to_num_(0.0).max(dim=1)
    return overlaps, annotated.gather(1, nearest[..., None].expand_as(boxes))


def _labels(boxes: Tensor, overlaps: Tensor, ignored: Tensor, rules: RefinementRules) -> Tensor:
    """What each box (N, K, 4) counts as: int64 (N, K)."""
    labels = torch.where(_share_inside(boxes, ignored) < rules.ignore_share, BACKGROUND, IGNORED)
    return labels.masked_fill(overlaps >= FOREGROUND_IOU, FOREGROUND)


def _share_inside(boxes: Tensor, regions: Tensor) -> Tensor:
    """The largest share of each box (N, K, 4) that lies in one of its picture's regions (N, I, 4): (N, K)."""
    if regions.shape[1] == 0:
        return torch.zeros_like(boxes[..., 0])
    low = torch.maximum(boxes[:, :, None, :2], regions[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], regions[:, None, :, 2:])
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1).clamp(min=1e-6)
    return ((high - low).clamp(min=0).prod(dim=-1) / areas[..., None]).amax(dim=2)


def _drawn(labels: Tensor, rules: RefinementRules, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Places (N, S) among the K, the drawn ones first, and which those are, bool (N, S)."""
    foreground, background = AnchorSampler(rules.per_picture, rules.foreground_share)(labels, generator)
    drawn, place = (foreground | background).int().topk(min(rules.per_picture, labels.shape[1]), dim=1)
    return drawn > 0, place
