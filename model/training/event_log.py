"""A run's curves for TensorBoard, which is an optional package."""

import importlib.util
from pathlib import Path
from types import TracebackType
from typing import Any

from model.errors import ConfigError
from model.training.progress import Progress, Tally
from model.training.run_folder import EVENTS_FOLDER

# Single steps are noise, and a long run has a million: each point is the mean of so many.
_STEPS_A_POINT = 10


def require_tensorboard() -> None:
    """Find out before a long run that it could not be logged.

    Raises:
        ConfigError: the package is not installed; the message says how to install it.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError("--tensorboard needs a package: pip install -e '.[tensorboard]' in the project's folder")


class EventLog:
    """Event files in a folder of their own in the run's folder; None as the folder writes nothing.

    ``loss/*``, ``learning_rate`` and ``pictures_per_second`` against optimizer steps, ``recall/*`` against epochs.
    Points after ``progress``, which a run that was killed had written before, are taken back.
    """

    def __init__(self, folder: Path | None, progress: Progress) -> None:
        self._writer: Any = None
        self._since = Tally()
        self._steps = 0
        if folder is not None:
            require_tensorboard()
            from torch.utils.tensorboard import SummaryWriter  # only now: it imports the optional package

            self._writer = SummaryWriter(str(folder / EVENTS_FOLDER), purge_step=progress.total + 1)

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def step(self, total: int, tally: Tally, learning_rate: float) -> None:
        """One optimizer step, the run's ``total``-th."""
        if self._writer is None:
            return
        self._since.add(tally)
        self._steps += 1
        if self._steps == _STEPS_A_POINT:
            self._point(total, learning_rate)

    def epoch(self, progress: Progress, learning_rate: float, recalls: dict[str, float]) -> None:
        """The steps that have no point yet, and the recall after ``progress.epoch`` epochs."""
        if self._writer is None:
            return
        if self._steps:
            self._point(progress.total, learning_rate)
        for name, value in recalls.items():
            self._writer.add_scalar(f"recall/{name}", value, progress.epoch)
        self._writer.flush()

    def _point(self, total: int, learning_rate: float) -> None:
        for name, mean in self._since.means.items():
            self._writer.add_scalar(f"loss/{name}", mean, total)
        self._writer.add_scalar("learning_rate", learning_rate, total)
        self._writer.add_scalar("pictures_per_second", self._since.rate, total)
        self._since, self._steps = Tally(), 0
