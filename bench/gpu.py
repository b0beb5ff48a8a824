"""``python -m bench.gpu``: all of the benchmark on a GPU in one call; `bench/gpu.sh` gives it its surroundings."""

import argparse
import importlib
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from bench import backbone, parity, predict, serve
from bench.machine import describe_machine
from bench.networks import write_weights
from bench.pages import said
from bench.running import Part, results_folder, run_parts
from bench.serving import Effort

_DISTRIBUTION = "region-proposal-service"
# (network, batch, rounds): a round is up to ten goes of each side, and a GPU's figures vary less than a shared
# processor's.
_CASES = (("mobilenet", 1, 8), ("mobilenet", 8, 8), ("resnet50", 1, 6), ("resnet50", 8, 4))
# Nobody has set a mark for these, so they come last, if there is time.
_LARGE_CASES = (("mobilenet", 32, 6), ("resnet50", 32, 3))
_SHIPPED = Path(__file__).parents[1] / "weights" / "general.safetensors"  # the one with a second stage
_BACKBONE_BATCHES = (8, 16, 32, 64)
# All but the large cases take about five minutes, half of which is starting processes.
_EFFORT = Effort(rounds=2, seconds=1.5)
_SMALL = ((640, 480), (480, 640))
_SERVE = "serve"
# In the order of what matters most. A quick run leaves out the last, which only a GPU has the time for.
NAMES = ("parity", "predict", "backbone", _SERVE, "large")


def main() -> int:
    """Measure part by part."""
    parser = build_parser()
    arguments = parser.parse_args()
    if arguments.device == "cpu" and arguments.out is None and not arguments.quick:
        parser.error("--device cpu wants --quick or --out: the kept results are a GPU's")
    only = f" --only {' '.join(arguments.only)}" if arguments.only else ""
    replicas = f" --replicas {arguments.replicas}" if arguments.replicas > 1 else ""
    command = said(f"bench/gpu.sh --device {arguments.device}{only}{replicas}", quick=arguments.quick)
    return run_parts(
        parts(arguments),
        results_folder(arguments.out, quick=arguments.quick),
        describe_machine(arguments.device),
        command,
    )


def parts(arguments: argparse.Namespace) -> Iterator[Part]:
    """What is to be measured, in the order of what matters most."""
    wanted = arguments.only or NAMES[: -1 if arguments.quick else None]
    measurements = _measurements(arguments)
    for name in NAMES:
        if name not in wanted:
            continue
        if name != _SERVE:
            yield measurements[name]
        elif (reason := why_not_serving()) is not None:
            print(f"The serving part is skipped: {reason}", flush=True)
        else:
            for replicas in sorted({1, arguments.replicas}):
                yield _serving(arguments, replicas, "gpu-serve" if replicas == 1 else f"gpu-serve-{replicas}")


def _measurements(arguments: argparse.Namespace) -> dict[str, Part]:
    """All parts but serving, by name."""
    device, quick = arguments.device, arguments.quick
    names = ("mobilenet",) if quick else ("mobilenet", "resnet50")

    def weights() -> dict[str, Path]:
        return {name: write_weights(name)[1] for name in names}

    batches, rounds = ((1,), 2) if quick else (_BACKBONE_BATCHES, 6)
    return {
        "parity": lambda: parity.run(
            {**weights(), "general": _SHIPPED}, device=device, **({"sizes": _SMALL} if quick else {})
        ),
        "predict": lambda: predict.run(device=device, quick=quick, cases=_CASES, name="gpu-predict"),
        "backbone": lambda: backbone.run(weights(), batches, device=device, rounds=rounds),
        "large": lambda: predict.run(device=device, quick=quick, cases=_LARGE_CASES, name="gpu-predict-large"),
    }


def why_not_serving() -> str | None:
    """What the service lacks here, None if nothing."""
    try:
        metadata.version(_DISTRIBUTION)
        importlib.import_module("service.server")
    except ImportError as error:
        return f"{error}; BENCH_WHEELS can bring it (see bench/gpu.sh)"
    return None


def _serving(arguments: argparse.Namespace, replicas: int, name: str) -> Part:
    return lambda: serve.run(
        device=arguments.device, replicas=replicas, quick=arguments.quick, name=name, effort=_EFFORT
    )


def build_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="bench/gpu.sh", description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="default: cuda")
    parser.add_argument("--replicas", type=int, default=1, help="serve with so many HTTP processes as well")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="PART", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="as little as shows that it runs")
    parser.add_argument(
        "--out", type=Path, help="where the results go (default: bench/results; of a quick run, a folder under /tmp)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
