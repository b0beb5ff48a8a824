"""How near the backbone comes to the rate at which the device multiplies matrices."""

from collections.abc import Sequence
from pathlib import Path

from bench.pages import Page
from bench.rounds import Samples, ratios, take_turns
from bench.side import started
from bench.table import Table, spread_of

_PRODUCT = "product"
_TERA = 1e12
_METHOD = (
    "The backbone alone from normalised pictures, prepared as for serving, eager, in the format that the device is "
    "fastest in (bf16 on a GPU); its operations over its time, beside the rate of one large matrix product in the same "
    "format in the same rounds."
)


def run(weights: dict[str, Path], batches: Sequence[int], *, device: str, rounds: int) -> Page:
    """Every network at every batch size, all of one network in turns."""
    rows = [row for name, path in weights.items() for row in measure(name, path, batches, device, rounds)]
    header = ("network", "batch", "ms", "TFLOP/s", "product, TFLOP/s", "share of the product's rate")
    wanted = "At the best batch of `resnet50` a share of at least 0.5 is wanted."
    return Page("gpu-backbone", "The backbone's rate", _METHOD, (Table(header, tuple(rows)), wanted))


def measure(network: str, weights: Path, batches: Sequence[int], device: str, rounds: int) -> list[tuple[str, ...]]:
    """A row for each batch size of one network."""
    sides: dict[str, tuple[str, ...]] = {_PRODUCT: ("floor", str(weights), "--batch", "1", "--loop")}
    sides |= {str(batch): ("backbone", str(weights), "--batch", str(batch)) for batch in batches}
    with started(sides, network, "--device", device, "--precision", "auto") as running:
        work = {name: side.facts["network"] for name, side in running.items()}
        work[_PRODUCT] = running[_PRODUCT].facts["product"]
        taken = take_turns({name: side.measure for name, side in running.items()}, rounds=rounds, warm_up=1)
    product = rate(taken[_PRODUCT], work[_PRODUCT])
    return [
        _row(network, batch, taken[batch], rate(taken[batch], work[batch]), product)
        for batch in sides
        if batch != _PRODUCT
    ]


def rate(taken: Samples, work: float) -> Samples:
    """Tera-operations a second, round by round.

    >>> rate(Samples((1000.0, 500.0)), 2e12).values
    (2.0, 4.0)
    """
    return Samples(tuple(work / (ms / 1000) / _TERA for ms in taken.values))


def _row(network: str, batch: str, taken: Samples, reached: Samples, product: Samples) -> tuple[str, ...]:
    return (network, batch, *(spread_of(one, 2) for one in (taken, reached, product, ratios(reached, product))))
