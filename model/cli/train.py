"""`rpn train`: train an RPN on COCO or PASCAL VOC data."""

import argparse
import logging
import platform
import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from model.allocator import keep_freed_memory
from model.architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE, architecture, with_input_size
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.restore import fitting_weights
from model.cli.data_argument import FOLDER
from model.config import ModelConfig
from model.device import choose_device
from model.errors import DataError
from model.training.annotations import AnnotatedPicture, read_annotations
from model.training.loop import STATE_FILE, Run, Trainer
from model.training.recipe import Recipe
from model.training.rules import DEFAULT_RULES, RULES, Rules
from model.training.splits import split_file

log = logging.getLogger(__name__)

_DEFAULTS = Recipe()


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("train", help="train a network on COCO or PASCAL VOC data")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--data", type=Path, required=True, help=FOLDER)
    add("--out", type=Path, required=True, help="the run's folder; one that holds a stopped run is resumed")
    add("--name", help="the model's name in its checkpoint (default: the name of --data)")
    add(
        "--architecture",
        choices=list(ARCHITECTURES),
        metavar="NAME",
        help=f"one of {', '.join(ARCHITECTURES)} (default: that of --from, or else {DEFAULT_ARCHITECTURE})",
    )
    add("--from", dest="start", type=Path, help="a checkpoint to start from: whatever of its weights fits")
    add("--input-size", type=int, help="the longest side in pixels, instead of the architecture's")
    add("--epochs", type=int, default=_DEFAULTS.epochs, help="default: %(default)s")
    add("--batch-size", type=int, default=_DEFAULTS.batch_size, help="default: %(default)s")
    add("--learning-rate", type=float, default=_DEFAULTS.learning_rate, help="default: %(default)s")
    _add_rules(parser)
    add("--precision", choices=("fp32", "bf16"), default=_DEFAULTS.precision, help="default: %(default)s")
    add("--seed", type=int, default=_DEFAULTS.seed, help="default: %(default)s")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--workers", type=int, default=1, help="processes that decode pictures (default: %(default)s)")
    add("--limit", type=int, help="use only the first so many pictures of each file, for a trial")


def _add_rules(parser: argparse.ArgumentParser) -> None:
    """What the anchors learn: a set of rules by name, and whatever is to differ from it."""
    group = parser.add_argument_group(
        "rules", "assignment, sampling and losses; what is not given is as --rules has it"
    )
    add = group.add_argument
    add("--rules", choices=list(RULES), default=DEFAULT_RULES, help="default: %(default)s")
    add("--assignment", choices=("iou", "atss"), help="by thresholds of IoU, or adaptive to each box")
    add("--foreground-iou", type=float, help="foreground from this IoU on (assignment iou)")
    add("--background-iou", type=float, help="background below this IoU (assignment iou)")
    add("--straddle", type=float, help="pixels by which an anchor may cross the border (assignment iou)")
    add("--anchors-per-picture", type=int, help="how many anchors are sampled (objectness bce)")
    add("--foreground-share", type=float, help="how many of them may be foreground (objectness bce)")
    add("--objectness", choices=("bce", "focal", "quality"), help="the loss of objectness")
    add("--box", choices=("smooth_l1", "l1", "giou"), help="the loss of boxes")
    add("--box-per", choices=("anchors", "foreground", "places"), help="what the sum of box losses is divided by")
    add("--box-weight", type=float, help="the paper's lambda")
    add("--ignore-confident", type=float, help="leave out background anchors that score above this")


def _rules(arguments: argparse.Namespace) -> Rules:
    base = RULES[arguments.rules]
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    return replace(
        base,
        matcher=replace(base.matcher, **_those(given, ("foreground_iou", "background_iou", "straddle"))),
        sampler=replace(
            base.sampler,
            per_picture=given.get("anchors_per_picture", base.sampler.per_picture),
            foreground_share=given.get("foreground_share", base.sampler.foreground_share),
        ),
        **_those(given, ("assignment", "objectness", "box", "box_per", "box_weight", "ignore_confident")),
    )


def _those(given: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


def run(arguments: argparse.Namespace) -> int:
    """Train, and say where the checkpoints are."""
    keep_freed_memory()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    start = load_checkpoint(arguments.start) if arguments.start else None
    config = _config(arguments, start)
    recipe = Recipe(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        precision=arguments.precision,
        seed=arguments.seed,
        rules=_rules(arguments),
    )
    trainer = Trainer(
        Run(
            name=arguments.name or arguments.data.resolve().name,
            config=config,
            recipe=recipe,
            train=_pictures(arguments.data, "train", arguments.limit),
            validation=_pictures(arguments.data, "val", arguments.limit),
            folder=arguments.out,
            device=choose_device(arguments.device),
            workers=arguments.workers,
            start=None if start is None else _start(start, config, arguments.start),
            provenance=_provenance(start),
        )
    )
    for stop in (signal.SIGINT, signal.SIGTERM):  # also where a shell started us in the background, deaf to Ctrl-C
        signal.signal(stop, signal.default_int_handler)
    try:
        trainer.train()
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on from {arguments.out / STATE_FILE}")  # noqa: T201
        raise
    print(f"checkpoints are in {arguments.out}")  # noqa: T201 - a command's answer
    return 0


def _config(arguments: argparse.Namespace, start: Checkpoint | None) -> ModelConfig:
    if start is None or arguments.architecture is not None:
        config = architecture(arguments.architecture or DEFAULT_ARCHITECTURE)
    else:
        config = start.config
    return config if arguments.input_size is None else with_input_size(config, arguments.input_size)


def _start(start: Checkpoint, config: ModelConfig, path: Path) -> dict[str, torch.Tensor]:
    weights = fitting_weights(start, config, path)
    if left := len(start.state_dict) - len(weights):
        log.info("%s: %d of its %d weights do not fit %s", path, left, len(start.state_dict), config.architecture)
    return weights


def _pictures(folder: Path, split: str, limit: int | None) -> list[AnnotatedPicture]:
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder; training takes a train and a val split from one")
    file = split_file(folder, split)
    pictures = read_annotations(file)[:limit]
    if missing := next((p.path for p in pictures if not p.path.is_file()), None):
        raise DataError(f"{file}: its picture {missing} is not there")
    return pictures


def _provenance(start: Checkpoint | None) -> dict[str, Any]:
    hardware = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    provenance: dict[str, Any] = {
        "hardware": hardware,
        "command": shlex.join(["rpn", *map(_without_folders, sys.argv[1:])]),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if start is not None:
        provenance["started_from"] = {"digest": start.digest, **start.provenance}
    return provenance


def _without_folders(argument: str) -> str:
    """A checkpoint goes out into the world: it says what its data were called, not where its trainer keeps them."""
    return Path(argument).name if Path(argument).is_absolute() else argument
