"""The whole network: pictures on a canvas to scored anchors."""

from torch import Tensor, nn

from model.config import ModelConfig
from model.network.anchors import AnchorGenerator
from model.network.backbones import Backbone, build_backbone
from model.network.head import RPNHead
from model.network.normalisation import Normalisation
from model.network.rpn import RegionProposalNetwork, ScoredAnchors
from model.structures import Canvas


class ProposalNetwork(nn.Module):
    """Backbone and RPN. State-dict names are torchvision's detection models': ``backbone.*``, ``rpn.head.*``."""

    def __init__(self, *, backbone: Backbone, rpn: RegionProposalNetwork, normalisation: Normalisation) -> None:
        super().__init__()
        self.backbone = backbone
        self.rpn = rpn
        self.normalisation = normalisation

    def forward(self, pixels: Tensor, contents: Tensor) -> ScoredAnchors:
        """Score every anchor of N pictures: pixels uint8 (N, H, W, 3), contents float32 (N, 2) as (width, height)."""
        return self.score(self.normalisation(pixels, contents))

    def score(self, pictures: Tensor) -> ScoredAnchors:
        """The same from normalised pictures, float (N, 3, H, W)."""
        canvas = Canvas(width=int(pictures.shape[-1]), height=int(pictures.shape[-2]))
        scored: ScoredAnchors = self.rpn(self.backbone(pictures), canvas)
        return scored


def build_network(config: ModelConfig) -> ProposalNetwork:
    """The network of a config, with fresh weights.

    Raises:
        ConfigError: the parts do not fit together; the message names the culprit.
    """
    backbone = build_backbone(config.backbone)
    anchor_generator = AnchorGenerator(config.anchors, backbone.strides)
    head = RPNHead(config.head, backbone.out_channels, config.anchors.per_location)
    rpn = RegionProposalNetwork(head=head, anchor_generator=anchor_generator)
    return ProposalNetwork(backbone=backbone, rpn=rpn, normalisation=Normalisation(config.input))
