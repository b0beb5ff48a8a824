"""From scored anchors to ranked proposals: top-k per level, decode, clip, drop, NMS, rank.

As torchvision's ``RegionProposalNetwork.filter_proposals``, step by step and to the last bit in fp32, but for what it
leaves out: only the top-k are decoded, anchors in the padding never compete, non-finite values never survive, and the
scores come back with the boxes. A calibration, where the checkpoint has one, changes what scores are called, not their
order: ranking and NMS go by the network's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from model.config import SelectionConfig
from model.network.anchors import LevelAnchors
from model.network.box_coding import decode_deltas
from model.network.calibration import Calibration
from model.network.refinement import RefinedBoxes
from model.network.rpn import ScoredAnchors
from model.structures import Selection

_NEVER = -torch.inf  # the logit of an anchor that does not compete


@dataclass(frozen=True, slots=True)
class SelectedBoxes:
    """One picture's proposals on its canvas: boxes float32 (K, 4) ``xyxy``, scores float32 (K,), highest first."""

    boxes: Tensor
    scores: Tensor
    truncated: bool


def select_proposals(
    scored: ScoredAnchors,
    contents: Tensor,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[SelectedBoxes]:
    """Each picture's proposals, as its own ``Selection`` asks.

    ``contents``: float32 (N, 2), the (width, height) that each picture covers of its canvas; boxes are clipped to it.
    Work before NMS is one pass for the whole batch; NMS is per picture, within each level. A caller's threshold is on
    the scores that he is served, calibrated ones where there is a ``calibration``; the config's own is on the
    network's.
    """
    candidates = _top_candidates(scored, contents, config.pre_nms_top_n)
    boxes = _clip(candidates.boxes, contents)
    scores = candidates.logits.sigmoid()
    sides = boxes[..., 2:] - boxes[..., :2]
    served = scores if calibration is None else calibration(scores)
    floors = torch.tensor([s.score_threshold for s in selections], device=scores.device)
    keep = (candidates.logits > _NEVER) & (sides >= config.min_side).all(dim=-1)  # NaN sides compare false
    keep &= boxes.isfinite().all(dim=-1) & (scores >= config.score_threshold) & (served >= floors[:, None])
    return [
        _suppress(
            _Scored(boxes[n, keep[n]], scores[n, keep[n]], served[n, keep[n]], candidates.levels[keep[n]]),
            config,
            selection,
        )
        for n, selection in enumerate(selections)
    ]


def select_refined(
    refined: Sequence[RefinedBoxes],
    contents: Tensor,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[SelectedBoxes]:
    """The same from the second stage's boxes, one `RefinedBoxes` a picture; NMS is across levels."""
    return [
        _refined(boxes, content, config, selection, calibration)
        for boxes, content, selection in zip(refined, contents, selections, strict=True)
    ]


def _refined(
    refined: RefinedBoxes,
    content: Tensor,
    config: SelectionConfig,
    selection: Selection,
    calibration: Calibration | None,
) -> SelectedBoxes:
    boxes = torch.minimum(refined.boxes.clamp(min=0), content.repeat(2))
    scores = refined.logits.sigmoid()
    served = scores if calibration is None else calibration(scores)
    keep = ((boxes[:, 2:] - boxes[:, :2]) >= config.min_side).all(dim=-1) & boxes.isfinite().all(dim=-1)
    keep &= (scores >= config.score_threshold) & (served >= selection.score_threshold)
    level = torch.zeros(int(keep.sum()), dtype=torch.int64, device=boxes.device)
    return _suppress(_Scored(boxes[keep], scores[keep], served[keep], level), config, selection)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The K highest anchors of all levels: boxes (N, K, 4), logits (N, K), levels (K,)."""

    boxes: Tensor
    logits: Tensor
    levels: Tensor


@dataclass(frozen=True, slots=True)
class _Scored:
    """One picture's K boxes (K, 4) with the network's scores, those that are served, and the levels, (K,) each."""

    boxes: Tensor
    scores: Tensor
    served: Tensor
    levels: Tensor


def _top_candidates(scored: ScoredAnchors, contents: Tensor, top_n: int) -> _Candidates:
    boxes, logits, levels = [], [], []
    for level, (level_logits, deltas, anchors) in enumerate(
        zip(scored.logits, scored.deltas, scored.anchors, strict=True)
    ):
        competing = _competing(level_logits.float(), anchors, contents)
        top, index = competing.topk(min(top_n, competing.shape[1]), dim=1)
        top_deltas = deltas.float().gather(1, index[..., None].expand(-1, -1, 4))
        boxes.append(decode_deltas(top_deltas, anchors.boxes[index]))
        logits.append(top)
        levels.append(torch.full((top.shape[1],), level, device=top.device))
    return _Candidates(torch.cat(boxes, dim=1), torch.cat(logits, dim=1), torch.cat(levels))


def _competing(logits: Tensor, anchors: LevelAnchors, contents: Tensor) -> Tensor:
    """The logits, with those of anchors in the padding and the non-finite ones replaced by minus infinity."""
    inside = (anchors.centres < contents[:, None, :]).all(dim=-1)  # (N, R_l)
    return torch.where(inside & logits.isfinite(), logits, _NEVER)


def _clip(boxes: Tensor, contents: Tensor) -> Tensor:
    limits = contents.repeat(1, 2)[:, None, :]  # (N, 1, 4)
    return torch.minimum(boxes.clamp(min=0), limits)


def _suppress(scored: _Scored, config: SelectionConfig, selection: Selection) -> SelectedBoxes:
    keep = batched_nms(scored.boxes, scored.scores, scored.levels, selection.nms_iou)
    limit = min(selection.top_n, config.post_nms_top_n)
    top = keep[:limit]
    # A curve that rises may still fall by its last bit where two scores are neighbours: the order is the network's.
    served = scored.served[top].cummin(dim=0).values
    return SelectedBoxes(scored.boxes[top], served, truncated=len(keep) > limit)
