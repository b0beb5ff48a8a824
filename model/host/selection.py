"""Selection in NumPy: for a CPU, where starting a torch operation costs more than these tensors do.

`model.network.selection` says what is selected.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from model.calibration import Calibration
from model.config import OverlapPenalty, SelectionConfig
from model.host.candidates import Candidates, anchor_candidates, refined_candidates
from model.host.scored import RefinedBoxes, ScoredAnchors
from model.host.suppression import BoolArray, IndexArray, suppress
from model.structures import FloatArray, Proposals, Selection

# The network's scores as one caller is served them.
_Served = Callable[[FloatArray], FloatArray]

# Up to so many boxes of a batch go through NMS together: it then costs about as much as for one picture. Of more, each
# picture goes alone, and no further than its caller's limit.
_TOGETHER = 2048


def select_proposals(
    scored: ScoredAnchors,
    contents: FloatArray,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[Proposals]:
    """Each picture's proposals on its canvas, as `model.network.selection.select_proposals`: up to NMS in one pass.

    ``contents``: float32 (N, 2), the (width, height) that each picture covers.
    """
    with np.errstate(all="ignore"):  # what is not finite is dropped in the end, not warned of
        return _select(anchor_candidates(scored, contents, config.pre_nms_top_n), config, selections, calibration)


def select_refined(
    refined: Sequence[RefinedBoxes],
    contents: FloatArray,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[Proposals]:
    """As `model.network.selection.select_refined`."""
    with np.errstate(all="ignore"):
        return _select(refined_candidates(refined, contents), config, selections, calibration)


def _select(
    candidates: Candidates, config: SelectionConfig, selections: Sequence[Selection], calibration: Calibration | None
) -> list[Proposals]:
    scores = _sigmoid(candidates.logits)
    kept = (_sound(candidates, config) & _high(candidates, scores, config, selections, calibration)).nonzero()[0]
    # highest first, all pictures mixed: each one's boxes are in its own order
    order = kept.take((-candidates.logits.take(kept)).argsort(kind="stable"))
    limits = [min(selection.top_n, config.post_nms_top_n) for selection in selections]
    ious = [selection.nms_iou for selection in selections]
    if config.overlap_penalty is None:
        survivors = _survivors(candidates, order, limits, ious)
    else:
        logits = candidates.logits - _penalties(candidates, order, config.overlap_penalty, ious)
        scores = _sigmoid(logits)
        survivors = [
            _ranked_anew(found, logits, scores, selection, calibration)
            for found, selection in zip(
                _survivors(candidates, order, [None] * len(ious), ious), selections, strict=True
            )
        ]
    return [
        _serve(candidates.boxes, scores, found, limit, _curve(calibration, iou))
        for found, limit, iou in zip(survivors, limits, ious, strict=True)
    ]


def _penalties(
    candidates: Candidates, order: IndexArray, penalty: OverlapPenalty, asked: Sequence[float]
) -> FloatArray:
    """What each candidate's logit loses: float32 (K,); of a picture whose NMS is ``asked`` for as strictly, nothing."""
    steps = np.zeros(len(candidates.logits), dtype=np.float32)
    penalised = np.ones(len(steps), dtype=np.bool_)
    for iou in penalty.ious:
        looser = np.array([own > iou for own in asked])
        if not looser.any():
            break
        for survivors in _survivors(candidates, order, [None] * len(asked), [iou] * len(asked)):
            penalised[survivors] = False
        steps += penalised & looser.take(candidates.pictures)
    return steps * np.float32(penalty.logits)


def _ranked_anew(
    survivors: IndexArray,
    logits: FloatArray,
    scores: FloatArray,
    selection: Selection,
    calibration: Calibration | None,
) -> IndexArray:
    """By the logits that are left to them, without those whose score has fallen under the caller's threshold."""
    order = survivors.take((-logits.take(survivors)).argsort(kind="stable"))
    if selection.score_threshold == 0:
        return order
    served = _curve(calibration, selection.nms_iou)(scores.take(order))
    return order[served >= np.float32(selection.score_threshold)]


def _sigmoid(logits: FloatArray) -> FloatArray:
    """NumPy's, whose last bit does not depend on the place in the array as torch's does: a batch is as its pictures."""
    scores = np.exp(-logits)
    scores += 1
    np.reciprocal(scores, out=scores)
    return scores


def _sound(candidates: Candidates, config: SelectionConfig) -> BoolArray:
    """Which are finite and have both sides: NaN compares false, and an infinite box is flattened by clipping."""
    sides = candidates.boxes[2:] - candidates.boxes[:2]
    sound: BoolArray = np.minimum(sides[0], sides[1]) >= config.min_side
    sound &= candidates.competing
    return sound


def _high(
    candidates: Candidates,
    scores: FloatArray,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None,
) -> BoolArray | bool:
    """Which scores reach the model's own threshold, and once they are served, their caller's."""
    high = scores >= config.score_threshold if config.score_threshold > 0 else True
    if all(selection.score_threshold == 0 for selection in selections):
        return high
    wanted = np.array([selection.score_threshold for selection in selections], dtype=np.float32)
    served = np.empty_like(scores)
    ious = np.array([selection.nms_iou for selection in selections])
    for iou in set(ious.tolist()):
        same = (ious == iou).take(candidates.pictures)
        served[same] = _curve(calibration, iou)(scores[same])
    return high & (served >= wanted.take(candidates.pictures))


def _survivors(
    candidates: Candidates, order: IndexArray, limits: Sequence[int | None], ious: Sequence[float]
) -> list[IndexArray]:
    """What NMS leaves of each picture, highest first; beyond its limit not all of it."""
    if len(ious) > 1 and len(order) <= _TOGETHER and len(set(ious)) == 1:
        found = _suppress(candidates, order, ious[0], scenes=len(ious))
        return _by_picture(candidates, found, len(ious))
    parts = _by_picture(candidates, order, len(ious))
    return [_suppress(candidates, part, iou, limit=limit) for part, iou, limit in zip(parts, ious, limits, strict=True)]


def _by_picture(candidates: Candidates, order: IndexArray, count: int) -> list[IndexArray]:
    if count == 1:
        return [order]
    pictures = candidates.pictures.take(order)
    return [order[pictures == n] for n in range(count)]


def _suppress(
    candidates: Candidates, order: IndexArray, iou: float, *, scenes: int = 1, limit: int | None = None
) -> IndexArray:
    boxes, groups = candidates.boxes.take(order, axis=1), candidates.groups.take(order)
    return order.take(suppress(boxes, groups, iou, scenes=scenes, limit=limit))


def _serve(boxes: FloatArray, scores: FloatArray, survivors: IndexArray, limit: int, curve: _Served) -> Proposals:
    top = survivors[:limit]
    served = curve(scores.take(top))
    # A curve that rises may still fall by its last bit where two scores are neighbours: the order is the network's.
    np.minimum.accumulate(served, out=served)
    rows = np.ascontiguousarray(boxes.take(top, axis=1).T)
    return Proposals(rows, served, truncated=len(survivors) > limit)


def _curve(calibration: Calibration | None, nms_iou: float) -> _Served:
    if calibration is None:
        return lambda scores: scores
    return partial(calibration.on_host, nms_iou=nms_iou)
