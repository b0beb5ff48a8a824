"""Our `Predictor` beside torchvision's own transform, backbone and RPN: same weights, same pictures, one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.networks import in_int8, write_integers, write_weights
from bench.pages import Page
from bench.plots import bars
from bench.rounds import Samples, ratios, take_turns, times_as_fast
from bench.side import started
from bench.table import SPREAD, Table, spread_of
from model.execution import choose_runtime
from model.precision import multiplies_bf16

_METHOD = (
    f"Milliseconds from decoded pictures of 640 x 480, yet to be resized: {SPREAD}; ratios are taken round by round. "
    "torchvision runs eager, fp32, with the C library's own allocator; `after the network` both sides have ours, and "
    "torchvision's lays out anchors and maps anew. That is in a loop of its own, the mean of up to ten goes, as many "
    "as fit in 0.3 s, after one that is not counted; `right behind it` each go follows the network's own pass, ours in "
    "fp32, by OpenVINO where it is installed, which is not timed and leaves nothing in the caches (on CUDA ours is a "
    "recording, played again either way). The floor is how long the network's operations take at the rate of one large "
    "matrix product in the same format (TF32 for fp32 on CUDA), as such a mean. Convolutions may come nearer to the "
    "processor's peak than that product does, or do with fewer operations, so a floor over it of more than 1 is "
    "possible. In int8 the weights are the same; what recall that costs can be measured on trained ones alone (`rpn "
    "weights quantize`), and these are random."
)
# (network, batch, rounds): the large one takes seconds a go
CASES = (("mobilenet", 1, 30), ("mobilenet", 8, 12), ("resnet50", 1, 8))
# Rounds that are not counted; on CUDA each measurement begins with a go that is not.
_WARM_UP = {"cpu": 3, "cuda": 1}
_AFTER = ", after the network"
_RIGHT_AFTER = ", after the network, right behind it"
_FLOOR = "floor, "
# Of larger batches what follows the network is left out: each of its four sides holds a whole pass in a GPU's memory.
_AFTER_UP_TO = 8


Case = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One network at one batch size: what each side took, and the network's operations against the product's."""

    network: str
    batch: int
    samples: Mapping[str, Samples]
    network_work: float
    product_work: float

    def floor(self, precision: str) -> Samples:
        """How long the network's operations take at the matrix product's rate in this format, round by round."""
        share = self.network_work / self.product_work
        return Samples(tuple(ms * share for ms in self.samples[f"{_FLOOR}{precision}"].values))


def run(*, device: str = "cpu", quick: bool = False, cases: Sequence[Case] = CASES, name: str = "predict") -> Page:
    """Every case on this device; ``quick`` takes the small network alone and few rounds, to see that it runs."""
    found = compare_all((("mobilenet", 1, 2),) if quick else cases, device=device)
    fast = {
        f"{one.network}, batch {one.batch}, {name}": times_as_fast(one.samples[_peer(name)], samples).median
        for one in found
        for name, samples in one.samples.items()
        if name.startswith("ours") and _AFTER not in name
    }
    plots = {"times as fast": bars("times as fast as torchvision", fast, unit=" x")}
    return Page(name, "Pictures to proposals", _METHOD, (table(found),), plots)


def compare_all(cases: Sequence[Case], *, device: str = "cpu") -> list[Comparison]:
    """Every case, in the precisions that the device has in hardware."""
    precisions = ("fp32", "bf16") if multiplies_bf16(device) else ("fp32",)
    return [compare(case, write_weights(case[0]), precisions, device) for case in cases]


def compare(case: Case, weights: tuple[Path, Path], precisions: tuple[str, ...], device: str) -> Comparison:
    """One case, every side once a round."""
    network, batch, rounds = case
    options = ("--batch", str(batch), "--device", device)
    with started(_sides(weights, batch, precisions, device), network, *options) as running:
        facts = running[f"{_FLOOR}{precisions[0]}"].facts
        measured = {name: side.measure for name, side in running.items()}
        samples = take_turns(measured, rounds=rounds, warm_up=_WARM_UP[device])
    return Comparison(network, batch, samples, facts["network"], facts["product"])


def _sides(
    weights: tuple[Path, Path], batch: int, precisions: tuple[str, ...], device: str
) -> dict[str, tuple[str, ...]]:
    theirs, ours = map(str, weights)
    sides: dict[str, tuple[str, ...]] = {
        "torchvision": ("torchvision", theirs),
        **{f"ours, {precision}": ("ours", ours, "--precision", precision) for precision in precisions},
        **({"ours, int8": ("ours", str(write_integers(weights[1])), "--precision", "int8")} if in_int8(device) else {}),
        **({"ours, fp32, by torch": ("ours", ours, "--runtime", "torch")} if _not_by_torch(device) else {}),
        **(_after(theirs, ours) if batch <= _AFTER_UP_TO else {}),
        **{f"{_FLOOR}{precision}": ("floor", ours, "--precision", precision, "--loop") for precision in precisions},
    }
    return sides


def _after(theirs: str, ours: str) -> dict[str, tuple[str, ...]]:
    return {
        f"torchvision{_AFTER}": ("torchvision-after", theirs, "--loop"),
        f"ours{_AFTER}": ("ours-after", ours, "--loop"),
        f"torchvision{_RIGHT_AFTER}": ("torchvision-after", theirs),
        f"ours{_RIGHT_AFTER}": ("ours-after", ours),
    }


def _not_by_torch(device: str) -> bool:
    """Whether `Predictor` takes OpenVINO or CUDA graphs here unless told otherwise; torch is measured beside them."""
    return choose_runtime("auto", device) != "torch"


def table(comparisons: list[Comparison]) -> Table:
    """For every side its time, how many times as fast as torchvision it is, and how near the floor."""
    rows: list[tuple[str, ...]] = []
    for found in comparisons:
        case = f"{found.network}, batch {found.batch}"
        for name, samples in found.samples.items():
            if name.startswith(_FLOOR):
                floor = found.floor(name.removeprefix(_FLOOR))
                rows.append((case, f"{name}: its operations at a matrix product's rate", spread_of(floor, 1), "", ""))
                continue
            peer = found.samples[_peer(name)]
            ratio = "1" if samples is peer else spread_of(times_as_fast(peer, samples), 2)
            rows.append((case, name, spread_of(samples, 1), ratio, _near_the_floor(found, name)))
    return Table(("network", "side", "ms", "times as fast as torchvision", "floor over it"), tuple(rows))


def _peer(name: str) -> str:
    """torchvision's side that does the same."""
    return next((f"torchvision{part}" for part in (_RIGHT_AFTER, _AFTER) if name.endswith(part)), "torchvision")


def _near_the_floor(found: Comparison, name: str) -> str:
    """The share of a side's time that the floor takes, where the side runs the network."""
    if _AFTER in name or "int8" in name:  # of integers no product's rate is measured
        return ""
    return spread_of(ratios(found.floor("bf16" if "bf16" in name else "fp32"), found.samples[name]), 2)
