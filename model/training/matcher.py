"""The paper's anchor assignment: by thresholds of IoU (Faster R-CNN, section 3.1.2)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from model.errors import ConfigError
from model.training.assignment import BACKGROUND, FOREGROUND, IGNORED, Assignment, Candidates, best_anchors
from model.training.dataset import Batch


@dataclass(frozen=True, slots=True)
class Matcher:
    """Foreground from this IoU on, or the best for some box; background below that; between: neither.

    ``ignore_share``: an anchor of which this share lies in a region to ignore is no background (COCO's rule for
    crowds). ``straddle``: by how many pixels an anchor may cross the picture's border and still be trained; 0 is the
    paper's rule, None no limit, as Lin et al. 2017 have it for feature pyramids, where anchors for large objects
    nearly always cross (detectron's ``RPN_STRADDLE_THRESH``).
    """

    foreground_iou: float = 0.7
    background_iou: float = 0.3
    ignore_share: float = 0.5
    straddle: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.background_iou <= self.foreground_iou <= 1:
            raise ConfigError(
                f"matcher: needs 0 < background_iou <= foreground_iou <= 1, not {self.background_iou} and"
                f" {self.foreground_iou}"
            )
        if self.straddle is not None and not (self.straddle >= 0 and math.isfinite(self.straddle)):
            raise ConfigError(f"matcher: straddle must be at least 0 pixels and finite, not {self.straddle}")

    def __call__(self, candidates: Candidates, batch: Batch) -> Assignment:
        """Assign the anchors to the batch's boxes; without boxes a picture has background only."""
        inside = self._inside(candidates)
        iou = torch.where(inside[:, None, :], candidates.overlaps(batch), -1.0)  # (N, G, R)
        best_iou, matched = iou.max(dim=1)  # (N, R)
        labels = torch.full_like(best_iou, IGNORED, dtype=torch.int8)
        labels[best_iou < self.background_iou] = BACKGROUND
        labels[candidates.inside_ignored(batch.ignored, self.ignore_share) & (labels == BACKGROUND)] = IGNORED
        labels[(best_iou >= self.foreground_iou) | best_anchors(iou).any(dim=1)] = FOREGROUND
        labels[~inside] = IGNORED
        return Assignment(labels, matched)

    def _inside(self, candidates: Candidates) -> Tensor:
        if self.straddle is None:
            return candidates.competing
        low = (candidates.anchors[:, :2] >= -self.straddle).all(dim=-1)
        high = (candidates.anchors[:, 2:] <= candidates.contents[:, None, :] + self.straddle).all(dim=-1)
        return candidates.competing & low & high
