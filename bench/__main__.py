"""``python -m bench PART``: measure, print, and write ``bench/results/``."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import compare, decode, predict, scale, serve, soak
from bench.machine import describe_machine
from bench.pages import Page, said
from bench.running import results_folder, run_parts

PARTS: dict[str, Callable[[argparse.Namespace], Page]] = {
    "predict": lambda a: predict.run(device=a.device, quick=a.quick),
    "serve": lambda a: serve.run(device=a.device, replicas=a.replicas, quick=a.quick),
    "decode": lambda a: decode.run(quick=a.quick),
    "scale": lambda a: scale.run(device=a.device, quick=a.quick),
    "compare": lambda a: compare.run(quick=a.quick),
    "soak": lambda a: soak.run(device=a.device, minutes=a.minutes, quick=a.quick),
}
# What `make bench` runs: a soak takes longer than all of it, and a comparison wants other frameworks installed.
ALL = ("predict", "serve", "decode", "scale")


def main() -> int:
    """Measure what was asked for."""
    arguments = build_parser().parse_args()
    names = ALL if arguments.part == "all" else (arguments.part,)
    command = said(command_of(arguments), quick=arguments.quick)
    parts = (partial(PARTS[name], arguments) for name in names)
    return run_parts(
        parts, results_folder(arguments.out, quick=arguments.quick), describe_machine(arguments.device), command
    )


def command_of(arguments: argparse.Namespace) -> str:
    """What measures the same again: the part, and the options that are not as they are by themselves."""
    usual = build_parser().get_default
    options = {name: getattr(arguments, name) for name in ("device", "replicas", "minutes")}
    told = "".join(
        f" --{name} {str(value).removesuffix('.0')}" for name, value in options.items() if value != usual(name)
    )
    return "make bench" if arguments.part == "all" and not told else f"python -m bench {arguments.part}{told}"


def build_parser() -> argparse.ArgumentParser:
    """The parts and their options."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", choices=("all", *PARTS), nargs="?", default="all", help=f"all: {', '.join(ALL)}")
    parser.add_argument("--quick", action="store_true", help="as little as shows that it runs")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="default: cpu")
    parser.add_argument("--replicas", type=int, default=1, help="HTTP processes for `serve` (default: 1)")
    parser.add_argument("--minutes", type=float, default=20.0, help="length of `soak` (default: 20)")
    parser.add_argument(
        "--out", type=Path, help="where the results go (default: bench/results; of a quick run, a folder under /tmp)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
