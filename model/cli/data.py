"""`rpn data check`: what is wrong with a data set, before an hour of training is lost on it."""

import argparse
import json
import os
from pathlib import Path

from model.architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE, architecture, with_input_size
from model.checking.boxes import DEFAULT_THINNEST, BoxRules
from model.checking.check import check_data
from model.cli.data_argument import ONE_SPLIT, PICTURES
from model.cli.printable import printable
from model.cli.target_argument import check_targets
from model.errors import ConfigError
from model.training.faults import Severity

_FOUND_ERRORS = 1

_DESCRIPTION = """\
Reads every record and decodes every picture, and lists what is wrong: errors (training would stop, or its figures be
false), warnings (it trains, with labels lost or doubtful) and notes. A folder's train, val and test splits are checked
against each other too. Exit status: 1 with errors, 0 without, 2 where there is no data set."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("data", help="check a data set before training")
    actions = parser.add_subparsers(dest="action", required=True)
    check = actions.add_parser("check", help="list a data set's faults and its figures", description=_DESCRIPTION)
    check.set_defaults(run=run_check)
    add = check.add_argument
    add("path", type=Path, metavar="PATH", help=f"{ONE_SPLIT}, of which train, val and test are checked")
    add("--images", type=Path, metavar="DIR", help=PICTURES)
    add("--json", type=Path, metavar="FILE", help="also write every fault to this file")
    add("--examples", type=int, default=3, metavar="N", help="print the first N of each kind (default: %(default)s)")
    add(
        "--architecture",
        default=DEFAULT_ARCHITECTURE,
        choices=list(ARCHITECTURES),
        metavar="NAME",
        help="the network to be trained, by whose input thin boxes are judged (default: %(default)s)",
    )
    add("--input-size", type=int, help="the longest side in pixels, instead of the architecture's")
    add(
        "--thinner-than",
        type=float,
        default=DEFAULT_THINNEST,
        metavar="N",
        help="warn of boxes with a side of under N pixels on the network's canvas (default: %(default)s)",
    )
    add("--workers", type=int, default=_workers(), help="threads that decode pictures (default: %(default)s)")


def run_check(arguments: argparse.Namespace) -> int:
    """Print the report, and write it if asked to; 1 if there are errors."""
    check_targets((arguments.json,))
    if arguments.examples < 0:
        raise ConfigError(f"--examples must be at least 0, not {arguments.examples}")
    config = architecture(arguments.architecture)
    if arguments.input_size is not None:
        config = with_input_size(config, arguments.input_size)
    rules = BoxRules(config.input, arguments.thinner_than)
    report = check_data(arguments.path, arguments.images, rules, workers=arguments.workers)
    print(printable(report.to_text(arguments.examples)))  # noqa: T201 - a command's answer
    if arguments.json:
        arguments.json.write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    return _FOUND_ERRORS if report.count(Severity.ERROR) else 0


def _workers() -> int:
    """More threads than this wait for the disk and for Python's lock."""
    return min(4, os.cpu_count() or 1)
