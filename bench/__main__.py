"""``python -m bench PART``: measure, print, and write ``bench/results/``."""

import argparse
import signal
from collections.abc import Callable
from pathlib import Path

from bench import decode, predict, scale, serve, soak
from bench.machine import describe_machine
from bench.pages import Page, said

_RESULTS = Path(__file__).parent / "results"

PARTS: dict[str, Callable[[argparse.Namespace], Page]] = {
    "predict": lambda a: predict.run(device=a.device, quick=a.quick),
    "serve": lambda a: serve.run(device=a.device, replicas=a.replicas, quick=a.quick),
    "decode": lambda a: decode.run(quick=a.quick),
    "scale": lambda a: scale.run(device=a.device, quick=a.quick),
    "soak": lambda a: soak.run(device=a.device, minutes=a.minutes, quick=a.quick),
}
# What `make bench` runs: a soak takes longer than all of it.
ALL = ("predict", "serve", "decode", "scale")


def main() -> None:
    """Measure what was asked for; each part is written as soon as it is done."""
    arguments = build_parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as an interrupt: what was started is ended, too
    machine = describe_machine(arguments.device)
    command = "make bench" if arguments.part == "all" else f"python -m bench {arguments.part}"
    for name in ALL if arguments.part == "all" else (arguments.part,):
        print(PARTS[name](arguments).write(arguments.out, machine, said(command, quick=arguments.quick)), flush=True)


def build_parser() -> argparse.ArgumentParser:
    """The parts and their options."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", choices=("all", *PARTS), nargs="?", default="all", help=f"all: {', '.join(ALL)}")
    parser.add_argument("--quick", action="store_true", help="as little as shows that it runs")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="default: cpu")
    parser.add_argument("--replicas", type=int, default=1, help="HTTP processes for `serve` (default: 1)")
    parser.add_argument("--minutes", type=float, default=20.0, help="length of `soak` (default: 20)")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="where the results go (default: bench/results)")
    return parser


if __name__ == "__main__":
    main()
