"""The same weights on both sides: a torchvision detector's, and the checkpoint that `rpn weights import` makes of them.

torchvision's trained weights cannot be had without a network, so they are random, made varied enough that scores and
boxes differ. Speed does not depend on them, but for how many boxes NMS keeps.
"""

from pathlib import Path

import torch
from torch import nn
from torchvision.models import detection

from model.checkpoints.checkpoint import save_checkpoint
from model.checkpoints.torchvision_weights import import_torchvision

# torchvision's detectors by a short name, with the architecture that ours is imported as.
NETWORKS = {
    "mobilenet": ("fasterrcnn_mobilenet_v3_large_320_fpn", "rpn_mobilenet_v3_large_320_fpn"),
    "resnet50": ("fasterrcnn_resnet50_fpn", "rpn_resnet50_fpn"),
}


def write_weights(name: str, folder: Path) -> tuple[Path, Path]:
    """torchvision's state dict and our checkpoint of it, written to the folder."""
    torch.manual_seed(0)
    detector, architecture = NETWORKS[name]
    peer = getattr(detection, detector)(weights=None, weights_backbone=None)
    make_varied(peer)
    theirs, ours = folder / f"{name}.pth", folder / f"{name}.safetensors"
    torch.save(peer.state_dict(), theirs)
    save_checkpoint(import_torchvision(theirs, architecture_name=architecture), ours)
    return theirs, ours


def load_peer(name: str, path: Path) -> nn.Module:
    """torchvision's own detector with these weights."""
    peer: nn.Module = getattr(detection, NETWORKS[name][0])(weights=None, weights_backbone=None)
    peer.load_state_dict(torch.load(path, weights_only=True))
    return peer.eval()


def make_varied(peer: nn.Module) -> None:
    """Make a random detector's proposals varied: fit its batch norms to noise, and let its head say more than 0.5."""
    peer.train()
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain average
    head = peer.get_submodule("rpn.head")
    with torch.no_grad():
        features = peer.get_submodule("backbone")(torch.randn(2, 3, 256, 256))
        for name in ("cls_logits", "bbox_pred"):
            layer = head.get_submodule(name)
            assert isinstance(layer, nn.Conv2d)
            hidden = head.get_submodule("conv")(features["0"])
            layer.weight /= layer(hidden).std() * 2
    peer.eval()
