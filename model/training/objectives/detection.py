"""The RPN and the RoI heads together, end to end (Faster R-CNN, section 3.2, approximate joint training)."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.detector import DetectorCheckpoint, detector_path, save_detector
from model.config import ModelConfig, SelectionConfig
from model.network.detector import Detected, build_detector
from model.network.roi_heads import RoIHeadsConfig
from model.network.rpn import ScoredAnchors
from model.network.selection import select_proposals
from model.structures import Selection
from model.training.dataset import Batch
from model.training.objectives.objective import Objective
from model.training.objectives.proposals import proposal_losses
from model.training.recipe import Recipe
from model.training.roi_losses import roi_losses
from model.training.roi_sampler import RoISampler, RoISamples

# The proposals of a picture that the second stage samples from: py-faster-rcnn's and torchvision's.
TRAINING_PROPOSALS = 2000
_NMS_IOU = 0.7  # the paper's, section 3.3
_HEADS = "roi_heads."


@dataclass(frozen=True)
class DetectionObjective(Objective):
    """A detector of the heads' classes.

    ``selection``: how proposals are chosen in training, see `training_selection`; ``sampler``: which of them the heads
    learn from.
    """

    heads: RoIHeadsConfig
    selection: SelectionConfig
    sampler: RoISampler = field(default_factory=RoISampler)

    @property
    def classes(self) -> tuple[str, ...]:
        """The heads'."""
        return self.heads.classes

    def build(self, config: ModelConfig) -> nn.Module:
        """A `Detector`."""
        return build_detector(config, self.heads)

    def losses(self, network: nn.Module, batch: Batch, recipe: Recipe, generator: torch.Generator) -> dict[str, Tensor]:
        """The RPN's two and the heads' two, all with the weight 1 (as py-faster-rcnn and torchvision have them)."""

        def choose(scored: ScoredAnchors) -> RoISamples:
            return self.sampler(self._proposals(scored, batch.contents), batch, generator)

        detected: Detected[RoISamples] = network(batch.pixels, batch.contents, choose)
        first = proposal_losses(detected.scored, batch, recipe, generator)
        second = roi_losses(detected)
        return {**first, "roi_class": second.classification, "roi_box": second.box}

    @torch.no_grad()
    def _proposals(self, scored: ScoredAnchors, contents: Tensor) -> list[Tensor]:
        wanted = Selection(top_n=self.selection.post_nms_top_n, nms_iou=_NMS_IOU)
        selected = select_proposals(scored, contents, self.selection, [wanted] * len(contents))
        return [proposals.boxes for proposals in selected]

    def proposal_weights(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """All but the heads'."""
        return {name: tensor for name, tensor in weights.items() if not name.startswith(_HEADS)}

    def save_beside(self, checkpoint: Checkpoint, weights: Mapping[str, Tensor], path: Path) -> None:
        """The whole detector, as ``detector-<name of path>``."""
        whole = replace(checkpoint, state_dict=weights)
        save_detector(DetectorCheckpoint(whole, self.heads), detector_path(path))

    def describe(self) -> dict[str, Any]:
        """Classes, width, selection and sampling."""
        parts = {name: dataclasses.asdict(getattr(self, name)) for name in ("heads", "selection", "sampler")}
        return {"name": "detection", **parts}


def training_selection(config: ModelConfig, proposals: int = TRAINING_PROPOSALS) -> SelectionConfig:
    """How proposals are chosen while training: more than in service, and none left out for a low score.

    What scores low is what the heads must learn to call background.
    """
    before = max(config.selection.pre_nms_top_n, proposals)
    return replace(config.selection, pre_nms_top_n=before, post_nms_top_n=proposals, score_threshold=0.0)
