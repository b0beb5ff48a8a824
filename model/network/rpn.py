"""The Region Proposal Network proper: head and anchors, without the backbone (Faster R-CNN, section 3.1)."""

from dataclasses import dataclass, field

from torch import Tensor, nn

from model.network.anchors import AnchorGenerator, LevelAnchors
from model.network.head import RPNHead
from model.structures import Canvas


@dataclass(frozen=True, slots=True)
class ScoredAnchors:
    """What the network says of every anchor of a batch, level by level.

    ``logits``: objectness logits, L times (N, R_l); ``deltas``: L times (N, R_l, 4); ``anchors``: L times R_l, the
    same for every picture, since a batch has one canvas. ``features``: L times (N, C, H_l, W_l), the maps that they
    were scored from, for a second stage.
    """

    logits: list[Tensor]
    deltas: list[Tensor]
    anchors: list[LevelAnchors]
    features: list[Tensor] = field(default_factory=list)


class RegionProposalNetwork(nn.Module):
    """L feature maps to `ScoredAnchors`. Its only weights are the head's."""

    def __init__(self, *, head: RPNHead, anchor_generator: AnchorGenerator) -> None:
        super().__init__()
        self.head = head
        self.anchor_generator = anchor_generator

    def forward(self, features: list[Tensor], canvas: Canvas) -> ScoredAnchors:
        """Score the anchors of the maps (N, C, H_l, W_l) of pictures on this canvas."""
        logits, deltas = self.head(features)
        maps = tuple((int(f.shape[-2]), int(f.shape[-1])) for f in features)
        return ScoredAnchors(logits, deltas, self.anchor_generator(canvas, maps, features[0].device), features)
