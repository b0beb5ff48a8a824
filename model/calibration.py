"""From objectness to the chance that a proposal covers an object: one rising curve, so the ranking never changes.

Beta calibration (Kull, Silva Filho and Flach 2017): the logit of the chance is ``rise_low * ln(s) - rise_high *
ln(1 - s) + offset`` for a score s. With both rises alike it is Platt's logistic curve. It has no flat steps as isotonic
regression has, which would give many proposals one score.

An overlap penalty mixes first guesses with second ones of a higher chance, and then the chance rises, hardly rises,
and rises again, which three numbers cannot say. So the logit may also rise by so much for each unit of the score's own
logit between two of its values, for several ``bands``.
"""

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from model.errors import ConfigError
from model.structures import FloatArray

if TYPE_CHECKING:  # a service that computes without torch does not import it
    from torch import Tensor

# Scores nearer to 0 or 1 count as this: float32 cannot tell 1 - 6e-8 from 1.
SCORE_MARGIN = 1e-7


@dataclass(frozen=True, slots=True)
class Calibration:
    """The curve; `model.evaluation.calibration` fits it, a checkpoint stores it, `select_proposals` applies it.

    Raises:
        ConfigError: it would not rise everywhere, or is not finite.
    """

    rise_low: float
    rise_high: float
    offset: float
    bands: tuple[tuple[float, float, float], ...] = ()  # (from, to, rise)

    def __post_init__(self) -> None:
        if not all(map(_is_finite, (self.rise_low, self.rise_high, self.offset, *chain.from_iterable(self.bands)))):
            raise ConfigError("calibration: its numbers must be finite")
        if min(self.rise_low, self.rise_high) < 0 or self.rise_low + self.rise_high == 0:
            raise ConfigError("calibration: must rise (rise_low and rise_high not negative, one of them positive)")
        if any(low >= high or rise < 0 for low, high, rise in self.bands):
            raise ConfigError("calibration: a band must go from a lower to a higher logit, and must not fall")

    def __str__(self) -> str:
        """The logit of the chance, with s the network's own score."""
        text = f"{self.rise_low:.4f} ln s - {self.rise_high:.4f} ln(1 - s) {self.offset:+.4f}"
        if not self.bands:
            return text
        bands = ", ".join(f"{rise:.4f} from {low:g} to {high:g}" for low, high, rise in self.bands)
        return f"{text}, and for each unit of the logit of s {bands}"

    def __call__(self, scores: "Tensor") -> "Tensor":
        """Chances in [0, 1] for objectness in [0, 1], of any shape; float32 as the scores are."""
        inside = scores.clamp(SCORE_MARGIN, 1 - SCORE_MARGIN)
        below, above = inside.log(), (-inside).log1p()
        logits = self.rise_low * below - self.rise_high * above + self.offset
        for low, high, rise in self.bands:
            logits = logits + rise * ((below - above).clamp(low, high) - low)
        return logits.sigmoid()

    def on_host(self, scores: FloatArray) -> FloatArray:
        """The same in NumPy."""
        inside = np.clip(scores, np.float32(SCORE_MARGIN), np.float32(1 - SCORE_MARGIN))
        below, above = np.log(inside), np.log1p(-inside)
        logits = self.rise_low * below - self.rise_high * above + self.offset
        for low, high, rise in self.bands:
            logits += rise * (np.clip(below - above, low, high) - low)
        chances: FloatArray = np.reciprocal(1 + np.exp(-logits))
        return chances


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")  # NaN compares false
