"""A run's log: a CSV with a row for each epoch, which `model.evaluation.training_log` reads."""

import csv
import math
from pathlib import Path

from model.training.run_folder import partial

_EPOCH = "epoch"


def write_epoch(path: Path, row: dict[str, float]) -> None:
    """Add an epoch's row, in place of any that there is of it or of a later one.

    Those are of a run that was killed before it had saved that epoch, or that was started anew.
    """
    rows = [earlier for earlier in _rows(path) if _epoch(earlier) < row[_EPOCH]]
    rows.append({name: f"{value:.5g}" if isinstance(value, float) else str(value) for name, value in row.items()})
    with partial(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    partial(path).replace(path)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _epoch(row: dict[str, str]) -> float:
    """A row's epoch; one that says none is not kept."""
    try:
        return float(row[_EPOCH])
    except (KeyError, TypeError, ValueError):
        return math.inf
