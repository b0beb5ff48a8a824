"""The same weights on both sides: a torchvision detector's, and the checkpoint that `rpn weights import` makes of them.

torchvision's trained weights cannot be had without a network, so they are random, fitted to photographs so that scores
and boxes differ. Speed depends on them only by how many boxes NMS goes through and keeps; a trained one's crowd more.
"""

import atexit
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import nn
from torchvision.transforms.functional import pil_to_tensor

from bench.peer import random_peer
from bench.photographs import photograph
from model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from model.checkpoints.restore import restore_network
from model.checkpoints.torchvision_weights import import_torchvision
from model.execution import choose_execution
from model.imaging.canvas import draw_on_canvas
from model.network.input_ranges import recorded_ranges
from model.predictor import Predictor
from model.structures import ImageSize, Selection

# The pictures that the norms are fitted to; the nearer they are to those that are measured, the nearer to 0 and 1 the
# features' mean and spread. Larger ones or more of them change little.
_FITTED_TO = ((640, 480), 2)

# What each of `bench.peer.DETECTORS` is imported as.
ARCHITECTURES = {"mobilenet": "rpn_mobilenet_v3_large_320_fpn", "resnet50": "rpn_resnet50_fpn"}


@cache
def write_weights(name: str) -> tuple[Path, Path]:
    """torchvision's state dict and our checkpoint of it, once for a process; they go when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="rpn-bench-"))
    atexit.register(shutil.rmtree, folder)
    torch.manual_seed(0)
    peer = random_peer(name)
    make_varied(peer)
    theirs, ours = folder / f"{name}.pth", folder / f"{name}.safetensors"
    torch.save(peer.state_dict(), theirs)
    save_checkpoint(import_torchvision(theirs, architecture_name=ARCHITECTURES[name]), ours)
    return theirs, ours


def in_int8(device: str) -> bool:
    """Whether a checkpoint that has ranges for it is computed in integers here, unless told otherwise."""
    return choose_execution("auto", "auto", device, quantized=True)[1] == "int8"


@cache
def write_integers(checkpoint: Path) -> Path:
    """The checkpoint beside it with the ranges of the photographs that its norms are fitted to, for int8.

    What it loses by that cannot be told: a random network finds nothing that it could lose.
    """
    loaded = load_checkpoint(checkpoint)
    network = restore_network(loaded, checkpoint)
    predictor = Predictor.of(network, loaded, torch.device("cpu"))
    size, count = _FITTED_TO
    with recorded_ranges(network) as ranges:
        for seed in range(count):
            picture = photograph(*size, seed=seed)
            placement = predictor.input_rule.place(ImageSize(*size))
            predictor.predict(draw_on_canvas(picture, placement)[None], [placement], [Selection()])
    target = checkpoint.with_stem(f"{checkpoint.stem}-int8")
    save_checkpoint(replace(loaded, quantization=ranges.quantization()), target)
    return target


def make_varied(peer: nn.Module) -> None:
    """Make a random detector's proposals varied: its norms fitted to photographs, its head saying more than 0.5.

    Fitted to noise, its features on photographs are so large that every score is 1 and a dozen boxes survive NMS.
    """
    peer.train()
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain average
    size, count = _FITTED_TO
    pictures = [pil_to_tensor(photograph(*size, seed=seed)) / 255 for seed in range(count)]
    head = peer.get_submodule("rpn.head")
    with torch.no_grad():
        images, _ = peer.get_submodule("transform")(pictures)
        features = peer.get_submodule("backbone")(images.tensors)
        for name in ("cls_logits", "bbox_pred"):
            layer = head.get_submodule(name)
            assert isinstance(layer, nn.Conv2d)
            hidden = head.get_submodule("conv")(features["0"])
            layer.weight /= layer(hidden).std() * 2
    peer.eval()
