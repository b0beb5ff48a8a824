"""Adaptive training sample selection: a threshold of IoU for each box, from its own statistics.

Zhang et al. 2020, "Bridging the Gap Between Anchor-based and Anchor-free Detection", algorithm 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.training.assignment import BACKGROUND, FOREGROUND, IGNORED, Assignment, Candidates, best_anchors
from model.training.dataset import Batch


@dataclass(frozen=True, slots=True)
class AdaptiveMatcher:
    """For each box, of the anchors at the ``nearest`` places of each level: those whose IoU reaches mean + deviation.

    Of these the ones whose place lies in the box. One addition to the paper, which matters where objects are smaller
    than a stride: the best anchor of a box is always foreground, and that box's, but for one that is another box's best
    as well, and covers that better. All others are background, but for those with ``ignore_share`` of their area in a
    region to ignore.
    """

    nearest: int = 9  # the paper's k, section 4.4.1: results hardly depend on it from 7 to 17
    ignore_share: float = 0.5

    def __call__(self, candidates: Candidates, batch: Batch) -> Assignment:
        """Assign the anchors to the batch's boxes; without boxes a picture has background only."""
        iou = candidates.overlaps(batch)  # (N, G, R)
        near, inside = self._near(candidates, batch, iou)
        count = near.sum(dim=-1, keepdim=True).clamp(min=1)
        mean = torch.where(near, iou, 0.0).sum(dim=-1, keepdim=True) / count
        deviation = (torch.where(near, (iou - mean).square(), 0.0).sum(dim=-1, keepdim=True) / count).sqrt()
        chosen = near & inside & (iou >= mean + deviation) & (iou > 0)
        best = best_anchors(iou)
        # An anchor that several boxes chose goes to the one that it covers best, but the best of a box to that box.
        rank, matched = torch.where(best, iou + 1.0, torch.where(chosen, iou, -1.0)).max(dim=1)
        labels = torch.full_like(rank, BACKGROUND, dtype=torch.int8)
        labels[candidates.inside_ignored(batch.ignored, self.ignore_share)] = IGNORED
        labels[rank > 0] = FOREGROUND
        labels[~candidates.competing] = IGNORED
        return Assignment(labels, matched)

    def _near(self, candidates: Candidates, batch: Batch, iou: Tensor) -> tuple[Tensor, Tensor]:
        """(N, G, R) each: the competing anchors at the nearest places of each level, and those placed in the box."""
        near, inside = torch.zeros_like(iou, dtype=torch.bool), torch.zeros_like(iou, dtype=torch.bool)
        if batch.boxes.shape[1] == 0:
            return near, inside
        middles = (batch.boxes[..., :2] + batch.boxes[..., 2:]) / 2
        start = 0
        for count, here in zip(candidates.levels, candidates.at_place, strict=True):
            places = candidates.centres[start : start + count : here]
            distance = (middles[..., None, :] - places).square().sum(dim=-1)  # (N, G, R_l / here)
            index = distance.topk(min(self.nearest, len(places)), largest=False).indices
            nearest = torch.zeros_like(distance, dtype=torch.bool).scatter_(-1, index, True)
            within = (places >= batch.boxes[..., None, :2]).all(-1) & (places <= batch.boxes[..., None, 2:]).all(-1)
            near[..., start : start + count] = nearest.repeat_interleave(here, dim=-1)
            inside[..., start : start + count] = within.repeat_interleave(here, dim=-1)
            start += count
        return near & (iou >= 0), inside
