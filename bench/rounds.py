"""Measuring in turn: every contender once a round, so that a noisy machine is noisy for all of them."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# A contender measures itself once and returns the milliseconds.
Contender = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Samples:
    """What one contender gave round by round: milliseconds, or whatever else its owner says."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The first and the last tenth: a machine's hiccups lie outside."""
        ordered = sorted(self.values)
        cut = len(ordered) // 10
        return ordered[cut], ordered[-1 - cut]


def times_as_fast(slow: Samples, fast: Samples) -> Samples:
    """How many times as fast ``fast`` is, round by round: what both suffered in one round cancels out."""
    return ratios(slow, fast)


def ratios(upper: Samples, lower: Samples) -> Samples:
    """One over the other, round by round."""
    return Samples(tuple(a / b for a, b in zip(upper.values, lower.values, strict=True)))


def take_turns(contenders: Mapping[str, Contender], *, rounds: int, warm_up: int = 3) -> dict[str, Samples]:
    """Each contender's samples; the first ``warm_up`` rounds are not counted."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(warm_up + rounds):
        for name, measure in contenders.items():
            ms = measure()
            if round_ >= warm_up:
                taken[name].append(ms)
    return {name: Samples(tuple(ms)) for name, ms in taken.items()}
