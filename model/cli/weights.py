"""`rpn weights`: look into a checkpoint, take over another project's, and make a trained one ready to ship."""

import argparse
import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from model.allocator import keep_freed_memory
from model.architectures import with_input_size
from model.calibration import Calibration
from model.checkpoints.card import write_card
from model.checkpoints.checkpoint import Checkpoint, file_sha256, load_checkpoint, save_checkpoint
from model.checkpoints.restore import restore_network
from model.cli import weights_average, weights_import, weights_quantize
from model.cli.command_line import command_line
from model.cli.data_argument import ONE_SPLIT, short_path
from model.cli.printable import printable
from model.cli.target_argument import check_checkpoint_target, check_targets
from model.config import ModelConfig, OverlapPenalty
from model.device import choose_device
from model.errors import ConfigError, DataError, MissingExtra
from model.evaluation.calibration import cross_fitted, fit_calibration
from model.evaluation.coverage import Coverage, measure_coverage
from model.evaluation.evaluate import evaluate, propose, recall_of
from model.evaluation.quantization import quantized, with_integers
from model.evaluation.recall import Recall
from model.evaluation.reliability import error_figures
from model.host.graphs import chosen_cache
from model.network.network import build_network
from model.predictor import Predictor
from model.preparation import prepare
from model.structures import Proposals
from model.training.annotations import AnnotatedPicture, read_measurable

# Between these thresholds of NMS lies what callers ask for; what a score means depends on it (`model.calibration`).
_CALIBRATED_AT = (0.5, 0.7, 0.9)

_SHOW = """
Check that a file is a checkpoint whose weights fit its architecture, and print as JSON what it says of itself: name,
version, digests, settings, calibration, ranges for int8, where it comes from and what was measured.
"""
# What --about may say. Anything else would be in no card, and might take the place of what a checkpoint says of itself.
_ABOUT = ("data", "limits", "measured_on")

_PREPARE = """
Convert checkpoints for OpenVINO ahead of the services that load them, which then start in less time, and from a folder
that they cannot write to. A service does this itself with what it does not find.
"""
_RELEASE = """
Make a trained checkpoint ready to serve: halve its file, measure its recall, fit the calibration that makes its scores
chances, measure what a CPU needs to compute it in 8-bit integers, and write a card beside it. The weights are not
trained any further.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("weights", help="inspect, import, average, quantize, prepare or release checkpoints")
    actions = parser.add_subparsers(dest="action", required=True)
    show = actions.add_parser("show", help="check a checkpoint and print what it says of itself", description=_SHOW)
    show.set_defaults(run=run_show)
    show.add_argument("file", type=Path)
    weights_import.add_parser(actions)
    weights_quantize.add_parser(actions)
    weights_average.add_parser(actions)
    ready = actions.add_parser(
        "prepare", help="convert checkpoints for OpenVINO ahead of the services that load them", description=_PREPARE
    )
    ready.set_defaults(run=run_prepare)
    ready.add_argument("files", type=Path, nargs="+", metavar="FILE")
    ready.add_argument(
        "--cache", type=Path, default=chosen_cache(), help="the folder (default: RPN_CACHE_DIR, now %(default)s)"
    )
    release = actions.add_parser(
        "release", help="halve, measure, calibrate, quantize and card a trained checkpoint", description=_RELEASE
    )
    release.set_defaults(run=run_release)
    add = release.add_argument
    add("file", type=Path, help="a checkpoint that `rpn train` wrote")
    add("--out", type=Path, required=True, help="the file to ship; its card goes beside it, as .md")
    add("--version", required=True, help="the version to ship it as")
    add("--data", type=Path, required=True, help=f"what to measure and calibrate it on: {ONE_SPLIT} (its val split)")
    add(
        "--about",
        type=Path,
        help='JSON with texts for the card: {"data": ..., "limits": ..., "measured_on": ...}',
    )
    add("--input-size", type=int, help="the longest side in pixels to serve it at (default: as trained)")
    add("--refine", type=int, metavar="N", help="how many boxes the second stage takes up (default: as trained)")
    add("--nms-iou", type=float, metavar="IOU", help="NMS for callers who name none (default: the checkpoint's)")
    add(
        "--overlap-penalty",
        type=float,
        metavar="LOGITS",
        help="what a proposal's logit loses for each of the IoUs 0.5 and 0.7 at which NMS would drop it; 0 for nothing "
        "(default: the checkpoint's); wants a loose --nms-iou, such as 0.9",
    )
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")


def run_show(arguments: argparse.Namespace) -> int:
    """Print the metadata as JSON."""
    checkpoint = load_checkpoint(arguments.file)
    restore_network(checkpoint, arguments.file)
    facts = {
        "name": checkpoint.name,
        "version": checkpoint.version,
        "digest": checkpoint.digest,
        "sha256": file_sha256(arguments.file),
        "config": checkpoint.config.to_dict(),
        "calibration": None if checkpoint.calibration is None else checkpoint.calibration.to_dict(),
        "quantization": None if checkpoint.quantization is None else checkpoint.quantization.to_dict(),
        "provenance": checkpoint.provenance,
        "metrics": checkpoint.metrics,
    }
    print(json.dumps(facts, indent=2))  # noqa: T201 - a command's answer
    return 0


def run_prepare(arguments: argparse.Namespace) -> int:
    """Convert each checkpoint that is not there yet, and say so."""
    if importlib.util.find_spec("openvino") is None:
        raise MissingExtra("converting needs an extra: pip install -e '.[openvino]' in the project's folder")
    for path in arguments.files:
        done = "converted" if prepare(path, arguments.cache) else "there already"
        print(f"{path}: {done}")  # noqa: T201 - a command's answer
    return 0


def run_release(arguments: argparse.Namespace) -> int:
    """Write the file to ship and its card."""
    keep_freed_memory()
    card_file = _card_beside(arguments.out)
    if not arguments.version.strip():
        raise ConfigError("--version must not be empty")
    about = _read_about(arguments.about) if arguments.about else {}
    trained = replace(load_checkpoint(arguments.file), calibration=None, quantization=None)  # measured anew
    config = _served(trained.config, arguments)
    halved = replace(trained, config=config, version=arguments.version, state_dict=_halved(trained))
    pictures = read_measurable(arguments.data)
    device = choose_device(arguments.device)
    place = about.pop("measured_on", short_path(arguments.data))
    figures, recall, coverage, calibration = _measure(halved, arguments.file, pictures, device)
    metrics = {place: figures}
    try:
        halved, integers = quantized(halved, arguments.file, pictures, device, recall)
        metrics = with_integers(metrics, place, _figures_of_integers(integers, pictures, coverage, calibration))
    except (MissingExtra, DataError) as error:
        print(f"not for int8: {error}", file=sys.stderr)  # noqa: T201 - a command's answer
    metrics[f"{place}, the same network with random weights"] = _measure_untrained(halved, pictures, device)
    provenance = {**trained.provenance, **about, "released_by": command_line()}
    shipped = replace(halved, metrics=metrics, provenance=provenance, calibration=calibration)
    digest = save_checkpoint(shipped, arguments.out)
    shipped = replace(shipped, digest=digest)
    card = write_card(shipped, arguments.out.name, file_sha256(arguments.out), arguments.out.stat().st_size)
    card_file.write_text(card, encoding="utf-8", errors="backslashreplace")
    print(printable(card))  # noqa: T201 - a command's answer
    return 0


def _card_beside(out: Path) -> Path:
    """Where the card of a file goes, both of which can be written."""
    check_checkpoint_target(out)
    card = out.with_suffix(".md")
    check_targets((card,))
    return card


def _served(config: ModelConfig, arguments: argparse.Namespace) -> ModelConfig:
    """The trained network's config with what may be chosen anew for its service, without touching a weight."""
    if arguments.input_size is not None:
        config = with_input_size(config, arguments.input_size)
    if arguments.nms_iou is not None:
        config = replace(config, selection=replace(config.selection, nms_iou=arguments.nms_iou))
    if arguments.overlap_penalty is not None:
        penalty = OverlapPenalty(logits=arguments.overlap_penalty) if arguments.overlap_penalty else None
        config = replace(config, selection=replace(config.selection, overlap_penalty=penalty))
    penalty = config.selection.overlap_penalty
    if arguments.overlap_penalty and penalty is not None and config.selection.nms_iou <= penalty.ious[0]:
        raise ConfigError(
            f"--overlap-penalty: NMS at {config.selection.nms_iou:g} leaves nothing to penalise; name a looser "
            "--nms-iou, such as 0.9"
        )
    return config if arguments.refine is None else _refining(config, arguments.refine)


def _refining(config: ModelConfig, proposals: int) -> ModelConfig:
    """The same network, of which the second stage takes up so many boxes: it is trained on a sample of them anyway."""
    if config.refinement is None:
        raise ConfigError(f"--refine: {config.architecture} has no second stage")
    return replace(config, refinement=replace(config.refinement, proposals=proposals))


def _read_about(path: Path) -> dict[str, str]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    if not isinstance(about, dict) or not all(isinstance(text, str) for text in about.values()):
        raise DataError(f"{path}: must be an object of texts")
    if unknown := next((key for key in about if key not in _ABOUT), None):
        raise DataError(f"{path}: {unknown!r} is none of {', '.join(_ABOUT)}")
    return about


def _halved(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """16-bit convolution weights; vectors (norms, biases) stay as they are: small, and a variance can pass 65,504."""
    return {name: t.half() if t.ndim > 1 else t for name, t in checkpoint.state_dict.items()}


def _measure(
    checkpoint: Checkpoint, path: Path, pictures: list[AnnotatedPicture], device: torch.device
) -> tuple[dict[str, Any], Recall, Coverage, Calibration | None]:
    """Its figures, its recall alone, what its proposals cover, and the calibration fitted on the same pictures.

    The ECE after it is the cross-fitted one: no picture is judged by a curve that has seen it. That of another NMS than
    the model's own is named by its threshold.
    """
    predictor = Predictor.of(restore_network(checkpoint, path), checkpoint, device)
    own = checkpoint.config.selection.nms_iou
    figures: dict[str, Any] = {}
    recalls: dict[float, Recall] = {}
    coverages: dict[float, Coverage] = {}
    for iou in sorted({own, *_CALIBRATED_AT}, key=lambda iou: iou != own):
        proposals = propose(predictor, pictures, nms_iou=iou)
        coverages[iou] = coverage = measure_coverage(proposals, pictures)
        errors = error_figures(coverage, cross_fitted(coverage))
        if iou == own:
            recalls[iou] = recall_of(proposals, pictures)
            figures |= recalls[iou].to_dict() | errors
        else:
            figures |= {f"{name}/nms{iou:g}": error for name, error in errors.items()}
    calibration = fit_calibration(coverages)
    told = {n: f for n, f in figures.items() if calibration is not None or "ECE" not in n}
    return told, recalls[own], coverages[own], calibration


def _figures_of_integers(
    proposals: list[Proposals],
    pictures: list[AnnotatedPicture],
    floats: Coverage,
    calibration: Calibration | None,
) -> dict[str, float]:
    """Recall, and how far scores are off that are calibrated as those of the network in ``floats``."""
    figures = recall_of(proposals, pictures).to_dict()
    if calibration is None:
        return figures
    coverage = measure_coverage(proposals, pictures)
    return figures | error_figures(coverage, cross_fitted(coverage, learnt_from=floats))


def _measure_untrained(
    checkpoint: Checkpoint, pictures: list[AnnotatedPicture], device: torch.device
) -> dict[str, Any]:
    torch.manual_seed(0)
    return evaluate(Predictor.of(build_network(checkpoint.config), checkpoint, device), pictures).to_dict()
