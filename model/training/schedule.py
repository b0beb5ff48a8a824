"""The learning rate over a run: linear warm-up, then half a cosine down to nothing (Loshchilov and Hutter 2017).

Or no change after the warm-up, if that is asked for.
"""

import math
from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["cosine", "constant"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """``base`` is the highest rate, reached after ``warmup`` steps of ``total``; ``name`` says what it does then."""

    base: float
    warmup: int
    total: int
    name: ScheduleName = "cosine"

    def __call__(self, step: int) -> float:
        """The rate at a step, counted from 0.

        >>> [round(Schedule(1.0, 2, 6)(step), 2) for step in range(6)]
        [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
        >>> [Schedule(1.0, 2, 6, "constant")(step) for step in range(6)]
        [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
        """
        if step < self.warmup:
            return self.base * (step + 1) / self.warmup
        if self.name == "constant":
            return self.base
        progress = (step - self.warmup) / max(1, self.total - self.warmup)
        return self.base * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
