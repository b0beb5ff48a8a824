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
    """Of a path alone, and of one that stands behind its option's name, as in ``--data=/home/me/scenes``."""
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return f"{option}{equals}{Path(value).name}" if Path(value).is_absolute() else argument
