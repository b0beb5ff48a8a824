"""Files that a command is to write, checked before its work is lost on them."""

import os
from collections.abc import Iterable
from pathlib import Path

from model.errors import DataError


def check_targets(paths: Iterable[Path | None]) -> None:
    """Whether these, where they are given, can be files.

    Raises:
        DataError: one is a folder, lies in none, or may not be written.
    """
    for path in filter(None, paths):
        if path.is_dir():
            raise DataError(f"{path}: is a folder; a file is to be written")
        if not path.parent.is_dir():
            raise DataError(f"{path}: there is no folder {path.parent}")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise DataError(f"{path}: may not be written")


def check_checkpoint_target(path: Path) -> None:
    """Whether a checkpoint can be written there.

    Raises:
        DataError: its name ends otherwise, or as `check_targets`.
    """
    if path.suffix != ".safetensors":
        raise DataError(f"{path}: must end in .safetensors")
    check_targets((path,))
