"""``rpn``: one command line for the service and the model.

Only the module of the command that was asked for is imported, so ``rpn settings`` never waits for torch.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from model.errors import ModelError
from service.errors import ServiceError, StartupError

_FAILED = 2
_INTERRUPTED = 130  # what shells report for Ctrl-C


class Command(NamedTuple):
    """A command's module and its line of help.

    The module's ``add_parser(subparsers)`` declares the command, and sets ``run(args) -> int`` as what it does.
    ``networks``: it imports torchvision.
    """

    module: str
    summary: str
    networks: bool = False


COMMANDS = {
    "serve": Command("service.commands.serve", "serve proposals over HTTP"),
    "settings": Command("service.commands.settings", "print every setting and its value"),
    "propose": Command("service.commands.propose", "a photograph's proposals, drawn or as JSON, without a server"),
    "data": Command("model.cli.data", "check a data set before training"),
    "train": Command("model.cli.train", "train a network on COCO or PASCAL VOC data", networks=True),
    "eval": Command("model.cli.eval", "measure recall and calibration of checkpoints, beside baselines", networks=True),
    "weights": Command(
        "model.cli.weights", "inspect, import, average, quantize, prepare or release checkpoints", networks=True
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. What can be expected to go wrong is one line on standard error."""
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        args = build_parser(arguments).parse_args(arguments)
        status: int = args.run(args)
        return status
    except (ModelError, ServiceError, StartupError, FloatingPointError) as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED


def _failed(reason: str) -> int:
    print(f"rpn: {' '.join(reason.split())}", file=sys.stderr)  # noqa: T201  # this is where people look
    return _FAILED


def build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """A parser that knows every command by name, and in full the one that these arguments ask for."""
    parser = argparse.ArgumentParser(prog="rpn", description="Pictures in, ranked class-agnostic object boxes out.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, command in COMMANDS.items():
        if name == asked:
            if command.networks:
                from model.light_import import import_torchvision

                import_torchvision()
            importlib.import_module(command.module).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=command.summary)
    return parser


if __name__ == "__main__":
    sys.exit(main())
