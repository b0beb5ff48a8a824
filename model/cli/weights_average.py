"""`rpn weights average`: the mean of several checkpoints' weights."""

import argparse
from dataclasses import replace
from pathlib import Path

from model.checkpoints.averaging import average
from model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from model.cli.command_line import command_line
from model.cli.target_argument import check_checkpoint_target

_DESCRIPTION = """
Write the mean of checkpoints' weights: of a fine-tuned network and the one that it began as, or of one training's at
several times. Where these lie near each other it often finds more than any of them, and takes no longer. All else is
the last one's. It is neither measured nor calibrated: rpn eval and rpn weights release do that.
"""


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    command = actions.add_parser("average", help="the mean of several checkpoints' weights", description=_DESCRIPTION)
    command.set_defaults(run=run_average)
    add = command.add_argument
    add("files", type=Path, nargs="+", metavar="FILE", help="checkpoints of one network, two or more")
    add("--out", type=Path, required=True, help="the checkpoint to write, .safetensors")
    add("--shares", type=float, nargs="+", default=(), metavar="SHARE", help="one for each file (default: equal ones)")


def run_average(arguments: argparse.Namespace) -> int:
    """Write the checkpoint, and say its digest."""
    check_checkpoint_target(arguments.out)
    made = average([(path, load_checkpoint(path)) for path in arguments.files], arguments.shares)
    made = replace(made, provenance={**made.provenance, "averaged_by": command_line()})
    print(f"{arguments.out}: {save_checkpoint(made, arguments.out)}")  # noqa: T201 - a command's answer
    return 0
