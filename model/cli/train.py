"""`rpn train`: train an RPN, alone or within a detector, on COCO or PASCAL VOC data."""

import argparse
import logging
import platform
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import torch

from model.allocator import keep_freed_memory
from model.architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE, architecture, with_input_size, without_refinement
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.restore import fitting_weights
from model.cli.augmentation_argument import add_augmentation, augmentation_of
from model.cli.command_line import command_line
from model.cli.data_argument import FOLDER
from model.cli.name_argument import check_model_name
from model.cli.objective_argument import add_objective, objective_of
from model.cli.rules_argument import add_rules, rules_of
from model.config import ModelConfig
from model.cores import processor_name
from model.errors import ConfigError, DataError
from model.evaluation.recall import FIGURES
from model.training.annotations import AnnotatedPicture, read_annotations
from model.training.arithmetic import settle_threads
from model.training.event_log import require_tensorboard
from model.training.folder_lock import locked
from model.training.loading import default_workers
from model.training.loop import Trainer
from model.training.ranks import Ranks, join_ranks
from model.training.recipe import Recipe
from model.training.run import DEFAULT_BEST_BY, Run
from model.training.run_folder import BEST_FILE, EVENTS_FOLDER, STATE_FILE
from model.training.schedule import ScheduleName
from model.training.splits import split_file
from model.training.stored_picture import is_there

log = logging.getLogger(__name__)

_DEFAULTS = Recipe()
# What ships was trained until its rate had fallen to nothing: at that of a training from nothing it first forgets.
_FINE_TUNING_RATE = 0.0003
# On a canvas of 32 pixels the coarsest map is one place, and of one picture a batch norm has then nothing to learn.
_SMALLEST_INPUT = 64
_ABOUT = """\
Train a network. The run's folder is locked while it trains. Ctrl-C or SIGTERM
ends the step, saves the state and stops; the same command then goes on, to the
bit where the device adds alike each time, and is refused where its settings or data are others.
"""
_INPUT_SIZE = (
    "the longest side in pixels (default: that of --from, or where there is none or it is of another architecture, the "
    "architecture's)"
)
_SEVERAL = """\
Several GPUs of one machine, a process for each, with the options above; either of

  torchrun --standalone --nproc-per-node 2 --no-python rpn train ...
  torchrun --standalone --nproc-per-node 2 -m service.cli train ...

A step then takes 2 x --batch-size x --accumulate pictures; --learning-rate is used
as it is. To go on with such a run takes as many processes.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "train",
        help="train a network on COCO or PASCAL VOC data",
        description=_ABOUT,
        epilog=_SEVERAL,
        formatter_class=argparse.RawDescriptionHelpFormatter,  # which leaves a command's line whole, to be copied
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--data", type=Path, required=True, help=FOLDER)
    add("--out", type=Path, help="the run's folder; one that holds a stopped run is resumed (default: runs/NAME)")
    add("--name", help="the model's name in its checkpoint (default: the name of --data)")
    add(
        "--architecture",
        choices=list(ARCHITECTURES),
        metavar="NAME",
        help=f"one of {', '.join(ARCHITECTURES)} (default: that of --from, or else {DEFAULT_ARCHITECTURE})",
    )
    add("--from", dest="start", type=Path, help="a checkpoint to start from: whatever of its weights fits")
    add("--input-size", type=int, help=_INPUT_SIZE)
    add("--epochs", type=int, default=_DEFAULTS.epochs, help="default: %(default)s")
    add("--batch-size", type=int, default=_DEFAULTS.batch_size, help="pictures a batch (default: %(default)s)")
    add(
        "--accumulate",
        type=int,
        default=_DEFAULTS.accumulate,
        metavar="N",
        help="batches whose mean gradient makes one step, where memory holds no larger batch (default: %(default)s)",
    )
    add(
        "--learning-rate",
        type=float,
        help=f"default: {_DEFAULTS.learning_rate}, or with --from {_FINE_TUNING_RATE}",
    )
    add(
        "--warmup-steps",
        type=int,
        default=_DEFAULTS.warmup_steps,
        help="steps in which the rate rises to that, at most a tenth of the run's (default: %(default)s)",
    )
    add(
        "--schedule",
        choices=get_args(ScheduleName),
        default=_DEFAULTS.schedule,
        help="what the rate does after that: down to nothing by half a cosine, or stay (default: %(default)s)",
    )
    add("--ema-decay", type=float, default=_DEFAULTS.ema_decay, help="of the averaged weights (default: %(default)s)")
    add_rules(parser)
    add_augmentation(parser)
    add("--precision", choices=("fp32", "bf16"), default=_DEFAULTS.precision, help="default: %(default)s")
    add("--sync-norm", action="store_true", help="with torchrun on GPUs: batch norm over the batches of all processes")
    add(
        "--freeze-norms",
        action="store_true",
        help="with --from: batch norms keep the statistics that they come with, which makes a step shorter",
    )
    add("--seed", type=int, default=_DEFAULTS.seed, help="default: %(default)s")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--workers", type=int, help="processes that decode pictures (default: 1, beside a GPU all cores but two)")
    add(
        "--tensorboard",
        action="store_true",
        help=f"curves in {EVENTS_FOLDER}/ in the run's folder; needs an extra: pip install -e '.[tensorboard]' in the "
        "project's folder",
    )
    add(
        "--best-by",
        choices=FIGURES,
        default=DEFAULT_BEST_BY,
        metavar="FIGURE",
        help=f"which recall on val chooses {BEST_FILE} among the epochs, one of {', '.join(FIGURES)} (default: "
        "%(default)s)",
    )
    add("--limit", type=int, help="use only the first so many pictures of each file, for a trial")
    add_objective(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, and say where the checkpoints are."""
    keep_freed_memory()
    settle_threads()
    if arguments.tensorboard:
        require_tensorboard()
    with join_ranks(arguments.device) as ranks:
        # One process speaks for all; the others have only warnings to say.
        logging.basicConfig(level=logging.INFO if ranks.is_first else logging.WARNING, format="%(message)s")
        described = _described(arguments, ranks)
        with locked(described.folder) if ranks.is_first else nullcontext():
            _train(Trainer(described, ranks=ranks))
    return 0


def _described(arguments: argparse.Namespace, ranks: Ranks) -> Run:
    _check(arguments)
    start = load_checkpoint(arguments.start) if arguments.start else None
    config = _config(arguments, start)
    pictures = _pictures(arguments.data, "train", arguments.limit)
    name = arguments.name or arguments.data.resolve().name
    return Run(
        name=name,
        config=config,
        recipe=_recipe(arguments),
        train=pictures,
        validation=_pictures(arguments.data, "val", arguments.limit),
        folder=arguments.out or Path("runs") / name,
        device=ranks.device,
        objective=objective_of(arguments, config, pictures),
        workers=default_workers(ranks) if arguments.workers is None else arguments.workers,
        start=None if start is None else _start(start, config, arguments.start),
        start_digest="" if start is None else start.digest,
        provenance=_provenance(start, ranks.device),
        tensorboard=arguments.tensorboard,
        best_by=arguments.best_by,
    )


def _check(arguments: argparse.Namespace) -> None:
    if arguments.workers is not None and arguments.workers < 0:
        raise ConfigError(f"--workers must be at least 0, not {arguments.workers}")
    check_model_name(arguments.name)
    if arguments.limit is not None and arguments.limit < 1:
        raise ConfigError(f"--limit must be at least 1, not {arguments.limit}")


def _train(trainer: Trainer) -> None:
    folder, speaks = trainer.run.folder, trainer.ranks.is_first
    try:
        trainer.train()
    except (KeyboardInterrupt, DataError):
        if speaks and (folder / STATE_FILE).exists():
            print(f"stopped; the same command goes on from {folder / STATE_FILE}")  # noqa: T201
        raise
    if speaks:
        print(f"checkpoints are in {folder}")  # noqa: T201 - a command's answer


def _recipe(arguments: argparse.Namespace) -> Recipe:
    return Recipe(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        accumulate=arguments.accumulate,
        learning_rate=_learning_rate(arguments),
        warmup_steps=arguments.warmup_steps,
        schedule=arguments.schedule,
        ema_decay=arguments.ema_decay,
        precision=arguments.precision,
        sync_norm=arguments.sync_norm,
        freeze_norms=arguments.freeze_norms,
        seed=arguments.seed,
        rules=rules_of(arguments),
        augmentation=augmentation_of(arguments),
    )


def _learning_rate(arguments: argparse.Namespace) -> float:
    if arguments.learning_rate is not None:
        return float(arguments.learning_rate)
    return _FINE_TUNING_RATE if arguments.start else _DEFAULTS.learning_rate


def _config(arguments: argparse.Namespace, start: Checkpoint | None) -> ModelConfig:
    if start is not None and arguments.architecture in (None, start.config.architecture):
        config = start.config
    else:
        config = architecture(arguments.architecture or DEFAULT_ARCHITECTURE)
    if arguments.objective == "detection" and config.refinement is not None:
        config = _for_detection(config, asked_for=arguments.architecture is not None)
    config = config if arguments.input_size is None else with_input_size(config, arguments.input_size)
    if config.input.size < _SMALLEST_INPUT:
        raise ConfigError(f"--input-size: at least {_SMALLEST_INPUT} to train at, not {config.input.size}")
    return config


def _for_detection(config: ModelConfig, *, asked_for: bool) -> ModelConfig:
    """Without the proposals' second stage: the RoI heads are a detector's."""
    plain = without_refinement(config)
    if asked_for:
        raise ConfigError(
            f"--objective detection trains no second stage of proposals beside its own heads: take --architecture "
            f"{plain.architecture} in the place of {config.architecture}"
        )
    log.info(
        "%s without its second stage, that is %s: a detector's heads are one", config.architecture, plain.architecture
    )
    return plain


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
    if not any(len(picture.boxes) for picture in pictures):
        first = "" if limit is None else f" of its first {limit}"
        raise DataError(f"{file}: none{first or ' of its'} pictures has a box that is an object")
    if missing := next((p for p in pictures if not is_there(p.path)), None):
        raise DataError(f"{missing.record or file}: its picture {missing.path} is not there")
    return pictures


def _provenance(start: Checkpoint | None, device: torch.device) -> dict[str, Any]:
    threads = torch.get_num_threads()
    processor = f"{threads} {'thread' if threads == 1 else 'threads'} of {processor_name()}"
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else processor
    provenance: dict[str, Any] = {
        "hardware": hardware,
        "command": command_line(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if start is not None:
        provenance["started_from"] = {"digest": start.digest, **start.provenance}
    return provenance
