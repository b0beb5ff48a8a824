"""Pictures on a canvas to ranked proposals, as `model.network.proposing` does it in torch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from model.calibration import Calibration
from model.config import ModelConfig, RefinementConfig, SelectionConfig
from model.host.scored import RefinedBoxes, ScoredAnchors
from model.host.selection import select_proposals, select_refined
from model.host.suppression import Suppress
from model.structures import FloatArray, PixelArray, Proposals, Selection

# A score of exactly 0 or 1 has no finite logit.
LOGIT_EPS = 1e-6


class Network(Protocol):
    """What scores anchors and refines boxes."""

    @property
    def config(self) -> ModelConfig:
        """What it is."""

    @property
    def nms(self) -> Suppress:
        """What suppresses its boxes."""

    def score(self, pixels: PixelArray, contents: FloatArray) -> ScoredAnchors:
        """Score every anchor of N pictures: pixels uint8 (N, H, W, 3), contents float32 (N, 2) as (width, height)."""

    def refine(self, features: Sequence[FloatArray], boxes: FloatArray, logits: FloatArray) -> RefinedBoxes:
        """The second stage on one picture's boxes (K, 4) and logits (K,), from its features, L times (H_l, W_l, C)."""


def propose(
    network: Network,
    pixels: PixelArray,
    contents: FloatArray,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[Proposals]:
    """Each picture's proposals on its canvas, as its own ``Selection`` asks.

    ``pixels``: uint8 (N, H, W, 3); ``contents``: float32 (N, 2), the (width, height) that each picture covers.
    """
    config = network.config.selection
    scored = network.score(pixels, contents)
    if network.config.refinement is None:
        return select_proposals(scored, contents, config, selections, calibration, network.nms)
    enough, wanted = first_stage_selection(config, network.config.refinement)
    first = select_proposals(scored, contents, enough, [wanted] * len(contents), nms=network.nms)
    refined = [
        network.refine([level[n] for level in scored.features], found.boxes, _logits(found.scores))
        for n, found in enumerate(first)
    ]
    return select_refined(refined, contents, config, selections, calibration, network.nms)


def first_stage_selection(config: SelectionConfig, refinement: RefinementConfig) -> tuple[SelectionConfig, Selection]:
    """How the boxes are selected that the second stage takes up; the same ones whatever a caller asks for."""
    count = refinement.proposals
    enough = replace(config, pre_nms_top_n=max(count, config.pre_nms_top_n), post_nms_top_n=count, overlap_penalty=None)
    return enough, Selection(top_n=count, score_threshold=0.0, nms_iou=refinement.nms_iou)


def _logits(scores: FloatArray) -> FloatArray:
    inside = np.clip(scores, np.float32(LOGIT_EPS), np.float32(1 - LOGIT_EPS))
    logits: FloatArray = np.log(inside / (1 - inside))
    return logits
