"""Selection in NumPy: for a CPU, where starting a torch operation costs more than these tensors do.

`model.network.selection` says what is selected.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from model.calibration import Calibration
from model.config import OverlapPenalty, SelectionConfig
from model.host.candidates import Candidates, anchor_candidates, refined_candidates
from model.host.ordering import IndexArray, falling
from model.host.scored import RefinedBoxes, ScoredAnchors
from model.host.suppression import Suppress, suppress
from model.structures import BoolArray, FloatArray, Proposals, Selection

# The network's scores as one caller is served them.
_Served = Callable[[FloatArray], FloatArray]

# Up to so many boxes of a batch go through NMS together: it then costs about as much as for one picture. Of more, each
# picture goes alone, and no further than its caller's limit.
_TOGETHER = 2048

# Among how many boxes penalised ones are looked for at first: three for each that is wanted, and these. Of its 2,000 on
# nine photographs `general` 8 needed the first 883 to 1,346 for 300 proposals, 465 to 756 for 100, 35 to 160 for ten.
_PENALISED_FOR_EACH, _PENALISED_AT_LEAST = 3, 500


def select_proposals(
    scored: ScoredAnchors,
    contents: FloatArray,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
    nms: Suppress = suppress,
) -> list[Proposals]:
    """Each picture's proposals on its canvas, as `model.network.selection.select_proposals`: up to NMS in one pass.

    ``contents``: float32 (N, 2), the (width, height) that each picture covers.
    """
    with np.errstate(all="ignore"):  # what is not finite is dropped in the end, not warned of
        candidates = anchor_candidates(scored, contents, config.pre_nms_top_n)
        return _select(candidates, config, selections, calibration, nms)


def select_refined(
    refined: Sequence[RefinedBoxes],
    contents: FloatArray,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
    nms: Suppress = suppress,
) -> list[Proposals]:
    """As `model.network.selection.select_refined`."""
    with np.errstate(all="ignore"):
        return _select(refined_candidates(refined, contents), config, selections, calibration, nms)


def _select(
    candidates: Candidates,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None,
    nms: Suppress,
) -> list[Proposals]:
    scores = _sigmoid(candidates.logits)
    kept = (_sound(candidates, config) & _high(candidates, scores, config, selections, calibration)).nonzero()[0]
    # highest first, all pictures mixed: each one's boxes are in its own order
    order = kept.take(falling(candidates.logits.take(kept)))
    limits = [min(selection.top_n, config.post_nms_top_n) for selection in selections]
    ious = [selection.nms_iou for selection in selections]
    curves = [_curve(calibration, iou) for iou in ious]
    if config.overlap_penalty is None:
        survivors = _survivors(candidates, order, limits, ious, nms)
    else:
        survivors, logits = [], candidates.logits.copy()
        for part, limit, iou in zip(_by_picture(candidates, order, len(ious)), limits, ious, strict=True):
            found, left = _penalised(candidates, part, config.overlap_penalty, iou, limit, nms)
            logits[found] = left
            survivors.append(found)
        scores = _sigmoid(logits)
        thresholds = [selection.score_threshold for selection in selections]
        survivors = [_still_high(scores, *asked) for asked in zip(survivors, thresholds, curves, strict=True)]
    return [
        _serve(candidates.boxes, scores, found, limit, curve)
        for found, limit, curve in zip(survivors, limits, curves, strict=True)
    ]


def _penalised(
    candidates: Candidates, order: IndexArray, penalty: OverlapPenalty, iou: float, limit: int, nms: Suppress
) -> tuple[IndexArray, FloatArray]:
    """One picture's survivors by the logits that a penalty leaves them, highest first, and these; beyond the limit not
    all of them.

    A penalty only lowers, and what a box loses depends on higher ones alone. So no box is served that follows the first
    so many in ``order`` if, of these, more than ``limit`` are left no less than the next one has to begin with.
    """
    logits = candidates.logits.take(order)
    end = min(_PENALISED_AT_LEAST + _PENALISED_FOR_EACH * limit, len(order))
    while True:
        boxes, groups = candidates.boxes.take(order[:end], axis=1), candidates.groups.take(order[:end])
        found = nms(boxes, groups, iou)
        left = logits.take(found) - _losses(boxes, groups, penalty, iou, nms).take(found)
        ranks = falling(left)
        found, left = order.take(found.take(ranks)), left.take(ranks)
        if end == len(order) or (len(left) > limit and left[limit] >= logits[end]):
            return found, left
        end = min(2 * end, len(order))


def _losses(boxes: FloatArray, groups: IndexArray, penalty: OverlapPenalty, asked: float, nms: Suppress) -> FloatArray:
    """What each box's logit loses: float32 (K,); for a caller whose NMS is as strict as a step, nothing by that.

    What one step has left, the next ones do as well, even where a box drops it that the first had dropped before.
    """
    steps = np.zeros(len(groups), dtype=np.float32)
    penalised = np.ones(len(groups), dtype=np.bool_)
    for iou in penalty.ious:
        if asked > iou:
            penalised[nms(boxes, groups, iou)] = False
            steps += penalised
    return steps * np.float32(penalty.logits)


def _still_high(scores: FloatArray, survivors: IndexArray, threshold: float, curve: _Served) -> IndexArray:
    """Those whose score, once it is served, has not fallen under the caller's threshold."""
    return survivors if threshold == 0 else survivors[curve(scores.take(survivors)) >= np.float32(threshold)]


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
    candidates: Candidates, order: IndexArray, limits: Sequence[int], ious: Sequence[float], nms: Suppress
) -> list[IndexArray]:
    """What NMS leaves of each picture, highest first; beyond its limit not all of it."""
    if len(ious) > 1 and len(order) <= _TOGETHER and len(set(ious)) == 1:
        found = _suppress(candidates, order, ious[0], nms, scenes=len(ious))
        return _by_picture(candidates, found, len(ious))
    parts = _by_picture(candidates, order, len(ious))
    return [
        _suppress(candidates, part, iou, nms, limit=limit) for part, iou, limit in zip(parts, ious, limits, strict=True)
    ]


def _by_picture(candidates: Candidates, order: IndexArray, count: int) -> list[IndexArray]:
    if count == 1:
        return [order]
    pictures = candidates.pictures.take(order)
    return [order[pictures == n] for n in range(count)]


def _suppress(
    candidates: Candidates, order: IndexArray, iou: float, nms: Suppress, *, scenes: int = 1, limit: int | None = None
) -> IndexArray:
    boxes, groups = candidates.boxes.take(order, axis=1), candidates.groups.take(order)
    return order.take(nms(boxes, groups, iou, scenes=scenes, limit=limit))


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
