"""``python -m bench PART``: measure, print, and write ``bench/results/``."""

import argparse
from collections.abc import Callable
from pathlib import Path

from bench import predict, serve
from bench.machine import describe_machine
from bench.pages import Page

_RESULTS = Path(__file__).parent / "results"

Part = Callable[[argparse.Namespace], Page]

PARTS: dict[str, Part] = {
    "predict": lambda arguments: predict.run(device=arguments.device, quick=arguments.quick),
    "serve": lambda arguments: serve.run(device=arguments.device, replicas=arguments.replicas, quick=arguments.quick),
}
# What `make bench` runs.
ALL = ("predict", "serve")


def main() -> None:
    """Measure what was asked for."""
    arguments = build_parser().parse_args()
    machine = describe_machine()
    for name in ALL if arguments.part == "all" else (arguments.part,):
        print(PARTS[name](arguments).write(arguments.out, machine), flush=True)


def build_parser() -> argparse.ArgumentParser:
    """The parts and their options."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", choices=("all", *PARTS), nargs="?", default="all")
    parser.add_argument("--quick", action="store_true", help="as little as shows that it runs")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="default: cpu")
    parser.add_argument("--replicas", type=int, default=1, help="HTTP processes for `serve` (default: 1)")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="where the results go (default: bench/results)")
    return parser


if __name__ == "__main__":
    main()
