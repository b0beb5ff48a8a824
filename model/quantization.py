"""What a network's layers read, so that they can be computed in 8-bit integers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.errors import ConfigError

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Quantization:
    """Post-training quantization, per tensor for what is read and per output channel for weights (Jacob et al. 2018).

    ``input_ranges``: for each convolution and the second stage's large layers, by their names within backbone, head and
    second stage, the lowest and the highest value that it reads on a usual photograph. What goes beyond is clipped. The
    weights' own ranges are theirs to tell.

    Raises:
        ConfigError: a range is not finite, or upside down.
    """

    input_ranges: Mapping[str, Range]

    def __post_init__(self) -> None:
        if not self.input_ranges:
            raise ConfigError("quantization: no layer has a range")
        for name, (low, high) in self.input_ranges.items():
            with np.errstate(over="ignore"):
                narrow, wide = np.float32(low), np.float32(high)  # as they are computed with
            if not (np.isfinite(narrow) and np.isfinite(wide) and narrow < wide):
                raise ConfigError(f"quantization: {name} cannot read from {low} to {high}")

    def to_dict(self) -> dict[str, Any]:
        """As the checkpoint keeps it."""
        return {"input_ranges": {name: list(range_) for name, range_ in self.input_ranges.items()}}

    @classmethod
    def from_dict(cls, document: Any) -> "Quantization":
        """What `to_dict` gave.

        Raises:
            ConfigError: the document is none.
        """
        try:
            ranges = {str(name): (float(low), float(high)) for name, (low, high) in document["input_ranges"].items()}
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise ConfigError(f"quantization: not a table of ranges ({error!r})") from error
        return cls(ranges)
