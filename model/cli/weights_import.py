"""`rpn weights import`: torchvision's detection weights to a checkpoint of ours."""

import argparse
from pathlib import Path

from model.checkpoints.checkpoint import save_checkpoint
from model.checkpoints.torchvision_weights import import_torchvision
from model.cli.name_argument import check_model_name
from model.cli.target_argument import check_checkpoint_target


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    command = actions.add_parser(
        "import",
        help="turn a torchvision detection state dict into a checkpoint",
        description="Backbone and RPN of a torchvision Faster R-CNN (fasterrcnn_resnet50_fpn, _resnet50_fpn_v2, "
        "_mobilenet_v3_large_fpn, _mobilenet_v3_large_320_fpn), as its state dict has them, become a checkpoint "
        "that the service loads.",
    )
    command.set_defaults(run=run_import)
    add = command.add_argument
    add("file", type=Path, help="a state dict: .pth, of which nothing is run, or .safetensors")
    add("--out", type=Path, required=True, help="the checkpoint to write, .safetensors")
    add("--name", help="the model's name in it (default: torchvision's)")
    add(
        "--architecture",
        metavar="NAME",
        help="where the weights fit two, torchvision's name or ours: the MobileNets differ in input size alone "
        "(default: what the file's name says)",
    )
    add(
        "--norm-eps",
        type=float,
        metavar="EPS",
        help="what frozen batch norms add to their variances; 0 for a network that was fine-tuned from torchvision's "
        "own fasterrcnn_resnet50_fpn (default: 0 for that file itself, 1e-05 for any other)",
    )


def run_import(arguments: argparse.Namespace) -> int:
    """Write the checkpoint, and say what was recognised."""
    check_model_name(arguments.name)
    check_checkpoint_target(arguments.out)
    checkpoint = import_torchvision(
        arguments.file, name=arguments.name, architecture_name=arguments.architecture, norm_eps=arguments.norm_eps
    )
    digest = save_checkpoint(checkpoint, arguments.out)
    network = checkpoint.provenance["imported"]["network"]
    print(f"{arguments.out}: {checkpoint.config.architecture}, from {network}, {digest}")  # noqa: T201 - an answer
    if checkpoint.config.backbone.frozen_norm and arguments.norm_eps is None:
        eps = checkpoint.config.backbone.norm_eps
        print(f"its norms are frozen, with an epsilon of {eps:g}; --norm-eps gives another")  # noqa: T201
    return 0
