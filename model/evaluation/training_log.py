"""The log of a training run, as `rpn train` writes it: a CSV with a row for each epoch."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from model.errors import DataError

_EPOCH = "epoch"
# Counters, not measures of how well it goes.
_COUNTERS = {_EPOCH, "steps", "seconds", "learning_rate", "pictures_per_second"}
# How the names of recall figures begin; see `Recall.to_dict`.
_RECALL = ("AR@", "R@")


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """Each column's values in the order of epochs, which are the first column; NaN where a row has none."""

    columns: dict[str, list[float]]

    @property
    def epochs(self) -> list[float]:
        """The epochs that were finished."""
        return self.columns[_EPOCH]

    @property
    def losses(self) -> dict[str, list[float]]:
        """What is minimised: every column that is neither a counter nor a recall."""
        return {n: v for n, v in self.columns.items() if n not in _COUNTERS and not n.startswith(_RECALL)}

    @property
    def recalls(self) -> dict[str, list[float]]:
        """The recall figures of the validation set, by their names."""
        return {n: v for n, v in self.columns.items() if n.startswith(_RECALL)}


def read_log(path: Path) -> TrainingLog:
    """Read a run's log.

    Raises:
        DataError: it is missing, or no log of a run; the message names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names, *rows = list(csv.reader(file)) or [[]]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV file ({error})") from error
    if _EPOCH not in names:
        raise DataError(f"{path}: not a training log (no column {_EPOCH!r})")
    values = [_values(row, len(names), f"{path}: line {number}") for number, row in enumerate(rows, 2)]
    log = TrainingLog({name: [row[i] for row in values] for i, name in enumerate(names)})
    for number, epoch in enumerate(log.epochs, 2):
        if not math.isfinite(epoch):
            raise DataError(f"{path}: line {number}: {_EPOCH!r} must be a finite number, not {epoch}")
    return log


def _values(row: list[str], count: int, where: str) -> list[float]:
    if len(row) > count:
        raise DataError(f"{where}: {len(row)} values for {count} columns")
    try:
        values = [float(cell) if cell else math.nan for cell in row]
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    return values + [math.nan] * (count - len(row))
