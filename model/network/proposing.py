"""Pictures on a canvas to ranked proposals: the network, its selection, and the second stage where there is one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from model.config import RefinementConfig, SelectionConfig
from model.network.box_coding import decode_deltas
from model.network.calibration import Calibration
from model.network.refinement import RefinedBoxes, RefinementHead
from model.network.rpn import ScoredAnchors
from model.network.selection import SelectedBoxes, select_proposals, select_refined
from model.structures import Selection

# A score of exactly 0 or 1 has no finite logit.
_LOGIT_EPS = 1e-6


class ScoringNetwork(Protocol):
    """What scores anchors: a `ProposalNetwork`, or the same computed by another runtime."""

    @property
    def refinement(self) -> RefinementHead | None:
        """The second stage, where there is one."""

    def __call__(self, pixels: Tensor, contents: Tensor) -> ScoredAnchors:
        """Score every anchor of N pictures: pixels uint8 (N, H, W, 3), contents float32 (N, 2) as (width, height)."""


def propose(
    network: ScoringNetwork,
    pixels: Tensor,
    contents: Tensor,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[SelectedBoxes]:
    """Each picture's proposals on its canvas, as its own ``Selection`` asks.

    ``pixels``: uint8 (N, H, W, 3); ``contents``: float32 (N, 2), the (width, height) that each picture covers.
    """
    scored = network(pixels, contents)
    if network.refinement is None:
        return select_proposals(scored, contents, config, selections, calibration)
    first = first_stage(scored, contents, config, network.refinement.config)
    refined = refine(network.refinement, [features.float() for features in scored.features], first)
    return select_refined(refined, contents, config, selections, calibration)


def first_stage(
    scored: ScoredAnchors, contents: Tensor, config: SelectionConfig, refinement: RefinementConfig
) -> list[SelectedBoxes]:
    """The boxes that the second stage takes up; the same ones whatever a caller asks for."""
    count = refinement.proposals
    wanted = Selection(top_n=count, score_threshold=0.0, nms_iou=refinement.nms_iou)
    enough = replace(config, pre_nms_top_n=max(count, config.pre_nms_top_n), post_nms_top_n=count)
    return select_proposals(scored, contents, enough, [wanted] * len(contents))


def refine(head: RefinementHead, features: list[Tensor], first: Sequence[SelectedBoxes]) -> list[RefinedBoxes]:
    """The second stage on every picture's boxes at once; the first one's logit has a say in the last."""
    counts = [len(selected.boxes) for selected in first]
    boxes = torch.cat([selected.boxes for selected in first])
    logits = torch.cat([selected.scores for selected in first]).logit(eps=_LOGIT_EPS)
    pictures = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(boxes.device)
    new_logits, deltas = head(features, boxes, pictures, logits)
    fused = new_logits.float() + head.config.first_weight * logits
    moved = decode_deltas(deltas.float(), boxes)
    parts = zip(torch.split(moved, counts), torch.split(fused, counts), strict=True)
    return [RefinedBoxes(*part) for part in parts]
