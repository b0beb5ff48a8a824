"""From scored anchors to ranked proposals: top-k per level, decode, clip, drop, NMS, rank.

As torchvision's ``RegionProposalNetwork.filter_proposals``, step by step, but for what it leaves out: only the top-k
are decoded, anchors in the padding never compete, non-finite values never survive, and the scores come back with the
boxes. An overlap penalty, where the config has one, ranks boxes lower that are much like a better one, after NMS. A
calibration, where the checkpoint has one, changes what scores are called, not their order.

After a small network this is what is left of the time. On a CPU starting a torch operation costs more than these
tensors do, so there it is NumPy's work (`model.host.selection`); elsewhere it stays where the tensors are
(`model.network.device_selection`).
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from model.calibration import Calibration
from model.config import SelectionConfig
from model.host import anchors as host_anchors
from model.host import scored as host_scored
from model.host import selection as host_selection
from model.network import device_selection
from model.network.anchors import LevelAnchors
from model.network.refinement import RefinedBoxes
from model.network.rpn import ScoredAnchors
from model.network.selected_boxes import SelectedBoxes
from model.structures import FloatArray, Proposals, Selection

__all__ = ["SelectedBoxes", "on_host", "select_proposals", "select_refined"]

# How many levels' anchors are kept in NumPy: a dozen models of nine canvases and five levels.
_KEPT = 512


def select_proposals(
    scored: ScoredAnchors,
    contents: Tensor,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[SelectedBoxes]:
    """Each picture's proposals, as its own ``Selection`` asks.

    ``contents``: float32 (N, 2), the (width, height) that each picture covers of its canvas; boxes are clipped to it.
    NMS is within each level. A caller's threshold is on the scores that he is served, calibrated ones where there is a
    ``calibration``; the config's own is on the network's. No gradient passes.
    """
    if contents.device.type != "cpu":
        return device_selection.select_proposals(scored, contents, config, selections, calibration)
    found = host_selection.select_proposals(on_host(scored), contents.numpy(), config, selections, calibration)
    return [_tensors(proposals) for proposals in found]


def select_refined(
    refined: Sequence[RefinedBoxes],
    contents: Tensor,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[SelectedBoxes]:
    """The same on a CPU from the second stage's boxes, one `RefinedBoxes` a picture; NMS is across levels."""
    arrays = [host_scored.RefinedBoxes(_array(found.boxes), _array(found.logits)) for found in refined]
    found = host_selection.select_refined(arrays, contents.numpy(), config, selections, calibration)
    return [_tensors(proposals) for proposals in found]


def on_host(scored: ScoredAnchors) -> host_scored.ScoredAnchors:
    """The same in NumPy, from tensors on the CPU, whose memory it shares where it can."""
    return host_scored.ScoredAnchors(
        [_array(level) for level in scored.logits],
        [_array(level) for level in scored.deltas],
        [_anchors(level) for level in scored.anchors],
    )


def _array(tensor: Tensor) -> FloatArray:
    """The tensor's own memory; bfloat16, for which NumPy has no type, is converted."""
    values: FloatArray = tensor.detach().float().numpy()
    return values


@lru_cache(maxsize=_KEPT)
def _anchors(level: LevelAnchors) -> host_anchors.LevelAnchors:
    return host_anchors.LevelAnchors(level.boxes.numpy(), level.centres.numpy())


def _tensors(found: Proposals) -> SelectedBoxes:
    return SelectedBoxes(torch.from_numpy(found.boxes), torch.from_numpy(found.scores), found.truncated)
