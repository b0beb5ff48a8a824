"""Bursts of a side that goes the whole way: so many rotations of its pictures as fit in some seconds."""

import time
from dataclasses import dataclass

from bench.percentiles import percentile
from bench.side import Side


@dataclass(frozen=True, slots=True)
class Burst:
    """Pictures a second, and the median of a go in milliseconds (a go is a batch): of all, and by its turn."""

    rate: float
    p50_ms: float
    by_turn_ms: tuple[float, ...] = ()


def burst(side: Side, seconds: float) -> Burst:
    """Whole rotations, so that every picture weighs alike: at least one, and until the seconds are over."""
    goes, pictures = int(side.facts["goes"]), int(side.facts["pictures"])
    taken: list[float] = []
    end = time.monotonic() + seconds
    while not taken or time.monotonic() < end:
        taken += [side.measure() for _ in range(goes)]
    return Burst(
        rate=len(taken) / goes * pictures / (sum(taken) / 1000),
        p50_ms=percentile(taken, 0.5),
        by_turn_ms=tuple(percentile(taken[turn::goes], 0.5) for turn in range(goes)),
    )
