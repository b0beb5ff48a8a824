"""Selection where the network's tensors are: in torch, as few operations as may be, for an accelerator.

`model.network.selection` says what is selected. It runs on a CPU too, with the same results as
`model.host.selection`, and slower: tests hold the two together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from model.calibration import Calibration
from model.config import SelectionConfig
from model.network.anchors import LevelAnchors
from model.network.box_coding import decode_deltas
from model.network.refinement import RefinedBoxes
from model.network.rpn import ScoredAnchors
from model.network.selected_boxes import SelectedBoxes
from model.structures import Selection

_NEVER = -torch.inf  # the logit of an anchor that does not compete


def select_proposals(
    scored: ScoredAnchors,
    contents: Tensor,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[SelectedBoxes]:
    """As `model.network.selection.select_proposals`: one pass for the whole batch up to NMS."""
    candidates = _top_candidates(scored, contents, config.pre_nms_top_n)
    boxes = _clip(candidates.boxes, contents)
    keep = _sound(boxes, config) & (candidates.logits > _NEVER)
    levels = _levels(candidates.levels, boxes.device)
    return [
        _select(_Ranked(boxes[n], candidates.logits[n], keep[n], levels), config, selection, calibration)
        for n, selection in enumerate(selections)
    ]


def select_refined(
    refined: Sequence[RefinedBoxes],
    contents: Tensor,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[SelectedBoxes]:
    """As `model.network.selection.select_refined`."""
    results = []
    for found, content, selection in zip(refined, contents, selections, strict=True):
        boxes = _clip(found.boxes, content)
        keep = _sound(boxes, config) & found.logits.isfinite()
        ranked = _Ranked(boxes, found.logits, keep, _levels((len(boxes),), boxes.device))
        results.append(_select(ranked, config, selection, calibration))
    return results


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The K highest anchors of all levels: boxes (N, K, 4), logits (N, K), how many of each level, level by level."""

    boxes: Tensor
    logits: Tensor
    levels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Ranked:
    """One picture's K boxes (K, 4) and logits (K,), which of them compete (K,), and each one's level, int64 (K,)."""

    boxes: Tensor
    logits: Tensor
    keep: Tensor
    levels: Tensor


def _top_candidates(scored: ScoredAnchors, contents: Tensor, top_n: int) -> _Candidates:
    logits, deltas, boxes = [], [], []
    for level_logits, level_deltas, anchors in zip(scored.logits, scored.deltas, scored.anchors, strict=True):
        count, total = level_logits.shape
        competing = _competing(level_logits, anchors, contents)
        top, index = competing.topk(min(top_n, total), dim=1)
        rows = index if count == 1 else index + torch.arange(0, count * total, total, device=index.device)[:, None]
        logits.append(top)
        deltas.append(level_deltas.reshape(-1, 4).index_select(0, rows.flatten()).view(count, -1, 4))
        boxes.append(anchors.boxes.index_select(0, index.flatten()).view(count, -1, 4))
    decoded = decode_deltas(torch.cat(deltas, dim=1).float(), torch.cat(boxes, dim=1))
    return _Candidates(decoded, torch.cat(logits, dim=1), tuple(top.shape[1] for top in logits))


def _competing(logits: Tensor, anchors: LevelAnchors, contents: Tensor) -> Tensor:
    """The logits, with those of anchors in the padding and the non-finite ones replaced by minus infinity."""
    x, y = anchors.centres.unbind(dim=-1)
    inside = (x < contents[:, :1]) & (y < contents[:, 1:])  # (N, R_l)
    return torch.where(inside, logits.float().nan_to_num(_NEVER, _NEVER, _NEVER), _NEVER)


def _levels(counts: tuple[int, ...], device: torch.device) -> Tensor:
    """Each candidate's level, written on the device: a copy from the host would be waited for."""
    return torch.cat([torch.full((count,), level, device=device) for level, count in enumerate(counts)])


def _clip(boxes: Tensor, contents: Tensor) -> Tensor:
    """Boxes (..., K, 4) inside contents (..., 2)."""
    limits = torch.cat((contents, contents), dim=-1).unsqueeze(-2)
    return torch.minimum(boxes.clamp(min=0), limits)


def _sound(boxes: Tensor, config: SelectionConfig) -> Tensor:
    """Which clipped boxes have both sides: NaN compares false, and an infinite box is flattened by clipping."""
    return (boxes[..., 2:] - boxes[..., :2]).amin(dim=-1) >= config.min_side


def _select(
    ranked: _Ranked, config: SelectionConfig, selection: Selection, calibration: Calibration | None
) -> SelectedBoxes:
    keep, scores = ranked.keep, ranked.logits.sigmoid()
    if config.score_threshold > 0 or selection.score_threshold > 0:
        served = scores if calibration is None else calibration(scores)
        keep = keep & (scores >= config.score_threshold) & (served >= selection.score_threshold)
    kept = keep.nonzero().squeeze(1)
    boxes, scores = ranked.boxes.index_select(0, kept), scores.index_select(0, kept)
    survivors: Tensor = batched_nms(boxes, scores, ranked.levels.index_select(0, kept), selection.nms_iou)
    limit = min(selection.top_n, config.post_nms_top_n)
    top = survivors[:limit]
    served = scores.index_select(0, top)
    if calibration is not None:
        # A curve that rises may still fall by its last bit where two scores are neighbours: the order is the network's.
        served = calibration(served).cummin(dim=0).values
    return SelectedBoxes(boxes.index_select(0, top), served, truncated=len(survivors) > limit)
