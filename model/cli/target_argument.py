"""Files that a command is to write, checked before its work is lost on them."""

import os
from collections.abc import Iterable
from pathlib import Path

from model.errors import DataError


def check_targets(paths: Iterable[Path | None]) -> None:
    """Whether these, where they are given, can be files, written in place.

    Raises:
        DataError: one is a folder, lies in none, or may not be written.
    """
    for path in filter(None, paths):
        _check_place(path)
        _check_writable(path, path if path.exists() else path.parent)


def check_checkpoint_target(path: Path) -> None:
    """Whether a checkpoint can be written there: beside what has its name, whose place it then takes.

    Raises:
        DataError: its name ends otherwise, it is a folder or lies in none, or the folder may not be written to.
    """
    if path.suffix != ".safetensors":
        raise DataError(f"{path}: must end in .safetensors")
    _check_place(path)
    _check_writable(path, path.parent)


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path}: is a folder; a file is to be written")
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}")


def _check_writable(path: Path, what: Path) -> None:
    if not os.access(what, os.W_OK):
        raise DataError(f"{path}: may not be written")
