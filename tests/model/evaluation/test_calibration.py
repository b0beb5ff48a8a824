from dataclasses import replace

import numpy as np
import pytest

from model.calibration import Calibration, Curve
from model.evaluation.calibration import (
    _LEAST_RISE,
    _by_curve,
    _fitted,
    calibrated,
    cross_fitted,
    fit_calibration,
    fit_curve,
)
from model.evaluation.coverage import Coverage
from model.evaluation.reliability import measure_reliability


def drawn(curve: Curve, count: int = 40_000, seed: int = 0) -> Coverage:
    """Proposals whose true chance is the curve's."""
    random = np.random.default_rng(seed)
    scores = random.beta(0.5, 3, count).astype(np.float32)
    covered = random.random(count) < _by_curve(scores, curve)
    return Coverage(scores, covered, random.integers(0, 50, count), np.arange(count))


@pytest.mark.parametrize("truth", [(1.0, 1.0, 0.0), (1.2, 0.7, -1.3), (0.6, 2.0, -3.0)])
def test_it_finds_the_curve_that_the_data_come_from(truth: tuple[float, float, float]):
    fitted = fit_curve(drawn(Curve(*truth)))
    assert fitted is not None
    assert [fitted.rise_low, fitted.rise_high, fitted.offset] == pytest.approx(truth, abs=0.25)
    assert fitted.bands == (), "three numbers tell it all"


def test_where_the_chance_rises_hardly_rises_and_rises_again_it_takes_bands():
    truth = Curve(0.1, 1.3, -3.0, ((-5.0, -2.0, 1.0), (0.0, 2.0, 2.0)))
    given, fresh = drawn(truth), drawn(truth, seed=1)
    curve = fit_curve(given)
    assert curve is not None
    assert curve.bands
    told = _by_curve(fresh.scores, curve)
    np.testing.assert_allclose(told, _by_curve(fresh.scores, truth), atol=0.06)
    assert measure_reliability(told, fresh.covered).error < 0.01
    alone = _by_curve(fresh.scores, _fitted(given, ()))
    assert measure_reliability(alone, fresh.covered).error > 0.02


def test_on_other_pictures_the_error_falls():
    truth = Curve(1.2, 0.7, -2.0)
    curve, fresh = fit_curve(drawn(truth)), drawn(truth, seed=1)
    before = measure_reliability(fresh.scores, fresh.covered).error
    after = measure_reliability(_by_curve(fresh.scores, curve), fresh.covered).error
    assert before > 0.1
    assert after < 0.01
    crossed = measure_reliability(cross_fitted(fresh), fresh.covered).error
    assert crossed == pytest.approx(after, abs=0.01)


def test_no_curve_learns_from_the_picture_that_it_is_judged_on():
    """All pictures but one say what scores are worth; that one says the contrary, and is told what the others say."""
    coverage = drawn(Curve(1.2, 0.7, -2.0))
    odd = coverage.pictures == coverage.pictures[0]
    contrary = replace(coverage, covered=np.where(odd, ~coverage.covered, coverage.covered))
    assert cross_fitted(contrary)[odd].tolist() == cross_fitted(coverage)[odd].tolist()


def test_a_term_that_would_fall_is_left_out():
    random = np.random.default_rng(0)
    scores = random.uniform(0.01, 0.99, 20_000).astype(np.float32)
    chance = np.where(scores < 0.5, scores, 0.75 - scores / 2)  # falls where scores are high
    coverage = Coverage(scores, random.random(20_000) < chance, np.arange(20_000) % 9, np.arange(20_000))
    fitted = fit_curve(coverage)
    assert fitted is not None
    assert fitted.rise_high == _LEAST_RISE
    told = _by_curve(np.array([0.1, 0.3, 0.5, 0.9], dtype=np.float32), fitted)
    np.testing.assert_allclose(told[:2], [0.1, 0.3], atol=0.03)
    assert 0 < told[3] - told[2] < 0.05


def test_where_the_bands_say_all_the_curve_rises_beyond_them_too():
    random = np.random.default_rng(0)
    logits = random.uniform(-7, 6, 20_000)
    bands = 1.5 * logits.clip(-4, -2) + 2.0 * logits.clip(0, 2)
    chance = 1 / (1 + np.exp(3 - bands + 0.05 * logits))  # between and beyond them it falls a little
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    coverage = Coverage(scores, random.random(20_000) < chance, np.arange(20_000) % 9, np.arange(20_000))
    fitted = fit_curve(coverage)
    assert fitted is not None
    assert fitted.bands
    assert measure_reliability(_by_curve(scores, fitted), coverage.covered).error < 0.01
    told = _by_curve(np.array([0.99, 0.993, 0.996], dtype=np.float32), fitted)
    assert told[0] < told[1] < told[2]


def test_scores_that_tell_without_fault_or_hardly_differ_still_give_a_finite_curve():
    scores = np.array([0.1, 0.2, 0.8, 0.9] * 50, dtype=np.float32)
    for given in (scores, np.float32(0.3) + scores / 1e5, scores * 0, scores * 0 + 1):
        curve = fit_curve(Coverage(given, scores > 0.5, np.arange(200) % 7, np.arange(200)))
        assert curve is not None or given is not scores
        if curve is not None:
            told = _by_curve(given, curve)
            assert np.isfinite(told).all()
            assert ((told >= 0) & (told <= 1)).all()


def test_nothing_to_learn_from_is_no_calibration():
    scores = np.array([0.1, 0.5, 0.9], dtype=np.float32)
    for covered in ([False] * 3, [True] * 3):
        coverage = Coverage(scores, np.array(covered), np.arange(3), np.arange(3))
        assert fit_curve(coverage) is None
        assert fit_calibration({0.5: coverage, 0.9: coverage}) is None
        assert cross_fitted(coverage).tolist() == scores.tolist()
    assert calibrated(scores, None, 0.7) is scores


def test_curves_may_be_learnt_from_other_proposals_on_the_same_pictures():
    random = np.random.default_rng(0)
    scores = random.random(2000).astype(np.float32)
    pictures, ranks = np.arange(2000) % 9, np.arange(2000)
    learnt_from = Coverage(scores, random.random(2000) < scores / 2, pictures, ranks)
    nothing = Coverage(scores, np.zeros(2000, dtype=np.bool_), pictures, ranks)
    told = cross_fitted(nothing, learnt_from=learnt_from)
    assert told.tolist() == cross_fitted(learnt_from).tolist() != scores.tolist()
    assert cross_fitted(nothing).tolist() == scores.tolist(), "of its own there is nothing to learn"


def test_where_the_chance_falls_with_the_score_there_is_none():
    scores = np.linspace(0.05, 0.95, 4000).astype(np.float32)
    covered = np.random.default_rng(0).random(4000) < 1 - scores
    assert fit_curve(Coverage(scores, covered, np.arange(4000) % 5, np.arange(4000))) is None


def test_each_threshold_of_nms_has_the_curve_of_what_it_leaves():
    strict, loose = drawn(Curve(1.0, 1.0, -2.0)), drawn(Curve(1.0, 1.0, 0.0))
    nothing = strict.where(~strict.covered)
    calibration = fit_calibration({0.9: loose, 0.7: nothing, 0.5: strict})
    assert calibration == Calibration((fit_curve(strict), fit_curve(loose)), (0.5, 0.9))
