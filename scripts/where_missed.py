"""Which objects a checkpoint misses: by their height, and by where their photographs are from.

    python scripts/where_missed.py weights/pedestrian.safetensors --data pedestrian/val.json --group 'coco_*'

Prints a Markdown table: of the objects of each row the shares that one of the first 10, the first 100 and all
proposals finds, at an IoU of 0.5 or more. Each object is looked at by itself, so that one proposal may find two;
`rpn eval` counts as COCO does. Heights are in pixels of a picture whose longest side is 640. docs/training.md has two
such tables.
"""

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from math import inf
from pathlib import Path

import numpy as np

from model.errors import ModelError
from model.evaluation.coverage import COVERING_IOU
from model.evaluation.evaluate import propose
from model.evaluation.overlap import iou_matrix
from model.host.graphs import chosen_cache
from model.predictor import Predictor
from model.structures import BoolArray, FloatArray, Proposals
from model.training.annotations import AnnotatedPicture, read_measurable

_SIDE = 640
_HEIGHTS = (0, 16, 24, 32, 48, 64, 96, 160, inf)
_BUDGETS = (10, 100, None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, print the table."""
    parser = argparse.ArgumentParser(description="Which objects a checkpoint misses, by height and by photograph.")
    parser.add_argument("weights", type=Path, help="a checkpoint")
    parser.add_argument("--data", type=Path, required=True, help="as rpn eval takes it")
    parser.add_argument(
        "--group", action="append", default=[], metavar="PATTERN", help="a row for photographs of such file names"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument(
        "--precision", default="auto", help="fp32, bf16, int8 or auto, as served (default: %(default)s)"
    )
    given = parser.parse_args(arguments)
    try:
        pictures = read_measurable(given.data)
        predictor = Predictor.load(given.weights, device=given.device, precision=given.precision, cache=chosen_cache())
        print(table(propose(predictor, pictures), pictures, given.group))
    except ModelError as error:
        sys.exit(f"where_missed.py: {error}")


def table(proposals: Sequence[Proposals], pictures: Sequence[AnnotatedPicture], groups: Sequence[str] = ()) -> str:
    """The table, Markdown: a row for all, for each group of file names, for what is in none, and for each height."""
    found = np.concatenate([_found(*pair) for pair in zip(proposals, pictures, strict=True)])
    heights = np.concatenate([_heights(picture) for picture in pictures])
    names = np.repeat([picture.path.name for picture in pictures], [len(picture.boxes) for picture in pictures])
    rows = {"all": np.ones(len(found), dtype=np.bool_)}
    matched = {group: np.array([fnmatchcase(name, group) for name in names], dtype=np.bool_) for group in groups}
    rows |= matched
    if matched:
        rows["others"] = ~np.logical_or.reduce(list(matched.values()))
    rows |= {_span(low, high): (heights >= low) & (heights < high) for low, high in pairwise(_HEIGHTS)}
    lines = ["| | objects | found by 10 proposals | by 100 | by all |", "|---|---|---|---|---|"]
    lines += [_row(name, found[kept]) for name, kept in rows.items() if kept.any()]
    return "\n".join(lines)


def _found(proposals: Proposals, picture: AnnotatedPicture) -> BoolArray:
    """(G, budgets): whether each box is found by so many proposals."""
    near = iou_matrix(picture.boxes, proposals.boxes) >= COVERING_IOU
    flags: BoolArray = np.stack([near[:, :budget].any(axis=1) for budget in _BUDGETS], axis=1)
    return flags


def _heights(picture: AnnotatedPicture) -> FloatArray:
    scale = _SIDE / max(picture.size.width, picture.size.height)
    heights: FloatArray = (picture.boxes[:, 3] - picture.boxes[:, 1]) * np.float32(scale)
    return heights


def _span(low: float, high: float) -> str:
    if low == 0:
        return f"under {high:g}"
    return f"over {low:g}" if high == inf else f"{low:g} to {high:g}"


def _row(name: str, found: BoolArray) -> str:
    return f"| {name} | {len(found)} | {' | '.join(f'{share:.2f}' for share in found.mean(axis=0))} |"


if __name__ == "__main__":
    main()
