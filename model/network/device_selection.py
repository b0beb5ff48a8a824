"""Selection where the network's tensors are, for an accelerator: every tensor's shape is known beforehand.

`model.network.selection` says what is selected. Here boxes that do not compete stay in their places under a mask, so
that nothing is waited for before the end, and all of it can be recorded as a CUDA graph. It runs on a CPU too, with the
same results as `model.host.selection`, and slower: tests hold the two together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.calibration import Calibration
from model.config import OverlapPenalty, SelectionConfig
from model.host.suppression import float32_below
from model.network.anchors import LevelAnchors
from model.network.box_coding import decode_deltas
from model.network.rpn import ScoredAnchors
from model.network.selected_boxes import SelectedBoxes
from model.network.suppression import suppress
from model.structures import Selection

_NEVER = -torch.inf  # the logit of a box that does not compete


@dataclass(frozen=True, slots=True)
class Wanted:
    """What N callers ask for but for how many, as tensors: ``ious`` and ``thresholds``, float32 (N,)."""

    ious: Tensor
    thresholds: Tensor

    @classmethod
    def by(cls, selections: Sequence[Selection]) -> "Wanted":
        """On the host."""
        ious = [float(float32_below(selection.nms_iou)) for selection in selections]
        return cls(torch.tensor(ious), torch.tensor([selection.score_threshold for selection in selections]))

    @classmethod
    def alike(cls, selection: Selection, count: int, device: torch.device) -> "Wanted":
        """One for all, written on the device: a copy from the host would be waited for."""
        iou = float(float32_below(selection.nms_iou))
        return cls(
            torch.full((count,), iou, device=device), torch.full((count,), selection.score_threshold, device=device)
        )

    def for_each(self, levels: int) -> "Wanted":
        """The same for every level of each picture in turn: (N * L,)."""
        ious, thresholds = self.ious[:, None].expand(-1, levels), self.thresholds[:, None].expand(-1, levels)
        return Wanted(ious.flatten(), thresholds.flatten())

    def to(self, device: torch.device) -> "Wanted":
        """The same on a device."""
        return Wanted(self.ious.to(device), self.thresholds.to(device))


@dataclass(frozen=True, slots=True)
class FoundBoxes:
    """A batch's boxes, ranked, in as many places as there can be.

    ``boxes``: float32 (N, P, 4), ``scores``: float32 (N, P), as they are served; ``survivors``: int64 (N,), how many
    there are in truth, which may be more than there are places, or fewer: the first places hold them. ``settled``: bool
    (N,), whether NMS had come to rest.
    """

    boxes: Tensor
    scores: Tensor
    survivors: Tensor
    settled: Tensor

    @property
    def filled(self) -> Tensor:
        """Which places hold a box: bool (N, P)."""
        places = torch.arange(self.scores.shape[1], device=self.scores.device)
        return places < self.survivors[:, None]


def select_proposals(
    scored: ScoredAnchors,
    contents: Tensor,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[SelectedBoxes]:
    """As `model.network.selection.select_proposals`."""
    wanted = Wanted.by(selections).to(contents.device)
    return by_picture(select_anchors(scored, contents, config, wanted, calibration), selections)


def by_picture(found: FoundBoxes, selections: Sequence[Selection]) -> list[SelectedBoxes]:
    """Each picture's, as many as its caller asks for; the host waits for how many there are."""
    results = []
    for n, (survivors, selection) in enumerate(zip(found.survivors.tolist(), selections, strict=True)):
        limit = min(selection.top_n, found.scores.shape[1])
        filled = min(survivors, limit)
        results.append(SelectedBoxes(found.boxes[n, :filled], found.scores[n, :filled], truncated=survivors > limit))
    return results


@torch.no_grad()
def select_anchors(
    scored: ScoredAnchors,
    contents: Tensor,
    config: SelectionConfig,
    wanted: Wanted,
    calibration: Calibration | None = None,
    *,
    rounds: int | None = None,
) -> FoundBoxes:
    """The proposals of a batch; NMS is within each level and makes so many ``rounds``, or as many as it takes."""
    boxes, logits = _top_candidates(scored, contents, config.pre_nms_top_n)  # (N, L, K, 4), (N, L, K)
    boxes = _clip(boxes, contents[:, None])
    logits = logits.where(_sound(boxes, config), _NEVER)
    levels = logits.shape[1]
    crowd = _Crowd(boxes.flatten(0, 1), logits.flatten(0, 1), wanted.for_each(levels))
    logits, settled = _thinned(crowd, config, calibration, rounds)
    settled = settled.view(-1, levels).all(dim=1)
    ranked = _Crowd(boxes.flatten(1, 2), logits.view(len(boxes), -1), wanted)
    return _rank(ranked, settled, config.post_nms_top_n, calibration)


@torch.no_grad()
def select_refined(
    boxes: Tensor,
    logits: Tensor,
    contents: Tensor,
    config: SelectionConfig,
    wanted: Wanted,
    calibration: Calibration | None = None,
    *,
    rounds: int | None = None,
) -> FoundBoxes:
    """The same from the second stage's boxes (N, K, 4) and logits (N, K); NMS is across levels."""
    boxes = _clip(boxes, contents)
    logits = logits.where(_sound(boxes, config) & logits.isfinite(), _NEVER)
    logits, order = logits.sort(dim=1, descending=True, stable=True)
    boxes = _rows(boxes, order)
    logits, settled = _thinned(_Crowd(boxes, logits, wanted), config, calibration, rounds)
    return _rank(_Crowd(boxes, logits, wanted), settled, config.post_nms_top_n, calibration)


@dataclass(frozen=True, slots=True)
class _Crowd:
    """S sets of boxes: boxes (S, K, 4), logits (S, K), and what each set's caller asks for; for NMS highest first."""

    boxes: Tensor
    logits: Tensor
    wanted: Wanted


def _thinned(
    crowd: _Crowd, config: SelectionConfig, calibration: Calibration | None, rounds: int | None
) -> tuple[Tensor, Tensor]:
    """The logits that thresholds, NMS and the overlap penalty leave, the others minus infinity; settled (S,)."""
    high = _high(crowd.logits, config, crowd.wanted, calibration)
    logits = crowd.logits.where(high, _NEVER)
    penalty = config.overlap_penalty
    survivors, settled = suppress(crowd.boxes, logits > _NEVER, _thresholds(crowd.wanted, penalty), rounds=rounds)
    remaining = survivors[0]
    if penalty is not None:
        logits = logits - _lost(survivors[1:], penalty, crowd.wanted)
        remaining = remaining & _served_high(logits, crowd.wanted, calibration)
    return logits.where(remaining, _NEVER), settled


def _thresholds(wanted: Wanted, penalty: OverlapPenalty | None) -> Tensor:
    """Of NMS for each set, the caller's first and then the penalty's: float32 (T, S)."""
    of_all = () if penalty is None else penalty.ious
    return torch.stack((wanted.ious, *(torch.full_like(wanted.ious, float(float32_below(iou))) for iou in of_all)))


def _lost(survivors: Tensor, penalty: OverlapPenalty, wanted: Wanted) -> Tensor:
    """What each box's logit loses (S, K), by what is left of them at each threshold, bool (T, S, K).

    Nothing for a threshold that is no stricter than what the caller asks for.
    """
    lost = torch.zeros_like(survivors[0], dtype=torch.float32)
    penalised = torch.ones_like(survivors[0])
    for left, iou in zip(survivors, penalty.ious, strict=True):
        penalised = penalised > left  # of booleans: and not
        looser = wanted.ious > float(float32_below(iou))
        lost = lost + (penalised & looser[:, None]) * penalty.logits
    return lost


def _top_candidates(scored: ScoredAnchors, contents: Tensor, top_n: int) -> tuple[Tensor, Tensor]:
    """The highest of each level, decoded: boxes (N, L, K, 4), logits (N, L, K), padded where a level has fewer."""
    width = min(top_n, max(len(level.boxes) for level in scored.anchors))
    logits, deltas, anchors = [], [], []
    first = scored.anchors[0].centres[0]  # of the finest level, which lies nearest to the border
    for level_logits, level_deltas, level in zip(scored.logits, scored.deltas, scored.anchors, strict=True):
        top, index = _competing(level_logits, level, contents, first).topk(min(top_n, len(level.boxes)), dim=1)
        padding = width - top.shape[1]
        logits.append(F.pad(top, (0, padding), value=_NEVER))
        deltas.append(F.pad(_rows(level_deltas, index).float(), (0, 0, 0, padding)))
        anchors.append(F.pad(_rows(level.boxes.expand(len(index), -1, 4), index), (0, 0, 0, padding)))
    return decode_deltas(torch.stack(deltas, dim=1), torch.stack(anchors, dim=1)), torch.stack(logits, dim=1)


def _competing(logits: Tensor, anchors: LevelAnchors, contents: Tensor, first: Tensor) -> Tensor:
    """The logits, with those of anchors in the padding and the non-finite ones replaced by minus infinity.

    ``first``: (2,), the place of the first column and row, which are never in the padding, however slim a picture is.
    """
    x, y = torch.where(anchors.centres > first, anchors.centres, 0).unbind(dim=-1)
    inside = (x < contents[:, :1]) & (y < contents[:, 1:])  # (N, R_l)
    return torch.where(inside, logits.float().nan_to_num(_NEVER, _NEVER, _NEVER), _NEVER)


def _clip(boxes: Tensor, contents: Tensor) -> Tensor:
    """Boxes (..., K, 4) inside contents (..., 2)."""
    limits = torch.cat((contents, contents), dim=-1).unsqueeze(-2)
    return torch.minimum(boxes.clamp(min=0), limits)


def _sound(boxes: Tensor, config: SelectionConfig) -> Tensor:
    """Which clipped boxes have both sides: NaN compares false, and an infinite box is flattened by clipping."""
    return (boxes[..., 2:] - boxes[..., :2]).amin(dim=-1) >= config.min_side


def _high(logits: Tensor, config: SelectionConfig, wanted: Wanted, calibration: Calibration | None) -> Tensor:
    """Which of (S, K) reach the model's own threshold, and once they are served, their caller's."""
    return (logits.sigmoid() >= config.score_threshold) & _served_high(logits, wanted, calibration)


def _served_high(logits: Tensor, wanted: Wanted, calibration: Calibration | None) -> Tensor:
    scores = logits.sigmoid()
    served = scores if calibration is None else calibration(scores, wanted.ious)
    return served >= wanted.thresholds[:, None]


def _rank(crowd: _Crowd, settled: Tensor, limit: int, calibration: Calibration | None) -> FoundBoxes:
    """Each picture's boxes, with the logit minus infinity where NMS dropped one, in order and at most ``limit``."""
    survivors = (crowd.logits > _NEVER).sum(dim=1)
    ranked, order = crowd.logits.sort(dim=1, descending=True, stable=True)
    ranked, order = ranked[:, :limit], order[:, :limit]
    scores = ranked.sigmoid()
    if calibration is not None:
        # A curve that rises may still fall by its last bit where two scores are neighbours: the order is the network's.
        scores = calibration(scores, crowd.wanted.ious).cummin(dim=1).values
    return FoundBoxes(_rows(crowd.boxes, order), scores, survivors, settled)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Of (N, K, 4) the rows (N, M, 4) at an index (N, M)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
