"""What a selection gives: one picture's proposals, ranked, still on its canvas."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class SelectedBoxes:
    """One picture's proposals on its canvas: boxes float32 (K, 4) ``xyxy``, scores float32 (K,), highest first.

    ``truncated``: more survived than were asked for.
    """

    boxes: Tensor
    scores: Tensor
    truncated: bool
