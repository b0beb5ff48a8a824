"""Adaptive training sample selection: a threshold of IoU for each box, from its own statistics.

Zhang et al. 2020, "Bridging the Gap Between Anchor-based and Anchor-free Detection", algorithm 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.training.assignment import BACKGROUND, FOREGROUND, IGNORED, Assignment, Candidates, best_of_a_box
from model.training.dataset import Batch


@dataclass(frozen=True, slots=True)
class AdaptiveMatcher:
    """For each box, of the anchors at the ``nearest`` places of each level: those whose IoU reaches mean + deviation.

    Their place must lie in the box. One addition to the paper, which matters where objects are smaller than a stride:
    the best anchor of a box is always foreground. All others are background, but for those with ``ignore_share`` of
    their area in a region to ignore.
    """

    nearest: int = 9  # the paper's k, section 4.4.1: results hardly depend on it from 7 to 17
    ignore_share: float = 0.5

    def __call__(self, candidates: Candidates, batch: Batch) -> Assignment:
        """Assign the anchors to the batch's boxes; without boxes a picture has background only."""
        iou = candidates.overlaps(batch)  # (N, G, R)
        near = self._near(candidates, batch, iou)
        overlaps = torch.where(near, iou, 0.0)
        count = near.sum(dim=-1, keepdim=True).clamp(min=1)
        mean = overlaps.sum(dim=-1, keepdim=True) / count
        deviation = (torch.where(near, (iou - mean).square(), 0.0).sum(dim=-1, keepdim=True) / count).sqrt()
        chosen = near & (iou >= mean + deviation) & (iou > 0)
        best = best_of_a_box(iou)
        # An anchor that several boxes chose goes to the one that it covers best, and the best of a box to that box.
        best_iou, matched = torch.where(chosen, iou, torch.where(best[:, None, :], iou, -1.0)).max(dim=1)
        labels = torch.full_like(best_iou, BACKGROUND, dtype=torch.int8)
        labels[candidates.inside_ignored(batch.ignored, self.ignore_share)] = IGNORED
        labels[chosen.any(dim=1) | best] = FOREGROUND
        labels[~candidates.competing] = IGNORED
        return Assignment(labels, matched)

    def _near(self, candidates: Candidates, batch: Batch, iou: Tensor) -> Tensor:
        """(N, G, R): the competing anchors at the nearest places of each level that lie in the box."""
        near = torch.zeros_like(iou, dtype=torch.bool)
        if batch.boxes.shape[1] == 0:
            return near
        middles = (batch.boxes[..., :2] + batch.boxes[..., 2:]) / 2
        start = 0
        for count in candidates.levels:
            centres = candidates.centres[start : start + count]
            here = int((centres == centres[0]).all(dim=-1).sum())  # anchors at one place
            places = centres[::here]
            distance = (middles[..., None, :] - places).square().sum(dim=-1)  # (N, G, R_l / here)
            index = distance.topk(min(self.nearest, len(places)), largest=False).indices
            nearest = torch.zeros_like(distance, dtype=torch.bool).scatter_(-1, index, True)
            inside = (places >= batch.boxes[..., None, :2]).all(-1) & (places <= batch.boxes[..., None, 2:]).all(-1)
            near[..., start : start + count] = (nearest & inside).repeat_interleave(here, dim=-1)
            start += count
        return near & (iou >= 0)
