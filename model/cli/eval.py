"""`rpn eval`: recall and calibration on annotated pictures, COCO or PASCAL VOC, of checkpoints and of baselines."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from model.allocator import keep_freed_memory
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.restore import restore_network
from model.cli.data_argument import ONE_SPLIT, PICTURES, short_path
from model.cli.printable import printable
from model.cli.target_argument import check_targets
from model.device import choose_device
from model.errors import CheckpointError, ConfigError, DataError
from model.evaluation.baselines.baseline import BASELINES, load_baseline
from model.evaluation.contender import Contender, run_baseline
from model.evaluation.evaluate import propose
from model.evaluation.findings import Findings, judge
from model.evaluation.recall_table import recall_table
from model.evaluation.reliability import TOP, error_figures
from model.evaluation.report.report import write_report
from model.evaluation.training_log import TrainingLog, read_log
from model.host.graphs import chosen_cache
from model.precision import choose_precision
from model.predictor import Predictor
from model.training.annotations import AnnotatedPicture, read_measurable
from model.training.run_folder import LOG_FILE

_DESCRIPTION = """
Measure how much of what is annotated the proposals of checkpoints find, and whether their scores are the chances that
they say. Baselines that learn nothing are measured on the same pictures by the same code.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "eval", help="measure recall and calibration of checkpoints, beside baselines", description=_DESCRIPTION
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add(
        "weights",
        type=Path,
        nargs="+",
        help="a checkpoint, or several to compare; what is said of one alone is said of the first",
    )
    add("--data", type=Path, required=True, help=f"{ONE_SPLIT}, whose val split is then measured")
    add("--images", type=Path, help=PICTURES)
    add(
        "--baseline",
        action="append",
        default=[],
        choices=BASELINES,
        metavar="NAME",
        help=f"also measure a method without learning on the same pictures, one of {', '.join(BASELINES)}; may be "
        "given several times (selective search needs the extra `baselines`: pip install -e '.[baselines]' in the "
        "project's folder)",
    )
    add("--nms-iou", type=float, help="of the checkpoints' proposals (default: each one's own)")
    add("--batch-size", type=int, default=8, help="default: %(default)s")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add(
        "--precision",
        default="fp32",
        help="fp32, bf16 or auto, bf16 where the device is faster in it, by torch; int8 by OpenVINO on the CPU "
        "(default: %(default)s)",
    )
    add("--json", type=Path, help="also write the figures to this file")
    add("--report", type=Path, help="also write a report with charts and pictures, one HTML file")
    add(
        "--log",
        type=Path,
        help=f"the run's {LOG_FILE} for the report (default: the one beside the first checkpoint, if any)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the tables, and write what was asked for."""
    keep_freed_memory()
    _check(arguments)
    log = _training_log(arguments)
    check_targets((arguments.json, arguments.report))
    checkpoints = _checkpoints(arguments.weights)
    baselines = {name: load_baseline(name) for name in arguments.baseline}
    pictures = read_measurable(arguments.data, arguments.images)
    judged = {name: _measure(arguments, *checkpoint, pictures) for name, checkpoint in checkpoints.items()}
    findings = next(found for found, _ in judged.values())
    contenders = [_contender(name, *measured) for name, measured in judged.items()]
    contenders += [run_baseline(name, baseline, pictures) for name, baseline in baselines.items()]
    _print(arguments, {name: found for name, (found, _) in judged.items()}, contenders)
    if arguments.json:
        arguments.json.write_text(json.dumps(_figures(findings, contenders), indent=2) + "\n", encoding="utf-8")
    if arguments.report:
        report = write_report(findings, log, contenders)
        # A picture's name may be bytes of no encoding.
        arguments.report.write_text(report, encoding="utf-8", errors="backslashreplace")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.batch_size < 1:
        raise ConfigError(f"--batch-size must be at least 1, not {arguments.batch_size}")
    if arguments.nms_iou is not None and not 0 <= arguments.nms_iou <= 1:
        raise ConfigError(f"--nms-iou must lie between 0 and 1, not {arguments.nms_iou}")
    if arguments.log is not None and arguments.report is None:
        raise ConfigError("--log is for the report, and no --report is asked for")


def _checkpoints(paths: Sequence[Path]) -> dict[str, tuple[Path, Checkpoint]]:
    """The checkpoints by what tells them apart: name and version, and where two share them the file too."""
    loaded = [(path, load_checkpoint(path)) for path in paths]
    names = [f"{checkpoint.name} {checkpoint.version}" for _, checkpoint in loaded]
    shared = {name for name, count in Counter(names).items() if count > 1}
    named: dict[str, tuple[Path, Checkpoint]] = {}
    for name, (path, checkpoint) in zip(names, loaded, strict=True):
        full = f"{name} ({short_path(path)})" if name in shared else name
        if full in named:
            raise CheckpointError(f"{path} and {named[full][0]} would both be called {full!r} beside each other")
        named[full] = path, checkpoint
    return named


def _measure(
    arguments: argparse.Namespace, path: Path, checkpoint: Checkpoint, pictures: Sequence[AnnotatedPicture]
) -> tuple[Findings, float]:
    """What a checkpoint's proposals are worth, and the seconds that a picture took."""
    predictor = _predictor(arguments, path, checkpoint)
    started = time.perf_counter()
    proposals = propose(predictor, pictures, batch_size=arguments.batch_size, nms_iou=arguments.nms_iou)
    seconds = (time.perf_counter() - started) / max(1, len(pictures))
    computed = f"{predictor.runtime} on {predictor.device}"
    return judge(checkpoint, short_path(arguments.data), pictures, proposals, computed, arguments.nms_iou), seconds


def _predictor(arguments: argparse.Namespace, path: Path, checkpoint: Checkpoint) -> Predictor:
    """With the network's own scores: what the calibration makes of them is measured beside them."""
    if arguments.precision == "int8":
        device_name = "cpu" if arguments.device == "auto" else arguments.device
        return Predictor.load(path, device=device_name, precision="int8", cache=chosen_cache(), calibrated=False)
    device = choose_device(arguments.device)
    network = restore_network(checkpoint, path)
    network.compute_in(choose_precision(arguments.precision, str(device)))
    return Predictor.of(network, replace(checkpoint, calibration=None), device)


def _contender(name: str, findings: Findings, seconds: float) -> Contender:
    errors = error_figures(findings.coverage, findings.served)
    boxes = [proposals.boxes for proposals in findings.proposals]
    return Contender(
        name, boxes, findings.recall, seconds, is_learned=True, errors=errors, conditions=findings.conditions
    )


def _figures(findings: Findings, contenders: Sequence[Contender]) -> dict[str, Any]:
    """The first checkpoint's figures, and under ``compared`` those of all, where there are several."""
    if len(contenders) == 1:
        return findings.figures()
    return findings.figures() | {"compared": {c.name: c.figures() for c in contenders}}


def _training_log(arguments: argparse.Namespace) -> TrainingLog | None:
    """The report's: the log that was named, or the one beside the checkpoint, which may be of something else.

    Read first, so that a wrong name costs no time.
    """
    beside = arguments.weights[0].parent / LOG_FILE
    if arguments.log is not None:
        return read_log(arguments.log)
    if arguments.report is None or not beside.is_file():
        return None
    try:
        return read_log(beside)
    except DataError as error:
        print(f"not in the report: {error}", file=sys.stderr)  # noqa: T201 - a command's answer
        return None


def _print(arguments: argparse.Namespace, findings: dict[str, Findings], contenders: Sequence[Contender]) -> None:
    """A command's answer."""
    alone = len(contenders) == 1
    name, first = next(iter(findings.items()))
    data = f"{arguments.data}, {len(first.pictures)} pictures"
    lines = [f"{name} on {data}; {first.conditions}" if alone else data]
    lines.append(recall_table({c.name: c.recall for c in contenders}))
    lines += [
        _calibration_line(found) if alone else f"{name}: {found.conditions}; {_calibration_line(found)}"
        for name, found in findings.items()
    ]
    if not alone:
        each = ", ".join(f"{c.name} {c.seconds:.3g}" for c in contenders)
        lines.append(f"seconds a picture (CPU threads: {torch.get_num_threads()}): {each}")
    print(printable("\n".join(lines)))  # noqa: T201


def _calibration_line(findings: Findings) -> str:
    figures = findings.figures()
    if not {"ECE", f"ECE@{TOP}"} <= set(figures):
        return "calibration error: there is no proposal to tell it by"
    every, top = ([figures[f"{name}/raw"], figures[name]] for name in ("ECE", f"ECE@{TOP}"))
    if not findings.is_calibrated:
        return f"calibration error: {every[0]:.4f}, of the {TOP} highest {top[0]:.4f} (not calibrated)"
    before = f"before calibration {every[0]:.4f} and {top[0]:.4f}"
    return f"calibration error: {every[1]:.4f}, of the {TOP} highest {top[1]:.4f} ({before})"
