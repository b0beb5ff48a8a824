"""The learning rate over a run: linear warm-up, then half a cosine down to nothing (Loshchilov and Hutter 2017)."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CosineSchedule:
    """``base`` is the highest rate, reached after ``warmup`` steps of ``total``."""

    base: float
    warmup: int
    total: int

    def __call__(self, step: int) -> float:
        """The rate at a step, counted from 0.

        >>> [round(CosineSchedule(1.0, 2, 6)(step), 2) for step in range(6)]
        [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
        """
        if step < self.warmup:
            return self.base * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.total - self.warmup)
        return self.base * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
