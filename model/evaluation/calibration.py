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
"""

import numpy as np
import numpy.typing as npt

from model.calibration import SCORE_MARGIN, Calibration
from model.evaluation.coverage import Coverage

Vector = npt.NDArray[np.float64]

_STEPS = 50  # Newton's method needs about ten
_TOLERANCE = 1e-10
# The pull towards scores as they are, worth about one proposal: it keeps the fit finite where scores hardly differ or
# tell covered from not without fault, and vanishes beside any real data.
_PULL = 1.0
_FOLDS = 5


def fit_calibration(coverage: Coverage) -> Calibration | None:
    """The rising curve of the highest likelihood; None where there is nothing to learn it from.

    That is: no proposal covers an object, or each does, or the chance does not rise with the score.
    """
    if not coverage.covered.any() or coverage.covered.all():
        return None
    terms, targets = _terms(coverage.scores), coverage.covered.astype(np.float64)
    used = np.ones(3)
    weights = _fit(terms, targets, used)
    while (weights[:2] < 0).any():  # Kull et al. 2017: a term that would fall is left out, and the rest fitted again
        used[weights[:2].argmin()] = 0.0
        weights = _fit(terms, targets, used)
    low, high, offset = (round(float(w), 6) for w in weights)
    return Calibration(low, high, offset) if low + high > 0 else None


def calibrated(scores: npt.NDArray[np.float32], calibration: Calibration | None) -> npt.NDArray[np.float32]:
    """The scores (M,) as they would be served; without a calibration as they are."""
    return scores if calibration is None else calibration.on_host(scores)


def cross_fitted(coverage: Coverage) -> npt.NDArray[np.float32]:
    """Calibrated scores (M,), each by a curve fitted without its own picture: what to expect on other pictures."""
    scores = coverage.scores.copy()
    folds = coverage.pictures % _FOLDS
    for fold in range(_FOLDS):
        curve = fit_calibration(coverage.where(folds != fold))
        scores[folds == fold] = calibrated(coverage.scores[folds == fold], curve)
    return scores


def _terms(scores: npt.NDArray[np.float32]) -> Vector:
    """(M, 3): what the curve's three numbers multiply."""
    inside = scores.astype(np.float64).clip(SCORE_MARGIN, 1 - SCORE_MARGIN)
    return np.stack([np.log(inside), -np.log1p(-inside), np.ones_like(inside)], axis=1)


def _fit(terms: Vector, targets: Vector, used: Vector) -> Vector:
    """(3,): logistic regression by Newton's method, each step halved until the loss falls; 0 for a term not used."""
    columns = terms * used
    pull = _PULL * np.array([1.0, 1.0, 0.0])
    identity = np.array([1.0, 1.0, 0.0]) * used  # the curve that leaves scores as they are

    def loss_at(weights: Vector) -> float:
        logits = columns @ weights
        likelihood = np.logaddexp(0, logits) - targets * logits
        return float(likelihood.sum() + (pull * (weights - identity) ** 2).sum() / 2)

    weights = identity
    loss = loss_at(weights)
    for _ in range(_STEPS):
        chances = 1 / (1 + np.exp(-columns @ weights))
        gradient = columns.T @ (chances - targets) + pull * (weights - identity)
        curvature = (columns * (chances * (1 - chances))[:, None]).T @ columns + np.diag(pull)
        step = np.linalg.solve(curvature, gradient)
        while (tried := loss_at(weights - step)) > loss and np.abs(step).max() > _TOLERANCE:
            step /= 2
        weights = weights - step
        if loss - tried <= _TOLERANCE * loss:
            break
        loss = tried
    return weights
