"""The peer: torchvision's own detector, its transform, backbone and RPN as they are. Nothing of ours is imported."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers

# torchvision's detectors by a short name.
DETECTORS = {"mobilenet": "fasterrcnn_mobilenet_v3_large_320_fpn", "resnet50": "fasterrcnn_resnet50_fpn"}


def random_peer(name: str) -> nn.Module:
    """The detector with random weights."""
    peer: nn.Module = getattr(detection, DETECTORS[name])(weights=None, weights_backbone=None)
    return peer


def load_peer(name: str, path: Path) -> nn.Module:
    """The detector with the weights of a state dict."""
    peer = random_peer(name)
    peer.load_state_dict(torch.load(path, weights_only=True))
    return peer.eval()


def parts(peer: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Its transform, its backbone and its RPN."""
    return peer.get_submodule("transform"), peer.get_submodule("backbone"), peer.get_submodule("rpn")


def filter_proposals(
    rpn: nn.Module, images: ImageList, features: list[Tensor], logits: list[Tensor], deltas: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """The end of torchvision's ``RegionProposalNetwork.forward``, after its head: each picture's boxes and scores.

    ``forward`` itself does the same and keeps the scores to itself.
    """
    anchors = rpn.get_submodule("anchor_generator")(images, features)
    counts = [level[0].numel() for level in logits]
    joined_logits, joined_deltas = concat_box_prediction_layers(list(logits), list(deltas))
    boxes = rpn.box_coder.decode(joined_deltas, anchors).view(len(anchors), -1, 4)  # type: ignore[operator, union-attr]
    found = rpn.filter_proposals(boxes, joined_logits, images.image_sizes, counts)  # type: ignore[operator]
    return found[0], found[1]
