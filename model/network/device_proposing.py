"""Pictures on a canvas to ranked proposals where the network is: for an accelerator, every shape known beforehand.

As `model.network.proposing`, but nothing is waited for until the end, so that all of it can be recorded as a CUDA
graph: places that hold no box go through the second stage with the others.
"""

from dataclasses import replace

import torch
from torch import Tensor

from model.calibration import Calibration
from model.config import SelectionConfig
from model.host.proposing import LOGIT_EPS, first_stage_selection
from model.network.box_coding import decode_deltas
from model.network.device_selection import FoundBoxes, Wanted, select_anchors, select_refined
from model.network.network import ProposalNetwork
from model.network.refinement import RefinementHead


def propose_on_device(
    network: ProposalNetwork,
    pixels: Tensor,
    contents: Tensor,
    wanted: Wanted,
    config: SelectionConfig,
    calibration: Calibration | None = None,
    *,
    rounds: int | None = None,
) -> FoundBoxes:
    """The proposals of a batch on one canvas, everything on one device.

    ``pixels``: uint8 (N, H, W, 3); ``contents``: float32 (N, 2), the (width, height) that each picture covers;
    ``rounds``: of each NMS (`model.network.suppression`), None for as many as it takes.
    """
    scored = network(pixels, contents)
    if network.refinement is None:
        return select_anchors(scored, contents, config, wanted, calibration, rounds=rounds)
    enough, taken_up = first_stage_selection(config, network.refinement.config)
    alike = Wanted.alike(taken_up, len(contents), contents.device)
    first = select_anchors(scored, contents, enough, alike, rounds=rounds)
    boxes, logits = _refine(network.refinement, [features.float() for features in scored.features], first)
    last = select_refined(boxes, logits, contents, config, wanted, calibration, rounds=rounds)
    return replace(last, settled=first.settled & last.settled)


def _refine(head: RefinementHead, features: list[Tensor], first: FoundBoxes) -> tuple[Tensor, Tensor]:
    """The second stage: moved boxes (N, K, 4), and logits (N, K), minus infinity where there was no box."""
    count, places = first.scores.shape
    # What lies in a place without a box may be no number at all, which nothing may be sampled at.
    boxes = first.boxes.where(first.filled[..., None], 0.0)
    logits = first.scores.logit(eps=LOGIT_EPS)
    pictures = torch.arange(count, device=boxes.device)[:, None].expand(-1, places)
    new_logits, deltas = head(features, boxes.flatten(0, 1), pictures.flatten(), logits.flatten())
    fused = new_logits.float().view(count, places) + head.config.first_weight * logits
    moved = decode_deltas(deltas.float().view(count, places, 4), boxes)
    return moved, fused.where(first.filled, -torch.inf)
