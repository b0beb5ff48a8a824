"""Our `Predictor` beside torchvision's own transform, backbone and RPN: same weights, same pictures, one run."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.networks import write_weights
from bench.rounds import Samples, take_turns, times_as_fast
from bench.sides import Side
from bench.table import Table, spread_of

# (network, batch, rounds): the large one takes seconds a go
CASES = (("mobilenet", 1, 30), ("mobilenet", 8, 12), ("resnet50", 1, 8))
_WARM_UP = 3
_AFTER = ", after the network"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One network at one batch size: what each side took, and the floor's work against its time."""

    network: str
    batch: int
    samples: Mapping[str, Samples]
    network_work: float
    product_work: float

    @property
    def floor_ms(self) -> float:
        """How long the network's operations take at the matrix product's rate, which no convolution passes."""
        return self.samples["floor"].median * self.network_work / self.product_work


def compare_all(precisions: tuple[str, ...], *, quick: bool = False) -> list[Comparison]:
    """Every case; ``quick`` takes the small network alone and few rounds, to see that it runs."""
    with tempfile.TemporaryDirectory() as folder:
        cases = (("mobilenet", 1, 2),) if quick else CASES
        weights = {name: write_weights(name, Path(folder)) for name in dict.fromkeys(name for name, _, _ in cases)}
        return [compare(name, batch, rounds, weights[name], precisions) for name, batch, rounds in cases]


def compare(
    network: str, batch: int, rounds: int, weights: tuple[Path, Path], precisions: tuple[str, ...]
) -> Comparison:
    """One case, every side once a round."""
    theirs, ours = weights
    sides = {
        "torchvision": ("torchvision", theirs, "fp32"),
        **{f"ours, {precision}": ("ours", ours, precision) for precision in precisions},
        f"torchvision{_AFTER}": ("torchvision-after", theirs, "fp32"),
        f"ours{_AFTER}": ("ours-after", ours, "fp32"),
        "floor": ("floor", ours, "fp32"),
    }
    with _started(network, batch, sides) as running:
        facts = running["floor"].facts
        samples = take_turns({name: side.measure for name, side in running.items()}, rounds=rounds, warm_up=_WARM_UP)
    return Comparison(network, batch, samples, facts["network"], facts["product"])


def table(comparisons: list[Comparison]) -> Table:
    """For every side its time, and how many times as fast as torchvision it is."""
    rows: list[tuple[str, ...]] = []
    for found in comparisons:
        case = f"{found.network}, batch {found.batch}"
        for name, samples in found.samples.items():
            if name == "floor":
                continue
            peer = found.samples["torchvision" + (_AFTER if name.endswith(_AFTER) else "")]
            ratio = "1" if samples is peer else spread_of(times_as_fast(peer, samples), 2)
            rows.append((case, name, spread_of(samples, 1), ratio))
        rows.append((case, "floor: its operations at a matrix product's rate", f"{found.floor_ms:.1f}", ""))
    return Table(("network", "side", "ms", "times as fast as torchvision"), tuple(rows))


@contextlib.contextmanager
def _started(network: str, batch: int, sides: Mapping[str, tuple[str, Path, str]]) -> Iterator[dict[str, Side]]:
    with contextlib.ExitStack() as stack:
        running = {}
        for name, (side, weights, precision) in sides.items():
            running[name] = Side(side, network, weights, "--batch", str(batch), "--precision", precision)
            stack.callback(running[name].close)
        yield running
