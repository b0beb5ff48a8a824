"""`rpn eval`: recall and calibration of a checkpoint on annotated pictures, COCO or PASCAL VOC, as text and report."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from model.allocator import keep_freed_memory
from model.checkpoints.checkpoint import load_checkpoint
from model.checkpoints.restore import restore_network
from model.cli.data_argument import ONE_SPLIT, PICTURES
from model.device import choose_device
from model.evaluation.evaluate import propose
from model.evaluation.findings import Findings, judge
from model.evaluation.recall import BUDGETS, SIZES, Recall
from model.evaluation.reliability import TOP
from model.evaluation.report.report import write_report
from model.evaluation.training_log import TrainingLog, read_log
from model.predictor import Predictor
from model.training.annotations import read_annotations
from model.training.run_folder import LOG_FILE


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("eval", help="measure a checkpoint's recall and calibration")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("weights", type=Path, help="a checkpoint")
    add("--data", type=Path, required=True, help=f"{ONE_SPLIT}, whose val split is then measured")
    add("--images", type=Path, help=PICTURES)
    add("--nms-iou", type=float, default=0.7, help="default: %(default)s")
    add("--batch-size", type=int, default=8, help="default: %(default)s")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--json", type=Path, help="also write the figures to this file")
    add("--report", type=Path, help="also write a report with charts and pictures, one HTML file")
    add(
        "--log", type=Path, help=f"the run's {LOG_FILE} for the report (default: the one beside the checkpoint, if any)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the tables, and write what was asked for."""
    keep_freed_memory()
    log = _training_log(arguments)
    findings = _measure(arguments)
    name = f"{findings.checkpoint.name} {findings.checkpoint.version}"
    print(f"{name} on {arguments.data}, {len(findings.pictures)} pictures")  # noqa: T201 - a command's answer
    print(recall_table(findings.recall))  # noqa: T201
    print(_calibration_line(findings))  # noqa: T201
    if arguments.json:
        arguments.json.write_text(json.dumps(findings.figures(), indent=2) + "\n", encoding="utf-8")
    if arguments.report:
        arguments.report.write_text(write_report(findings, log), encoding="utf-8")
    return 0


def _measure(arguments: argparse.Namespace) -> Findings:
    device = choose_device(arguments.device)
    checkpoint = load_checkpoint(arguments.weights)
    network = restore_network(checkpoint, arguments.weights)
    pictures = read_annotations(arguments.data, arguments.images)
    # The network's own scores: what the calibration makes of them is measured beside them.
    predictor = Predictor(network, replace(checkpoint, calibration=None), device)
    proposals = propose(predictor, pictures, batch_size=arguments.batch_size, nms_iou=arguments.nms_iou)
    return judge(checkpoint, _data_name(arguments.data), pictures, proposals)


def _data_name(path: Path) -> str:
    """The data set's and the file's name: a report goes out into the world, and says no more of where it was made."""
    resolved = path.resolve()
    return f"{resolved.parent.name}/{resolved.name}"


def _training_log(arguments: argparse.Namespace) -> TrainingLog | None:
    """The log that was named, or the one beside the checkpoint; read first, so that a wrong name costs no time."""
    if arguments.log is None and not (arguments.weights.parent / LOG_FILE).is_file():
        return None
    return read_log(arguments.log or arguments.weights.parent / LOG_FILE)


def _calibration_line(findings: Findings) -> str:
    figures = findings.figures()
    every, top = ([figures[f"{name}/raw"], figures[name]] for name in ("ECE", f"ECE@{TOP}"))
    if not findings.is_calibrated:
        return f"calibration error: {every[0]:.4f}, of the {TOP} highest {top[0]:.4f} (not calibrated)"
    before = f"before calibration {every[0]:.4f} and {top[0]:.4f}"
    return f"calibration error: {every[1]:.4f}, of the {TOP} highest {top[1]:.4f} ({before})"


def recall_table(recall: Recall) -> str:
    """Average recall over IoU 0.5:0.95, a row for each size, a column for each budget; then recall at two IoUs."""
    rows = [["", *(f"AR@{b}" for b in BUDGETS), "boxes"]]
    rows += [[s, *(f"{recall.average(b, s):.4f}" for b in BUDGETS), str(recall.counts[s])] for s in SIZES]
    rows += [[f"recall at IoU {iou}", *(f"{recall.at(iou, b):.4f}" for b in BUDGETS), ""] for iou in (0.5, 0.7)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)
