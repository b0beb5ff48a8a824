import math

import numpy as np
import pytest

from model.evaluation.coverage import Coverage
from model.evaluation.reliability import BINS, error_figures, measure_reliability


def test_by_hand():
    scores = np.array([0.1, 0.1, 0.1, 0.1, 0.95, 0.97, 1.0], dtype=np.float32)
    covered = np.array([1, 0, 0, 0, 1, 1, 0], dtype=bool)
    table = measure_reliability(scores, covered)
    assert table.counts.tolist() == [0, 4, *[0] * (BINS - 3), 3]
    assert table.shares[1] == 0.25
    assert table.scores[-1] == pytest.approx((0.95 + 0.97 + 1.0) / 3)
    assert math.isnan(table.shares[5])
    assert table.error == pytest.approx((4 * 0.15 + 3 * (2.92 / 3 - 2 / 3)) / 7)


def test_scores_that_keep_their_promise_have_no_error():
    scores = np.repeat(np.float32([0.25, 0.75]), 400)
    covered = np.arange(800) % 4 < np.where(scores < 0.5, 1, 3)
    assert measure_reliability(scores, covered).error == pytest.approx(0, abs=1e-9)


def test_without_proposals_there_is_no_error_to_state():
    table = measure_reliability(np.zeros(0, np.float32), np.zeros(0, bool))
    assert math.isnan(table.error)


def test_figures_before_and_after_of_all_and_of_the_highest():
    scores = np.array([0.8, 0.2], dtype=np.float32)
    coverage = Coverage(scores, np.array([True, False]), np.array([0, 0]), np.array([0, 100]))
    figures = error_figures(coverage, np.array([1.0, 0.0], dtype=np.float32))
    assert figures == {"ECE/raw": 0.2, "ECE": 0.0, "ECE@100/raw": 0.2, "ECE@100": 0.0}


def test_the_highest_are_judged_by_themselves():
    ranks = np.arange(200)  # of one picture's proposals; the hundred highest keep their promise, the others do not
    coverage = Coverage(np.full(200, 0.5, np.float32), ranks % 2 == 0, np.zeros(200, int), ranks)
    served = np.where(ranks < 100, 0.5, 0.9).astype(np.float32)
    figures = error_figures(coverage, served)
    assert figures["ECE@100"] == pytest.approx(0, abs=1e-6)
    assert figures["ECE"] == pytest.approx(0.2, abs=1e-6)


def test_figures_that_nothing_tells_are_left_out():
    none = Coverage(np.zeros(0, np.float32), np.zeros(0, bool), np.zeros(0, int), np.zeros(0, int))
    assert error_figures(none, np.zeros(0, np.float32)) == {}
