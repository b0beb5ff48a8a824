"""Fits the curve that makes a score the chance that a proposal covers an object.

Which curve was chosen by measurement on `general` val (480 pictures, 462,000 proposals), on two networks in the making,
a first and a later one; five folds of pictures, the curve of each fitted on the other four. ECE in 15 bins over all
proposals and over the 100 highest of each picture, and the log loss:

| curve | numbers | ECE | ECE@100 | log loss | later: ECE | ECE@100 | log loss |
|---|---|---|---|---|---|---|---|
| none | 0 | 0.0747 | 0.2368 | 0.13298 | 0.1472 | 0.3943 | 0.22023 |
| temperature | 1 | 0.0168 | 0.1582 | 0.09404 | 0.0522 | 0.3800 | 0.14769 |
| Platt (logistic on the logit) | 2 | 0.0005 | 0.0077 | 0.08021 | 0.0009 | 0.0088 | 0.08996 |
| isotonic, linear between 16 places | 32 | 0.0005 | 0.0023 | 0.08020 | 0.0007 | 0.0041 | 0.08998 |
| **beta** (Kull et al. 2017) | 3 | 0.0002 | 0.0029 | 0.08015 | 0.0009 | 0.0089 | 0.08998 |

Beta is Platt's curve where that is enough, and better where it is not. Isotonic regression has the lower ECE on the
later network, but steps and a flat top: no proposal there got more than 0.29, and no threshold could tell the highest
apart. And fitted on 20 to 60 pictures it had the highest loss on the others.

With an overlap penalty (general 4) beta is not enough: ECE 0.0042, of the 100 highest 0.0258, and the surest hundred,
of which 0.96 cover an object, were served at 0.59. With bands 0.0010 and 0.0034, and 0.92.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from model.calibration import SCORE_MARGIN, Calibration, Curve
from model.evaluation.coverage import Coverage

Vector = npt.NDArray[np.float64]
Bands = tuple[tuple[float, float], ...]

_STEPS = 50  # Newton's method needs about ten
_TOLERANCE = 1e-10
# The pull towards scores as they are, worth about one proposal: it keeps the fit finite where scores hardly differ or
# tell covered from not without fault, and vanishes beside any real data.
_PULL = 1.0
_FOLDS = 5
# Where the curve may rise on its own, in logits of the score: together they reach from its margin to the highest ones.
_EDGES = (-16.0, *(float(edge) for edge in range(-8, 4)))
_BANDS: Bands = tuple(pairwise(_EDGES))
# Bands cost a dozen more numbers: they are taken if they lower the log loss on other pictures by a thousandth.
_WORTH_BANDS = 0.999
# Every curve rises by at least this share of the score's own logit, so that beyond its bands, too, scores that differ
# are answered apart: with bands the rest of a curve may have nothing left to say (general 7).
_LEAST_RISE = 0.01
# The offset may be anything.
_MAY_NOT_FALL = np.array([1.0, 1.0, 0.0, *(1.0 for _ in _BANDS)])
# Proposals whose scores are as near as this, in logits, are taken together: thousands of groups in the place of half a
# million proposals.
_GROUP = 0.005


def fit_calibration(coverages: Mapping[float, Coverage]) -> Calibration | None:
    """A curve for each threshold of NMS, of what it leaves; without those there is nothing to learn from."""
    curves = {iou: curve for iou, coverage in sorted(coverages.items()) if (curve := fit_curve(coverage)) is not None}
    return Calibration(tuple(curves.values()), tuple(curves)) if curves else None


def fit_curve(coverage: Coverage) -> Curve | None:
    """The rising curve of the highest likelihood; None where there is nothing to learn it from.

    That is: no proposal covers an object, or each does, or the chance does not rise with the score. Bands are taken
    where they tell the proposals of other pictures better than a curve without.
    """
    plain = _fitted(coverage, ())
    if plain is None or _loss_elsewhere(coverage, _BANDS) > _WORTH_BANDS * _loss_elsewhere(coverage, ()):
        return plain
    return _fitted(coverage, _BANDS) or plain


def _fitted(coverage: Coverage, bands: Bands) -> Curve | None:
    if not coverage.covered.any() or coverage.covered.all():
        return None
    samples = _gathered(coverage)
    terms = _terms(samples.scores, bands)
    used = np.ones(terms.shape[1])
    weights = _fit(terms, samples, used)
    while (weights * _MAY_NOT_FALL[: len(weights)] < 0).any():
        # Kull et al. 2017: a term that would fall is left out, and the rest fitted again
        used[(weights * _MAY_NOT_FALL[: len(weights)]).argmin()] = 0.0
        weights = _fit(terms, samples, used)
    low, high, offset, *rises = (round(float(w), 6) for w in weights)
    bent = tuple((*band, rise) for band, rise in zip(bands, rises, strict=True) if rise > 0)
    if low + high <= 0 and not bent:
        return None
    return Curve(round(low + _LEAST_RISE, 6), round(high + _LEAST_RISE, 6), offset, bent)


def _loss_elsewhere(coverage: Coverage, bands: Bands) -> float:
    """The log loss of all proposals, each by a curve fitted without its own picture."""
    loss = 0.0
    for fold in range(_FOLDS):
        held = coverage.where(coverage.pictures % _FOLDS == fold)
        curve = _fitted(coverage.where(coverage.pictures % _FOLDS != fold), bands)
        chances = _by_curve(held.scores, curve).astype(np.float64).clip(SCORE_MARGIN, 1 - SCORE_MARGIN)
        loss -= float(np.log(np.where(held.covered, chances, 1 - chances)).sum())
    return loss


def calibrated(
    scores: npt.NDArray[np.float32], calibration: Calibration | None, nms_iou: float
) -> npt.NDArray[np.float32]:
    """The scores (M,) as they would be served after NMS at that threshold; without a calibration as they are."""
    return scores if calibration is None else calibration.on_host(scores, nms_iou)


def _by_curve(scores: npt.NDArray[np.float32], curve: Curve | None) -> npt.NDArray[np.float32]:
    return calibrated(scores, None if curve is None else Calibration((curve,)), 1.0)


def cross_fitted(coverage: Coverage, learnt_from: Coverage | None = None) -> npt.NDArray[np.float32]:
    """Calibrated scores (M,), each by a curve fitted without its own picture: what to expect on other pictures.

    ``learnt_from``: proposals on the same pictures that curves are fitted to, if not to these, as where the network is
    served in another arithmetic.
    """
    source = coverage if learnt_from is None else learnt_from
    scores = coverage.scores.copy()
    folds = coverage.pictures % _FOLDS
    for fold in range(_FOLDS):
        curve = fit_curve(source.where(source.pictures % _FOLDS != fold))
        scores[folds == fold] = _by_curve(coverage.scores[folds == fold], curve)
    return scores


@dataclass(frozen=True, slots=True)
class _Samples:
    """Proposals of nearly one score taken together, G of them, all (G,): the score, how many, how many that cover."""

    scores: Vector
    count: Vector
    covered: Vector


def _gathered(coverage: Coverage) -> _Samples:
    logits = _logits(coverage.scores.astype(np.float64))
    _, group = np.unique((logits / _GROUP).round(), return_inverse=True)
    count = np.bincount(group).astype(np.float64)
    means = np.bincount(group, weights=logits) / count
    covered = np.bincount(group[coverage.covered], minlength=len(count)).astype(np.float64)
    return _Samples(1 / (1 + np.exp(-means)), count, covered)


def _logits(scores: Vector) -> Vector:
    inside = scores.clip(SCORE_MARGIN, 1 - SCORE_MARGIN)
    logits: Vector = np.log(inside) - np.log1p(-inside)
    return logits


def _terms(scores: Vector, bands: Bands) -> Vector:
    """(G, 3 + B): what the curve's numbers multiply."""
    inside = scores.clip(SCORE_MARGIN, 1 - SCORE_MARGIN)
    logits = _logits(scores)
    bent = [logits.clip(low, high) - low for low, high in bands]
    return np.stack([np.log(inside), -np.log1p(-inside), np.ones_like(inside), *bent], axis=1)


def _fit(terms: Vector, samples: _Samples, used: Vector) -> Vector:
    """(3 + B,): logistic regression by Newton's method, steps halved until the loss falls; 0 for a term not used.

    What it finds comes on top of the least rise.
    """
    columns = terms * used
    plain = np.arange(len(used)) < 2
    pull = np.where(np.arange(len(used)) == 2, 0.0, _PULL)
    identity = (1 - _LEAST_RISE) * plain * used  # the curve that leaves scores as they are
    least = _LEAST_RISE * terms[:, :2].sum(axis=1)

    def loss_at(weights: Vector) -> float:
        logits = columns @ weights + least
        likelihood = samples.count * np.logaddexp(0, logits) - samples.covered * logits
        return float(likelihood.sum() + (pull * (weights - identity) ** 2).sum() / 2)

    weights = identity
    loss = loss_at(weights)
    for _ in range(_STEPS):
        chances = 1 / (1 + np.exp(-(columns @ weights + least)))
        gradient = columns.T @ (samples.count * chances - samples.covered) + pull * (weights - identity)
        spread = samples.count * chances * (1 - chances)
        curvature = (columns * spread[:, None]).T @ columns + np.diag(pull)
        step = np.linalg.solve(curvature, gradient)
        while (tried := loss_at(weights - step)) > loss and np.abs(step).max() > _TOLERANCE:
            step /= 2
        weights = weights - step
        if loss - tried <= _TOLERANCE * loss:
            break
        loss = tried
    return weights
