"""Pictures on a canvas to ranked proposals: the network, its selection, and the second stage where there is one.

On a CPU, where boxes that do not compete are best left behind; `model.network.device_proposing` does it on a GPU.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.calibration import Calibration
from model.config import RefinementConfig, SelectionConfig
from model.host.proposing import LOGIT_EPS, first_stage_selection
from model.network.box_coding import decode_deltas
from model.network.network import ProposalNetwork
from model.network.refinement import RefinedBoxes, RefinementHead
from model.network.rpn import ScoredAnchors
from model.network.selection import SelectedBoxes, select_proposals, select_refined
from model.structures import Selection


def propose(
    network: ProposalNetwork,
    pixels: Tensor,
    contents: Tensor,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[SelectedBoxes]:
    """Each picture's proposals on its canvas, as its own ``Selection`` asks, from a network on a CPU.

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
    enough, wanted = first_stage_selection(config, refinement)
    return select_proposals(scored, contents, enough, [wanted] * len(contents))


def refine(head: RefinementHead, features: list[Tensor], first: Sequence[SelectedBoxes]) -> list[RefinedBoxes]:
    """The second stage on every picture's boxes at once; the first one's logit has a say in the last."""
    counts = [len(selected.boxes) for selected in first]
    boxes = torch.cat([selected.boxes for selected in first])
    logits = torch.cat([selected.scores for selected in first]).logit(eps=LOGIT_EPS)
    pictures = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(boxes.device)
    new_logits, deltas = head(features, boxes, pictures, logits)
    fused = new_logits.float() + head.config.first_weight * logits
    moved = decode_deltas(deltas.float(), boxes)
    parts = zip(torch.split(moved, counts), torch.split(fused, counts), strict=True)
    return [RefinedBoxes(*part) for part in parts]
