"""The second stage of Faster R-CNN: torchvision's RoI heads, on the maps of our backbones (Girshick 2015)."""

from dataclasses import dataclass

from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import MultiScaleRoIAlign

from model.errors import ConfigError
from model.network.backbones import Backbone, PyramidBackbone

# A RoI's deltas are learnt at about unit variance (Fast R-CNN divides by 0.1 and 0.2); the values are torchvision's.
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
# Cells of a pooled RoI along each side, and points sampled in each cell along each side: torchvision's.
_RESOLUTION, _SAMPLES = 7, 2


@dataclass(frozen=True, slots=True)
class RoIHeadsConfig:
    """What the heads tell apart, how wide they are, and what they answer; the figures are torchvision's.

    ``classes``: their names, label 1 first (0 is background). ``width``: of the two fully connected layers. In an
    answer a detection scores at least ``score_threshold``; of two of one class that overlap by more than ``nms_iou``
    the lower-scored goes; at most ``detections`` remain.

    Raises:
        ConfigError: there are no classes or one twice, or a figure is out of its range.
    """

    classes: tuple[str, ...]
    width: int = 1024
    score_threshold: float = 0.05
    nms_iou: float = 0.5
    detections: int = 100

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ConfigError("RoI heads: needs at least one class, and each name once")
        if self.width < 1 or self.detections < 1:
            raise ConfigError("RoI heads: width and detections must be at least 1")
        for name in ("score_threshold", "nms_iou"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"RoI heads: {name} must lie between 0 and 1, not {getattr(self, name)}")


def build_roi_heads(config: RoIHeadsConfig, backbone: Backbone) -> RoIHeads:
    """Fresh heads for a backbone's maps. Used for their layers and their answers; training samples RoIs by itself.

    Of a pyramid the level that is pooled from the coarsest is left out, as torchvision's detectors leave it out: it
    holds nothing that a RoI could not find on the level below.
    """
    levels = len(backbone.strides) - isinstance(backbone, PyramidBackbone)
    pool = MultiScaleRoIAlign([str(level) for level in range(levels)], _RESOLUTION, _SAMPLES)
    return RoIHeads(  # type: ignore[no-untyped-call]
        box_roi_pool=pool,
        box_head=TwoMLPHead(backbone.out_channels * _RESOLUTION**2, config.width),  # type: ignore[no-untyped-call]
        box_predictor=FastRCNNPredictor(config.width, len(config.classes) + 1),  # type: ignore[no-untyped-call]
        fg_iou_thresh=0.5,  # this and the next three are torchvision's own sampling, which `RoISampler` replaces
        bg_iou_thresh=0.5,
        batch_size_per_image=512,
        positive_fraction=0.25,
        bbox_reg_weights=BOX_WEIGHTS,
        score_thresh=config.score_threshold,
        nms_thresh=config.nms_iou,
        detections_per_img=config.detections,
    )
