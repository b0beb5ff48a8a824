"""Scores against what they promise: the reliability table and the expected calibration error (Guo et al. 2017)."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.evaluation.coverage import Coverage

BINS = 15  # Guo et al. 2017, section 3
TOP = 100


@dataclass(frozen=True, slots=True)
class Reliability:
    """Proposals gathered by their score into `BINS` bins of one width.

    ``counts``: int64 (BINS,); ``scores`` and ``shares``: float64 (BINS,), the mean score in each bin and the measured
    share that covers an object, NaN in an empty bin.
    """

    counts: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]

    @property
    def error(self) -> float:
        """ECE: the gap between score and share, averaged over proposals. NaN without any."""
        if not self.counts.sum():
            return float("nan")
        filled = self.counts > 0
        gaps = np.abs(self.scores - self.shares)[filled]
        return float(np.average(gaps, weights=self.counts[filled]))


def measure_reliability(scores: npt.NDArray[np.float32], covered: npt.NDArray[np.bool_]) -> Reliability:
    """The table of M proposals: scores (M,) in [0, 1], and whether each covers an object (M,)."""
    bins = np.minimum((scores.astype(np.float64) * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = np.bincount(bins, weights=scores, minlength=BINS) / counts
        shares = np.bincount(bins, weights=covered, minlength=BINS) / counts
    return Reliability(counts, means, shares)


def error_figures(coverage: Coverage, served: npt.NDArray[np.float32]) -> dict[str, float]:
    """ECE of the network's own scores (``/raw``) and of those that are served, by the names of our metrics.

    ``served``: (M,), in the coverage's order. Most proposals are poor and have a low score, which is easily right; so
    the ECE of each picture's `TOP` highest is stated beside that of all. Without proposals to judge by there is none.
    """
    top = coverage.ranks < TOP
    figures = {
        "ECE/raw": measure_reliability(coverage.scores, coverage.covered).error,
        "ECE": measure_reliability(served, coverage.covered).error,
        f"ECE@{TOP}/raw": measure_reliability(coverage.scores[top], coverage.covered[top]).error,
        f"ECE@{TOP}": measure_reliability(served[top], coverage.covered[top]).error,
    }
    return {name: round(value, 4) for name, value in figures.items() if not math.isnan(value)}
