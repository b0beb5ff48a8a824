"""From objectness to the chance that a proposal covers an object: one rising curve, so the ranking never changes.

Beta calibration (Kull, Silva Filho and Flach 2017): the logit of the chance is ``rise_low * ln(s) - rise_high *
ln(1 - s) + offset`` for a score s. With both rises alike it is Platt's logistic curve. Of what was tried on
`general` (`docs/architecture.md`), it fits best, with three numbers, and it has no flat steps as isotonic regression
has, which would give many proposals one score.
"""

from dataclasses import dataclass
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

    def __post_init__(self) -> None:
        if not all(map(_is_finite, (self.rise_low, self.rise_high, self.offset))):
            raise ConfigError("calibration: its numbers must be finite")
        if min(self.rise_low, self.rise_high) < 0 or self.rise_low + self.rise_high == 0:
            raise ConfigError("calibration: must rise (rise_low and rise_high not negative, one of them positive)")

    def __call__(self, scores: "Tensor") -> "Tensor":
        """Chances in [0, 1] for objectness in [0, 1], of any shape; float32 as the scores are."""
        inside = scores.clamp(SCORE_MARGIN, 1 - SCORE_MARGIN)
        return (self.rise_low * inside.log() - self.rise_high * (-inside).log1p() + self.offset).sigmoid()

    def on_host(self, scores: FloatArray) -> FloatArray:
        """The same in NumPy."""
        inside = np.clip(scores, np.float32(SCORE_MARGIN), np.float32(1 - SCORE_MARGIN))
        logits = self.rise_low * np.log(inside) - self.rise_high * np.log1p(-inside) + self.offset
        chances: FloatArray = np.reciprocal(1 + np.exp(-logits))
        return chances


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")  # NaN compares false
