"""The state of a stopped run: written whole or not at all, and read back only by the run that wrote it."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from model.errors import DataError
from model.training.run_folder import partial
from model.training.settings import Settings, first_difference

_SETTINGS = "settings"


def save_state(path: Path, settings: Settings, parts: dict[str, Any]) -> None:
    """Write the parts, state dicts and plain values by name, and the settings that they are of.

    Raises:
        DataError: it cannot be written; what was written before is still there.
    """
    try:
        with partial(path).open("wb") as file:  # of a path torch would not say that the disk is full
            torch.save({_SETTINGS: settings, **parts}, file)
        partial(path).replace(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def load_state(path: Path, settings: Settings) -> dict[str, Any]:
    """The parts that `save_state` wrote, on the CPU, where the optimizer's count of steps has to stay.

    Raises:
        DataError: it is damaged or foreign, or was written under other settings; the message names the first.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged or foreign file fails in as many ways as there are
        raise unusable(path, error if zipfile.is_zipfile(path) else "it is damaged, or no state of a run") from error
    if not isinstance(state, dict) or not isinstance(state.get(_SETTINGS), dict):
        raise unusable(path, "it does not say by which settings it was trained")
    if difference := first_difference(state[_SETTINGS], settings):
        raise DataError(f"{path.parent} holds another run: {difference}; go on with the same, or give another folder")
    return state


def unusable(path: Path, reason: object) -> DataError:
    """The error of a state that cannot be used, with the reason's first line."""
    reason = (str(reason).splitlines() or [repr(reason)])[0][:100]
    return DataError(f"{path}: cannot be resumed from ({reason}); move it away to start anew")
