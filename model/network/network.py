"""The whole network: pictures on a canvas to scored anchors."""

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.network.anchors import AnchorGenerator
from model.network.backbones import Backbone, build_backbone
from model.network.head import RPNHead
from model.network.normalisation import Normalisation
from model.network.refinement import RefinementHead
from model.network.rpn import RegionProposalNetwork, ScoredAnchors
from model.structures import Canvas


class ProposalNetwork(nn.Module):
    """Backbone, RPN, and where the config has one a second stage.

    State-dict names are torchvision's detection models': ``backbone.*``, ``rpn.head.*``; the second stage's are
    ``refinement.*``.
    """

    def __init__(
        self,
        *,
        backbone: Backbone,
        rpn: RegionProposalNetwork,
        normalisation: Normalisation,
        refinement: RefinementHead | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.rpn = rpn
        self.normalisation = normalisation
        self.refinement = refinement

    def forward(self, pixels: Tensor, contents: Tensor) -> ScoredAnchors:
        """Score every anchor of N pictures: pixels uint8 (N, H, W, 3), contents float32 (N, 2) as (width, height)."""
        return self.score(self.normalisation(pixels, contents))

    def score(self, pictures: Tensor) -> ScoredAnchors:
        """The same from normalised pictures, float (N, 3, H, W)."""
        canvas = Canvas(width=int(pictures.shape[-1]), height=int(pictures.shape[-2]))
        features = self.backbone(pictures.to(self._dtype()))
        scored: ScoredAnchors = self.rpn(features, canvas)
        return scored

    def compute_in(self, precision: str) -> None:
        """Compute the backbone and the head in fp32 or bf16; anchors, boxes and the second stage stay float32."""
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.backbone.to(dtype)
        self.rpn.to(dtype)

    @property
    def precision(self) -> str:
        """What `compute_in` was told last: ``fp32`` or ``bf16``."""
        return "bf16" if self._dtype() == torch.bfloat16 else "fp32"

    def _dtype(self) -> torch.dtype:
        return next(self.backbone.parameters()).dtype


def build_network(config: ModelConfig) -> ProposalNetwork:
    """The network of a config, with fresh weights.

    Raises:
        ConfigError: the parts do not fit together; the message names the culprit.
    """
    backbone = build_backbone(config.backbone)
    anchor_generator = AnchorGenerator(config.anchors, backbone.strides)
    head = RPNHead(config.head, backbone.out_channels, config.anchors.per_location)
    rpn = RegionProposalNetwork(head=head, anchor_generator=anchor_generator)
    refinement = None
    if config.refinement is not None:
        refinement = RefinementHead(config.refinement, backbone.out_channels, backbone.strides)
    normalisation = Normalisation(config.input)
    return ProposalNetwork(backbone=backbone, rpn=rpn, normalisation=normalisation, refinement=refinement)
