"""``python -m bench``: measure, print, and write ``bench/results/``."""

import argparse
import datetime
from pathlib import Path

import torch

from bench import predict
from bench.machine import describe_machine
from model.precision import choose_precision

_RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rounds of the small network, to see that it runs")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="where the results go (default: bench/results)")
    arguments = parser.parse_args()
    machine = describe_machine()
    auto = choose_precision("auto", torch.device("cpu"))
    precisions = ("fp32",) if auto is torch.float32 else ("fp32", "bf16")
    text = report(machine, predict.table(predict.compare_all(precisions, quick=arguments.quick)))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "predict.md").write_text(text, encoding="utf-8")
    print(text)


def report(machine: dict[str, str], table: object) -> str:
    """One page: what was measured, where, and when."""
    facts = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    return (
        "# Pictures to proposals\n\n"
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d %H:%M} UTC, by `make bench`. Medians, in brackets the "
        "middle eight tenths; ratios are taken round by round. torchvision runs eager, fp32, with the C library's own "
        "allocator; `after the network` both sides have ours.\n\n"
        f"{facts}\n\n{table}\n"
    )


if __name__ == "__main__":
    main()
