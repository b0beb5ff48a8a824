"""The losses that objectness can be trained by."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Lin et al. 2017, "Focal Loss for Dense Object Detection", section 5.1: the best of those tried.
_FOCAL_ALPHA, _FOCAL_GAMMA = 0.25, 2.0
# Li et al. 2020, "Generalized Focal Loss", section 4: beta of the quality focal loss.
_QUALITY_BETA = 2.0


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each anchor, (N, R), targets in [0, 1] (Faster R-CNN, equation 1)."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    """Focal loss of each anchor, (N, R), targets 0 or 1: what is already known well weighs little (RetinaNet)."""
    chance = logits.sigmoid()
    wrong = targets * (1 - chance) + (1 - targets) * chance
    weight = targets * _FOCAL_ALPHA + (1 - targets) * (1 - _FOCAL_ALPHA)
    return weight * wrong**_FOCAL_GAMMA * cross_entropy(logits, targets)


def quality_focal(logits: Tensor, targets: Tensor) -> Tensor:
    """Quality focal loss of each anchor, (N, R): the target is the IoU that the anchor's own box reaches, 0 for none.

    So a score says how well its box fits, which is what ranking and NMS need (generalized focal loss, equation 3).
    """
    distance = (targets - logits.sigmoid()).abs()
    return distance**_QUALITY_BETA * cross_entropy(logits, targets)


def confident_background(logits: Tensor, background: Tensor, limit: float) -> Tensor:
    """Which of the background anchors, bool (N, R), the network scores above ``limit``: no label speaks for them.

    Where annotations are not exhaustive these are often objects that nobody annotated.
    """
    # Written on the device: a copy from the host would be waited for.
    return background & (logits.detach().sigmoid() > torch.full((), limit, device=logits.device))
