"""What a network says of a batch, before anything is selected."""

from dataclasses import dataclass, field

from model.host.anchors import LevelAnchors
from model.structures import FloatArray


@dataclass(frozen=True, slots=True)
class ScoredAnchors:
    """What it says of every anchor, level by level.

    ``logits``: objectness logits, float32, L times (N, R_l); ``deltas``: float32, L times (N, R_l, 4); ``anchors``: L
    times R_l, the same for every picture, since a batch has one canvas. ``features``: float32, L times (N, H_l, W_l,
    C), what a second stage samples.
    """

    logits: list[FloatArray]
    deltas: list[FloatArray]
    anchors: list[LevelAnchors]
    features: list[FloatArray] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RefinedBoxes:
    """One picture's boxes after the second stage: boxes float32 (K, 4), logits float32 (K,), in no order."""

    boxes: FloatArray
    logits: FloatArray
