"""Recall as a table of plain text."""

import math
from collections.abc import Mapping, Sequence

from model.evaluation.recall import BUDGETS, SIZES, Recall


def recall_table(recalls: Mapping[str, Recall]) -> str:
    """Average recall over IoU 0.5:0.95 by size, then recall at two IoUs; a column for each budget.

    ``recalls``: by the name of what was measured on the same boxes. Of several, the rows of one measure stand together,
    each with its name. A dash is where there are no such boxes.
    """
    rows = [["", "", *(f"AR@{b}" for b in BUDGETS), "boxes"]]
    for size in SIZES:
        rows += _group(size, {n: (*_averages(r, size), str(r.counts[size])) for n, r in recalls.items()})
    for iou in (0.5, 0.7):
        rows += _group(f"recall at IoU {iou}", {n: (*_at(r, iou), "") for n, r in recalls.items()})
    if len(recalls) == 1:
        rows = [[measure, *cells] for measure, _, *cells in rows]
    return _aligned(rows)


def _averages(recall: Recall, size: str) -> list[str]:
    return [_shown(recall.average(b, size)) for b in BUDGETS]


def _at(recall: Recall, iou: float) -> list[str]:
    return [_shown(recall.at(iou, b)) for b in BUDGETS]


def _shown(value: float) -> str:
    """The figure, or a dash where there are no such boxes."""
    return f"{value:.4f}" if math.isfinite(value) else "-"


def _group(measure: str, cells: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """A row for each name; the measure is said in the first."""
    return [["" if index else measure, name, *row] for index, (name, row) in enumerate(cells.items())]


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)
