"""`rpn train`: train an RPN, alone or within a detector, on COCO or PASCAL VOC data."""

import argparse
import logging
import platform
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from model.allocator import keep_freed_memory
from model.architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE, architecture, with_input_size
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.restore import restore_network
from model.cli.data_argument import FOLDER
from model.cli.objective_argument import add_objective, objective_of
from model.config import ModelConfig
from model.device import choose_device
from model.errors import DataError
from model.training.annotations import AnnotatedPicture, read_annotations
from model.training.loop import STATE_FILE, Run, Trainer
from model.training.recipe import Recipe
from model.training.splits import split_file

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
        default=DEFAULT_ARCHITECTURE,
        choices=list(ARCHITECTURES),
        metavar="NAME",
        help=f"one of {', '.join(ARCHITECTURES)} (default: %(default)s)",
    )
    add(
        "--from",
        dest="start",
        type=Path,
        help="a checkpoint to start from; its architecture is taken (a detector's RoI heads start fresh)",
    )
    add("--input-size", type=int, help="the longest side in pixels, instead of the architecture's")
    add("--epochs", type=int, default=_DEFAULTS.epochs, help="default: %(default)s")
    add("--batch-size", type=int, default=_DEFAULTS.batch_size, help="default: %(default)s")
    add("--learning-rate", type=float, default=_DEFAULTS.learning_rate, help="default: %(default)s")
    add("--precision", choices=("fp32", "bf16"), default=_DEFAULTS.precision, help="default: %(default)s")
    add("--seed", type=int, default=_DEFAULTS.seed, help="default: %(default)s")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--workers", type=int, default=1, help="processes that decode pictures (default: %(default)s)")
    add("--limit", type=int, help="use only the first so many pictures of each file, for a trial")
    add_objective(parser)


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
    )
    pictures = _pictures(arguments.data, "train", arguments.limit)
    trainer = Trainer(
        Run(
            name=arguments.name or arguments.data.resolve().name,
            config=config,
            recipe=recipe,
            train=pictures,
            validation=_pictures(arguments.data, "val", arguments.limit),
            folder=arguments.out,
            device=choose_device(arguments.device),
            objective=objective_of(arguments, config, pictures),
            workers=arguments.workers,
            start=None if start is None else dict(restore_network(start, arguments.start).state_dict()),
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
    config = architecture(arguments.architecture) if start is None else start.config
    return config if arguments.input_size is None else with_input_size(config, arguments.input_size)


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
