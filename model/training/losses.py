"""The two losses of the RPN (Faster R-CNN, equation 1)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from model.network.box_coding import decode_deltas
from model.network.rpn import ScoredAnchors
from model.training.assignment import BACKGROUND, FOREGROUND, IGNORED, Assignment, Candidates
from model.training.box_loss import aligned_iou, giou, l1, smooth_l1
from model.training.dataset import Batch
from model.training.objectness_loss import confident_background, cross_entropy, focal, quality_focal
from model.training.rules import Rules

_OBJECTNESS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": cross_entropy,
    "focal": focal,
    "quality": quality_focal,
}
# Foreground anchors a picture that a sum over all anchors is divided by at least: somewhat fewer than ATSS gives one
# object (25 to 60, nine of ten times, on photographs of the three kinds that ship). So a picture without any object
# weighs about as much as one with one; divided by 1 its thousands of background anchors would outweigh all others.
_LEAST_FOREGROUND = 16
_BOX: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"smooth_l1": smooth_l1, "l1": l1, "giou": giou}


@dataclass(frozen=True, slots=True)
class Losses:
    """``objectness`` and ``box``, scalars, weighted as the rules say; their sum is what is minimised."""

    objectness: Tensor
    box: Tensor

    @property
    def total(self) -> Tensor:
        """The sum."""
        return self.objectness + self.box

    def named(self) -> dict[str, Tensor]:
        """The two by their names."""
        return {"objectness": self.objectness, "box": self.box}


def rpn_losses(scored: ScoredAnchors, batch: Batch, rules: Rules, generator: torch.Generator | None = None) -> Losses:
    """The losses of a batch's scored anchors; ``generator`` draws the sampled ones.

    By the classic rules the first is the mean over the sampled anchors, the second the sum over the foreground divided
    by the number of sampled anchors, so that a picture with few objects weighs no more than one with many. Where all
    anchors are trained on, both are sums divided by the foreground, of which each picture counts as if it had some.
    """
    candidates = Candidates.of(scored, batch)
    logits = torch.cat(scored.logits, dim=1).float()  # (N, R)
    deltas = torch.cat(scored.deltas, dim=1).float()  # (N, R, 4)
    assignment = (rules.atss if rules.assignment == "atss" else rules.matcher)(candidates, batch)
    foreground, background = _trained_on(assignment, logits, rules, generator)
    picture, place = foreground.nonzero(as_tuple=True)  # the only thing here that a GPU is waited for
    boxes = batch.boxes[picture, assignment.matched[picture, place]]
    anchors, predicted = candidates.anchors[place], deltas[picture, place]
    targets = foreground.float()
    if rules.objectness == "quality":
        targets[picture, place] = aligned_iou(decode_deltas(predicted.detach(), anchors), boxes)
    trained = foreground | background
    # Masks, for an index of them would be waited for. Before the loss, too: of NaN not even 0 times it is a number.
    errors = _OBJECTNESS[rules.objectness](logits.where(trained, 0.0), targets)
    objectness = errors.where(trained, 0.0).sum()
    box = _BOX[rules.box](predicted, anchors, boxes).sum()
    places = torch.full((), candidates.places * len(logits), device=logits.device)
    least = 1 if rules.objectness == "bce" else _LEAST_FOREGROUND * len(logits)
    counts = {"anchors": trained.sum().clamp(min=1), "foreground": foreground.sum().clamp(min=least), "places": places}
    return Losses(
        objectness / counts["anchors" if rules.objectness == "bce" else "foreground"],
        rules.box_weight * box / counts[rules.box_per],
    )


def _trained_on(
    assignment: Assignment, logits: Tensor, rules: Rules, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Foreground and background, bool (N, R), that the losses see."""
    labels = assignment.labels
    if rules.ignore_confident is not None:
        doubtful = confident_background(logits, labels == BACKGROUND, rules.ignore_confident)
        labels = labels.masked_fill(doubtful, IGNORED)
    if rules.objectness == "bce":
        return rules.sampler(labels, generator)
    return labels == FOREGROUND, labels == BACKGROUND
