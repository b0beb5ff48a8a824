"""Our `Predictor` beside torchvision's own transform, backbone and RPN: same weights, same pictures, one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.networks import write_weights
from bench.pages import Page
from bench.plots import bars
from bench.rounds import Samples, take_turns, times_as_fast
from bench.side import started
from bench.table import Table, spread_of
from model.execution import choose_runtime
from model.precision import choose_precision

_METHOD = (
    "Medians, in brackets the middle eight tenths; ratios are taken round by round. torchvision runs eager, fp32, with "
    "the C library's own allocator; `after the network` both sides have ours."
)
# (network, batch, rounds): the large one takes seconds a go
CASES = (("mobilenet", 1, 30), ("mobilenet", 8, 12), ("resnet50", 1, 8))
_WARM_UP = 3
_AFTER = ", after the network"


Case = tuple[str, int, int]


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


def run(*, device: str = "cpu", quick: bool = False, cases: Sequence[Case] = CASES, name: str = "predict") -> Page:
    """Every case on this device; ``quick`` takes the small network alone and few rounds, to see that it runs."""
    found = compare_all((("mobilenet", 1, 2),) if quick else cases, device=device)
    fast = {
        f"{one.network}, batch {one.batch}, {name}": times_as_fast(one.samples["torchvision"], samples).median
        for one in found
        for name, samples in one.samples.items()
        if name.startswith("ours") and not name.endswith(_AFTER)
    }
    plots = {"times as fast": bars("times as fast as torchvision", fast, unit=" x")}
    return Page(name, "Pictures to proposals", _METHOD, (table(found),), plots)


def compare_all(cases: Sequence[Case], *, device: str = "cpu") -> list[Comparison]:
    """Every case, in the precisions that the device has in hardware."""
    auto = choose_precision("auto", device)
    precisions = ("fp32",) if auto == "fp32" else ("fp32", "bf16")
    return [compare(case, write_weights(case[0]), precisions, device) for case in cases]


def compare(case: Case, weights: tuple[Path, Path], precisions: tuple[str, ...], device: str) -> Comparison:
    """One case, every side once a round."""
    network, batch, rounds = case
    options = ("--batch", str(batch), "--device", device)
    with started(_sides(weights, precisions, device), network, *options) as running:
        facts = running["floor"].facts
        samples = take_turns({name: side.measure for name, side in running.items()}, rounds=rounds, warm_up=_WARM_UP)
    return Comparison(network, batch, samples, facts["network"], facts["product"])


def _sides(weights: tuple[Path, Path], precisions: tuple[str, ...], device: str) -> dict[str, tuple[str, ...]]:
    theirs, ours = map(str, weights)
    sides: dict[str, tuple[str, ...]] = {
        "torchvision": ("torchvision", theirs),
        **{f"ours, {precision}": ("ours", ours, "--precision", precision) for precision in precisions},
        **({"ours, fp32, by torch": ("ours", ours, "--runtime", "torch")} if _by_openvino(device) else {}),
        f"torchvision{_AFTER}": ("torchvision-after", theirs),
        f"ours{_AFTER}": ("ours-after", ours),
        "floor": ("floor", ours),
    }
    if device != "cpu":
        sides["floor"] = ("floor", ours, "--precision", precisions[-1])  # the fastest product that there is
        # Resizing on the processor takes as long there as all the rest on the device.
        sides |= {f"ours, {p}, from the canvas": ("placed", ours, "--precision", p) for p in precisions}
    return sides


def _by_openvino(device: str) -> bool:
    """Whether `Predictor` takes OpenVINO here unless told otherwise; then torch is measured beside it."""
    return choose_runtime("auto", device) == "openvino"


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
