"""The two losses of the second stage (Fast R-CNN, section 2.3), on sampled RoIs."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.network.box_coding import encode_boxes
from model.network.detector import Detected
from model.network.roi_heads import BOX_WEIGHTS
from model.training.classes import BACKGROUND_CLASS
from model.training.roi_sampler import RoISamples

# Where smooth L1 turns from a square into a line: torchvision's and, on such deltas, the value of the RPN's own loss.
_SMOOTH_L1_BETA = 1.0 / 9


@dataclass(frozen=True, slots=True)
class RoILosses:
    """``classification`` and ``box``, scalars."""

    classification: Tensor
    box: Tensor


def roi_losses(detected: Detected[RoISamples]) -> RoILosses:
    """Cross-entropy over the classes and background; smooth L1 on the deltas of each object's own class.

    Both are sums over all S RoIs, divided by S, as torchvision has them; without any RoI both are 0.
    """
    rois, labels = torch.cat(detected.rois.boxes), detected.rois.labels
    count = max(1, len(labels))
    classification = F.cross_entropy(detected.logits, labels, reduction="sum") / count
    places = (labels != BACKGROUND_CLASS).nonzero()[:, 0]
    by_class = detected.deltas.reshape(len(labels), detected.logits.shape[1], 4)
    deltas = by_class[places, labels[places]]
    weights = torch.tensor(BOX_WEIGHTS, device=rois.device)
    targets = encode_boxes(detected.rois.matched[places], rois[places]) * weights
    box = F.smooth_l1_loss(deltas, targets, beta=_SMOOTH_L1_BETA, reduction="sum") / count
    return RoILosses(classification, box)
