"""From scored anchors to ranked proposals: top-k per level, decode, clip, drop, NMS, rank.

As torchvision's ``RegionProposalNetwork.filter_proposals``, step by step, but for what it leaves out: only the top-k
are decoded, anchors in the padding never compete, non-finite values never survive, and the scores come back with the
boxes. A calibration, where the checkpoint has one, changes what scores are called, not their order: ranking and NMS go
by the network's own.

After a small network this is what is left of the time. On a CPU starting a torch operation costs more than these
tensors do, so there it is NumPy's work (`model.network.host_selection`); elsewhere it stays where the tensors are
(`model.network.device_selection`).
"""

from collections.abc import Sequence

from torch import Tensor

from model.config import SelectionConfig
from model.network import device_selection, host_selection
from model.network.calibration import Calibration
from model.network.refinement import RefinedBoxes
from model.network.rpn import ScoredAnchors
from model.network.selected_boxes import SelectedBoxes
from model.structures import Selection

__all__ = ["SelectedBoxes", "select_proposals", "select_refined"]


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
    if contents.device.type == "cpu":
        return host_selection.select_proposals(scored, contents, config, selections, calibration)
    return device_selection.select_proposals(scored, contents, config, selections, calibration)


def select_refined(
    refined: Sequence[RefinedBoxes],
    contents: Tensor,
    config: SelectionConfig,
    selections: Sequence[Selection],
    calibration: Calibration | None = None,
) -> list[SelectedBoxes]:
    """The same from the second stage's boxes, one `RefinedBoxes` a picture; NMS is across levels."""
    if contents.device.type == "cpu":
        return host_selection.select_refined(refined, contents, config, selections, calibration)
    return device_selection.select_refined(refined, contents, config, selections, calibration)
