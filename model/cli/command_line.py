"""The command that runs, as a checkpoint may say it."""

import shlex
import sys
from pathlib import Path


def command_line() -> str:
    """``rpn`` and its arguments.

    A checkpoint goes out into the world: it says what its files were called, not where its trainer keeps them.
    """
    return shlex.join(["rpn", *map(_without_folders, sys.argv[1:])])


def _without_folders(argument: str) -> str:
    return Path(argument).name if Path(argument).is_absolute() else argument
