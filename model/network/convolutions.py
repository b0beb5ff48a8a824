"""The part of a network that another runtime can take over: from pictures to maps, without anchors and boxes."""

from torch import Tensor, nn

from model.network.network import ProposalNetwork


class Convolutions(nn.Module):
    """Backbone, head, and the second stage's first layer where there is one, as one graph of static operations."""

    def __init__(self, network: ProposalNetwork) -> None:
        super().__init__()
        self.backbone = network.backbone
        self.head = network.rpn.head
        self.narrow = None if network.refinement is None else network.refinement.narrow

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Normalised pictures, float32 (N, H, W, 3), to the maps of L levels.

        L times logits (N, H_l, W_l, A), L times deltas (N, H_l, W_l, A * 4), and for a second stage L times its
        features (N, H_l, W_l, C).
        """
        features = self.backbone(pictures.permute(0, 3, 1, 2))
        logits, deltas = self.head.maps(features)
        if self.narrow is None:
            return (*logits, *deltas)
        return (*logits, *deltas, *(self.narrow(level).permute(0, 2, 3, 1) for level in features))
