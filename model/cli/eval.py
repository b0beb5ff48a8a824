"""`rpn eval`: average recall of a checkpoint on annotated pictures, COCO or PASCAL VOC."""

import argparse
import json
from pathlib import Path

from model.allocator import keep_freed_memory
from model.cli.data_argument import ONE_SPLIT, PICTURES
from model.evaluation.evaluate import evaluate
from model.evaluation.recall import BUDGETS, SIZES, Recall
from model.predictor import Predictor
from model.training.annotations import read_annotations


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("eval", help="measure a checkpoint's average recall")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("weights", type=Path, help="a checkpoint")
    add("--data", type=Path, required=True, help=f"{ONE_SPLIT}, whose val split is then measured")
    add("--images", type=Path, help=PICTURES)
    add("--nms-iou", type=float, default=0.7, help="default: %(default)s")
    add("--batch-size", type=int, default=8, help="default: %(default)s")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--json", type=Path, help="also write the figures to this file")


def run(arguments: argparse.Namespace) -> int:
    """Print the table, and write it if asked to."""
    keep_freed_memory()
    pictures = read_annotations(arguments.data, arguments.images)
    predictor = Predictor.load(arguments.weights, device=arguments.device)
    recall = evaluate(predictor, pictures, batch_size=arguments.batch_size, nms_iou=arguments.nms_iou)
    print(f"{predictor.info.name} {predictor.info.version} on {arguments.data}, {len(pictures)} pictures")  # noqa: T201
    print(recall_table(recall))  # noqa: T201 - a command's answer
    if arguments.json:
        arguments.json.write_text(json.dumps(recall.to_dict(), indent=2) + "\n", encoding="utf-8")
    return 0


def recall_table(recall: Recall) -> str:
    """Average recall over IoU 0.5:0.95, a row for each size, a column for each budget; then recall at two IoUs."""
    rows = [["", *(f"AR@{b}" for b in BUDGETS), "boxes"]]
    rows += [[s, *(f"{recall.average(b, s):.4f}" for b in BUDGETS), str(recall.counts[s])] for s in SIZES]
    rows += [[f"recall at IoU {iou}", *(f"{recall.at(iou, b):.4f}" for b in BUDGETS), ""] for iou in (0.5, 0.7)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)
