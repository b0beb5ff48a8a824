"""Whether a device gives the boxes that the CPU gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.answers import TOLERANCE_PX, TOP, Agreement, agreement
from bench.pages import Page
from bench.photographs import photograph
from bench.picture_sets import MIXED, Sizes
from bench.table import Table
from model.imaging.canvas import left_to_draw
from model.predictor import Predictor
from model.structures import FloatArray, ImageSize, Selection

_METHOD = (
    f"The same photographs on the CPU in fp32 and on the device: the share of the CPU's top {TOP} boxes that the "
    f"device has within {TOLERANCE_PX} px, of the worst picture. On a CPU the runtime that it takes by itself is "
    "compared with torch; without OpenVINO that is torch with itself."
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to compute on the device; ``wanted``: whether all boxes have to be the same."""

    name: str
    precision: str
    runtime: str = "auto"
    wanted: bool = False


_ON_CUDA = (
    Kind("fp32", "fp32", wanted=True),
    Kind("fp32, without CUDA graphs", "fp32", runtime="torch", wanted=True),
    Kind("bf16", "bf16"),
)
_ON_CPU = (Kind("fp32, torch", "fp32", runtime="torch", wanted=True),)


def run(weights: dict[str, Path], *, device: str, sizes: Sizes = MIXED) -> Page:
    """Compare every network."""
    rows, other = [], []
    for name, path in weights.items():
        reference = boxes(path, sizes, device="cpu", runtime="auto" if device == "cpu" else "torch")
        for kind in _ON_CPU if device == "cpu" else _ON_CUDA:
            found = boxes(path, sizes, device=device, precision=kind.precision, runtime=kind.runtime)
            worst = compare(reference, found)
            wanted = "1" if kind.wanted else ""
            rows.append((name, f"{device}, {kind.name}", f"{worst.same:.2f}", f"{worst.furthest_px:.4f}", wanted))
            if kind.wanted and worst.same < 1:
                other.append(f"{name} in {kind.name}")
    header = ("network", "device", f"share within {TOLERANCE_PX} px", "furthest of those, px", "wanted share")
    fault = f"boxes are not the CPU's: {', '.join(other)}" if other else None
    return Page("gpu-parity", "Boxes on the device", _METHOD, (Table(header, tuple(rows)),), fault=fault)


def boxes(
    weights: Path, sizes: Sizes, *, device: str, precision: str = "fp32", runtime: str = "auto"
) -> list[FloatArray]:
    """Each photograph's proposals, (K, 4)."""
    predictor = Predictor.load(weights, device=device, precision=precision, runtime=runtime)
    found = []
    for seed, size in enumerate(sizes):
        placement = predictor.input_rule.place(ImageSize(*size))
        pixels = left_to_draw(photograph(*size, seed=seed), placement)
        found.append(predictor.predict_undrawn([pixels], [placement], [Selection()])[0].boxes)
    return found


def compare(reference: Sequence[FloatArray], found: Sequence[FloatArray]) -> Agreement:
    """The worst of all pictures."""
    pairs = [agreement(one, other) for one, other in zip(reference, found, strict=True)]
    return Agreement(min(pair.same for pair in pairs), max(pair.furthest_px for pair in pairs))
