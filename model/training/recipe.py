"""A training run's settings: stored in every checkpoint that it writes."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from model.errors import ConfigError
from model.training.augmentation import AugmentationConfig
from model.training.refinement_sampler import RefinementRules
from model.training.rules import DEFAULT_RULES, RULES, Rules
from model.training.schedule import ScheduleName

# A step's generator is seeded by a million times this and the step's number, in 64 bits.
_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained. The defaults suit training from scratch in batches of 16.

    A step of the optimizer takes ``accumulate`` batches of ``batch_size`` pictures in each process; steps are what
    ``warmup_steps`` and ``ema_decay`` count. ``sync_norm``: batch norm over the batches of all processes;
    ``freeze_norms``: by the statistics that the run starts with, see `model.training.frozen_norms`.
    """

    epochs: int = 12
    batch_size: int = 16
    accumulate: int = 1
    learning_rate: float = 1e-3  # AdamW's usual rate for convolutional networks from scratch
    weight_decay: float = 0.05  # AdamW's usual companion; norms and biases are spared
    warmup_steps: int = 300
    schedule: ScheduleName = "cosine"
    clip_norm: float = 10.0  # far above a healthy step's norm: only an outlier's step is shortened
    ema_decay: float = 0.998  # averages about the last 500 steps, under two epochs of 5,000 pictures
    precision: Literal["fp32", "bf16"] = "fp32"
    sync_norm: bool = False
    freeze_norms: bool = False
    seed: int = 0
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    rules: Rules = RULES[DEFAULT_RULES]
    refinement: RefinementRules = field(default_factory=RefinementRules)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate"):
            if getattr(self, name) < 1:
                raise ConfigError(f"recipe: {name} must be at least 1, not {getattr(self, name)}")
        if self.warmup_steps < 0:
            raise ConfigError(f"recipe: warmup_steps must be at least 0, not {self.warmup_steps}")
        if self.schedule not in get_args(ScheduleName):
            raise ConfigError(f"recipe: schedule {self.schedule!r} is none of {', '.join(get_args(ScheduleName))}")
        if self.sync_norm and self.freeze_norms:
            raise ConfigError("recipe: sync_norm is for norms that learn their statistics, which freeze_norms keeps")
        if not 0 <= self.seed <= _LARGEST_SEED:
            raise ConfigError(f"recipe: seed must lie between 0 and {_LARGEST_SEED}, not {self.seed}")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"recipe: ema_decay must be at least 0 and below 1, not {self.ema_decay}")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"recipe: learning_rate must be positive and finite, not {self.learning_rate}")

    def warmup(self, steps: int) -> int:
        """The steps of warm-up in a run of so many: at most a tenth, so that a short fine-tuning is not all warm-up."""
        return min(self.warmup_steps, steps // 10)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)
