"""What the anchors learn, and by which losses: the part of a recipe that makes an RPN this RPN."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal

from model.errors import ConfigError
from model.training.atss import AdaptiveMatcher
from model.training.matcher import Matcher
from model.training.sampler import AnchorSampler


@dataclass(frozen=True, slots=True)
class Rules:
    """Assignment, sampling and losses.

    ``assignment``: ``"iou"``, the thresholds of `Matcher`; ``"atss"``, those of `AdaptiveMatcher`.
    ``objectness``: ``"bce"`` on the anchors that ``sampler`` draws, divided by their number; ``"focal"`` and
    ``"quality"`` on all of them, divided by the number of foreground anchors.
    ``box``: ``"smooth_l1"``, ``"l1"`` or ``"giou"``, each summed over the (sampled) foreground and divided by
    ``box_per``: ``"anchors"``, the number of sampled anchors (torchvision, detectron2); ``"foreground"``, that of the
    summed; ``"places"``, that of the places of the feature maps in all pictures, as the paper has it with a weight of
    10 (Faster R-CNN, section 3.1.2). ``box_weight``: the paper's lambda.
    ``ignore_confident``: background anchors with a higher score than this are not trained on, nor boxes of a second
    stage that lie on nothing annotated; None trains on all.
    """

    assignment: Literal["iou", "atss"] = "iou"
    matcher: Matcher = field(default_factory=Matcher)
    atss: AdaptiveMatcher = field(default_factory=AdaptiveMatcher)
    sampler: AnchorSampler = field(default_factory=AnchorSampler)
    objectness: Literal["bce", "focal", "quality"] = "bce"
    box: Literal["smooth_l1", "l1", "giou"] = "smooth_l1"
    box_per: Literal["anchors", "foreground", "places"] = "anchors"
    box_weight: float = 1.0
    ignore_confident: float | None = None

    def __post_init__(self) -> None:
        if self.box_per == "anchors" and self.objectness != "bce":
            raise ConfigError(
                f"rules: box_per 'anchors' needs objectness 'bce', which samples, not {self.objectness!r}"
            )
        if not 0 < self.box_weight < math.inf:
            raise ConfigError(f"rules: box_weight must be positive and finite, not {self.box_weight}")
        if self.ignore_confident is not None and not 0 < self.ignore_confident < 1:
            raise ConfigError(f"rules: ignore_confident must lie between 0 and 1, not {self.ignore_confident}")


# Faster R-CNN, sections 3.1.2 and 3.1.3; smooth L1 as in the authors' code (`box_loss.py`).
PAPER_RULES = Rules(matcher=Matcher(straddle=0.0), box_per="places", box_weight=10.0)

# As Lin et al. 2017 changed them for pyramids, and as torchvision and detectron2 train.
CLASSIC_RULES = Rules()

# What has been learnt since; the weight of the boxes is that of Li et al. 2020 (generalized focal loss).
DENSE_RULES = dataclasses.replace(
    CLASSIC_RULES, assignment="atss", objectness="quality", box="giou", box_per="foreground", box_weight=2.0
)

RULES: dict[str, Rules] = {"paper": PAPER_RULES, "classic": CLASSIC_RULES, "dense": DENSE_RULES}

DEFAULT_RULES = "dense"
