"""Percentiles by nearest rank: always a value that was measured, never one between two."""

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (above 0, at most 1) of the values do not pass.

    >>> percentile([30.0, 10.0, 20.0, 40.0], 0.5), percentile([30.0, 10.0, 20.0, 40.0], 0.99)
    (20.0, 40.0)

    Raises:
        ValueError: there are no values, or no such share.
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    return sorted(values)[math.ceil(share * len(values)) - 1]
