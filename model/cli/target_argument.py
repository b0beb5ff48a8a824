"""Files that a command is to write, checked before its work is lost on them."""

from collections.abc import Iterable
from pathlib import Path

from model.errors import DataError


def check_targets(paths: Iterable[Path | None]) -> None:
    """Whether these, where they are given, can be files.

    Raises:
        DataError: one is a folder, or lies in none.
    """
    for path in filter(None, paths):
        if path.is_dir():
            raise DataError(f"{path}: is a folder; a file is to be written")
        if not path.parent.is_dir():
            raise DataError(f"{path}: there is no folder {path.parent}")
