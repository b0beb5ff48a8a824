"""Whether a device gives the boxes that the CPU gives."""

from collections.abc import Sequence
from pathlib import Path

import torch

from bench.answers import TOLERANCE_PX, TOP, Agreement, agreement
from bench.pages import Page
from bench.photographs import photograph
from bench.picture_sets import MIXED, Sizes
from bench.table import Table
from model.imaging.canvas import draw_on_canvas
from model.predictor import Predictor
from model.structures import FloatArray, ImageSize, Selection

_METHOD = (
    f"The same photographs on the CPU in fp32 and on the device: the share of the CPU's top {TOP} boxes that the "
    f"device has within {TOLERANCE_PX} px, of the worst picture. torch lets convolutions use TF32 on CUDA unless it is "
    "told not to; `fp32` is without it."
)
# (what, precision, TF32)
_KINDS = (("fp32", "fp32", False), ("fp32, convolutions in TF32", "fp32", True), ("bf16", "bf16", True))


def run(weights: dict[str, Path], *, device: str, sizes: Sizes = MIXED) -> Page:
    """Compare every network; on a CPU with itself, which shows that the comparison runs."""
    kinds = _KINDS if device != "cpu" else _KINDS[:1]
    rows = []
    for name, path in weights.items():
        reference = boxes(path, sizes, device="cpu", precision="fp32")
        for what, precision, tf32 in kinds:
            torch.backends.cudnn.allow_tf32 = tf32
            worst = compare(reference, boxes(path, sizes, device=device, precision=precision))
            wanted = "1" if what == "fp32" else ""
            rows.append((name, f"{device}, {what}", f"{worst.same:.2f}", f"{worst.furthest_px:.4f}", wanted))
    header = ("network", "device", f"share within {TOLERANCE_PX} px", "furthest of those, px", "wanted share")
    return Page("gpu-parity", "Boxes on the device", _METHOD, (Table(header, tuple(rows)),))


def boxes(weights: Path, sizes: Sizes, *, device: str, precision: str) -> list[FloatArray]:
    """Each photograph's proposals, (K, 4)."""
    predictor = Predictor.load(weights, device=device, precision=precision)
    found = []
    for seed, size in enumerate(sizes):
        placement = predictor.input_rule.place(ImageSize(*size))
        pixels = draw_on_canvas(photograph(*size, seed=seed), placement)
        found.append(predictor.predict(pixels[None], [placement], [Selection()])[0].boxes)
    return found


def compare(reference: Sequence[FloatArray], found: Sequence[FloatArray]) -> Agreement:
    """The worst of all pictures."""
    pairs = [agreement(one, other) for one, other in zip(reference, found, strict=True)]
    return Agreement(min(pair.same for pair in pairs), max(pair.furthest_px for pair in pairs))
