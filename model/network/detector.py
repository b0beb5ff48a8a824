"""The whole of Faster R-CNN: the proposal network, and RoI heads on the same feature maps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads

from model.config import ModelConfig
from model.network.network import ProposalNetwork, build_network
from model.network.roi_heads import RoIHeadsConfig, build_roi_heads
from model.network.rpn import ScoredAnchors
from model.structures import Canvas


class RegionsOfInterest(Protocol):
    """What the heads look at: ``boxes``, for each of N pictures float32 (S_n, 4) ``xyxy`` in canvas pixels."""

    @property
    def boxes(self) -> list[Tensor]:
        """The boxes, picture by picture."""


R = TypeVar("R", bound=RegionsOfInterest)


@dataclass(frozen=True, slots=True)
class Detected(Generic[R]):
    """What both stages say of a batch: C classes, S RoIs of all its pictures in their order.

    ``scored``: the RPN's; ``rois``: as they were chosen; ``logits``: float32 (S, C + 1), background first;
    ``deltas``: float32 (S, 4 (C + 1)), class by class.
    """

    scored: ScoredAnchors
    rois: R
    logits: Tensor
    deltas: Tensor


class Detector(nn.Module):
    """State-dict names are torchvision's: ``backbone.*``, ``rpn.head.*``, ``roi_heads.*``.

    ``choose`` turns the scored anchors into the RoIs that the heads see: the proposals in service, a sample of them in
    training. No gradient flows through a RoI's coordinates: that is the paper's approximate joint training (Faster
    R-CNN, section 3.2, and py-faster-rcnn's ``end2end``).
    """

    def __init__(self, *, proposals: ProposalNetwork, roi_heads: RoIHeads) -> None:
        super().__init__()
        self.backbone = proposals.backbone
        self.rpn = proposals.rpn
        self.normalisation = proposals.normalisation
        self.roi_heads = roi_heads

    def forward(self, pixels: Tensor, contents: Tensor, choose: Callable[[ScoredAnchors], R]) -> Detected[R]:
        """Both stages on N pictures: pixels uint8 (N, H, W, 3), contents float32 (N, 2) as (width, height)."""
        return self.detect(self.normalisation(pixels, contents), choose)

    def detect(self, pictures: Tensor, choose: Callable[[ScoredAnchors], R]) -> Detected[R]:
        """The same from normalised pictures, float (N, 3, H, W)."""
        canvas = Canvas(width=int(pictures.shape[-1]), height=int(pictures.shape[-2]))
        features = self.backbone(pictures)
        scored = self.rpn(features, canvas)
        rois = choose(scored)
        # The pool infers each map's stride from these sizes, once: the canvas's, which the maps cover exactly, not the
        # pictures' own, which may be half of it. In fp32, since its bilinear weights are lost on 16 bits.
        sizes = [(canvas.height, canvas.width)] * len(pictures)
        pooled = self.roi_heads.box_roi_pool({str(i): f.float() for i, f in enumerate(features)}, rois.boxes, sizes)
        logits, deltas = self.roi_heads.box_predictor(self.roi_heads.box_head(pooled))
        return Detected(scored, rois, logits.float(), deltas.float())


def build_detector(config: ModelConfig, heads: RoIHeadsConfig) -> Detector:
    """The detector of a config, with fresh weights; those of its RPN are what `build_network` would give.

    Raises:
        ConfigError: the parts do not fit together; the message names the culprit.
    """
    proposals = build_network(config)
    return Detector(proposals=proposals, roi_heads=build_roi_heads(heads, proposals.backbone))
